//! A canary of queues.

use std::ops::RangeInclusive;

use gantry_plugin_sdk::prelude::*;

/// What 100 % is, so that percents have two decimals.
const WHOLE: u32 = 10_000;

pub(crate) struct Queues {
    ids: Vec<RangeInclusive<u32>>,
    /// Share of them all, of [`WHOLE`].
    share: u32,
}

impl Queues {
    pub(crate) fn read(params: &Params) -> Result<Option<Self>, String> {
        let (ids, percent) = match (params.param("queues"), params.parse::<f64>("percent")?) {
            (None, None) => return Ok(None),
            (Some(ids), Some(percent)) => (ids, percent),
            _ => return Err("`queues` and `percent` go together; one of them is missing".into()),
        };
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("`percent` is {percent}, expected 0 to 100"));
        }
        let ids: Option<Vec<_>> = ids.split(',').map(|part| range(part.trim())).collect();
        let ids = ids.ok_or_else(|| {
            format!(
                "`queues` is {:?}, expected numbers and ranges as in 0,4-7",
                params.param("queues").unwrap_or_default()
            )
        })?;
        Ok(Some(Queues { ids, share: (percent * f64::from(WHOLE) / 100.0).round() as u32 }))
    }

    /// Each side's queues share what the side gets: the weight of one is its side's share times the number of the other
    /// side's queues.
    pub(crate) fn weights(&self, queues: &[QueueState]) -> Vec<u32> {
        let is_canary = |queue: &QueueState| self.ids.iter().any(|ids| ids.contains(&queue.queue_id));
        let canaries = queues.iter().filter(|queue| is_canary(queue)).count();
        let others = queues.len() - canaries;
        if canaries == 0 || others == 0 {
            return vec![1; queues.len()];
        }
        let weight = |share: u32, of: usize| share.saturating_mul(of as u32);
        let (canary, other) = (weight(self.share, others), weight(WHOLE - self.share, canaries));
        queues.iter().map(|queue| if is_canary(queue) { canary } else { other }).collect()
    }
}

/// `4`, or `4-7`.
fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from <= to).then_some(from..=to)
}
