//! What a server counts. A registry above reads the sources when asked.

use gantry_base::metric::{Counter, Gauge};

/// Metric sources of one server, or of one client's connection.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections open now.
    pub connections: Gauge,
    /// Connections ever accepted.
    pub accepted: Counter,
    /// Connections closed at once because `connections_max` were open.
    pub refused: Counter,
    /// Request frames handed to the service.
    pub requests: Counter,
    /// Requests whose answer is being worked on now.
    pub in_flight_requests: Gauge,
    /// Bytes read.
    pub read_bytes: Counter,
    /// Bytes written.
    pub written_bytes: Counter,
    /// Connections closed because bytes were not a frame.
    pub malformed: Counter,
    /// Connections closed because nothing happened for `idle_timeout`.
    pub idle: Counter,
    /// Connections closed because the peer was slow: it did not take replies, or did not complete a frame.
    pub slow: Counter,
    /// Connections closed because the service panicked.
    pub panicked: Counter,
    /// Notifications and calls refused because the peer does not take what is sent.
    pub pushes_dropped: Counter,
}
