//! What an operator sees of a broker: RocketMQ 5's native metrics with their labels, so that its dashboards and rules work,
//! and Gantry's own, whose names begin with `gantry_`.
//!
//! Counters lie where things happen; [`Broker::collect`] tells all of it to whoever asks. It may read the disk, so it is for
//! a thread that may block. Names, labels and bounds: RocketMQ `BrokerMetricsManager`, `DefaultStoreMetricsManager`.
//!
//! Some say more than RocketMQ's, never less: retries of a group have their lag as `is_retry`, and `broker_permission` loses
//! its write bit while sends are refused.

mod calls;
mod clients;
mod dead_letters;
mod lag;
mod timers;
mod traffic;

use gantry_base::metric::{Counter, Family, Histogram, Labels, Sink, Unit};
use gantry_model::name::{SYSTEM_GROUP_PREFIX, is_system_topic};
use gantry_store::Health;

pub(crate) use self::{
    calls::{Answers, Calls, Manner},
    dead_letters::DeadLetters,
    lag::LagAges,
    timers::DueCounts,
    traffic::{GroupTraffic, MessageKind, Tally, Traffic, counts_as_sent},
};
use crate::{broker::Broker, topics::Topic};

static PROCESSOR_WATERMARK: Family =
    Family::gauge("rocketmq_processor_watermark", "Requests that wait to be served, by the kind of work.");
static BROKER_PERMISSION: Family = Family::gauge(
    "rocketmq_broker_permission",
    "What the broker does: 4 reads, 2 writes, 6 both; 4 while sends are refused.",
);
static QUEUE_MESSAGES_IN: Family =
    Family::counter("gantry_queue_messages_in_total", "Messages that each queue got since it was made.");
static TOPIC_NUMBER: Family = Family::gauge("rocketmq_topic_number", "Topics, system topics included.");
static GROUP_NUMBER: Family = Family::gauge("rocketmq_consumer_group_number", "Consumer groups.");
static TOPIC_CREATION: Family =
    Family::histogram("rocketmq_topic_create_execution_time", "Time that requests to make or change a topic took.")
        .counted_in(Unit::Milliseconds);
static GROUP_CREATION: Family = Family::histogram(
    "rocketmq_consumer_group_create_execution_time",
    "Time that requests to make or change a consumer group took.",
)
.counted_in(Unit::Milliseconds);
static STORAGE_SIZE: Family =
    Family::gauge("rocketmq_storage_size", "Bytes in use on the file system of the store, by whomever.")
        .counted_in(Unit::Bytes);
static FLUSH_BEHIND: Family =
    Family::gauge("rocketmq_storage_flush_behind_bytes", "Bytes of the log that a power loss could take back.")
        .counted_in(Unit::Bytes);
static DISPATCH_BEHIND: Family =
    Family::gauge("rocketmq_storage_dispatch_behind_bytes", "Bytes of the log without consume queue entries yet.")
        .counted_in(Unit::Bytes);
static RESERVE_TIME: Family =
    Family::gauge("rocketmq_storage_message_reserve_time", "Age of the oldest message that is kept.")
        .counted_in(Unit::Milliseconds);
static REFUSED: Family = Family::counter(
    "gantry_flow_refused_total",
    "Requests refused with SYSTEM_BUSY, or held pulls answered at once, by resource.",
);
static LIMIT: Family =
    Family::gauge("gantry_flow_limit", "How much there is of each resource; its key is in the cluster file.");

/// Milliseconds. Source: RocketMQ `BrokerMetricsManager`.
const CREATION_BOUNDS: &[u64] = &[10, 100, 1_000, 3_000, 5_000];

/// What RocketMQ says of its storage, and this one is.
const STORAGE: Labels<'static> = &[("storage_type", "local"), ("storage_medium", "disk")];

/// What the broker counts; read by whoever collects metrics.
#[derive(Debug, Default)]
pub struct BrokerMetrics {
    /// Messages stored for clients.
    pub messages_in: Counter,
    /// Messages delivered to clients.
    pub messages_out: Counter,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) topic_creations: Creations,
    pub(crate) group_creations: Creations,
}

/// How long requests that make or change something took.
#[derive(Debug)]
pub(crate) struct Creations([Histogram; 4]);

impl Default for Creations {
    fn default() -> Self {
        Creations(std::array::from_fn(|_| Histogram::new(CREATION_BOUNDS)))
    }
}

impl Creations {
    /// One took so long.
    pub(crate) fn record(&self, succeeded: bool, system: bool, took: std::time::Duration) {
        self.0[usize::from(succeeded) * 2 + usize::from(system)].record(took.as_millis() as u64);
    }

    fn collect(&self, family: &Family, out: &mut dyn Sink) {
        for (index, histogram) in self.0.iter().enumerate() {
            let read = histogram.read();
            if read.count() > 0 {
                let status = if index >= 2 { "success" } else { "failure" };
                out.distribution(family, &[("invocation_status", status), ("is_system", truth(index % 2 == 1))], &read);
            }
        }
    }
}

/// How many messages each queue of a topic got, for whoever looks for uneven ones; system topics have none of that.
fn collect_queues(topic: &Topic, out: &mut dyn Sink) {
    let name = topic.config.topic_name.as_str();
    if is_system_topic(name) || !topic.counts_as_sent {
        return;
    }
    for (queue_id, queue) in topic.queues.iter().enumerate() {
        let end = queue.end().get();
        if end > 0 {
            out.number(&QUEUE_MESSAGES_IN, &[("topic", name), ("queue_id", &queue_id.to_string())], end as f64);
        }
    }
}

impl Broker {
    /// Tells everything that this broker and its store count, without the labels that say which broker it is. May read the
    /// disk.
    pub fn collect(&self, out: &mut dyn Sink) {
        let topics = self.topics.snapshot().clone();
        let groups = self.groups.count();
        self.collect_state(topics.len(), groups, out);
        for topic in topics.values() {
            topic.traffic.retain_groups(|group| self.groups.get(group).is_some());
            topic.traffic.collect(&topic.config, out);
            collect_queues(topic, out);
        }
        self.metrics.topic_creations.collect(&TOPIC_CREATION, out);
        self.metrics.group_creations.collect(&GROUP_CREATION, out);
        self.metrics.dead_letters.collect(out);
        self.calls.collect(out);
        self.collect_connections(out);
        self.collect_lags(out);
        self.collect_timers(out);
        self.collect_flow(out);
        self.sql.costs.collect(out);
        self.store.collect(out);
    }

    fn collect_state(&self, topics: usize, groups: usize, out: &mut dyn Sink) {
        let retention = self.store.retention();
        let writes = self.store.health() == Health::Healthy && retention.refusing.is_none();
        out.number(&BROKER_PERMISSION, &[], if writes { 6.0 } else { 4.0 });
        out.number(&TOPIC_NUMBER, &[], topics as f64);
        out.number(&GROUP_NUMBER, &[], groups as f64);
        if let Some(space) = retention.space {
            out.number(&STORAGE_SIZE, STORAGE, space.used_bytes as f64);
        }
        let (flush, dispatch) = crate::flow::Flow::backlogs(&self.store);
        out.number(&FLUSH_BEHIND, STORAGE, flush as f64);
        out.number(&DISPATCH_BEHIND, STORAGE, dispatch as f64);
        if let Some(store_ms) = self.store.earliest_store_ms() {
            let age_ms = self.options.clock.now_ms().saturating_sub(store_ms);
            out.number(&RESERVE_TIME, STORAGE, age_ms as f64);
        }
    }

    fn collect_flow(&self, out: &mut dyn Sink) {
        for level in self.flow() {
            let family =
                Family::gauge(level.metric, "How much is taken of a resource that is limited, see gantry_flow_limit.");
            out.number(&family, &[], level.level as f64);
            let resource = [("resource", level.resource)];
            out.number(&REFUSED, &resource, level.refused as f64);
            out.number(
                &LIMIT,
                &[("resource", level.resource), ("key", level.key), ("unit", level.unit)],
                level.limit as f64,
            );
        }
        // RocketMQ has a pool with a queue for each kind of work. Here work is done where it arrives, but for sends that a
        // backlog holds and reads that wait for the disk, whoever needs them.
        let (sends, reads) = self.flow.waiting();
        for (processor, waiting) in [
            ("send", sends),
            ("pull", reads),
            ("lite_pull", 0),
            ("query_message", 0),
            ("client_manager", 0),
            ("heartbeat", 0),
            ("consumer_manager", 0),
            ("admin", 0),
        ] {
            out.number(&PROCESSOR_WATERMARK, &[("processor", processor)], waiting as f64);
        }
    }
}

/// A truth value as RocketMQ's labels spell it.
fn truth(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// Whether a group belongs to RocketMQ's own tools.
pub(crate) fn is_system_group(group: &str) -> bool {
    group.get(..SYSTEM_GROUP_PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(SYSTEM_GROUP_PREFIX))
}

fn is_system(topic: &str, group: &str) -> bool {
    is_system_topic(topic) || is_system_group(group)
}
