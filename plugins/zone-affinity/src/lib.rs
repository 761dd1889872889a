//! Keeps traffic in zones.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `drain` | none | zones whose brokers producers are not sent to, separated by commas |
//! | `prefer` | none | producers are sent to these zones alone, as long as one of their brokers can be written to |
//! | `max_percent` | none | most queues that a consumer gets for its zone's sake, in percent of a fair share of all queues |
//!
//! `route` is one answer for all producers of a topic: it cannot tell their zones apart, so it is for maintenance and for
//! clusters whose producers stand in one place. When everything would be drained, nothing is.
//!
//! `assign` gives queues to consumers of the same zone first, evenly. Queues of zones without consumers, of brokers without a zone,
//! and what `max_percent` leaves over are shared among all, so that whoever has fewest gets most. Few queues change hands when a
//! consumer comes or goes.

mod assign;
mod route;

use assign::Nearby;
use gantry_plugin_sdk::prelude::*;
use route::Zones;

struct ZoneAffinity {
    zones: Zones,
    nearby: Nearby,
}

#[balancer]
impl Balancer for ZoneAffinity {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["drain", "prefer", "max_percent"])?;
        Ok(ZoneAffinity { zones: Zones::read(binding)?, nearby: Nearby::read(binding)? })
    }

    fn route(&self, _: &str, brokers: &[BrokerOffer]) -> Result<Vec<bool>, String> {
        Ok(self.zones.who_stays(brokers))
    }

    fn assign(&self, question: &Assignment) -> Result<Vec<Vec<u32>>, String> {
        Ok(self.nearby.assign(question))
    }
}

#[cfg(test)]
mod tests;
