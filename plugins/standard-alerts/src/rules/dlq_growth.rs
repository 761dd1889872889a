//! A consumer group gives up on messages.

use gantry_plugin_sdk::{Growth, prelude::*};

use super::Offer;
use crate::{
    ignore::Ignore,
    limits::{Limits, window},
    rule::{Rule, alert, count},
};

const NAME: &str = "dlq-growth";
const GIVEN_UP: &str = "rocketmq_send_to_dlq_messages_total";

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["dlq_messages_warning", "dlq_messages_critical", "dlq_window_s"],
    open: |params, ignore| {
        let window = window(params, "dlq_window_s", 300)?;
        Ok(Box::new(DlqGrowth {
            messages: Limits::read(params, "dlq_messages", [Some(1.0), None])?,
            window_s: window.as_secs(),
            growth: Growth::of(GIVEN_UP, window),
            ignore: ignore.clone(),
        }))
    },
};

struct DlqGrowth {
    messages: Limits,
    window_s: u64,
    growth: Growth,
    ignore: Ignore,
}

impl Rule for DlqGrowth {
    fn wants(&self) -> &'static [&'static str] {
        &[GIVEN_UP]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        self.growth.follow(feed);
        for series in feed.named(GIVEN_UP).filter(|series| !self.ignore.has(series)) {
            let given_up = self.growth.within(series);
            let Some(severity) = self.messages.reached(given_up) else { continue };
            let [group, topic, node] = ["consumer_group", "topic", "node_id"].map(|label| series.label(label));
            let summary = format!(
                "group {group} gave up {} of topic {topic} within {} s, which %DLQ%{group} has now",
                count(given_up, "message"),
                self.window_s
            );
            let labels = [("consumer_group", group), ("topic", topic), ("node_id", node)];
            alerts.push(alert(NAME, &labels, severity, summary).value(given_up));
        }
    }

    fn snapshot(&self) -> String {
        self.growth.snapshot()
    }

    fn restore(&mut self, state: &str) -> Result<(), String> {
        self.growth.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{open, said};
    use gantry_plugin_sdk::testing::TestFeed;

    fn given_up(counts: &[(&str, f64)]) -> TestFeed {
        counts.iter().fold(TestFeed::new(), |feed, (group, count)| {
            feed.counter(GIVEN_UP, &[("consumer_group", group), ("topic", "t")], *count)
        })
    }

    #[test]
    fn new_dead_letters_and_not_old_ones() {
        let mut plugin = open(&[("rules", NAME), ("dlq_messages_critical", "100")]).unwrap();
        assert!(plugin.tick(0, &given_up(&[("a", 500.0)])).is_empty());
        // The first dead letter of a group makes its series.
        let alerts = plugin.tick(10_000, &given_up(&[("a", 500.0), ("b", 1.0)]));
        assert_eq!(said(&alerts), ["warning dlq-growth/b/t"]);
        let expected = "group b gave up 1 message of topic t within 300 s, which %DLQ%b has now";
        assert_eq!(alerts[0].summary, expected);
        let alerts = plugin.tick(20_000, &given_up(&[("a", 600.0), ("b", 1.0)]));
        assert_eq!(said(&alerts), ["critical dlq-growth/a/t", "warning dlq-growth/b/t"]);
        let alerts = plugin.tick(310_000, &given_up(&[("a", 600.0), ("b", 1.0)]));
        assert_eq!(said(&alerts), ["critical dlq-growth/a/t"], "b's is out of the window");
        assert!(plugin.tick(320_000, &given_up(&[("a", 600.0), ("b", 1.0)])).is_empty());
    }

    #[test]
    fn the_next_version_knows_of_it() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        plugin.tick(0, &given_up(&[("a", 500.0)]));
        plugin.tick(10_000, &given_up(&[("a", 501.0)]));
        let mut next = open(&[]).unwrap();
        plugin.hand_over(&mut next).unwrap();
        assert_eq!(said(&next.tick(20_000, &given_up(&[("a", 501.0)]))), ["warning dlq-growth/a/t"]);
    }
}
