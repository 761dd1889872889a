//! The disk under a broker's log fills up.

use std::time::Duration;

use gantry_plugin_sdk::prelude::*;

use super::Offer;
use crate::{
    limits::{Limits, seconds},
    rule::{Rule, alert},
};

const NAME: &str = "disk-watermark";
/// Negative when the disk does not say.
const USED: &str = "gantry_disk_used_percent";

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["disk_percent_warning", "disk_percent_critical", "disk_for_s"],
    open: |params, _| {
        Ok(Box::new(DiskWatermark {
            percent: Limits::read(params, "disk_percent", [Some(75.0), Some(85.0)])?,
            holds_for: seconds(params, "disk_for_s", 60)?,
        }))
    },
};

struct DiskWatermark {
    percent: Limits,
    holds_for: Duration,
}

impl Rule for DiskWatermark {
    fn wants(&self) -> &'static [&'static str] {
        &[USED]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        for series in feed.named(USED) {
            let (node, used) = (series.label("node_id"), series.value());
            let Some(severity) = self.percent.reached(used) else { continue };
            let summary = format!(
                "the disk of broker {node} is {used} % full; a full one makes old messages go early, and then sends are refused"
            );
            alerts.push(alert(NAME, &[("node_id", node)], severity, summary).value(used).holds_for(self.holds_for));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{open, said};
    use gantry_plugin_sdk::testing::TestFeed;

    #[test]
    fn from_the_watermark_on() {
        let mut plugin = open(&[("rules", NAME), ("disk_percent_critical", "90")]).unwrap();
        let nodes = [("a", 74.0), ("b", 75.0), ("c", 90.0), ("d", -1.0)];
        let feed =
            nodes.iter().fold(TestFeed::new(), |feed, (node, used)| feed.gauge(USED, &[("node_id", node)], *used));
        let alerts = plugin.tick(0, &feed);
        assert_eq!(said(&alerts), ["warning disk-watermark/b", "critical disk-watermark/c"]);
        assert_eq!((alerts[0].value, alerts[0].holds_for), (75.0, Duration::from_secs(60)));
    }
}
