//! The bytes that all connections share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Counts what connections hold beyond their own share, and wakes those that were stopped for it.
///
/// It is a brake, not a reservation: connections charge what they hold after the fact, so a few may overshoot by one read.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
    freed: Arc<Notify>,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Budget { used: AtomicUsize::new(0), max, freed: Arc::default() }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.used.load(Relaxed) >= self.max
    }

    /// A connection that held `before` bytes now holds `after`.
    pub(crate) fn charge(&self, before: usize, after: usize) {
        if after >= before {
            self.used.fetch_add(after - before, Relaxed);
        } else {
            let used = self.used.fetch_sub(before - after, Relaxed);
            if used >= self.max && used - (before - after) < self.max {
                self.freed.notify_waiters();
            }
        }
    }

    /// Completes when bytes were freed after this call. Ask [`is_spent`](Self::is_spent) again once the future is made:
    /// only then can no wake-up be missed.
    pub(crate) fn freed(&self) -> OwnedNotified {
        self.freed.clone().notified_owned()
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}
