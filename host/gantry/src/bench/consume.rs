//! Pulling all queues of a topic with one task a queue, and what it measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Options, Pull, PullStatus, Queue};
use gantry_model::{offset::QueueOffset, subscription::Subscription};
use serde::Serialize;

use super::{
    latency::{Latency, LatencySummary},
    ledger::{Audit, Ledger},
    produce::on_threads,
    producer::Run,
    stamp,
    target::Target,
};

/// Longest that a pull is held: how fast an idle puller notices the end of the run.
const SUSPEND: Duration = Duration::from_millis(500);
/// Messages asked for at once; brokers have a lower limit in bytes.
const PULL_MESSAGES: u32 = 1_024;

/// One queue to be read.
#[derive(Debug, Clone)]
pub(crate) struct Lot {
    /// Its broker.
    pub(crate) address: String,
    /// The queue.
    pub(crate) queue: Queue,
    /// Where to begin.
    pub(crate) from: u64,
    /// Where to end; may be lowered from `u64::MAX` while it is read.
    pub(crate) until: Arc<AtomicU64>,
}

/// What reading yielded.
#[derive(Debug)]
pub(crate) struct Consumed {
    pub(crate) ledger: Ledger,
    pub(crate) latency: Latency,
    /// From the time of a message's stamp to its store time.
    pub(crate) stored: Latency,
    /// Messages stored or received before the time of their stamp.
    pub(crate) early: u64,
    /// When the last message came, nanoseconds since the start.
    pub(crate) last_ns: u64,
    /// Body bytes.
    pub(crate) bytes: u64,
}

/// What a run measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ConsumeReport {
    /// Seconds until the last message came.
    pub(crate) seconds: f64,
    /// Messages received a second.
    pub(crate) messages_per_s: f64,
    /// Body bytes received a second.
    pub(crate) body_bytes_per_s: f64,
    /// What was wrong, if anything.
    pub(crate) audit: Audit,
    /// From sending a message to receiving it, by the wall clock. Old messages count their age.
    pub(crate) latency: LatencySummary,
}

/// The lots of all targets, from where each is told to begin.
pub(crate) fn lots(targets: &[Target], topic: &str, from: &[Vec<u64>]) -> Vec<Lot> {
    let per_target = |(target, offsets): (&Target, &Vec<u64>)| {
        let address = target.address.to_string();
        let lot = |(queue, from): (Queue, &u64)| Lot {
            address: address.clone(),
            queue,
            from: *from,
            until: Arc::new(AtomicU64::new(u64::MAX)),
        };
        target.queues_of(topic).into_iter().zip(offsets).map(lot).collect::<Vec<_>>()
    };
    targets.iter().zip(from).flat_map(per_target).collect()
}

/// Reads all lots over `connections` connections, on threads of its own, until each is at its end or the run stops.
pub(crate) fn consume(
    group: &str,
    lots: &[Lot],
    connections: usize,
    threads: usize,
    run: &Arc<Run>,
) -> Result<Consumed> {
    // A client has one connection to each broker, which lives on the thread that used it first: queues that share a
    // client must share its thread, and they do when the threads divide the clients.
    let clients: Vec<Client> = (0..connections.max(1)).map(|_| Client::new(Vec::new(), Options::default())).collect();
    let threads = if clients.len().is_multiple_of(threads) { threads } else { 1 };
    let readers = lots.iter().enumerate().map(|(index, lot)| {
        let client = clients[index % clients.len()].clone();
        read(client, group.to_owned(), lot.clone(), run.clone())
    });
    let mut all = Consumed::new();
    for part in on_threads(threads, readers.collect())? {
        all.ledger.absorb(part.ledger);
        all.latency.merge(&part.latency);
        all.stored.merge(&part.stored);
        all.early += part.early;
        all.last_ns = all.last_ns.max(part.last_ns);
        all.bytes += part.bytes;
    }
    Ok(all)
}

impl Consumed {
    fn new() -> Consumed {
        let (latency, stored) = (Latency::new(), Latency::new());
        Consumed { ledger: Ledger::default(), latency, stored, early: 0, last_ns: 0, bytes: 0 }
    }

    pub(crate) fn report(&self, audit: Audit) -> ConsumeReport {
        let seconds = Duration::from_nanos(self.last_ns).as_secs_f64();
        let per_s = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        ConsumeReport {
            seconds,
            messages_per_s: per_s(audit.received),
            body_bytes_per_s: per_s(self.bytes),
            audit,
            latency: self.latency.summary(),
        }
    }
}

async fn read(client: Client, group: String, lot: Lot, run: Arc<Run>) -> Result<Consumed> {
    let subscription = Subscription::from_tags(&lot.queue.topic, "*");
    let mut consumed = Consumed::new();
    let mut offset = QueueOffset(lot.from);
    while offset.0 < lot.until.load(Ordering::Acquire) && !run.ended(run.now_ns()) {
        let pull = Pull {
            group: &group,
            queue: &lot.queue,
            offset,
            messages_max: PULL_MESSAGES,
            suspend: SUSPEND,
            subscription: &subscription,
            commit: None,
        };
        let pulled = client.pull_from(&lot.address, &pull).await.with_context(|| format!("pulling {}", lot.queue))?;
        if pulled.status == PullStatus::OffsetMoved && pulled.next_offset <= offset {
            bail!("{} was shortened to {} while it was read", lot.queue, pulled.next_offset);
        }
        let now_ns = run.now_ns();
        let now_unix_ns = run.unix_ns(now_ns);
        let mut count = 0;
        for record in pulled.records() {
            let record = record.with_context(|| format!("a record of {}", lot.queue))?;
            let stamp = stamp::read(record.body());
            if let Some(stamp) = stamp {
                let stored_ms = record.store_ms().max(0) as u64;
                consumed.latency.record(now_unix_ns.saturating_sub(stamp.sent_ns));
                consumed.stored.record((stored_ms * 1_000_000).saturating_sub(stamp.sent_ns));
                consumed.early += u64::from(now_unix_ns < stamp.sent_ns || stored_ms < stamp.sent_ns / 1_000_000);
            }
            consumed.ledger.received(lot.queue.id, stamp);
            consumed.bytes += record.body().len() as u64;
            count += 1;
        }
        if count > 0 {
            consumed.last_ns = now_ns;
            run.stored.fetch_add(count, Ordering::Relaxed);
        }
        offset = pulled.next_offset;
    }
    Ok(consumed)
}
