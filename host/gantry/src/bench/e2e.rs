//! Producing and consuming at once, every message held against what was sent.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gantry_client::Client;
use serde::Serialize;

use super::{
    consume::{self, ConsumeReport},
    ledger::Lane,
    produce::{self, Load, ProduceReport},
    producer::Run,
    target::{Target, max_offsets},
};

/// How long the broker may take to make everything that it stored ready for delivery.
const DISPATCHED_WITHIN: Duration = Duration::from_secs(60);

/// Both sides of a run.
#[derive(Debug, Serialize)]
pub(crate) struct EndToEndReport {
    pub(crate) produce: ProduceReport,
    pub(crate) consume: ConsumeReport,
    /// Nothing acknowledged is missing, nothing came twice, altered or out of order.
    pub(crate) sound: bool,
}

/// Runs `load` while a group reads what it stores.
pub(crate) fn run(
    client: &Client,
    load: &Load,
    group: &str,
    run: &Arc<Run>,
    threads: usize,
    base_id: u32,
) -> Result<EndToEndReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topic = load.shape.topic.as_str();
    let begin = runtime.block_on(ends(client, &load.targets, topic))?;
    let lots = consume::lots(&load.targets, topic, &begin);
    // Reading goes on after the last message was sent, so it has a run without an end.
    let reading = Arc::new(Run::start(Duration::ZERO, None));
    let (produced, consumed) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| consume::consume(group, &lots, load.targets.len(), 1, &reading));
        let written = produce::produce(load, run, threads, base_id).and_then(|(report, produced)| {
            let end = runtime.block_on(dispatched(client, load, topic, &begin, report.stored))?;
            for (lot, end) in lots.iter().zip(end.into_iter().flatten()) {
                lot.until.store(end, Ordering::Release);
            }
            Ok((report, produced))
        });
        if written.is_err() {
            reading.stop.store(true, Ordering::Relaxed);
        }
        let read = reader.join().map_err(|_| anyhow::anyhow!("the reader died")).and_then(|read| read);
        (written, read)
    });
    let ((produce, produced), consumed) = (produced?, consumed?);
    let mut sent = Vec::new();
    for one in &produced {
        for (queue, next) in one.next_sequence.iter().enumerate() {
            sent.push((Lane { producer: one.id, queue: queue as u32 }, *next));
        }
    }
    let audit = consumed.ledger.audit(sent);
    // What was refused or not answered may be missing; what was acknowledged may not.
    let refused: u64 = produce.refused.values().sum();
    let excusable = refused + produce.unanswered;
    let sound = audit.missing <= excusable && audit.duplicated + audit.out_of_order + audit.altered == 0;
    Ok(EndToEndReport { consume: consumed.report(audit), produce, sound })
}

/// Where the queues of all targets end.
pub(crate) async fn ends(client: &Client, targets: &[Target], topic: &str) -> Result<Vec<Vec<u64>>> {
    let mut all = Vec::new();
    for target in targets {
        all.push(max_offsets(client, target, topic).await.with_context(|| format!("broker {}", target.address))?);
    }
    Ok(all)
}

/// Waits until `stored` messages more than at `begin` are ready for delivery; where the queues end then.
pub(crate) async fn dispatched(
    client: &Client,
    load: &Load,
    topic: &str,
    begin: &[Vec<u64>],
    stored: u64,
) -> Result<Vec<Vec<u64>>> {
    let sum = |offsets: &[Vec<u64>]| offsets.iter().flatten().sum::<u64>();
    let deadline = Instant::now() + DISPATCHED_WITHIN;
    loop {
        let now = ends(client, &load.targets, topic).await?;
        let ready = sum(&now) - sum(begin);
        if ready >= stored {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("{stored} messages are acknowledged, {ready} are in their queues after {DISPATCHED_WITHIN:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
