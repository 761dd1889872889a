//! One queue of a topic gets or keeps far more than the others: its consumer works while the rest wait. Reads what the plugin
//! `queue-skew` derives.

use std::time::Duration;

use gantry_plugin_sdk::prelude::*;

use super::Offer;
use crate::{
    ignore::Ignore,
    limits::{Limits, seconds},
    rule::{Rule, alert},
};

const NAME: &str = "hot-queue";
const SKEWS: [(&str, &str, &str); 2] = [
    ("gantry_plugin_queue_rate_skew", "gantry_plugin_queue_rate_hottest", "gets"),
    ("gantry_plugin_queue_depth_skew", "gantry_plugin_queue_depth_hottest", "holds"),
];

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["hot_queue_skew_warning", "hot_queue_skew_critical", "hot_queue_for_s"],
    open: |params, ignore| {
        Ok(Box::new(HotQueue {
            skew: Limits::read(params, "hot_queue_skew", [Some(3.0), None])?,
            holds_for: seconds(params, "hot_queue_for_s", 600)?,
            ignore: ignore.clone(),
        }))
    },
};

struct HotQueue {
    skew: Limits,
    holds_for: Duration,
    ignore: Ignore,
}

impl Rule for HotQueue {
    fn wants(&self) -> &'static [&'static str] {
        const NAMES: [&str; 4] = [SKEWS[0].0, SKEWS[0].1, SKEWS[1].0, SKEWS[1].1];
        &NAMES
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        for (skew, hottest, does) in SKEWS {
            for series in feed.named(skew).filter(|series| !self.ignore.has(series)) {
                let Some(severity) = self.skew.reached(series.value()) else { continue };
                let topic = series.label("topic");
                let queue = feed.named(hottest).find(|queue| queue.label("topic") == topic).map(Series::value);
                let queue = queue.map_or(String::new(), |queue| format!(" {queue}"));
                let summary =
                    format!("queue{queue} of topic {topic} {does} {:.1} times the mean of its queues", series.value());
                let labels = [("topic", topic), ("by", if does == "gets" { "rate" } else { "depth" })];
                alerts.push(alert(NAME, &labels, severity, summary).value(series.value()).holds_for(self.holds_for));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{open, said};
    use gantry_plugin_sdk::testing::TestFeed;

    #[test]
    fn a_queue_with_three_times_the_mean() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        let feed = TestFeed::new()
            .gauge("gantry_plugin_queue_rate_skew", &[("plugin", "skew"), ("topic", "a")], 2.9)
            .gauge("gantry_plugin_queue_rate_skew", &[("plugin", "skew"), ("topic", "b")], 3.04)
            .gauge("gantry_plugin_queue_rate_hottest", &[("plugin", "skew"), ("topic", "b")], 5.0)
            .gauge("gantry_plugin_queue_depth_skew", &[("plugin", "deep"), ("topic", "b")], 4.0);
        let alerts = plugin.tick(0, &feed);
        assert_eq!(said(&alerts), ["warning hot-queue/b/rate", "warning hot-queue/b/depth"]);
        assert_eq!(alerts[0].summary, "queue 5 of topic b gets 3.0 times the mean of its queues");
        assert_eq!(alerts[1].summary, "queue of topic b holds 4.0 times the mean of its queues");
        assert_eq!((alerts[0].value, alerts[0].holds_for), (3.04, Duration::from_secs(600)));
    }
}
