//! The name server: which brokers serve a topic, learned from their registrations, told to clients.
//!
//! It keeps nothing on disk: brokers register anew every 30 s, with every name server, and a name server that starts empty is
//! complete after one such round. `table` is the state and its rules, without I/O; [`NameServer`] answers requests from it,
//! routes with what a balancer decided about them (`decisions`); [`http`] is the address endpoint that clients without a
//! configured address ask.

mod decisions;
pub mod http;
mod options;
mod service;
mod table;

pub use decisions::RouteMetrics;
pub use options::NameServerOptions;
pub use service::{NameServer, Session};
