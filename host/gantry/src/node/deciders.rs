//! Who decides about queues and routes on this node.

use gantry_balance::Deciders;

use crate::config::Config;

/// The deciders that `[[balancer]]` asks for: none, because the plugin host runs no queue-balancer yet, and that is said.
pub(crate) fn of(config: &Config) -> Deciders {
    for balancer in &config.balancers {
        let decides = balancer.decides.iter().map(|decision| decision.name()).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            plugin = %balancer.plugin,
            "queue-balancer plugins are not run yet: {decides} of topic {} is decided as RocketMQ has it",
            balancer.topic
        );
    }
    Deciders::default()
}
