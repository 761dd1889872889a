//! Lets a binding whose plugin keeps failing rest, and tries it again by itself.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::spec::BreakerOptions;

/// One binding's breaker.
pub(crate) struct Breaker {
    options: BreakerOptions,
    /// Whether `inner` must be asked; the usual answer costs one load.
    closed: AtomicBool,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// The latest faults, oldest first, at most `options.faults`.
    faults: VecDeque<Instant>,
}

enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// What a run may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go on.
    Free,
    /// One batch, whose outcome decides.
    Probe,
    /// Not now.
    Refused,
}

/// State in words, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// Works.
    Closed,
    /// Rests after too many faults.
    Open,
    /// One batch is being tried.
    Probing,
}

impl Breaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        let inner = Inner { state: State::Closed, faults: VecDeque::with_capacity(options.faults) };
        Breaker { options, closed: AtomicBool::new(true), inner: Mutex::new(inner) }
    }

    pub(crate) fn admit(&self, now: Instant) -> Admission {
        if self.closed.load(Ordering::Acquire) {
            return Admission::Free;
        }
        let mut inner = self.inner.lock();
        match inner.state {
            State::Closed => Admission::Free,
            State::Open { until } if now >= until => {
                inner.state = State::Probing;
                Admission::Probe
            }
            State::Open { .. } | State::Probing => Admission::Refused,
        }
    }

    /// A message could not be decided. `Some` when this opened the breaker: when it may be tried again.
    pub(crate) fn fault(&self, now: Instant, probe: bool) -> Option<Instant> {
        let mut inner = self.inner.lock();
        if inner.faults.len() == self.options.faults {
            inner.faults.pop_front();
        }
        inner.faults.push_back(now);
        let many = inner.faults.len() == self.options.faults
            && inner.faults.front().is_some_and(|first| now.duration_since(*first) <= self.options.window);
        let opens = probe || (many && matches!(inner.state, State::Closed));
        opens.then(|| {
            let until = now + self.options.pause;
            inner.state = State::Open { until };
            inner.faults.clear();
            self.closed.store(false, Ordering::Release);
            until
        })
    }

    /// A probe went well, or there is a new version: start anew. Whether it was not closed before.
    pub(crate) fn reset(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.faults.clear();
        inner.state = State::Closed;
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// A probe ended without judging anything: the next one may try.
    pub(crate) fn release_probe(&self, now: Instant) {
        let mut inner = self.inner.lock();
        if matches!(inner.state, State::Probing) {
            inner.state = State::Open { until: now };
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.inner.lock().state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing => BreakerState::Probing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn opens_after_faults_within_the_window_and_probes_once() {
        let breaker = Breaker::new(BreakerOptions::default());
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for second in [0, 4, 8, 11] {
            assert_eq!(breaker.fault(at(second), false), None);
        }
        assert_eq!(breaker.fault(at(12), false), None, "the first of five is 12 s old");
        assert_eq!(breaker.fault(at(13), false), Some(at(43)), "five within 10 s");
        assert_eq!(breaker.admit(at(42)), Admission::Refused);
        assert_eq!(breaker.admit(at(43)), Admission::Probe);
        assert_eq!(breaker.admit(at(43)), Admission::Refused, "one probe at a time");
        assert_eq!(breaker.fault(at(43), true), Some(at(73)), "a failed probe opens at once");
        assert_eq!(breaker.admit(at(73)), Admission::Probe);
        breaker.release_probe(at(73));
        assert_eq!(breaker.admit(at(73)), Admission::Probe, "a probe that judged nothing is given back");
        assert!(breaker.reset());
        assert_eq!((breaker.admit(at(74)), breaker.state()), (Admission::Free, BreakerState::Closed));
    }
}
