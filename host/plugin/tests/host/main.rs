//! The host with real guests: hostile ones, swaps under load, changing bindings, memory.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod balancers;
mod hooks;
mod hostile;
mod lifecycle;
mod memory;
mod rig;
mod swap;
