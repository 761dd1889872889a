//! How often each message of a topic is delivered: once for each group that follows it.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::{Growth, prelude::*};

const IN: &str = "rocketmq_messages_in_total";
const OUT: &str = "rocketmq_messages_out_total";

struct FanOut {
    stored: Growth,
    delivered: Growth,
}

#[metric_hook]
impl MetricHook for FanOut {
    fn open(params: &Params) -> Result<Self, String> {
        params.expect_only(&["window_s"])?;
        let window = Duration::from_secs(params.parse("window_s")?.unwrap_or(60));
        Ok(FanOut { stored: Growth::of(IN, window), delivered: Growth::of(OUT, window) })
    }

    fn wants(&self) -> Vec<String> {
        vec![IN.into(), OUT.into()]
    }

    fn families(&self) -> Vec<Family> {
        vec![Family::gauge("fan_out", &["topic"], "Messages delivered for each that was stored.")]
    }

    fn on_tick(&mut self, feed: &Feed, out: &mut Samples) {
        self.stored.follow(feed);
        self.delivered.follow(feed);
        // A topic has a series for each type of message, and for each group.
        let mut topics: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
        for series in feed.series() {
            let [stored, delivered] = topics.entry(series.label("topic")).or_default();
            *stored += self.stored.within(series);
            *delivered += self.delivered.within(series);
        }
        for (topic, [stored, delivered]) in topics {
            if stored > 0.0 {
                out.set("fan_out", &[topic], delivered / stored);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin_sdk::testing::{TestFeed, TestHost};

    use super::*;

    fn feed(stored: f64, delivered: f64) -> TestFeed {
        let topic = ("topic", "orders");
        TestFeed::new()
            .counter(IN, &[topic, ("message_type", "normal")], stored)
            .counter(OUT, &[topic, ("consumer_group", "a")], delivered)
            .counter(OUT, &[topic, ("consumer_group", "b")], delivered)
    }

    #[test]
    fn two_groups_make_two_deliveries() {
        let mut plugin = TestHost::new().open_metrics::<FanOut>().unwrap();
        assert!(plugin.tick(0, &feed(5_000.0, 0.0)).is_empty(), "what was before does not count");
        let series = plugin.tick(10_000, &feed(5_100.0, 100.0));
        assert_eq!(series, [("fan_out{topic=\"orders\"}".to_owned(), 2.0)]);
    }

    #[test]
    fn a_misspelt_parameter_is_refused() {
        let refusal = TestHost::new().param("window", "60").open_metrics::<FanOut>().err();
        assert_eq!(refusal.unwrap(), "unknown parameter `window`; known are window_s");
    }
}
