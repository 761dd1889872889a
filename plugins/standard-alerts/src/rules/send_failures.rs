//! A broker answers many sends with something else than success: it is overloaded, its disk is full, topics are missing. A send that
//! was answered with FLUSH_DISK_TIMEOUT counts, though its message may be stored.

use std::collections::BTreeMap;

use gantry_plugin_sdk::{Growth, prelude::*};

use super::Offer;
use crate::{
    limits::{Limits, window},
    rule::{Rule, alert},
};

const NAME: &str = "send-failures";
/// How many requests were answered how.
const ANSWERS: &str = "rocketmq_rpc_latency_count";
const SENDS: [&str; 3] = ["send_message", "send_message_v2", "send_batch_message"];

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &[
        "send_failures_percent_warning",
        "send_failures_percent_critical",
        "send_failures_min",
        "send_failures_window_s",
    ],
    open: |params, _| {
        let window = window(params, "send_failures_window_s", 300)?;
        Ok(Box::new(SendFailures {
            percent: Limits::read(params, "send_failures_percent", [Some(1.0), Some(10.0)])?,
            min: params.parse("send_failures_min")?.unwrap_or(10.0),
            window_s: window.as_secs(),
            growth: Growth::of(ANSWERS, window),
        }))
    },
};

struct SendFailures {
    percent: Limits,
    /// Fewer failures than this are not worth a word, whatever part of all they are.
    min: f64,
    window_s: u64,
    growth: Growth,
}

/// Sends to one broker within the window.
#[derive(Default)]
struct Sends<'f> {
    all: f64,
    failed: f64,
    by_code: BTreeMap<&'f str, f64>,
}

impl Rule for SendFailures {
    fn wants(&self) -> &'static [&'static str] {
        &[ANSWERS]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        self.growth.follow(feed);
        let mut brokers: BTreeMap<&str, Sends<'_>> = BTreeMap::new();
        for series in feed.named(ANSWERS).filter(|series| SENDS.contains(&series.label("request_code"))) {
            let (sends, count) = (brokers.entry(series.label("node_id")).or_default(), self.growth.within(series));
            sends.all += count;
            let code = series.label("response_code");
            if code != "success" {
                sends.failed += count;
                *sends.by_code.entry(code).or_default() += count;
            }
        }
        for (node, sends) in brokers {
            let percent = 100.0 * sends.failed / sends.all.max(1.0);
            let Some(severity) = self.percent.reached(percent).filter(|_| sends.failed >= self.min) else { continue };
            let most = sends.by_code.into_iter().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or("", |(code, _)| code);
            let (failed, all, window_s) = (sends.failed, sends.all, self.window_s);
            let summary = format!(
                "{failed} of {all} sends to broker {node} within {window_s} s failed ({percent:.1} %), most with {most}"
            );
            alerts.push(alert(NAME, &[("node_id", node)], severity, summary).value(percent));
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

    fn answers(counts: &[(&str, &str, f64)]) -> TestFeed {
        counts.iter().fold(TestFeed::new(), |feed, (request, response, count)| {
            let labels = [("node_id", "n1"), ("request_code", *request), ("response_code", *response)];
            feed.counter(ANSWERS, &labels, *count)
        })
    }

    #[test]
    fn a_part_of_the_sends_and_enough_of_them() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        plugin.tick(0, &answers(&[("send_message_v2", "success", 7e6), ("pull_message", "system_error", 0.0)]));
        // 8 + 4 of 1,200 are 1 %; failing pulls are another matter.
        let counts = [
            ("send_message_v2", "success", 7e6 + 1_100.0),
            ("send_message", "success", 88.0),
            ("send_message_v2", "system_busy", 8.0),
            ("send_batch_message", "flush_disk_timeout", 4.0),
            ("pull_message", "system_error", 900.0),
        ];
        let alerts = plugin.tick(10_000, &answers(&counts));
        assert_eq!(said(&alerts), ["warning send-failures/n1"]);
        let expected = "12 of 1200 sends to broker n1 within 300 s failed (1.0 %), most with system_busy";
        assert_eq!((alerts[0].summary.as_str(), alerts[0].value), (expected, 1.0));
        assert!(plugin.tick(310_000, &answers(&counts)).is_empty());
    }

    #[test]
    fn a_few_failures_are_not_worth_a_word() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        plugin.tick(0, &answers(&[("send_message_v2", "no_permission", 0.0)]));
        assert!(plugin.tick(10_000, &answers(&[("send_message_v2", "no_permission", 9.0)])).is_empty());
        let all = plugin.tick(20_000, &answers(&[("send_message_v2", "no_permission", 10.0)]));
        assert_eq!(said(&all), ["critical send-failures/n1"]);
    }
}
