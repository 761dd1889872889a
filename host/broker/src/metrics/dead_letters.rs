//! Messages that were given up, by the group that gave up and the topic that they came from.

use std::collections::BTreeMap;

use gantry_base::metric::{Family, Sink};
use parking_lot::Mutex;

use super::{is_system, truth};

static TO_DLQ: Family = Family::counter(
    "rocketmq_send_to_dlq_messages_total",
    "Messages that a group gave up, now in its dead letter queue.",
);

/// Pairs of group and topic that are told apart; those that come later are counted without their topic.
const PAIRS_MAX: usize = 10_000;

/// Rare enough for a lock.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters(Mutex<BTreeMap<(String, String), u64>>);

impl DeadLetters {
    /// One more of `group`, first sent to `topic`.
    pub(crate) fn count(&self, group: &str, topic: &str) {
        let mut counts = self.0.lock();
        let key = (group.to_owned(), topic.to_owned());
        let key = if counts.len() < PAIRS_MAX || counts.contains_key(&key) { key } else { (key.0, String::new()) };
        // The pairs without a topic are as many as groups.
        *counts.entry(key).or_default() += 1;
    }

    pub(super) fn collect(&self, out: &mut dyn Sink) {
        for ((group, topic), count) in &*self.0.lock() {
            let labels =
                [("consumer_group", &**group), ("topic", topic), ("is_system", truth(is_system(topic, group)))];
            out.number(&TO_DLQ, &labels, *count as f64);
        }
    }
}
