//! How far consumer groups are behind, in seconds.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `window_s` | 60 | the pace of a group is taken over so many seconds, 10 to 3600 |
//!
//! | derived series | labels | |
//! |---|---|---|
//! | `gantry_plugin_lag_seconds` | `consumer_group`, `topic` | age of the oldest message that the group has not confirmed |
//! | `gantry_plugin_catch_up_seconds` | the same | when the backlog will be gone, if it goes on shrinking at this pace; not there while it does not shrink |
//!
//! Reads `rocketmq_consumer_lag_messages` and `rocketmq_consumer_lag_latency`; groups of RocketMQ's own tools are left out. Retries of
//! a group have their own topic, `%RETRY%` and its name.

mod trend;

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::prelude::*;
use trend::Trend;

const MESSAGES: &str = "rocketmq_consumer_lag_messages";
/// In milliseconds.
const AGE: &str = "rocketmq_consumer_lag_latency";

/// Groups and topics that are told: two series each, and a hook may derive 10,000. Those furthest behind come first.
const PAIRS_MAX: usize = 5_000;

struct LagSeconds {
    window: Duration,
    trends: BTreeMap<Pair, Trend>,
}

/// Consumer group and topic.
type Pair = (String, String);

/// What is known of a pair in one tick.
#[derive(Default)]
struct Lag {
    messages: f64,
    age_s: Option<f64>,
}

#[metric_hook]
impl MetricHook for LagSeconds {
    fn open(params: &Params) -> Result<Self, String> {
        params.expect_only(&["window_s"])?;
        let window_s = params.parse("window_s")?.unwrap_or(60);
        if !(10..=3_600).contains(&window_s) {
            return Err(format!("`window_s` is {window_s}, expected 10 to 3600"));
        }
        Ok(LagSeconds { window: Duration::from_secs(window_s), trends: BTreeMap::new() })
    }

    fn wants(&self) -> Vec<String> {
        vec![MESSAGES.into(), AGE.into()]
    }

    fn families(&self) -> Vec<Family> {
        let labels = &["consumer_group", "topic"];
        vec![
            Family::gauge("lag_seconds", labels, "Age of the oldest message that the group has not confirmed."),
            Family::gauge("catch_up_seconds", labels, "When the group has caught up, if it keeps its pace."),
        ]
    }

    fn on_tick(&mut self, feed: &Feed, out: &mut Samples) {
        let lags = worst(lags(feed));
        self.trends.retain(|pair, _| lags.contains_key(pair));
        for ((group, topic), lag) in &lags {
            let trend = self.trends.entry((group.clone(), topic.clone())).or_insert_with(|| Trend::over(self.window));
            trend.take(feed.at_ms(), lag.messages);
            if let Some(age_s) = lag.age_s {
                out.set("lag_seconds", &[group, topic], age_s);
            }
            if let Some(left_s) = trend.seconds_to_zero() {
                out.set("catch_up_seconds", &[group, topic], left_s);
            }
        }
    }
}

/// Of several series of a pair (one a broker) messages add up, and the oldest message counts.
fn lags(feed: &Feed) -> BTreeMap<Pair, Lag> {
    let mut lags: BTreeMap<Pair, Lag> = BTreeMap::new();
    for series in feed.series().filter(|series| series.label("is_system") != "true") {
        let pair = (series.label("consumer_group").to_owned(), series.label("topic").to_owned());
        let lag = lags.entry(pair).or_default();
        match series.name() {
            AGE => lag.age_s = Some(lag.age_s.unwrap_or(0.0).max(series.value() / 1e3)),
            _ => lag.messages += series.value(),
        }
    }
    lags
}

fn worst(lags: BTreeMap<Pair, Lag>) -> BTreeMap<Pair, Lag> {
    if lags.len() <= PAIRS_MAX {
        return lags;
    }
    host::count("pairs_left_out", (lags.len() - PAIRS_MAX) as u64);
    let mut lags: Vec<(Pair, Lag)> = lags.into_iter().collect();
    lags.sort_by(|(_, a), (_, b)| b.messages.total_cmp(&a.messages));
    lags.into_iter().take(PAIRS_MAX).collect()
}

#[cfg(test)]
mod tests;
