//! How unevenly a topic's messages are spread over its queues: one hot queue is one busy consumer, however many there are.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `by` | `rate` | what is compared: `rate`, the messages that a queue gets, or `depth`, those that wait in it |
//! | `window_s` | 60 | the rate is taken over so many seconds, 10 to 3600 |
//! | `min_per_second` | 10 | topics with less are not judged: a few messages are always uneven |
//! | `min_messages` | 1000 | the same for `depth` |
//!
//! | derived series | labels | |
//! |---|---|---|
//! | `gantry_plugin_queue_rate_skew` | `topic` | the fullest queue divided by the mean; 1 = even, n = all in one of n queues |
//! | `gantry_plugin_queue_rate_hottest` | `topic` | number of that queue |
//!
//! With `by = "depth"` they are `gantry_plugin_queue_depth_skew` and `gantry_plugin_queue_depth_hottest`: load it twice to see both.
//!
//! Reads one series a queue: `gantry_queue_messages_in_total` or `gantry_queue_depth_messages`, with the labels `topic` and `queue_id`.
//! The alert `hot-queue` of `standard-alerts` looks at the skew.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::{Growth, prelude::*};

const MESSAGES_IN: &str = "gantry_queue_messages_in_total";
const DEPTH: &str = "gantry_queue_depth_messages";
/// Topics that are told: two series each, and a hook may derive 10,000.
const TOPICS_MAX: usize = 5_000;

struct QueueSkew {
    by: By,
    /// Topics with less than this in all are not judged.
    least: f64,
}

enum By {
    Rate(Growth),
    Depth,
}

/// The queues of a topic.
#[derive(Default)]
struct Queues {
    count: usize,
    sum: f64,
    /// The fullest: what it has, and its number.
    top: (f64, f64),
}

#[metric_hook]
impl MetricHook for QueueSkew {
    fn open(params: &Params) -> Result<Self, String> {
        params.expect_only(&["by", "window_s", "min_per_second", "min_messages"])?;
        let window_s = params.parse("window_s")?.unwrap_or(60);
        if !(10..=3_600).contains(&window_s) {
            return Err(format!("`window_s` is {window_s}, expected 10 to 3600"));
        }
        let min_per_second = params.parse("min_per_second")?.unwrap_or(10.0);
        let min_messages = params.parse("min_messages")?.unwrap_or(1_000.0);
        match params.param("by").unwrap_or("rate") {
            "rate" => {
                let growth = Growth::of(MESSAGES_IN, Duration::from_secs(window_s));
                Ok(QueueSkew { by: By::Rate(growth), least: min_per_second })
            }
            "depth" => Ok(QueueSkew { by: By::Depth, least: min_messages }),
            other => Err(format!("`by` is {other:?}, expected rate or depth")),
        }
    }

    fn wants(&self) -> Vec<String> {
        vec![self.series().into()]
    }

    fn families(&self) -> Vec<Family> {
        let [skew, hottest] = self.names();
        vec![
            Family::gauge(skew, &["topic"], "The fullest queue of a topic divided by the mean of all."),
            Family::gauge(hottest, &["topic"], "Number of the fullest queue of a topic."),
        ]
    }

    fn on_tick(&mut self, feed: &Feed, out: &mut Samples) {
        if let By::Rate(growth) = &mut self.by {
            growth.follow(feed);
        }
        let [skew, hottest] = self.names();
        let mut topics: BTreeMap<&str, Queues> = BTreeMap::new();
        for series in feed.named(self.series()).filter(|series| series.label("is_system") != "true") {
            let Ok(number) = series.label("queue_id").parse() else { continue };
            topics.entry(series.label("topic")).or_default().add(self.has(series), number);
        }
        let judged =
            topics.into_iter().filter(|(_, queues)| queues.count > 1 && queues.sum > 0.0 && queues.sum >= self.least);
        for (topic, queues) in judged.take(TOPICS_MAX) {
            out.set(skew, &[topic], queues.top.0 * queues.count as f64 / queues.sum);
            out.set(hottest, &[topic], queues.top.1);
        }
    }
}

impl QueueSkew {
    fn series(&self) -> &'static str {
        match self.by {
            By::Rate(_) => MESSAGES_IN,
            By::Depth => DEPTH,
        }
    }

    /// Of skew and hottest queue.
    fn names(&self) -> [&'static str; 2] {
        match self.by {
            By::Rate(_) => ["queue_rate_skew", "queue_rate_hottest"],
            By::Depth => ["queue_depth_skew", "queue_depth_hottest"],
        }
    }

    /// What a queue has of what is compared.
    fn has(&self, queue: &Series) -> f64 {
        match &self.by {
            By::Rate(growth) => growth.per_second(queue),
            By::Depth => queue.value(),
        }
    }
}

impl Queues {
    fn add(&mut self, has: f64, number: f64) {
        self.count += 1;
        self.sum += has;
        if has > self.top.0 {
            self.top = (has, number);
        }
    }
}

#[cfg(test)]
mod tests;
