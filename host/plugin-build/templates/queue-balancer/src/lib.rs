//! Spares brokers in maintenance, and queues that are far behind.

use gantry_plugin_sdk::prelude::*;

struct Spare {
    /// A queue with more messages than this gets a tenth of what the others get.
    deep: u64,
}

/// It decides what it has methods for. The third decision, who consumes which queue, is `assign`.
#[balancer]
impl Balancer for Spare {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["deep"])?;
        Ok(Spare { deep: binding.parse("deep")?.unwrap_or(10_000) })
    }

    fn route(&self, _topic: &str, brokers: &[BrokerOffer]) -> Result<Vec<bool>, String> {
        Ok(brokers.iter().map(|broker| broker.label("maintenance") != Some("true")).collect())
    }

    fn place(&mut self, _topic: &str, queues: &[QueueState]) -> Result<Placement, String> {
        let weight = |queue: &QueueState| if queue.depth > self.deep { 1 } else { 10 };
        Ok(Placement::Weights(queues.iter().map(weight).collect()))
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin_sdk::testing::TestHost;

    use super::*;

    #[test]
    fn brokers_in_maintenance_get_no_messages() {
        let plugin = TestHost::new().open_balancer::<Spare>().unwrap();
        let brokers = [BrokerOffer::named("a").labelled("maintenance", "true"), BrokerOffer::named("b")];
        assert_eq!(plugin.writable(&brokers), ["b"]);
    }

    #[test]
    fn deep_queues_get_few() {
        let mut plugin = TestHost::new().param("deep", "100").open_balancer::<Spare>().unwrap();
        let queues = [QueueState::with_depth(0, 100), QueueState::with_depth(1, 101)];
        assert_eq!(plugin.weights(&queues), [10, 1]);
        let refusal = TestHost::new().param("dep", "100").open_balancer::<Spare>().err();
        assert_eq!(refusal.unwrap(), "unknown parameter `dep`; known are deep");
    }
}
