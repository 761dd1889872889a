//! RECALL_MESSAGE (370): a timed message that is not to be delivered after all.
//!
//! A recall is itself a record of the timer queue, as in RocketMQ, in the second of its target. It counts from the moment it
//! is appended, under the lock that deliveries take too: a message is either delivered before, and then the recall is
//! refused, or never. SUCCESS is answered once the record is on disk.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use gantry_model::properties;
use gantry_protocol::{code::response, recall_handle::RecallHandle, request::recall::RecallRequest};
use gantry_store::due::DueEntry;

use super::{engine::Engine, entry::target, slot_of};
use crate::{broker::Broker, message::Outgoing, reply::Refusal, send::append_refusal};

/// Tag of recall records, which RocketMQ gives them.
const RECALL_TAG: &str = "_RECALL_TAG_";

/// Recalls that what is due next has to be asked for: those of the seconds that are not over, and those that are appended
/// and not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    /// By second, then by [`target`]; the entry once the record was looked at.
    by_slot: BTreeMap<u64, HashMap<String, Option<DueEntry>>>,
}

impl Recalls {
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    pub(super) fn contains(&self, slot_ms: u64, target: &str) -> bool {
        self.by_slot.get(&slot_ms).is_some_and(|targets| targets.contains_key(target))
    }

    /// Adds a recall that will be looked at later. Until then it stays, whatever the time: its target may not be looked at
    /// either.
    pub(super) fn announce(&mut self, slot_ms: u64, target: &str) {
        self.by_slot.entry(slot_ms).or_default().entry(target.to_owned()).or_default();
    }

    /// Adds a recall that was looked at, or drops it if its second lies before `from`: then nothing of it is to come.
    pub(super) fn note(&mut self, slot_ms: u64, target: &str, entry: DueEntry, from: u64) {
        match slot_ms >= from {
            true => drop(self.by_slot.entry(slot_ms).or_default().insert(target.to_owned(), Some(entry))),
            false => self.forget(slot_ms, target),
        }
    }

    /// It is in the index now, or over.
    pub(super) fn forget(&mut self, slot_ms: u64, target: &str) {
        if let Some(targets) = self.by_slot.get_mut(&slot_ms) {
            targets.remove(target);
            if targets.is_empty() {
                self.by_slot.remove(&slot_ms);
            }
        }
    }

    /// Drops those of seconds before `from` that were looked at.
    pub(super) fn prune(&mut self, from: u64) {
        if self.by_slot.first_key_value().is_some_and(|(slot_ms, _)| *slot_ms < from) {
            self.by_slot.retain(|slot_ms, targets| {
                if *slot_ms < from {
                    targets.retain(|_, entry| entry.is_none());
                }
                !targets.is_empty()
            });
        }
    }

    /// The entries of those that were taken out of the index and matter still.
    pub(super) fn entries(&self) -> Vec<DueEntry> {
        self.by_slot.values().flat_map(HashMap::values).flatten().copied().collect()
    }
}

/// Carries a recall out; gives the message's UNIQ_KEY.
pub(crate) async fn recall(broker: Arc<Broker>, peer: SocketAddr, request: RecallRequest) -> Result<String, Refusal> {
    let handle = check(&broker, &request)?;
    let (worker, wanted) = (broker.clone(), handle.clone());
    let appended = tokio::task::spawn_blocking(move || {
        worker.timers.engine().recall(&wanted, request.producer_group.as_deref(), peer)
    });
    let end = appended.await.map_err(|stopped| Refusal::new(response::SYSTEM_ERROR, stopped.to_string()))??;
    // Also under asynchronous flush: a recall that was confirmed must outlive everything.
    let limit = Duration::from_millis(broker.options.flush_timeout_ms);
    match tokio::time::timeout(limit, broker.store.flushed().reached(end)).await {
        Ok(Ok(())) => Ok(handle.unique_key),
        Ok(Err(_)) => {
            let remark = "the log stopped before the recall was on disk; the message may or may not be delivered";
            Err(Refusal::new(response::SERVICE_NOT_AVAILABLE, remark))
        }
        Err(_) => {
            let remark =
                "the disk did not confirm the recall within flush_timeout_ms; it counts unless the power fails";
            Err(Refusal::new(response::FLUSH_DISK_TIMEOUT, remark))
        }
    }
}

/// The checks of RocketMQ's `RecallMessageProcessor`, in its order.
fn check(broker: &Broker, request: &RecallRequest) -> Result<RecallHandle, Refusal> {
    if !broker.options.recall_enabled {
        return Err(Refusal::new(response::NO_PERMISSION, "recall failed, recall_enabled is off on this broker"));
    }
    if broker.topics.get(&request.topic).is_none() {
        return Err(Refusal::no_topic(&request.topic));
    }
    let handle = RecallHandle::decode(&request.handle).ok_or_else(|| illegal("the recall handle is invalid"))?;
    if handle.topic != request.topic {
        return Err(illegal("the recall handle is one of another topic"));
    }
    if handle.broker_name != broker.options.name {
        return Err(illegal("the recall handle is one of another broker"));
    }
    Ok(handle)
}

fn illegal(why: &str) -> Refusal {
    Refusal::new(response::ILLEGAL_OPERATION, format!("recall failed, {why}"))
}

impl Engine {
    /// Appends a recall; from here on it counts. Gives where the log must be flushed to.
    pub(super) fn recall(
        &mut self,
        handle: &RecallHandle,
        producer_group: Option<&str>,
        peer: SocketAddr,
    ) -> Result<u64, Refusal> {
        let now_ms = self.options.clock.now_ms();
        let limit_ms = self.options.timer_delay_max_s.saturating_mul(1_000);
        let time_ms = u64::try_from(handle.timestamp_ms).unwrap_or(0);
        // `fired` besides the clock, which may have gone back.
        if time_ms <= now_ms || time_ms <= self.progress.fired.due_ms {
            return Err(illegal("the message's time has come"));
        }
        if time_ms - now_ms > limit_ms {
            return Err(illegal("the handle's time lies further ahead than timer_delay_max_s"));
        }
        let (slot_ms, target) = (slot_of(time_ms), target(&handle.topic, &handle.unique_key));
        let mut message = Outgoing::internal(&self.options, b"0".to_vec());
        message.born_host = peer;
        for (name, value) in [
            (properties::TAGS, RECALL_TAG),
            (properties::TIMER_DEL_UNIQKEY, &target),
            (properties::UNIQ_KEY, &handle.unique_key),
            (properties::TIMER_DELIVER_MS, &time_ms.to_string()),
            (properties::TIMER_OUT_MS, &slot_ms.to_string()),
            (properties::REAL_TOPIC, &handle.topic),
            (properties::REAL_QID, "0"),
            (properties::PGROUP, producer_group.unwrap_or_default()),
        ] {
            message.set_property(name, value);
        }
        let placed = message.append(&self.store, &self.queue).map_err(|error| append_refusal(&error))?;
        self.recalls.announce(slot_ms, &target);
        Ok(placed.end)
    }
}
