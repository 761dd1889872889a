//! Real processes for tests and campaigns: a node on free ports in a temporary folder, killed and restarted at will.
//!
//! The programs under `src/bin` are campaigns that take minutes and print figures; `interop/` holds the official clients.

pub mod node;
pub mod report;
pub mod rocketmq;
pub mod wire;
