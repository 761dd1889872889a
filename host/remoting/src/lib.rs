//! Sockets: serve requests, call and correlate, and bound everything that a peer can make this process hold.
//!
//! One task drives one connection ([`driver`]): what a read yields is served in one call, straight from the read buffer, and
//! the replies leave in one write. Nothing is spawned per request; slow answers are futures polled by the same task. Both
//! sides are the same driver: a [`Server`] accepts, a [`Connection`] connects, and either may call the other ([`Peer`]).
//!
//! A slow or malicious peer costs itself only. What it can hold is named in [`Limits`]; at each limit the connection is
//! no longer read (backpressure through TCP) or closed, and a connection of small frames is never stopped because of others.
//!
//! It knows no request codes: the meaning of a frame is a [`Service`]'s.

mod budget;
mod buffers;
mod call;
mod client;
mod driver;
mod limits;
mod metrics;
mod peer;
mod server;
mod service;

pub use call::CallError;
pub use client::{ConnectError, Connection, Inbox, NoRequests};
pub use limits::Limits;
pub use metrics::Metrics;
pub use peer::Peer;
pub use server::{BindError, Server};
pub use service::{BATCH_MAX, Hold, Replies, Service};
