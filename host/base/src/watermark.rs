//! A position that only grows, with waiters.
//!
//! It stands in for callbacks: whoever produces a fact ("the log is on disk up to byte N") advances a watermark, whoever
//! needs the fact waits for its own target. The producer does not know its followers, and followers that share a target
//! wake together, so batches form under load without a setting.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The watermark will never reach the target: its owner stopped (shutdown, or a disk error that ends the log).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the position stopped growing: its owner shut down or failed")]
pub struct Closed;

/// A growing `u64` position; clones share it. Units are the owner's (bytes of a log, entries of a queue).
///
/// Invariant: `get` never goes back, and a waiter for `t` is woken by the first `advance` to `t` or beyond, or by `close`.
#[derive(Clone)]
pub struct Watermark(Arc<Shared>);

struct Shared {
    position: AtomicU64,
    closed: AtomicBool,
    /// Lowest target that anybody waits for, `u64::MAX` without waiters: an advance below it takes no lock. A follower that
    /// waits for much (a flusher, say) then costs the many small advances before nothing.
    lowest: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    next_id: u64,
    /// Sorted by target, so that an advance splits off exactly the satisfied ones.
    by_target: BTreeMap<(u64, u64), Waker>,
}

impl Default for Watermark {
    fn default() -> Self {
        Watermark::new(0)
    }
}

impl Shared {
    fn note_lowest(&self, waiters: &Waiters) {
        let lowest = waiters.by_target.keys().next().map_or(u64::MAX, |(target, _)| *target);
        self.lowest.store(lowest, Ordering::SeqCst);
    }
}

impl Watermark {
    /// Starts at `position` with no waiters.
    pub fn new(position: u64) -> Self {
        Watermark(Arc::new(Shared {
            position: AtomicU64::new(position),
            closed: AtomicBool::new(false),
            lowest: AtomicU64::new(u64::MAX),
            waiters: Mutex::default(),
        }))
    }

    /// The position now. Whatever was written before the matching [`advance`](Self::advance) is visible to the caller.
    pub fn get(&self) -> u64 {
        self.0.position.load(Ordering::Acquire)
    }

    /// Raises the position to `to` and wakes whoever waits for it; a smaller `to` is ignored.
    pub fn advance(&self, to: u64) {
        if self.0.position.fetch_max(to, Ordering::SeqCst) < to && self.0.lowest.load(Ordering::SeqCst) <= to {
            self.wake(to);
        }
    }

    /// Ends the watermark: present and future waiters whose target was not reached get [`Closed`].
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.wake(u64::MAX);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Completes when the position is at least `target`. Dropping the future takes the waiter out.
    pub fn reached(&self, target: u64) -> Reached {
        Reached { mark: self.clone(), target, id: None }
    }

    /// Blocks this thread until the position is at least `target`, at most for `timeout`. Returns the position then,
    /// which is below `target` after a timeout. For threads of their own only: never call it on a runtime worker.
    pub fn wait_blocking(&self, target: u64, timeout: Duration) -> Result<u64, Closed> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let deadline = Instant::now() + timeout;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut reached = self.reached(target);
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut reached).poll(&mut context) {
                return result.map(|()| self.get());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(self.get());
            }
            std::thread::park_timeout(left);
        }
    }

    fn wake(&self, to: u64) {
        let ready = {
            let mut waiters = self.0.waiters.lock();
            let ready = match to.checked_add(1) {
                Some(beyond) => {
                    let later = waiters.by_target.split_off(&(beyond, 0));
                    std::mem::replace(&mut waiters.by_target, later)
                }
                None => std::mem::take(&mut waiters.by_target),
            };
            self.0.note_lowest(&waiters);
            ready
        };
        // Outside the lock: a woken task may wait again at once.
        for waker in ready.into_values() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watermark({}{})", self.get(), if self.is_closed() { ", closed" } else { "" })
    }
}

/// Future of [`Watermark::reached`].
#[must_use = "futures do nothing unless polled"]
pub struct Reached {
    mark: Watermark,
    target: u64,
    id: Option<u64>,
}

impl Future for Reached {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.mark.get() >= this.target {
            return Poll::Ready(Ok(()));
        }
        let shared = &this.mark.0;
        let mut waiters = shared.waiters.lock();
        let id = *this.id.get_or_insert_with(|| {
            waiters.next_id += 1;
            waiters.next_id
        });
        waiters.by_target.insert((this.target, id), context.waker().clone());
        shared.note_lowest(&waiters);
        // An advance between the first look and the note would have woken nobody: look again.
        let reached = shared.position.load(Ordering::SeqCst) >= this.target;
        if reached || shared.closed.load(Ordering::SeqCst) {
            waiters.by_target.remove(&(this.target, id));
            shared.note_lowest(&waiters);
            return Poll::Ready(if reached { Ok(()) } else { Err(Closed) });
        }
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let shared = &self.mark.0;
            let mut waiters = shared.waiters.lock();
            if waiters.by_target.remove(&(self.target, id)).is_some() {
                shared.note_lowest(&waiters);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_exactly_the_reached_targets() {
        let mark = Watermark::new(5);
        mark.reached(5).await.unwrap();
        let near = tokio::spawn(mark.reached(10));
        let far = tokio::spawn(mark.reached(20));
        tokio::task::yield_now().await;
        mark.advance(12);
        near.await.unwrap().unwrap();
        assert!(!far.is_finished());
        mark.advance(7);
        assert_eq!(mark.get(), 12, "a watermark never goes back");
        mark.close();
        assert_eq!(far.await.unwrap(), Err(Closed));
    }

    #[test]
    fn blocking_wait_times_out_and_is_woken() {
        let mark = Watermark::new(0);
        assert_eq!(mark.wait_blocking(1, Duration::from_millis(5)), Ok(0));
        let other = mark.clone();
        let thread = std::thread::spawn(move || other.wait_blocking(3, Duration::from_secs(30)));
        mark.advance(4);
        assert_eq!(thread.join().unwrap(), Ok(4));
    }

    #[test]
    fn racing_advances_lose_no_waiter() {
        for _ in 0..200 {
            let mark = Watermark::new(0);
            let waiter = mark.clone();
            let thread = std::thread::spawn(move || waiter.wait_blocking(2, Duration::from_secs(30)));
            mark.advance(1);
            mark.advance(2);
            assert_eq!(thread.join().unwrap(), Ok(2));
        }
    }
}
