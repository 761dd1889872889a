//! Once a second: what each queue of a topic with a decider looks like, and the plan that follows from it.
//!
//! Everything is read from what is kept anyway (ends of queues, consumer offsets, the broker's load); sends count nothing for
//! it. A topic whose messages have not come since its last board keeps its plan: the first ones after a rest are placed by it,
//! the first ones ever in turn.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gantry_balance::{BoardQueue, Decider, Decision, Fault, QueueBoard, Weighing, Weights};
use gantry_model::name::{DLQ_PREFIX, RETRY_PREFIX, is_system_topic};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::{broker::Broker, topics::Topic};

/// How often boards are made.
const BOARD_EVERY: Duration = Duration::from_secs(1);

/// For each topic with a decider, what its last board was made of.
#[derive(Default)]
pub(super) struct Seen(HashMap<String, Last>);

#[derive(PartialEq, Eq)]
struct Last {
    /// Next offsets of all its queues.
    next: Vec<u64>,
    write_queues: u32,
}

/// Keeps plans up to date until cancelled; at once when deciders change. Returns when there will never be a decider.
pub(crate) async fn follow(broker: Arc<Broker>, cancel: CancellationToken) {
    let Some(changes) = broker.options.deciders.changes().cloned() else { return };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut ticks = interval(BOARD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (known, worker, seen) = (changes.get(), broker.clone(), seen.clone());
        // Deciders may take their time, and tables are read under their locks.
        if let Err(error) = tokio::task::spawn_blocking(move || refresh(&worker, &mut seen.lock())).await {
            tracing::error!(%error, "queue boards were not made; plans stay as they are until the next time");
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
            Ok(()) = changes.reached(known + 1) => {}
        }
    }
}

/// Makes the boards of all topics that have a decider, and ends the plans of those that have none any more.
pub(super) fn refresh(broker: &Broker, seen: &mut Seen) {
    let topics = broker.topics.all();
    for (name, topic) in topics.iter() {
        match broker.options.deciders.find(Decision::SelectQueue, name, None).filter(|_| is_decided(name)) {
            Some(decider) => update(broker, seen, name, topic, decider),
            None => {
                topic.selector.plan.store(None);
                seen.0.remove(name);
            }
        }
        if !topic.selector.keys.is_empty() {
            let consumed = broker.offsets.slowest(name, &begins(topic)).unwrap_or_default();
            topic.selector.keys.consumed(consumed, topic.config.read_queue_nums);
        }
    }
    seen.0.retain(|name, _| topics.contains_key(name));
}

/// Retries and what is the system's own go where they must.
fn is_decided(topic: &str) -> bool {
    !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX) && !is_system_topic(topic)
}

fn update(broker: &Broker, seen: &mut Seen, name: &str, topic: &Topic, decider: Arc<dyn Decider>) {
    let version = decider.version();
    let next: Vec<u64> = topic.queues.iter().map(|queue| queue.next_offset().0).collect();
    let now = Last { next: next.clone(), write_queues: topic.config.write_queue_nums };
    let planned = topic.selector.plan.load().as_ref().is_some_and(|plan| plan.version == version);
    if planned && seen.0.get(name) == Some(&now) {
        return;
    }
    let before = seen.0.insert(name.to_owned(), now);
    let board = board(broker, name, topic, &before.map_or(next, |before| before.next));
    broker.select.asked.add(1);
    let plan = decider.weigh(&board).and_then(|weighing| plan(weighing, &board, decider.clone(), version));
    if let Err(fault) = &plan {
        broker.select.faults.add(1);
        tracing::debug!(topic = name, %fault, "a balancer has no answer; queues are taken in turn");
    }
    topic.selector.plan.store(plan.ok().map(Arc::new));
}

fn plan(weighing: Weighing, board: &QueueBoard, decider: Arc<dyn Decider>, version: u64) -> Result<Plan, Fault> {
    let weights = match weighing {
        Weighing::PerMessage => None,
        Weighing::Weights(weights) if weights.len() != board.queues.len() => {
            let (found, expected) = (weights.len(), board.queues.len());
            return Err(Fault(format!("select-queue: {found} weights for {expected} queues")));
        }
        Weighing::Weights(weights) => Some(Weights::new(&weights)?),
    };
    Ok(Plan { retarget: decider.retargets(), decider, version, weights })
}

/// `before` = the queues' next offsets at the board before.
fn board(broker: &Broker, name: &str, topic: &Topic, before: &[u64]) -> QueueBoard {
    let slowest = broker.offsets.slowest(name, &begins(topic));
    let send_micros = broker.load.current().send_micros;
    let writable = topic.queues.iter().zip(0..topic.config.write_queue_nums);
    let queues = writable.map(|(queue, queue_id)| {
        let (end, next, at) = (queue.end().get(), queue.next_offset().0, queue_id as usize);
        let consumed = slowest.as_ref().and_then(|slowest| slowest.get(at)).copied();
        BoardQueue {
            queue_id,
            depth: consumed.map_or(0, |consumed| end.saturating_sub(consumed)),
            in_flight: next.saturating_sub(end),
            send_micros,
            messages_in: next.saturating_sub(before.get(at).copied().unwrap_or(0)),
        }
    });
    QueueBoard { topic: name.into(), queues: queues.collect() }
}

fn begins(topic: &Topic) -> Vec<u64> {
    topic.queues.iter().map(|queue| queue.min_offset().0).collect()
}
