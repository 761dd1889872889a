//! What is asked, as values.

use std::sync::Arc;

use gantry_model::{labels::Labels, load::BrokerLoad};

/// Which brokers of `topic` may producers write to? One answer a broker, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteQuestion {
    /// The topic; never one for orders, retries, dead letters or the system's own use.
    pub topic: Arc<str>,
    /// Its brokers, by name.
    pub brokers: Vec<RouteBroker>,
}

/// A broker group that serves the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteBroker {
    /// Its name.
    pub name: Arc<str>,
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Where it stands, if it says so.
    pub zone: Option<Arc<str>>,
    /// What its operator calls it.
    pub labels: Labels,
    /// Whether producers can write to it unless this decision says no: the topic's permission there allows it, no operator
    /// took it away, and its master lives.
    pub writable: bool,
    /// Queues that consumers see.
    pub read_queues: u32,
    /// Queues that producers see.
    pub write_queues: u32,
    /// How busy its master is; `None` when it does not tell or has not told lately.
    pub load: Option<BrokerLoad>,
}

/// Which queue of `topic` takes the messages of the next second whose producer left the queue open?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueBoard {
    /// The topic.
    pub topic: Arc<str>,
    /// Its write queues on this broker, queue `i` at place `i`.
    pub queues: Vec<BoardQueue>,
}

/// One queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BoardQueue {
    /// Its number.
    pub queue_id: u32,
    /// Messages that the slowest group with offsets in the topic has not consumed; 0 without such groups.
    pub depth: u64,
    /// Messages stored that nobody can read yet.
    pub in_flight: u64,
    /// Mean time of a send, in µs. One log takes the messages of all queues, so it is the broker's.
    pub send_micros: u64,
    /// Messages since the board before.
    pub messages_in: u64,
}

/// Which member of `group` gets which queue of `topic`? The answer must depend on nothing but this: a client asks any broker,
/// and all must say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignQuestion {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Queues on all brokers, by broker, then by number. Never empty.
    pub queues: Arc<[AssignQueue]>,
    /// Members, by client id. Never empty.
    pub members: Vec<AssignMember>,
}

/// A queue to be given to a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AssignQueue {
    /// Its broker group.
    pub broker: Arc<str>,
    /// Its number there.
    pub queue_id: u32,
    /// Zone of the broker, if it says so.
    pub zone: Option<Arc<str>>,
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignMember {
    /// Its client id.
    pub client_id: String,
    /// Zone of its address, see [`Zones`](crate::Zones).
    pub zone: Option<Arc<str>>,
}
