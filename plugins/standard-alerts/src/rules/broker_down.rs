//! A broker does not work as one should: it refuses sends, its disk failed, or it told its metrics and does not any more. A node that
//! ended altogether cannot say so itself; that takes somebody who looks from outside (`up == 0` in Prometheus).

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::prelude::*;

use super::Offer;
use crate::{
    limits::seconds,
    rule::{Rule, alert},
};

const NAME: &str = "broker-down";
/// 4 = reads, 2 = writes, 6 = both.
const PERMISSION: &str = "rocketmq_broker_permission";
/// 0 after a disk error ended the log.
const HEALTHY: &str = "gantry_store_healthy";
const WRITES: u32 = 2;
/// Brokers that are remembered.
const BROKERS_MAX: usize = 1_000;

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["broker_for_s", "broker_forget_s"],
    open: |params, _| {
        Ok(Box::new(BrokerDown {
            holds_for: seconds(params, "broker_for_s", 120)?,
            forget_ms: seconds(params, "broker_forget_s", 3_600)?.as_millis() as u64,
            seen_ms: BTreeMap::new(),
        }))
    },
};

struct BrokerDown {
    holds_for: Duration,
    /// One that is gone for so long is not missed any more.
    forget_ms: u64,
    /// When each broker last told its permission.
    seen_ms: BTreeMap<String, u64>,
}

impl BrokerDown {
    fn down(&self, node: &str, reason: &str) -> Alert {
        let summary = format!("broker {node} {reason}");
        alert(NAME, &[("node_id", node)], Severity::Critical, summary).holds_for(self.holds_for)
    }
}

impl Rule for BrokerDown {
    fn wants(&self) -> &'static [&'static str] {
        &[PERMISSION, HEALTHY]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        let now_ms = feed.at_ms();
        // One alert a broker, with the worst reason.
        let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
        for series in feed.named(PERMISSION) {
            let node = series.label("node_id");
            if series.value() as u32 & WRITES == 0 {
                reasons.insert(node, "refuses sends");
            }
            if self.seen_ms.len() < BROKERS_MAX || self.seen_ms.contains_key(node) {
                self.seen_ms.insert(node.to_owned(), now_ms);
            }
        }
        for series in feed.named(HEALTHY).filter(|series| series.value() == 0.0) {
            reasons.insert(
                series.label("node_id"),
                "takes no messages any more since its disk failed; it must be started anew",
            );
        }
        self.seen_ms.retain(|_, last_ms| now_ms.saturating_sub(*last_ms) <= self.forget_ms);
        for (node, last_ms) in &self.seen_ms {
            if *last_ms < now_ms {
                reasons.insert(node, "tells nothing any more");
            }
        }
        let down: Vec<Alert> = reasons.iter().map(|(node, reason)| self.down(node, reason)).collect();
        alerts.extend(down);
    }

    fn snapshot(&self) -> String {
        self.seen_ms.iter().map(|(node, last_ms)| format!("{last_ms} {node}\n")).collect()
    }

    fn restore(&mut self, state: &str) -> Result<(), String> {
        let one = |line: &str| {
            let (last_ms, node) = line.split_once(' ')?;
            Some((node.to_owned(), last_ms.parse().ok()?))
        };
        let seen_ms: Option<_> = state.lines().map(one).collect();
        self.seen_ms = seen_ms.ok_or("a line of the brokers does not read")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{open, said};
    use gantry_plugin_sdk::testing::TestFeed;

    fn brokers(brokers: &[(&str, f64, f64)]) -> TestFeed {
        brokers.iter().fold(TestFeed::new(), |feed, (node, permission, healthy)| {
            let labels = [("node_id", *node)];
            feed.gauge(PERMISSION, &labels, *permission).gauge(HEALTHY, &labels, *healthy)
        })
    }

    #[test]
    fn refusing_failed_and_gone() {
        let mut plugin = open(&[("rules", NAME), ("broker_forget_s", "60")]).unwrap();
        assert!(plugin.tick(0, &brokers(&[("a", 6.0, 1.0), ("b", 2.0, 1.0)])).is_empty());
        let alerts = plugin.tick(10_000, &brokers(&[("a", 4.0, 1.0), ("b", 4.0, 0.0)]));
        assert_eq!(said(&alerts), ["critical broker-down/a", "critical broker-down/b"]);
        assert_eq!(alerts[0].summary, "broker a refuses sends");
        assert!(alerts[1].summary.contains("since its disk failed"));
        assert_eq!(alerts[0].holds_for, Duration::from_secs(120));

        let alerts = plugin.tick(20_000, &brokers(&[("a", 6.0, 1.0)]));
        assert_eq!(said(&alerts), ["critical broker-down/b"]);
        assert_eq!(alerts[0].summary, "broker b tells nothing any more");
        assert_eq!(said(&plugin.tick(70_000, &brokers(&[("a", 6.0, 1.0)]))), ["critical broker-down/b"]);
        assert!(plugin.tick(70_001, &brokers(&[("a", 6.0, 1.0)])).is_empty(), "forgotten");
    }

    #[test]
    fn the_next_version_misses_it_too() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        plugin.tick(0, &brokers(&[("a", 6.0, 1.0), ("b b", 6.0, 1.0)]));
        let mut next = open(&[("rules", NAME)]).unwrap();
        plugin.hand_over(&mut next).unwrap();
        assert_eq!(said(&next.tick(10_000, &brokers(&[("a", 6.0, 1.0)]))), ["critical broker-down/b b"]);
    }
}
