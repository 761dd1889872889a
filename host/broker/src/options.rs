//! What a broker is told when it is made: who it is, what it may do, and every limit with its default.

use std::{net::SocketAddr, path::PathBuf};

use gantry_balance::{Deciders, Zones};
use gantry_base::{access::AccessList, clock::Clock};
use gantry_model::labels::Labels;
use gantry_store::Flush;

use crate::holds::Holds;

/// Identity, behaviour and limits of one broker. The binary fills it from the cluster file; every number has RocketMQ's
/// default unless its doc says why not.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Cluster that it belongs to; stored in every message as property CLUSTER.
    pub cluster: String,
    /// Name of the broker group.
    pub name: String,
    /// 0 = master. Replicas are not built yet.
    pub id: u64,
    /// `host:port` that clients are told, also the store host in every record.
    pub advertised: SocketAddr,
    /// Name servers to register with.
    pub name_servers: Vec<String>,
    /// Data directory; `config/` below it holds topics, groups and offsets.
    pub data: PathBuf,
    /// How the store flushes. `Sync`: SEND_OK means on disk.
    pub flush: Flush,
    /// How long a synchronous send waits for its flush before it is answered FLUSH_DISK_TIMEOUT (stored, not confirmed).
    pub flush_timeout_ms: u64,
    /// Whether a send to an unknown topic creates it after TBW102.
    pub auto_create_topics: bool,
    /// Queues of TBW102, the most that an auto-created topic gets.
    pub default_topic_queues: u32,
    /// Whether an unknown consumer group is created on first use.
    pub auto_create_groups: bool,
    /// Largest message body (or batch), in bytes.
    pub message_bytes_max: usize,
    /// Most messages that one pull returns, whatever it asks for.
    pub pull_messages_max: usize,
    /// Most bytes that one pull returns; the first message is always returned.
    pub pull_bytes_max: usize,
    /// Most queue entries that one pull looks at; it then answers with the offset that it reached.
    pub pull_scan_max: usize,
    /// Longest that a pull is held, whatever it asks for.
    pub suspend_max_ms: u64,
    /// Pulls that may be held at once; at the limit a pull is answered at once.
    pub parked_pulls_max: usize,
    /// Pulls that may read from the device or run a slow filter at once, off the workers; more of them wait.
    pub blocking_pulls_max: usize,
    /// Bytes of the log that may wait for a flush; beyond it sends wait, and are refused after `send_wait_ms_max`. A batch of
    /// each connection may overshoot.
    pub flush_backlog_bytes_max: u64,
    /// Bytes of the log that may wait for their consume queue entries; beyond it the same.
    pub dispatch_backlog_bytes_max: u64,
    /// Longest that a send waits to be served, from its arrival; then it is refused with SYSTEM_BUSY.
    pub send_wait_ms_max: u64,
    /// Requests that may wait for a place among `blocking_pulls_max`; beyond it SYSTEM_BUSY.
    pub blocking_waiting_max: usize,
    /// Longest that one of them waits, from its arrival or, if it was held, from its wake-up; then SYSTEM_BUSY.
    pub blocking_wait_ms_max: u64,
    /// A client without a heartbeat for this long is dropped.
    pub client_expiry_ms: u64,
    /// Most clients (members over all groups) that are kept; a heartbeat beyond it is refused with SYSTEM_BUSY.
    pub clients_max: usize,
    /// Most topics; creation beyond it is refused.
    pub topics_max: usize,
    /// Most consumer groups; creation beyond it is refused.
    pub groups_max: usize,
    /// Furthest ahead that a message may be timed, in seconds. RocketMQ's is 3 days, for its wheel is that long; here a far
    /// message costs 28 bytes beside its record.
    pub timer_delay_max_s: u64,
    /// Whether timed messages can be recalled. RocketMQ's default is off.
    pub recall_enabled: bool,
    /// Where it stands; told to name servers.
    pub zone: Option<String>,
    /// What its operator calls it; told to name servers.
    pub labels: Labels,
    /// Where clients stand.
    pub zones: Zones,
    /// Who decides about queues and members.
    pub deciders: Deciders,
    /// Whether groups may select messages by SQL92 expressions. RocketMQ's `enablePropertyFilter`, which is off by default.
    pub sql92: bool,
    /// Whose requests may change topics and groups.
    pub admin: AccessList,
    /// Region stored in every message and told to producers.
    pub region: String,
    /// What is needed of the log; the store is opened with the same, see [`Holds::of_store`].
    pub holds: Holds,
    /// Time.
    pub clock: Clock,
}

impl BrokerOptions {
    /// A master with all defaults.
    pub fn new(cluster: &str, name: &str, advertised: SocketAddr, data: PathBuf) -> Self {
        BrokerOptions {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            id: 0,
            advertised,
            name_servers: Vec::new(),
            data,
            flush: Flush::Sync,
            flush_timeout_ms: 5_000,
            auto_create_topics: true,
            default_topic_queues: 8,
            auto_create_groups: true,
            message_bytes_max: 4 * 1024 * 1024,
            // RocketMQ caps at 32; a client that asks for more has room for it.
            pull_messages_max: 1_024,
            pull_bytes_max: 256 * 1024,
            pull_scan_max: 4_096,
            suspend_max_ms: 60_000,
            parked_pulls_max: 100_000,
            blocking_pulls_max: 8,
            flush_backlog_bytes_max: 256 << 20,
            dispatch_backlog_bytes_max: 256 << 20,
            send_wait_ms_max: 200,
            blocking_waiting_max: 4_096,
            blocking_wait_ms_max: 5_000,
            client_expiry_ms: 120_000,
            clients_max: 100_000,
            topics_max: 100_000,
            groups_max: 100_000,
            timer_delay_max_s: 365 * 86_400,
            recall_enabled: true,
            zone: None,
            labels: Labels::default(),
            zones: Zones::default(),
            deciders: Deciders::default(),
            sql92: true,
            admin: AccessList::default(),
            region: "DefaultRegion".to_owned(),
            holds: Holds::default(),
            clock: Clock::system(),
        }
    }
}
