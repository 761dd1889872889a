//! A ring of MD5 hashes.

use gantry_plugin_sdk::prelude::*;
use md5::{Digest, Md5};

/// Points by their hash, each with the place of its member.
pub(crate) struct Ring(Vec<(u32, usize)>);

impl Ring {
    /// At least one member and one point for each.
    pub(crate) fn new<'m>(client_ids: impl Iterator<Item = &'m str>, virtual_nodes: u32) -> Self {
        let mut points: Vec<(u32, usize)> = Vec::new();
        for (member, client_id) in client_ids.enumerate() {
            points.extend((0..virtual_nodes).map(|node| (hash(&format!("{client_id}-{node}")), member)));
        }
        // Stable: of points that collide RocketMQ keeps the one that was put last.
        points.sort_by_key(|(hash, _)| *hash);
        points.reverse();
        points.dedup_by_key(|(hash, _)| *hash);
        points.reverse();
        Ring(points)
    }

    /// The member at or behind the queue's hash, or the first of the ring.
    pub(crate) fn owner(&self, topic: &str, queue: &QueuePlace) -> usize {
        // What `MessageQueue.toString` says is what RocketMQ hashes.
        let (broker, id) = (&queue.broker, queue.queue_id);
        let hash = hash(&format!("MessageQueue [topic={topic}, brokerName={broker}, queueId={id}]"));
        let next = self.0.partition_point(|(point, _)| *point < hash);
        self.0.get(next).or(self.0.first()).map_or(0, |(_, member)| *member)
    }
}

/// The first four bytes of the MD5.
fn hash(text: &str) -> u32 {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().take(4).fold(0, |hash, byte| (hash << 8) | u32::from(*byte))
}
