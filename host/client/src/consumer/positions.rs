//! How far each queue of a member is pulled and done.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::offset::QueueOffset;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Queue;

/// The member's queues.
#[derive(Default)]
pub(super) struct Positions(Mutex<BTreeMap<Queue, Position>>);

/// Invariant: `done <= pulled`.
struct Position {
    /// Everything before it was handed to the application or needs not be.
    pulled: QueueOffset,
    /// Everything before it is done.
    done: Option<QueueOffset>,
    /// Whether the broker knows `done`.
    stored: bool,
    stop: CancellationToken,
}

impl Positions {
    /// Makes the queue this member's; with it the token that ends its pulling. `None` if it is already.
    pub(super) fn take(&self, queue: &Queue, parent: &CancellationToken) -> Option<CancellationToken> {
        let mut positions = self.0.lock();
        if positions.contains_key(queue) {
            return None;
        }
        let stop = parent.child_token();
        let position = Position { pulled: QueueOffset(0), done: None, stored: true, stop: stop.clone() };
        positions.insert(queue.clone(), position);
        Some(stop)
    }

    /// Gives up what is not among `mine`; what of it the brokers do not know yet is returned.
    pub(super) fn retain(&self, mine: &BTreeSet<Queue>) -> Vec<(Queue, QueueOffset)> {
        let mut unstored = Vec::new();
        self.0.lock().retain(|queue, position| {
            let keep = mine.contains(queue);
            if !keep {
                position.stop.cancel();
                unstored.extend(position.done.filter(|_| !position.stored).map(|done| (queue.clone(), done)));
            }
            keep
        });
        unstored
    }

    /// Pulling begins at `offset`, or goes on there after the broker moved it.
    pub(super) fn begin(&self, queue: &Queue, offset: QueueOffset) {
        if let Some(position) = self.0.lock().get_mut(queue) {
            position.pulled = offset;
            position.done = Some(offset);
        }
    }

    /// A batch up to `next` was handed over.
    pub(super) fn handed_over(&self, queue: &Queue, next: QueueOffset) {
        if let Some(position) = self.0.lock().get_mut(queue) {
            position.pulled = next;
        }
    }

    /// Nothing for the group lies before `next`: unless something before it is still being worked on, it is done, too.
    pub(super) fn skipped(&self, queue: &Queue, next: QueueOffset) {
        if let Some(position) = self.0.lock().get_mut(queue) {
            if position.done == Some(position.pulled) && position.pulled != next {
                position.done = Some(next);
                position.stored = false;
            }
            position.pulled = next;
        }
    }

    /// Everything before `next` is done.
    pub(super) fn commit(&self, queue: &Queue, next: QueueOffset) {
        if let Some(position) = self.0.lock().get_mut(queue)
            && position.done.is_none_or(|done| done < next)
            && next <= position.pulled
        {
            position.done = Some(next);
            position.stored = false;
        }
    }

    /// What the brokers do not know yet; from now on they are taken to know it.
    pub(super) fn unstored(&self) -> Vec<(Queue, QueueOffset)> {
        let mut positions = self.0.lock();
        let changed = positions.iter_mut().filter(|(_, position)| !position.stored);
        changed
            .filter_map(|(queue, position)| {
                position.stored = true;
                Some((queue.clone(), position.done?))
            })
            .collect()
    }

    /// Storing failed.
    pub(super) fn not_stored(&self, queue: &Queue) {
        if let Some(position) = self.0.lock().get_mut(queue) {
            position.stored = false;
        }
    }

    pub(super) fn queues(&self) -> Vec<Queue> {
        self.0.lock().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_counts_as_done_only_when_nothing_is_outstanding() {
        let positions = Positions::default();
        let queue = Queue { topic: "t".into(), broker: "b".into(), id: 0 };
        let parent = CancellationToken::new();
        let stop = positions.take(&queue, &parent).unwrap();
        assert!(positions.take(&queue, &parent).is_none());
        positions.begin(&queue, QueueOffset(5));
        assert!(positions.unstored().is_empty(), "where a group begins is nothing to commit");
        positions.skipped(&queue, QueueOffset(8));
        assert_eq!(positions.unstored(), [(queue.clone(), QueueOffset(8))]);
        positions.handed_over(&queue, QueueOffset(10));
        positions.skipped(&queue, QueueOffset(12));
        assert!(positions.unstored().is_empty(), "8 to 10 is still being worked on");
        positions.commit(&queue, QueueOffset(10));
        positions.commit(&queue, QueueOffset(9));
        positions.commit(&queue, QueueOffset(99));
        assert_eq!(positions.unstored(), [(queue.clone(), QueueOffset(10))]);
        positions.not_stored(&queue);
        assert_eq!(positions.retain(&BTreeSet::new()), [(queue, QueueOffset(10))]);
        assert!(stop.is_cancelled() && positions.queues().is_empty());
    }
}
