//! The binary from outside: real processes, their output, their exit codes, their files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod balance;
mod bench;
mod command_line;
mod demo;
mod flow;
mod node;
mod process;
mod query;
mod reload;
mod sql92;
mod store;
mod telemetry;
mod timers;
