//! Sends less to what is behind: a queue's share of a topic's messages shrinks with its backlog, and brokers that are far busier
//! than the others are not offered to producers for a while.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `even_up_to_messages` | 1000 | backlogs up to this one count as none |
//! | `min_share_percent` | 5 | a queue gets at least this much of what the emptiest gets, however far behind it is |
//! | `overload_factor` | 4 | a broker is withdrawn when its load is so many times that of the broker in the middle |
//! | `disk_percent` | 85 | a broker is withdrawn from this use of its disk on |
//!
//! Decides `route` and `select-queue`. The rule has no memory: every name server comes to the same answer from the same loads.
//! At most half of a topic's writable brokers are withdrawn at a time, the busiest first.

mod overload;
mod spread;

use gantry_plugin_sdk::prelude::*;
use overload::Overload;
use spread::Spread;

struct LeastBacklog {
    spread: Spread,
    overload: Overload,
}

#[balancer]
impl Balancer for LeastBacklog {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["even_up_to_messages", "min_share_percent", "overload_factor", "disk_percent"])?;
        Ok(LeastBacklog { spread: Spread::read(binding)?, overload: Overload::read(binding)? })
    }

    fn route(&self, _: &str, brokers: &[BrokerOffer]) -> Result<Vec<bool>, String> {
        Ok(self.overload.who_stays(brokers))
    }

    fn place(&mut self, _: &str, queues: &[QueueState]) -> Result<Placement, String> {
        Ok(Placement::Weights(self.spread.weights(queues)))
    }
}

#[cfg(test)]
mod tests;
