//! Lets something new have a part of the messages: queues whose consumer is new, or brokers that are.
//!
//! | parameter | |
//! |---|---|
//! | `queues = "6-7"` | queues of the canary: numbers and ranges, separated by commas |
//! | `percent = "5"` | the part of a topic's messages on each broker that these queues get together, 0 to 100, at most two decimals |
//! | `label = "canary=true"` | brokers of the canary: those with this label |
//! | `topics = "orders"` | topics that the brokers of the canary are offered for, separated by commas |
//! | `topics_percent = "5"` | the part of all topics that they are offered for, chosen by the hash of the name |
//!
//! `queues` goes with `percent` and decides `select-queue`; `label` goes with `topics`, `topics_percent` or both and decides `route`.
//! Either, or both, must be given. A topic that has none of the queues, or no others, is spread evenly. A larger `topics_percent` only
//! adds topics.

mod brokers;
mod queues;

use brokers::Brokers;
use gantry_plugin_sdk::prelude::*;
use queues::Queues;

struct WeightedCanary {
    queues: Option<Queues>,
    brokers: Option<Brokers>,
}

#[balancer]
impl Balancer for WeightedCanary {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["queues", "percent", "label", "topics", "topics_percent"])?;
        let canary = WeightedCanary { queues: Queues::read(binding)?, brokers: Brokers::read(binding)? };
        if canary.queues.is_none() && canary.brokers.is_none() {
            return Err(
                "there is no canary; give `queues` with `percent`, or `label` with `topics` or `topics_percent`".into(),
            );
        }
        Ok(canary)
    }

    fn route(&self, topic: &str, brokers: &[BrokerOffer]) -> Result<Vec<bool>, String> {
        let stays = |broker: &BrokerOffer| self.brokers.as_ref().is_none_or(|canary| canary.is_offered(broker, topic));
        Ok(brokers.iter().map(stays).collect())
    }

    fn place(&mut self, _: &str, queues: &[QueueState]) -> Result<Placement, String> {
        let alike = || vec![1; queues.len()];
        Ok(Placement::Weights(self.queues.as_ref().map_or_else(alike, |canary| canary.weights(queues))))
    }
}

#[cfg(test)]
mod tests;
