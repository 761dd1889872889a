//! Keys keep their queue and consumers their queues when others come or go.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `slack_percent` | 25 | how much more than a fair share a consumer may have; 0 shares evenly and moves more queues |
//!
//! Decides `select-queue`: messages with a sharding key (property `__SHARDINGKEY`) go to the queue that the key hashes to; of n
//! queues that become n + 1, one key in n + 1 moves, and only to the new one. Messages without a key are left to the broker.
//!
//! Decides `assign`: by rendezvous hashing with bounded loads; when one of n consumers leaves, about one queue in n changes
//! hands.

mod jump;

use std::collections::BTreeMap;

use gantry_plugin_sdk::{hash::stable_hash, prelude::*, rendezvous::share};

/// Topics whose queues are remembered; at more, those of all are forgotten until the broker shows them anew, and messages are
/// left to it meanwhile.
const TOPICS_MAX: usize = 4_096;

struct ConsistentHash {
    slack_percent: usize,
    /// By topic, indexes of its queues, sorted by the number of the queue: a key follows the number.
    topics: BTreeMap<String, Vec<u32>>,
}

#[balancer]
impl Balancer for ConsistentHash {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["slack_percent"])?;
        let slack_percent = binding.parse("slack_percent")?.unwrap_or(25);
        if slack_percent > 1_000 {
            return Err(format!("`slack_percent` is {slack_percent}, expected 0 to 1000"));
        }
        Ok(ConsistentHash { slack_percent, topics: BTreeMap::new() })
    }

    fn place(&mut self, topic: &str, queues: &[QueueState]) -> Result<Placement, String> {
        if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(topic) {
            self.topics.clear();
        }
        let mut indexes: Vec<u32> = (0..queues.len() as u32).collect();
        indexes.sort_by_key(|index| queues[*index as usize].queue_id);
        self.topics.insert(topic.to_owned(), indexes);
        Ok(Placement::PerMessage)
    }

    fn select(&self, topic: &str, hint: &SendHint) -> Option<u32> {
        let key = hint.sharding_key.as_ref()?;
        let queues = self.topics.get(topic)?;
        let place = jump::bucket(stable_hash(key.as_bytes()), queues.len() as u32)?;
        queues.get(place as usize).copied()
    }

    fn assign(&self, question: &Assignment) -> Result<Vec<Vec<u32>>, String> {
        let of_queue = |queue: &QueuePlace| {
            // With the topic, so that the first queues of all topics do not fall to one consumer.
            stable_hash(format!("{}\0{}\0{}", question.topic, queue.broker, queue.queue_id).as_bytes())
        };
        let queues: Vec<u64> = question.queues.iter().map(of_queue).collect();
        let members: Vec<u64> =
            question.members.iter().map(|member| stable_hash(member.client_id.as_bytes())).collect();
        let mut owned = vec![Vec::new(); members.len()];
        for (queue, owner) in (0..).zip(share(&queues, &members, &[], self.slack_percent)) {
            owned[owner].push(queue);
        }
        Ok(owned)
    }
}

#[cfg(test)]
mod tests;
