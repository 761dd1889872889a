//! A small RocketMQ client: for the benchmark, the demo, the command line, and brokers that talk to name servers.
//!
//! A [`Client`] keeps one connection per address and what it learned of routes. On it stand a [`Producer`], pulls of one
//! queue ([`Client::pull`]), a group member with rebalancing ([`Consumer`]), offsets and administration. It follows the Java
//! client where servers can see it: route fallback to TBW102, the codes that are retried, queue allocation, heartbeats.
//!
//! It does not compress or inflate bodies, trace, consume in order, pop, or take part in transactions.

pub mod admin;
mod assignment;
mod client;
mod consumer;
mod error;
mod links;
pub mod message;
mod offsets;
mod producer;
mod pull;
mod query;
mod recall;
pub mod registration;
mod route;

pub use client::{Client, Options};
pub use consumer::{Allocation, Batch, Consumer, ConsumerOptions};
pub use error::ClientError;
pub use message::{Message, Queue, ReceivedMessage};
pub use producer::{Producer, SendResult, SendStatus};
pub use pull::{Pull, PullResult, PullStatus};
pub use query::FoundByKey;
