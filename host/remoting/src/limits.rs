//! Every bound of a connection and of a server, by name.

use std::time::Duration;

use gantry_protocol::frame::FRAME_BYTES_MAX;

/// What peers may make this process hold, and for how long. The same type bounds a server and a client's connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest frame taken, in bytes with its length field; a longer one closes the connection. Default 16 MiB, RocketMQ's.
    pub frame_bytes_max: usize,
    /// Requests of one connection whose answer is still being worked on, parked pulls included. At the limit the connection
    /// is not read until an answer is ready. Default 10,000: a Java process shares one connection among all its groups and
    /// parks a pull for each queue.
    pub in_flight_requests_max: usize,
    /// Bytes that all connections together may hold beyond 64 KiB each for reading and 64 KiB each for unsent replies. A
    /// larger frame waits, unread, until its length is free; frames being read must then come ten times as fast. Whoever
    /// stays within 64 KiB never waits. Default 256 MiB.
    pub in_flight_bytes_max: usize,
    /// Unsent reply bytes of one connection; beyond it the connection is not read until the peer takes some. One batch of
    /// replies may overshoot. Default 4 MiB.
    pub reply_buffer_bytes_max: usize,
    /// Requests of ours to one peer that wait to be written, in bytes; beyond it a notification is dropped and a call
    /// fails with [`crate::CallError::Busy`]. One frame may overshoot. Default 4 MiB.
    pub push_buffer_bytes_max: usize,
    /// Calls to one peer that wait for their answer; beyond it [`crate::CallError::Busy`]. Default 65,536.
    pub calls_max: usize,
    /// Connections of a server; further ones are closed as soon as they are accepted. Default 20,000.
    pub connections_max: usize,
    /// A connection on which nothing was read and nothing written for so long is closed. Default 120 s, RocketMQ's.
    pub idle_timeout: Duration,
    /// A peer that takes none of its unsent replies for so long is closed. Default 30 s.
    pub write_stall_timeout: Duration,
    /// A frame that was started must be complete within this time; it is extended by [`frame_rate_min`](Self::frame_rate_min).
    /// Default 10 s.
    pub frame_timeout: Duration,
    /// Bytes of a started frame that earn it one more second. Default 64 KiB.
    pub frame_rate_min: usize,
    /// How long a stopping server waits for answers in flight and for peers to take them. Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes_max: FRAME_BYTES_MAX,
            in_flight_requests_max: 10_000,
            in_flight_bytes_max: 256 << 20,
            reply_buffer_bytes_max: 4 << 20,
            push_buffer_bytes_max: 4 << 20,
            calls_max: 65_536,
            connections_max: 20_000,
            idle_timeout: Duration::from_secs(120),
            write_stall_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(10),
            frame_rate_min: 64 << 10,
            drain_timeout: Duration::from_secs(10),
        }
    }
}
