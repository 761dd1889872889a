//! How busy a broker is, as it tells name servers with its heartbeats.

/// Sampled by the broker once a second; rates and means are over the interval before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BrokerLoad {
    /// Sends that are stored and wait for the disk.
    pub in_flight: u64,
    /// Mean time of a send from its arrival until it may be answered, in µs; 0 when none was.
    pub send_micros: u64,
    /// Bytes of the log that wait for a flush.
    pub flush_backlog_bytes: u64,
    /// Bytes of the log that wait for their consume queue entries.
    pub dispatch_backlog_bytes: u64,
    /// How full the disk of the log is, in percent; 0 while that is not known.
    pub disk_used_percent: u8,
    /// Messages stored for clients a second.
    pub messages_in_per_s: u64,
    /// Sends refused or not confirmed for reasons of the broker's own: a full resource, a full or failing disk.
    pub recent_errors: u64,
}
