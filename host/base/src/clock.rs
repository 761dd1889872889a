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

    /// Hour of the day, 0 to 23, in the host's time zone (`TZ`, else `/etc/localtime`, else UTC); of a manual clock in UTC.
    pub fn hour(&self) -> u8 {
        match &self.0 {
            Some(manual) => (manual.load(Ordering::Relaxed) / 3_600_000 % 24) as u8,
            None => jiff::Zoned::now().hour().unsigned_abs(),
        }
    }

    /// The moment as a number of 17 digits, yyyyMMddHHmmssSSS, in the host's time zone; of a manual clock in UTC. RocketMQ
    /// names index files so.
    pub fn stamp(&self) -> u64 {
        let zone = match &self.0 {
            Some(_) => jiff::tz::TimeZone::UTC,
            None => jiff::tz::TimeZone::system(),
        };
        // A clock beyond the year 9999 is taken for 1970.
        let now = jiff::Timestamp::from_millisecond(self.now_ms() as i64).unwrap_or_default().to_zoned(zone);
        let parts = [(now.month(), 100), (now.day(), 100), (now.hour(), 100), (now.minute(), 100), (now.second(), 100)];
        let year = u64::from(now.year().unsigned_abs());
        let seconds = parts.iter().fold(year, |stamp, (part, room)| stamp * room + u64::from(part.unsigned_abs()));
        seconds * 1000 + u64::from(now.millisecond().unsigned_abs())
    }

    /// Moves a manual clock; a system clock ignores it.
    pub fn set(&self, now_ms: u64) {
        if let Some(manual) = &self.0 {
            manual.store(now_ms, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_tells_its_hour() {
        // 2023-11-14 22:13:20 UTC.
        let clock = Clock::manual(1_700_000_000_000);
        assert_eq!(clock.hour(), 22);
        clock.set(1_700_000_000_000 + 2 * 3_600_000);
        assert_eq!(clock.hour(), 0);
        assert!(Clock::system().hour() < 24);
    }

    #[test]
    fn a_stamp_has_17_digits() {
        assert_eq!(Clock::manual(1_700_000_000_007).stamp(), 20_231_114_221_320_007);
        assert_eq!(Clock::system().stamp().to_string().len(), 17);
    }
}
