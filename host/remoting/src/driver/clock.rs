//! When a connection has waited long enough.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Limits, budget::Budget, driver::end::End};

/// How much faster a frame must come while others wait for the bytes that it holds.
const HASTE: u32 = 10;

/// The deadlines of one connection behind one timer.
///
/// The timer is armed for the earliest deadline and left alone when deadlines move back, so that a busy connection does not
/// touch the runtime's timers; when it fires too early it is armed anew.
pub(crate) struct Clock {
    /// Last byte read or written.
    active: Instant,
    /// Last time that the peer took a byte, or that there was none to take.
    taken: Instant,
    /// When the frame in the read buffer began to arrive.
    frame_started: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// What the deadlines depend on besides time.
pub(crate) struct Held {
    /// Bytes of a started frame.
    pub(crate) frame_bytes: usize,
    /// Bytes that the peer should take.
    pub(crate) unsent_bytes: usize,
}

impl Clock {
    pub(crate) fn new(now: Instant, limits: &Limits) -> Self {
        let timer = Box::pin(sleep_until(now + limits.idle_timeout.min(limits.frame_timeout)));
        Clock { active: now, taken: now, frame_started: None, timer }
    }

    pub(crate) fn read(&mut self, now: Instant) {
        self.active = now;
    }

    pub(crate) fn wrote(&mut self, now: Instant) {
        self.active = now;
        self.taken = now;
    }

    /// Nothing waited to be sent until now.
    pub(crate) fn nothing_unsent(&mut self, now: Instant) {
        self.taken = now;
    }

    /// The read buffer starts with a frame that is not complete; `anew`: it is not the one of the last call.
    pub(crate) fn frame_open(&mut self, now: Instant, anew: bool) {
        if anew || self.frame_started.is_none() {
            self.frame_started = Some(now);
        }
    }

    /// No frame is being waited for.
    pub(crate) fn frame_closed(&mut self) {
        self.frame_started = None;
    }

    /// The first deadline that passed; else registers for the next one.
    pub(crate) fn poll_expired(
        &mut self,
        context: &mut Context<'_>,
        mut now: Instant,
        held: &Held,
        limits: &Limits,
        budget: &Budget,
    ) -> Poll<End> {
        loop {
            let (mut deadline, end) = self.next(held, limits, budget);
            if deadline <= now {
                return Poll::Ready(end);
            }
            if self.frame_started.is_some() {
                // Whether others wait changes without a word.
                deadline = deadline.min(now + limits.frame_timeout / HASTE);
            }
            if self.timer.is_elapsed() || deadline < self.timer.deadline() {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            now = Instant::now();
        }
    }

    fn next(&self, held: &Held, limits: &Limits, budget: &Budget) -> (Instant, End) {
        let mut next = (self.active + limits.idle_timeout, End::Idle);
        if held.unsent_bytes > 0 {
            next = earlier(next, (self.taken + limits.write_stall_timeout, End::Stalled { unsent: held.unsent_bytes }));
        }
        if let Some(started) = self.frame_started {
            // While others wait for the bytes that it holds, a frame has to come ten times as fast.
            let haste = if budget.is_wanted() { HASTE } else { 1 };
            let earned = held.frame_bytes as f64 / limits.frame_rate_min.max(1) as f64;
            let allowed = (limits.frame_timeout + Duration::from_secs_f64(earned)) / haste;
            next = earlier(next, (started + allowed, End::SlowFrame { bytes: held.frame_bytes }));
        }
        next
    }
}

fn earlier(one: (Instant, End), other: (Instant, End)) -> (Instant, End) {
    if other.0 < one.0 { other } else { one }
}
