//! `gantry plugin bench FILE`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_plugin::{
    PlanReport, Rehearsal, World,
    balancer::{Assignment, BrokerOffer, Load, Member, QueuePlace, QueueState, SendHint},
    check_file,
    feed::{Feed, Series, SeriesKind},
};
use serde_json::{Map, Value, json};

use super::open::Opened;
use crate::output;

/// Runs of which the middle one counts.
const SAMPLES: usize = 11;
/// Messages of one run.
const MESSAGES: usize = 4_096;

/// Measure what a plugin costs: ns a message, ns an answer, and its memory
///
/// A filter judges generated messages with four properties and a body of 128 B and of 4 KiB: region (eu or us), amount, user and
/// note. A balancer is asked about 16 queues and 8 brokers, and to assign 1,000 queues to 100 consumers. A hook is shown 1,000
/// series under the names that it wants.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    opened: Opened,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let plugin = args.opened.plugin()?;
    let binding = args.opened.binding(&plugin);
    let refused = || format!("{} is refused", plugin.file.display());
    let plan = check_file(&plugin, &binding).with_context(refused)?.plan;
    let rehearsal = Rehearsal::open(&plugin, &binding).with_context(refused)?;
    let mut figures = Map::new();
    match plugin.world {
        World::MessageFilter => filter(&rehearsal, &mut figures)?,
        World::QueueBalancer => balancer(&rehearsal, plan, &mut figures)?,
        World::MetricHook | World::AlertHook => hook(&rehearsal, plan, &mut figures)?,
    }
    figures.insert("memory_bytes".into(), json!(rehearsal.memory_bytes()));
    if args.json {
        return output::json(&Value::from(figures)).map_err(|failure| failure.error);
    }
    output::line(rehearsal.label())?;
    for (name, figure) in figures {
        output::line(&format!("  {name:<40} {figure}"))?;
    }
    Ok(())
}

/// The middle of several runs.
fn median(mut run: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let mut taken = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        taken.push(run()?);
    }
    taken.sort();
    Ok(taken[SAMPLES / 2])
}

/// Rounded to what is worth reading.
fn rounded(value: f64) -> Value {
    json!((value * 10.0).round() / 10.0)
}

fn filter(rehearsal: &Rehearsal, figures: &mut Map<String, Value>) -> Result<()> {
    for size in [128, 4_096] {
        let body = vec![b'x'; size];
        let encoded: Vec<Vec<u8>> = (0..MESSAGES).map(generated).collect();
        let messages: Vec<MessageView<'_>> =
            encoded.iter().enumerate().map(|(index, properties)| view(index, properties, &body)).collect();
        let took = median(|| Ok(rehearsal.time_batches(&messages)?))?;
        figures.insert(format!("ns a message, {size} B"), rounded(took.as_nanos() as f64 / MESSAGES as f64));
    }
    Ok(())
}

fn generated(index: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    properties::push(&mut encoded, "region", if index.is_multiple_of(3) { "eu" } else { "us" });
    properties::push(&mut encoded, "amount", &(index % 200).to_string());
    properties::push(&mut encoded, "user", &format!("user-{index:012}"));
    properties::push(&mut encoded, "note", "a text of usual length for a note");
    encoded
}

fn view<'m>(index: usize, properties: &'m [u8], body: &'m [u8]) -> MessageView<'m> {
    MessageView {
        topic: "bench",
        queue_id: 0,
        queue_offset: QueueOffset(index as u64),
        physical_offset: PhysicalOffset(0),
        sys_flag: 0,
        flag: 0,
        born_ms: 0,
        store_ms: 0,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

fn balancer(rehearsal: &Rehearsal, plan: Result<PlanReport, String>, figures: &mut Map<String, Value>) -> Result<()> {
    let Ok(PlanReport::Balancer { decides }) = plan else { return Ok(()) };
    let load = |busy: u32| Load {
        in_flight: busy,
        send_micros: 100 * busy,
        backlog_bytes: 0,
        disk_used_percent: 40,
        messages_per_second: 1_000 * busy,
        recent_errors: 0,
    };
    let brokers: Vec<BrokerOffer> = (0..8)
        .map(|index| BrokerOffer {
            name: format!("broker-{index}"),
            zone: format!("zone-{}", index % 3),
            labels: Vec::new(),
            writable: true,
            read_queues: 8,
            write_queues: 8,
            load: Some(load(index)),
        })
        .collect();
    let queues: Vec<QueueState> = (0..16)
        .map(|queue_id| QueueState {
            queue_id,
            depth: u64::from(queue_id) * 100,
            in_flight: 0,
            messages_per_second: 100,
        })
        .collect();
    let places = (0..1_000).map(|index| QueuePlace {
        broker: format!("broker-{}", index % 8),
        queue_id: index / 8,
        zone: format!("zone-{}", index % 3),
    });
    let members =
        (0..100).map(|index| Member { client_id: format!("10.0.0.{index}@1"), zone: format!("zone-{}", index % 3) });
    let question = Assignment {
        group: "bench".into(),
        topic: "bench".into(),
        queues: places.collect(),
        members: members.collect(),
    };
    let hint = SendHint { sharding_key: Some("order-4711".into()), size: 128 };
    for decision in decides {
        match decision {
            "route" => {
                let took = median(|| Ok(rehearsal.time_route(&brokers)?))?;
                figures.insert("us a route of 8 brokers".into(), rounded(took.as_nanos() as f64 / 1e3));
            }
            "assign" => {
                let took = median(|| Ok(rehearsal.time_assign(&question)?))?;
                figures.insert("us for 1000 queues and 100 consumers".into(), rounded(took.as_nanos() as f64 / 1e3));
            }
            _ => {
                let mut per_message = false;
                let took = median(|| {
                    let (took, asks) = rehearsal.time_place(&queues)?;
                    per_message = asks;
                    Ok(took)
                })?;
                figures.insert("us to place 16 queues".into(), rounded(took.as_nanos() as f64 / 1e3));
                if per_message {
                    let took = median(|| {
                        (0..MESSAGES).map(|_| Ok(rehearsal.time_select(&queues, &hint)?)).sum::<Result<Duration>>()
                    })?;
                    figures.insert("ns a selected queue".into(), rounded(took.as_nanos() as f64 / MESSAGES as f64));
                }
            }
        }
    }
    Ok(())
}

fn hook(rehearsal: &Rehearsal, plan: Result<PlanReport, String>, figures: &mut Map<String, Value>) -> Result<()> {
    let Ok(PlanReport::Hook { wants, .. }) = plan else { return Ok(()) };
    let series = |id: u32| {
        let name = wants.get(id as usize % wants.len().max(1)).map_or("bench", |want| want.trim_end_matches('*'));
        let labels = vec![
            ("topic".to_owned(), format!("topic-{}", id % 50)),
            ("consumer_group".to_owned(), format!("group-{id}")),
        ];
        Arc::new(Series { id, name: name.to_owned(), kind: SeriesKind::Gauge, labels })
    };
    let samples: Vec<_> = (0..1_000).map(|id| (series(id), f64::from(id))).collect();
    let mut at_ms = 0;
    let took = median(|| {
        at_ms += 1_000;
        Ok(rehearsal.time_tick(&Feed { at_ms, samples: samples.clone() })?)
    })?;
    figures.insert("us a tick of 1000 series".into(), rounded(took.as_nanos() as f64 / 1e3));
    Ok(())
}
