//! Where a level is heading.

use std::{collections::VecDeque, time::Duration};

/// Values kept; between them ticks are passed over.
const VALUES_MAX: u64 = 32;

/// A level over the last while.
pub(crate) struct Trend {
    window_ms: u64,
    /// When and what, oldest first; the last one is the latest.
    values: VecDeque<(u64, f64)>,
}

impl Trend {
    pub(crate) fn over(window: Duration) -> Self {
        Trend { window_ms: window.as_millis() as u64, values: VecDeque::new() }
    }

    pub(crate) fn take(&mut self, at_ms: u64, value: f64) {
        // The oldest value stays until the next one is old enough to stand for the whole window.
        while self.values.get(1).is_some_and(|(next_ms, _)| at_ms.saturating_sub(*next_ms) >= self.window_ms) {
            self.values.pop_front();
        }
        let before_last = self.values.len().checked_sub(2).and_then(|index| self.values.get(index));
        if before_last.is_some_and(|(ms, _)| at_ms.saturating_sub(*ms) < self.window_ms / VALUES_MAX) {
            self.values.pop_back();
        }
        self.values.push_back((at_ms, value));
    }

    /// How long until it is zero, if it goes on falling as it did over the window; `None` when it does not fall.
    pub(crate) fn seconds_to_zero(&self) -> Option<f64> {
        let ((then_ms, then), (now_ms, now)) = (self.values.front()?, self.values.back()?);
        if *now == 0.0 {
            return Some(0.0);
        }
        let fell_per_second = (then - now) * 1e3 / now_ms.checked_sub(*then_ms).filter(|ms| *ms > 0)? as f64;
        (fell_per_second > 0.0).then(|| now / fell_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(window_s: u64, values: impl IntoIterator<Item = (u64, f64)>) -> Trend {
        let mut trend = Trend::over(Duration::from_secs(window_s));
        values.into_iter().for_each(|(at_s, value)| trend.take(at_s * 1_000, value));
        trend
    }

    #[test]
    fn the_pace_is_that_of_the_window() {
        assert_eq!(trend(60, [(0, 600.0)]).seconds_to_zero(), None, "one value is no pace");
        // 300 in 30 s, 300 left.
        assert_eq!(trend(60, [(0, 600.0), (30, 300.0)]).seconds_to_zero(), Some(30.0));
        // Over the last minute 60 went, 240 are left.
        assert_eq!(trend(60, [(0, 600.0), (30, 300.0), (90, 240.0)]).seconds_to_zero(), Some(240.0));
        assert_eq!(trend(60, [(0, 5.0), (30, 5.0)]).seconds_to_zero(), None);
        assert_eq!(trend(60, [(0, 5.0), (30, 6.0)]).seconds_to_zero(), None);
        assert_eq!(trend(60, [(0, 5.0), (30, 0.0)]).seconds_to_zero(), Some(0.0));
        assert_eq!(trend(60, [(7, 5.0), (7, 4.0)]).seconds_to_zero(), None, "no time passed");
    }

    #[test]
    fn few_values_are_kept_and_the_latest_counts() {
        let trend = trend(3_600, (0..10_000).map(|second| (second, 20_000.0 - second as f64)));
        assert!(trend.values.len() as u64 <= VALUES_MAX + 3, "{}", trend.values.len());
        assert_eq!(trend.values.back(), Some(&(9_999_000, 10_001.0)));
        let left_s = trend.seconds_to_zero().unwrap();
        assert!((left_s - 10_001.0).abs() < 1.0, "{left_s}");
    }
}
