//! The shape of a file of cases. Everything has a default, so that a case says only what it is about.

use std::collections::BTreeMap;

use gantry_model::properties;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    balancer::{Assignment, BrokerOffer, Load, Member, Pair, QueuePlace, QueueState},
    feed::SeriesKind,
    specimen::Specimen,
};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// All that the plugin is opened with: a case is its author's promise, whatever a configuration says.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
    #[serde(default = "case_topic")]
    pub(crate) topic: String,
    #[serde(default = "case_group")]
    pub(crate) group: String,
    #[serde(default)]
    pub(crate) zone: String,
    pub(crate) message: Option<Message>,
    pub(crate) route: Option<Vec<Broker>>,
    pub(crate) place: Option<Vec<Queue>>,
    /// Asked after `place`.
    pub(crate) select: Option<Hint>,
    pub(crate) assign: Option<Assign>,
    pub(crate) ticks: Option<Vec<Tick>>,
    pub(crate) expect: Value,
}

fn case_topic() -> String {
    "case-topic".to_owned()
}

fn case_group() -> String {
    "case-group".to_owned()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Message {
    tag: String,
    keys: String,
    properties: BTreeMap<String, String>,
    body: String,
    queue_id: u32,
    queue_offset: u64,
    born_ms: i64,
    store_ms: i64,
    delivery_attempt: i32,
}

impl Message {
    pub(crate) fn specimen(&self, topic: &str) -> Specimen {
        let mut encoded = Vec::new();
        for (name, value) in &self.properties {
            properties::push(&mut encoded, name, value);
        }
        for (name, value) in [(properties::TAGS, &self.tag), (properties::KEYS, &self.keys)] {
            if !value.is_empty() {
                properties::push(&mut encoded, name, value);
            }
        }
        Specimen {
            topic: topic.to_owned(),
            queue_id: self.queue_id,
            queue_offset: self.queue_offset,
            sys_flag: 0,
            born_ms: self.born_ms,
            store_ms: self.store_ms,
            born_host: ([127, 0, 0, 1], 40_000).into(),
            reconsume_times: self.delivery_attempt,
            body: self.body.clone().into_bytes(),
            properties: encoded,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Broker {
    name: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default = "yes")]
    writable: bool,
    #[serde(default = "eight")]
    read_queues: u32,
    #[serde(default = "eight")]
    write_queues: u32,
    load: Option<BrokerLoad>,
}

fn yes() -> bool {
    true
}

fn eight() -> u32 {
    8
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BrokerLoad {
    in_flight: u32,
    send_micros: u32,
    backlog_bytes: u64,
    disk_used_percent: u32,
    messages_per_second: u32,
    recent_errors: u32,
}

impl Broker {
    pub(crate) fn offer(&self) -> BrokerOffer {
        let load = |load: &BrokerLoad| Load {
            in_flight: load.in_flight,
            send_micros: load.send_micros,
            backlog_bytes: load.backlog_bytes,
            disk_used_percent: load.disk_used_percent,
            messages_per_second: load.messages_per_second,
            recent_errors: load.recent_errors,
        };
        let pair = |(name, value): (&String, &String)| Pair { name: name.clone(), value: value.clone() };
        BrokerOffer {
            name: self.name.clone(),
            zone: self.zone.clone(),
            labels: self.labels.iter().map(pair).collect(),
            writable: self.writable,
            read_queues: self.read_queues,
            write_queues: self.write_queues,
            load: self.load.as_ref().map(load),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Queue {
    queue_id: u32,
    depth: u64,
    in_flight: u32,
    messages_per_second: u32,
}

impl Queue {
    pub(crate) fn state(&self) -> QueueState {
        QueueState {
            queue_id: self.queue_id,
            depth: self.depth,
            in_flight: self.in_flight,
            messages_per_second: self.messages_per_second,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hint {
    pub(crate) sharding_key: Option<String>,
    pub(crate) size: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assign {
    queues: Vec<Place>,
    members: Vec<Consumer>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    broker: String,
    queue_id: u32,
    #[serde(default)]
    zone: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Consumer {
    client_id: String,
    #[serde(default)]
    zone: String,
}

impl Assign {
    pub(crate) fn question(&self, topic: &str, group: &str) -> Assignment {
        let place = |place: &Place| QueuePlace {
            broker: place.broker.clone(),
            queue_id: place.queue_id,
            zone: place.zone.clone(),
        };
        let member = |member: &Consumer| Member { client_id: member.client_id.clone(), zone: member.zone.clone() };
        Assignment {
            group: group.to_owned(),
            topic: topic.to_owned(),
            queues: self.queues.iter().map(place).collect(),
            members: self.members.iter().map(member).collect(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tick {
    #[serde(default)]
    pub(crate) at_ms: u64,
    pub(crate) series: Vec<TickSeries>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TickSeries {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    counter: bool,
    pub(crate) value: f64,
}

impl TickSeries {
    pub(crate) fn kind(&self) -> SeriesKind {
        if self.counter { SeriesKind::Counter } else { SeriesKind::Gauge }
    }
}
