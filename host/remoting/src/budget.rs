//! The bytes that all connections share.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use tokio::sync::{Notify, futures::OwnedNotified};

/// Counts what connections hold beyond their own share, and wakes those that wait for some of it.
///
/// A large frame reserves its whole length before its buffer grows, so that one that was let in can always be completed:
/// frames that each got half of what they need would wait for each other. Unsent replies are charged after the fact.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    used: AtomicUsize,
    max: usize,
    waiting: AtomicUsize,
    freed: Arc<Notify>,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        let inner = Inner { used: AtomicUsize::new(0), max, waiting: AtomicUsize::new(0), freed: Arc::default() };
        Budget(Arc::new(inner))
    }

    /// Takes `bytes` if they are there. A reservation over the whole budget is let in alone.
    pub(crate) fn try_reserve(&self, bytes: usize) -> bool {
        let fits = |used: usize| (used == 0 || used + bytes <= self.0.max).then_some(used + bytes);
        self.0.used.fetch_update(SeqCst, SeqCst, fits).is_ok()
    }

    /// A connection that held `before` bytes now holds `after`.
    pub(crate) fn charge(&self, before: usize, after: usize) {
        if after >= before {
            self.0.used.fetch_add(after - before, SeqCst);
        } else {
            self.0.used.fetch_sub(before - after, SeqCst);
            if self.is_wanted() {
                self.0.freed.notify_waiters();
            }
        }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.used() >= self.0.max
    }

    /// Whether somebody waits for bytes.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.waiting.load(SeqCst) > 0
    }

    /// Completes when bytes were freed after this call. Try again once the future is made: only then no wake-up is missed.
    pub(crate) fn freed(&self) -> Freed {
        self.0.waiting.fetch_add(1, SeqCst);
        Freed { notified: Box::pin(self.0.freed.clone().notified_owned()), budget: self.clone() }
    }

    pub(crate) fn used(&self) -> usize {
        self.0.used.load(SeqCst)
    }
}

/// Future of [`Budget::freed`].
pub(crate) struct Freed {
    notified: Pin<Box<OwnedNotified>>,
    budget: Budget,
}

impl Future for Freed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.notified.as_mut().poll(context)
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.budget.0.waiting.fetch_sub(1, SeqCst);
    }
}
