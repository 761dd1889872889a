//! Limits of a name server.

use std::time::Duration;

use gantry_balance::Deciders;
use gantry_base::{access::AccessList, clock::Clock};

/// What a name server is told when it is made. Nobody authenticates here, so everything that a peer can add to is bounded.
#[derive(Debug, Clone)]
pub struct NameServerOptions {
    /// A broker that says nothing for this long is dropped, unless its registration named another time. RocketMQ's 120 s.
    pub broker_expiry: Duration,
    /// How often silent brokers are looked for. RocketMQ's 5 s.
    pub scan_every: Duration,
    /// Most broker groups; a registration beyond it is refused.
    pub brokers_max: usize,
    /// Most addresses of one broker group.
    pub addresses_per_broker_max: usize,
    /// Most topics over all brokers; a registration beyond it is refused.
    pub topics_max: usize,
    /// Most pairs of topic and broker group; a registration beyond it is refused.
    pub queue_entries_max: usize,
    /// Whose requests may change topics (216, 217) and permissions (205, 327).
    pub admin: AccessList,
    /// Who decides about routes.
    pub deciders: Deciders,
    /// Time.
    pub clock: Clock,
}

impl Default for NameServerOptions {
    fn default() -> Self {
        NameServerOptions {
            broker_expiry: Duration::from_secs(120),
            scan_every: Duration::from_secs(5),
            brokers_max: 1_000,
            addresses_per_broker_max: 16,
            topics_max: 200_000,
            queue_entries_max: 1_000_000,
            admin: AccessList::default(),
            deciders: Deciders::default(),
            clock: Clock::system(),
        }
    }
}
