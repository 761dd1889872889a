//! A consumer group is far behind: many messages, or old ones. Groups that nobody consumes for keep their lag, and are named too.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::prelude::*;

use super::Offer;
use crate::{
    ignore::Ignore,
    limits::{Limits, seconds},
    rule::{Rule, alert, count},
};

const NAME: &str = "consumer-lag";
const MESSAGES: &str = "rocketmq_consumer_lag_messages";
/// In milliseconds.
const AGE: &str = "rocketmq_consumer_lag_latency";

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["lag_messages_warning", "lag_messages_critical", "lag_age_s_warning", "lag_age_s_critical", "lag_for_s"],
    open: |params, ignore| {
        Ok(Box::new(ConsumerLag {
            messages: Limits::read(params, "lag_messages", [Some(10_000.0), Some(100_000.0)])?,
            age_s: Limits::read(params, "lag_age_s", [Some(600.0), None])?,
            holds_for: seconds(params, "lag_for_s", 300)?,
            ignore: ignore.clone(),
        }))
    },
};

struct ConsumerLag {
    messages: Limits,
    age_s: Limits,
    holds_for: Duration,
    ignore: Ignore,
}

#[derive(Default)]
struct Lag {
    messages: f64,
    age_s: f64,
}

impl Rule for ConsumerLag {
    fn wants(&self) -> &'static [&'static str] {
        &[MESSAGES, AGE]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        let mut lags: BTreeMap<[&str; 3], Lag> = BTreeMap::new();
        for series in
            feed.series().filter(|series| [MESSAGES, AGE].contains(&series.name()) && !self.ignore.has(series))
        {
            let lag = lags.entry(["consumer_group", "topic", "node_id"].map(|label| series.label(label))).or_default();
            match series.name() {
                MESSAGES => lag.messages = series.value(),
                _ => lag.age_s = series.value() / 1e3,
            }
        }
        for ([group, topic, node], lag) in lags {
            let Some(severity) = self.messages.reached(lag.messages).max(self.age_s.reached(lag.age_s)) else {
                continue;
            };
            let summary = format!(
                "group {group} has {} of topic {topic} before it, the oldest {:.0} s old",
                count(lag.messages, "message"),
                lag.age_s
            );
            let labels = [("consumer_group", group), ("topic", topic), ("node_id", node)];
            alerts.push(alert(NAME, &labels, severity, summary).value(lag.messages).holds_for(self.holds_for));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{open, said};
    use gantry_plugin_sdk::testing::TestFeed;

    fn lag(feed: TestFeed, group: &str, topic: &str, messages: f64, age_ms: f64) -> TestFeed {
        let labels = [("node_id", "n1"), ("consumer_group", group), ("topic", topic), ("is_system", "false")];
        feed.gauge(MESSAGES, &labels, messages).gauge(AGE, &labels, age_ms)
    }

    #[test]
    fn many_messages_or_an_old_one() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        let feed = lag(TestFeed::new(), "a", "t", 9_999.0, 599_999.0);
        let feed = lag(feed, "b", "t", 10_000.0, 0.0);
        let feed = lag(feed, "c", "t", 100_000.0, 600_000.0);
        let feed = lag(feed, "d", "t", 1.0, 600_000.0);
        let alerts = plugin.tick(0, &feed);
        let expected = ["warning consumer-lag/b/t/n1", "critical consumer-lag/c/t/n1", "warning consumer-lag/d/t/n1"];
        assert_eq!(said(&alerts), expected);
        assert_eq!(alerts[1].summary, "group c has 100000 messages of topic t before it, the oldest 600 s old");
        assert_eq!((alerts[1].value, alerts[1].holds_for), (100_000.0, Duration::from_secs(300)));
        let labels = [("consumer_group", "c"), ("topic", "t"), ("node_id", "n1"), ("alertname", NAME)];
        assert_eq!(alerts[1].labels, labels.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_ignored_and_what_is_the_systems_own() {
        let params = [("rules", NAME), ("ignore_groups", "test-*, x"), ("ignore_topics", "scratch")];
        let mut plugin = open(&params).unwrap();
        let mut feed = TestFeed::new();
        for (group, topic) in [("test-1", "t"), ("x", "t"), ("xy", "t"), ("g", "scratch")] {
            feed = lag(feed, group, topic, 1e6, 0.0);
        }
        feed = feed.gauge(MESSAGES, &[("consumer_group", "sys"), ("topic", "t"), ("is_system", "true")], 1e6);
        assert_eq!(said(&plugin.tick(0, &feed)), ["critical consumer-lag/xy/t/n1"]);
    }
}
