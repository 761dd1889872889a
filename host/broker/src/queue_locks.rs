//! Locks of ordered consumers: one client of a group holds a queue until it lets go or falls silent.
//!
//! Memory only: after a restart clients lock again (they do every 20 s), and until then a queue is simply unlocked.

use std::collections::HashMap;

use gantry_protocol::body::lock::MessageQueue;
use parking_lot::Mutex;

/// A lock that was not renewed for this long is free. Source: `rocketmq.broker.rebalance.lockMaxLiveTime`.
pub(crate) const LOCK_EXPIRY_MS: u64 = 60_000;
/// Most queues that one request may name; more are not locked.
pub(crate) const QUEUES_PER_REQUEST_MAX: usize = 65_536;

struct Lock {
    client_id: String,
    renewed_ms: u64,
}

impl Lock {
    fn free_for(&self, client_id: &str, now_ms: u64) -> bool {
        self.client_id == client_id || now_ms.saturating_sub(self.renewed_ms) > LOCK_EXPIRY_MS
    }
}

type GroupLocks = HashMap<(String, u32), Lock>;

/// Locks by group and queue.
#[derive(Default)]
pub(crate) struct QueueLocks(Mutex<HashMap<String, GroupLocks>>);

impl QueueLocks {
    /// Locks or renews what is free or already the client's; returns the queues that it holds now.
    pub(crate) fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: Vec<MessageQueue>,
        now_ms: u64,
    ) -> Vec<MessageQueue> {
        let mut groups = self.0.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        let mut held = Vec::new();
        for queue in queues.into_iter().take(QUEUES_PER_REQUEST_MAX) {
            let Ok(queue_id) = u32::try_from(queue.queue_id) else { continue };
            let key = (queue.topic.clone(), queue_id);
            if locks.get(&key).is_none_or(|lock| lock.free_for(client_id, now_ms)) {
                locks.insert(key, Lock { client_id: client_id.to_owned(), renewed_ms: now_ms });
                held.push(queue);
            }
        }
        held
    }

    /// Lets go of those queues that the client holds.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.0.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            let Ok(queue_id) = u32::try_from(queue.queue_id) else { continue };
            let key = (queue.topic.clone(), queue_id);
            if locks.get(&key).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(&key);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any queue of the group is held: it consumes in order.
    pub(crate) fn any_held(&self, group: &str, now_ms: u64) -> bool {
        let groups = self.0.lock();
        groups
            .get(group)
            .is_some_and(|locks| locks.values().any(|lock| now_ms.saturating_sub(lock.renewed_ms) <= LOCK_EXPIRY_MS))
    }

    /// Forgets locks that nobody renewed, so that vanished groups take no memory.
    pub(crate) fn expire(&self, now_ms: u64) {
        self.0.lock().retain(|_, locks| {
            locks.retain(|_, lock| now_ms.saturating_sub(lock.renewed_ms) <= LOCK_EXPIRY_MS);
            !locks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(queue_id: i32) -> MessageQueue {
        MessageQueue { broker_name: "b".to_owned(), queue_id, topic: "t".to_owned() }
    }

    #[test]
    fn a_lock_is_exclusive_until_released_or_expired() {
        let locks = QueueLocks::default();
        assert_eq!(locks.lock("g", "a", vec![queue(0), queue(1)], 0).len(), 2);
        assert_eq!(locks.lock("g", "b", vec![queue(0), queue(2)], 10), [queue(2)]);
        assert_eq!(locks.lock("other", "b", vec![queue(0)], 10).len(), 1, "groups do not share locks");
        locks.unlock("g", "b", &[queue(0)]);
        assert_eq!(locks.lock("g", "b", vec![queue(0)], 20), [], "only the holder unlocks");
        locks.unlock("g", "a", &[queue(0)]);
        assert_eq!(locks.lock("g", "b", vec![queue(0)], 20).len(), 1);
        assert_eq!(locks.lock("g", "b", vec![queue(1)], LOCK_EXPIRY_MS), [], "not expired yet");
        assert_eq!(locks.lock("g", "b", vec![queue(1)], LOCK_EXPIRY_MS + 1).len(), 1);
        assert!(locks.any_held("g", LOCK_EXPIRY_MS) && !locks.any_held("g", 10 * LOCK_EXPIRY_MS));
    }

    #[test]
    fn negative_queue_ids_are_never_locked() {
        assert_eq!(QueueLocks::default().lock("g", "a", vec![queue(-1)], 0), []);
    }
}
