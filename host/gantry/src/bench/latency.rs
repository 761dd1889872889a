//! Latencies of a run: a histogram per connection, merged at the end.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies beyond this count as this: 10 minutes.
const HIGHEST_NS: u64 = 600_000_000_000;

/// A histogram from 100 ns to 10 minutes with at most 1 % error.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Latency {
        // The bounds are constants that the library accepts; without bounds it would resize while measuring.
        let bounded = Histogram::new_with_bounds(100, HIGHEST_NS, 2);
        Latency(bounded.unwrap_or_else(|error| unreachable!("constant histogram bounds: {error}")))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.min(HIGHEST_NS));
    }

    pub(crate) fn merge(&mut self, other: &Latency) {
        // Same bounds on both sides, so nothing can be out of range.
        let merged = self.0.add(&other.0);
        debug_assert!(merged.is_ok());
    }

    pub(crate) fn summary(&self) -> LatencySummary {
        let us = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        LatencySummary {
            count: self.0.len(),
            mean_us: self.0.mean() / 1_000.0,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.0.max() as f64 / 1_000.0,
        }
    }
}

/// Quantiles in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LatencySummary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl std::fmt::Display for LatencySummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |us: f64| if us < 10_000.0 { format!("{us:.0} us") } else { format!("{:.1} ms", us / 1_000.0) };
        write!(
            f,
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
            show(self.p50_us),
            show(self.p90_us),
            show(self.p99_us),
            show(self.p999_us),
            show(self.max_us)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_series() {
        let mut all = Latency::new();
        for part in 0..2 {
            let mut latency = Latency::new();
            for us in 1..=500_u64 {
                latency.record((part * 500 + us) * 1_000);
            }
            all.merge(&latency);
        }
        all.record(u64::MAX);
        let summary = all.summary();
        assert_eq!(summary.count, 1_001);
        assert!((summary.p50_us - 500.0).abs() < 10.0 && (summary.p99_us - 990.0).abs() < 20.0, "{summary:?}");
        assert!(summary.max_us >= 600e6);
    }
}
