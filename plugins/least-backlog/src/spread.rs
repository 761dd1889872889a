//! Shares of queues by how far behind they are.

use gantry_plugin_sdk::prelude::*;

/// Weight of the queue with the least backlog.
const WHOLE: u64 = 1_000;

/// A queue with twice the backlog gets half the messages, so that all empty at about the same time.
pub(crate) struct Spread {
    even_up_to_messages: u64,
    min_share_percent: u64,
}

impl Spread {
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        let min_share_percent = params.parse("min_share_percent")?.unwrap_or(5);
        if min_share_percent > 100 {
            return Err(format!("`min_share_percent` is {min_share_percent}, expected 0 to 100"));
        }
        // Below one message there is nothing to divide by.
        let even_up_to_messages = params.parse("even_up_to_messages")?.unwrap_or(1_000).max(1);
        Ok(Spread { even_up_to_messages, min_share_percent })
    }

    pub(crate) fn weights(&self, queues: &[QueueState]) -> Vec<u32> {
        let behind = |queue: &QueueState| queue.depth.max(queue.in_flight.into()).max(self.even_up_to_messages);
        let least = queues.iter().map(behind).min().unwrap_or(1);
        let weight = |queue: &QueueState| {
            let share = u128::from(WHOLE) * u128::from(least) / u128::from(behind(queue));
            (share as u64).max(WHOLE * self.min_share_percent / 100) as u32
        };
        queues.iter().map(weight).collect()
    }
}
