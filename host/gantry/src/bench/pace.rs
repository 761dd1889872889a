//! When the next message is due.
//!
//! With a rate the load is *open loop*: message n is due at `n / rate` whatever became of those before it, and its latency
//! counts from then. A server that stalls for a second is charged for every message that it held up, not for one.

use std::{io, time::Duration};

use anyhow::{Result, ensure};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// Due times of one connection, in nanoseconds since the start of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Nanoseconds between frames; 0 = as fast as the window allows.
    interval_ns: f64,
    /// Shifts connections against each other, so that they do not all send at once.
    phase_ns: f64,
}

impl Pace {
    /// Closed loop: due as soon as the window has room.
    pub(crate) fn unlimited() -> Pace {
        Pace { interval_ns: 0.0, phase_ns: 0.0 }
    }

    /// Connection `index` of `connections` that send `rate` messages a second together, `batch` in a frame.
    pub(crate) fn open_loop(rate: f64, batch: usize, connections: usize, index: usize) -> Result<Pace> {
        ensure!(rate > 0.0 && rate.is_finite(), "--rate is {rate}; give messages a second, above 0");
        let interval_ns = 1e9 * connections as f64 * batch as f64 / rate;
        Ok(Pace { interval_ns, phase_ns: interval_ns * index as f64 / connections as f64 })
    }

    /// Whether latency counts from the due time.
    pub(crate) fn is_open_loop(&self) -> bool {
        self.interval_ns > 0.0
    }

    /// When frame `number` is due; closed loop: at once.
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        (self.phase_ns + self.interval_ns * number as f64) as u64
    }
}

/// Sleeps with the kernel's resolution: the runtime's own timer rounds to a millisecond, which would be most of a latency.
///
/// A timer descriptor is read like a pipe, so the runtime's pipe waits for it; its own wrapper for any descriptor is `unsafe`.
pub(crate) struct PreciseTimer(Receiver);

impl PreciseTimer {
    pub(crate) fn new() -> Result<PreciseTimer> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(PreciseTimer(Receiver::from_owned_fd_unchecked(fd)?))
    }

    /// Waits for `duration`. Safe to drop.
    pub(crate) async fn sleep(&self, duration: Duration) -> Result<()> {
        // Zero would disarm the timer.
        let duration = duration.max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            self.0.readable().await?;
            let mut expirations = [0; 8];
            // An earlier sleep that was dropped may have left readiness behind: only a read tells.
            match self.0.try_read(&mut expirations) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn connections_share_the_rate_and_interleave() {
        let paces: Vec<Pace> = (0..4).map(|index| Pace::open_loop(1_000.0, 1, 4, index).unwrap()).collect();
        let mut due: Vec<u64> = paces.iter().flat_map(|pace| (0..250).map(|number| pace.due_ns(number))).collect();
        due.sort_unstable();
        for (index, due) in due.iter().enumerate() {
            assert!(due.abs_diff(index as u64 * 1_000_000) <= 1, "{index}: {due}");
        }
        assert!(Pace::open_loop(0.0, 1, 1, 0).is_err());
        assert!(!Pace::unlimited().is_open_loop());
    }

    #[tokio::test]
    async fn a_dropped_sleep_does_not_wake_the_next_one() {
        let timer = PreciseTimer::new().unwrap();
        let short = timer.sleep(Duration::from_micros(10));
        drop(short);
        let begun = Instant::now();
        timer.sleep(Duration::from_millis(3)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(3));
    }
}
