//! What the broker needs of the log for longer than retention keeps it.
//!
//! - The journal of consumer offsets, until the snapshot holds it: [`Holds::consumer_offsets`] follows every snapshot, and
//!   one is made when the store wants to delete.
//! - Delayed messages, until they are delivered: [`Holds::delayed_messages`] follows here when the store wants to delete.
//! - Timed messages, until they are delivered or stored anew: [`timer`](crate::timer) moves [`Holds::timed_messages`] on.

use std::{io, sync::Arc, time::Duration};

use gantry_base::watermark::Watermark;
use gantry_model::{name::SCHEDULE_TOPIC, offset::QueueOffset};
use gantry_store::Hold;
use tokio_util::sync::CancellationToken;

use crate::{broker::Broker, schedule};

/// Pause between two looks at what delayed messages still need, while the store waits for them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The broker's holds, all at the beginning of the log until it has looked. They are made before the store is opened,
/// which takes them in its options.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// Journalled consumer offsets before it are in the snapshot.
    pub(crate) consumer_offsets: Watermark,
    /// Delayed messages before it are delivered.
    pub(crate) delayed_messages: Watermark,
    /// Timed messages before it are delivered, or stored anew.
    pub(crate) timed_messages: Watermark,
}

impl Holds {
    /// For [`Options::holds`](gantry_store::Options::holds).
    pub fn of_store(&self) -> Vec<Hold> {
        vec![
            Hold::new("consumer offsets", self.consumer_offsets.clone()),
            Hold::new("delayed messages", self.delayed_messages.clone()),
            Hold::new("timed messages", self.timed_messages.clone()),
        ]
    }
}

/// Moves the holds on whenever the store wants to delete what they hold.
pub(crate) async fn follow(broker: Arc<Broker>, cancel: CancellationToken) {
    let Holds { consumer_offsets, delayed_messages: hold, .. } = &broker.options.holds;
    let mut failing = false;
    loop {
        let wanted = broker.store.expiring().reached(hold.get().min(consumer_offsets.get()) + 1);
        tokio::select! {
            () = cancel.cancelled() => return,
            wanted = wanted => if wanted.is_err() { return },
        }
        let worker = broker.clone();
        let found = tokio::task::spawn_blocking(move || {
            // Who saves it regularly says so when it fails; without space the rest must go on all the same.
            let _ = worker.offsets.snapshot();
            undelivered_from(&worker)
        });
        let found = found.await;
        match found {
            Ok(Ok((position, delivered_below))) => {
                failing = false;
                // What was delivered is gone for good only when its copy is on disk.
                let durable = broker.store.flushed().reached(delivered_below);
                tokio::select! {
                    () = cancel.cancelled() => return,
                    durable = durable => if durable.is_err() { return },
                }
                hold.advance(position);
            }
            Ok(Err(error)) if !std::mem::replace(&mut failing, true) => {
                tracing::error!(%error, "cannot tell which delayed messages still wait; the log is kept for them");
            }
            Ok(Err(_)) => {}
            // The runtime shuts down.
            Err(stopped) if stopped.is_cancelled() => return,
            Err(panic) => {
                tracing::error!(%panic, "the look for delayed messages that wait failed within and is tried again");
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Where the first delayed message lies that is not delivered, and where the copies of those that are end at most.
fn undelivered_from(broker: &Broker) -> io::Result<(u64, u64)> {
    // Before the ends of the queues: what comes later lies behind.
    let mut position = broker.store.dispatched().get();
    let Some(topic) = broker.topics.get(SCHEDULE_TOPIC) else { return Ok((position, 0)) };
    for level in schedule::levels() {
        let Some(queue) = topic.queue(level.queue_id() as i32) else { continue };
        let next = broker.delivered.get(level).max(queue.min_offset());
        if next >= QueueOffset(queue.end().get()) {
            continue;
        }
        let first = schedule::entries(broker, queue, next, 1)?;
        position = first.iter().fold(position, |position, entry| position.min(entry.physical_offset.0));
    }
    Ok((position, broker.store.appended().get()))
}
