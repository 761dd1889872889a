//! What a server counts. A registry above reads the sources when asked.

use gantry_base::metric::{Counter, Family, Gauge, Sink};

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

static CONNECTIONS: Family = Family::gauge("gantry_connections", "Connections open.");
static IN_FLIGHT: Family = Family::gauge("gantry_in_flight_requests", "Requests whose answer is being worked on.");
static CLOSED: Family = Family::counter(
    "gantry_connections_closed_total",
    "Connections closed by the server, by reason: malformed bytes, idle, slow to send or to take answers, panicked.",
);

impl Metrics {
    /// Tells what it counts.
    pub fn collect(&self, out: &mut dyn Sink) {
        out.gauge(&CONNECTIONS, &self.connections);
        out.gauge(&IN_FLIGHT, &self.in_flight_requests);
        for (family, counter) in [
            (Family::counter("gantry_connections_accepted_total", "Connections accepted."), &self.accepted),
            (
                Family::counter(
                    "gantry_connections_refused_total",
                    "Connections closed at once, because limits.connections_max were open.",
                ),
                &self.refused,
            ),
            (Family::counter("gantry_requests_total", "Request frames handed to the service."), &self.requests),
            (Family::counter("gantry_read_bytes_total", "Bytes read from connections."), &self.read_bytes),
            (Family::counter("gantry_written_bytes_total", "Bytes written to connections."), &self.written_bytes),
            (
                Family::counter(
                    "gantry_pushes_dropped_total",
                    "Notifications and calls not sent, because their peer does not take what is sent.",
                ),
                &self.pushes_dropped,
            ),
        ] {
            out.counter(&family, counter);
        }
        for (reason, counter) in
            [("malformed", &self.malformed), ("idle", &self.idle), ("slow", &self.slow), ("panicked", &self.panicked)]
        {
            out.number(&CLOSED, &[("reason", reason)], counter.get() as f64);
        }
    }
}
