//! Time as a value that is handed in, so that tests own it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Wall clock in milliseconds since 1970, as RocketMQ stamps messages.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The host's clock.
    pub fn system() -> Self {
        Clock(None)
    }

    /// A clock that stands at `now_ms` until [`set`](Clock::set); clones share it.
    pub fn manual(now_ms: u64) -> Self {
        Clock(Some(Arc::new(AtomicU64::new(now_ms))))
    }

    /// Milliseconds since 1970; 0 if the host's clock stands before that.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Some(manual) => manual.load(Ordering::Relaxed),
            None => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        }
    }

    /// Moves a manual clock; a system clock ignores it.
    pub fn set(&self, now_ms: u64) {
        if let Some(manual) = &self.0 {
            manual.store(now_ms, Ordering::Relaxed);
        }
    }
}
