//! Warns of topics in which nothing arrives any more.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::prelude::*;

const IN: &str = "rocketmq_messages_in_total";

struct QuietTopics {
    topics: Vec<String>,
    quiet_for: Duration,
}

#[alert_hook]
impl AlertHook for QuietTopics {
    fn open(params: &Params) -> Result<Self, String> {
        params.expect_only(&["topics", "quiet_s"])?;
        let topics = params.require("topics")?.split(',').map(|topic| topic.trim().to_owned()).collect();
        Ok(QuietTopics { topics, quiet_for: Duration::from_secs(params.parse("quiet_s")?.unwrap_or(300)) })
    }

    fn wants(&self) -> Vec<String> {
        vec![IN.into()]
    }

    /// Names what holds now. The broker waits until it has held for long enough, tells destinations, and clears it.
    fn on_tick(&mut self, feed: &Feed) -> Vec<Alert> {
        // A topic has a series for each type of message, and none before its first message.
        let mut rates: BTreeMap<&str, f64> = self.topics.iter().map(|topic| (topic.as_str(), 0.0)).collect();
        for series in feed.named(IN) {
            if let Some(rate) = rates.get_mut(series.label("topic")) {
                *rate += series.rate().unwrap_or(0.0);
            }
        }
        let quiet = rates.into_iter().filter(|(_, rate)| *rate == 0.0);
        let alert = |(topic, _): (&str, f64)| {
            Alert::new(Severity::Warning, format!("quiet/{topic}"), format!("nothing arrives in topic {topic}"))
                .label("topic", topic)
                .holds_for(self.quiet_for)
        };
        quiet.map(alert).collect()
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin_sdk::testing::{TestFeed, TestHost};

    use super::*;

    #[test]
    fn a_topic_without_new_messages_is_quiet() {
        let mut plugin = TestHost::new().param("topics", "orders, bills").open_alerts::<QuietTopics>().unwrap();
        let feed = |orders, bills| {
            let feed = TestFeed::new().counter(IN, &[("topic", "orders")], orders);
            feed.counter(IN, &[("topic", "bills")], bills).counter(IN, &[("topic", "other")], 1.0)
        };
        plugin.tick(0, &feed(5.0, 5.0));
        let alerts = plugin.tick(10_000, &feed(6.0, 5.0));
        assert_eq!(alerts.iter().map(|alert| alert.key.as_str()).collect::<Vec<_>>(), ["quiet/bills"]);
        assert_eq!(alerts[0].holds_for, Duration::from_secs(300));
    }

    #[test]
    fn topics_must_be_named() {
        let refusal = TestHost::new().open_alerts::<QuietTopics>().err();
        assert_eq!(refusal.unwrap(), "the parameter `topics` is missing");
    }
}
