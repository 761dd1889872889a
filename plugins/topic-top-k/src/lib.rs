//! The busiest topics of a node: few series to look at first, however many topics there are.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `k` | 10 | so many topics, 1 to 1000 |
//! | `by` | `messages_in` | what makes a topic busy: `messages_in`, `bytes_in`, `messages_out` or `bytes_out` |
//! | `window_s` | 60 | the rate is taken over so many seconds, 10 to 3600 |
//!
//! | derived series | labels | |
//! |---|---|---|
//! | `gantry_plugin_top_topics_messages_in_per_second` (or of what `by` says) | `topic` | the rate of a topic that is among the busiest; not there for the others |
//!
//! Reads RocketMQ's counters of messages and throughput; system topics are left out, and so are topics without any traffic. Use it
//! twice, under two names, to rank by two things.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::{Growth, prelude::*};

/// What a topic is ranked by: the parameter, the counter, and the derived series.
const RANKINGS: [(&str, &str, &str); 4] = [
    ("messages_in", "rocketmq_messages_in_total", "top_topics_messages_in_per_second"),
    ("bytes_in", "rocketmq_throughput_in_total", "top_topics_bytes_in_per_second"),
    ("messages_out", "rocketmq_messages_out_total", "top_topics_messages_out_per_second"),
    ("bytes_out", "rocketmq_throughput_out_total", "top_topics_bytes_out_per_second"),
];

struct TopicTopK {
    k: usize,
    counter: &'static str,
    family: &'static str,
    growth: Growth,
}

#[metric_hook]
impl MetricHook for TopicTopK {
    fn open(params: &Params) -> Result<Self, String> {
        params.expect_only(&["k", "by", "window_s"])?;
        let k = params.parse("k")?.unwrap_or(10);
        if !(1..=1_000).contains(&k) {
            return Err(format!("`k` is {k}, expected 1 to 1000"));
        }
        let window_s = params.parse("window_s")?.unwrap_or(60);
        if !(10..=3_600).contains(&window_s) {
            return Err(format!("`window_s` is {window_s}, expected 10 to 3600"));
        }
        let by = params.param("by").unwrap_or("messages_in");
        let Some((_, counter, family)) = RANKINGS.into_iter().find(|(name, ..)| *name == by) else {
            let known = RANKINGS.map(|(name, ..)| name).join(", ");
            return Err(format!("`by` is {by:?}, expected one of {known}"));
        };
        Ok(TopicTopK { k, counter, family, growth: Growth::of(counter, Duration::from_secs(window_s)) })
    }

    fn wants(&self) -> Vec<String> {
        vec![self.counter.into()]
    }

    fn families(&self) -> Vec<Family> {
        vec![Family::gauge(self.family, &["topic"], "Rate of a topic that is among the busiest of the node.")]
    }

    fn on_tick(&mut self, feed: &Feed, out: &mut Samples) {
        self.growth.follow(feed);
        // One series a message type or a consumer group.
        let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
        for series in feed.named(self.counter).filter(|series| series.label("is_system") != "true") {
            *rates.entry(series.label("topic")).or_default() += self.growth.per_second(series);
        }
        let mut ranked: Vec<(&str, f64)> = rates.into_iter().filter(|(_, rate)| *rate > 0.0).collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for (topic, rate) in ranked.into_iter().take(self.k) {
            out.set(self.family, &[topic], rate);
        }
    }
}

#[cfg(test)]
mod tests;
