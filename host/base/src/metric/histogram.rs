//! How values are spread, over bounds that are fixed when the program is written.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts values by size class. Recording is two relaxed additions, without a lock.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One a bound, and one for what is beyond the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram held at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, inclusive, growing.
    pub bounds: &'static [u64],
    /// How many values each class has, not those below it: one a bound, and one for what is beyond the last.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Histogram {
    /// An empty one with these upper bounds (inclusive, growing).
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.is_sorted_by(|a, b| a < b));
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub fn record(&self, value: u64) {
        self.record_class(self.class(value), 1, value);
    }

    /// Counts `count` values that are all alike.
    pub fn record_many(&self, value: u64, count: u64) {
        self.record_class(self.class(value), count, value.saturating_mul(count));
    }

    /// The size class of a value, for [`record_class`](Self::record_class).
    pub fn class(&self, value: u64) -> usize {
        // Few bounds, and most values are small: searching in order is quickest.
        self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len())
    }

    /// Counts `count` values of one class that sum up to `sum`: a batch costs as much as one value.
    pub fn record_class(&self, class: usize, count: u64, sum: u64) {
        if let Some(counter) = self.counts.get(class) {
            counter.fetch_add(count, Relaxed);
            self.sum.fetch_add(sum, Relaxed);
        }
    }

    /// What it holds now. A value that is being recorded may be in the sum and not in its class yet, or the other way round.
    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.load(Relaxed) }
    }
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each bound how many values are at most that, the last one for all of them.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        bounds.zip(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_the_last_class_has_no_bound() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 1_000_000] {
            histogram.record(value);
        }
        histogram.record_many(5, 3);
        let read = histogram.read();
        assert_eq!(read.counts, [2, 5, 2, 2]);
        assert_eq!((read.count(), read.sum), (11, 1_000_225 + 15));
        let cumulative: Vec<_> = read.cumulative().collect();
        assert_eq!(cumulative, [(Some(1), 2), (Some(10), 7), (Some(100), 9), (None, 11)]);
    }
}
