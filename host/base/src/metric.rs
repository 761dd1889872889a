//! Metric sources: a crate owns them, counts in place, and tells them to a [`Sink`] when a registry above asks. What a crate
//! counts has its [`Family`] beside it: the name under which an operator sees it and the sentence that says what it is.
//!
//! Nothing here is global and nothing is pushed: a process that nobody asks for metrics pays for the counters alone.

mod family;
mod histogram;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

pub use self::{
    family::{Family, Kind, Labels, Sink, Unit},
    histogram::{Distribution, Histogram},
};

/// Counts events; only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count` events.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Events so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A level that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Relaxed);
    }

    /// Replaces the level.
    pub fn set(&self, level: i64) {
        self.0.store(level, Relaxed);
    }

    /// The level now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}
