//! Figures of a campaign.

use std::time::Duration;

/// The `quantile` (0.0 to 1.0) of the samples, in milliseconds; 0 without samples.
pub fn quantile_ms(samples: &mut [Duration], quantile: f64) -> f64 {
    samples.sort_unstable();
    let index = ((samples.len() as f64 - 1.0) * quantile).round().max(0.0) as usize;
    samples.get(index).map_or(0.0, |sample| sample.as_secs_f64() * 1e3)
}
