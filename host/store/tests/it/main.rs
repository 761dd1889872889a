//! The store as its users see it: what they get back, and what a disk that fails, crashes or lies does to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consumer;
mod garbage;
mod heads;
mod index;
mod integrity;
mod many_queues;
#[cfg(feature = "planted-bugs")]
mod planted_integrity;
mod power_loss;
mod recovery_damage;
mod retention;
mod rig;
mod scrub;
mod store;
mod takeover;
mod threads;
mod trouble;
