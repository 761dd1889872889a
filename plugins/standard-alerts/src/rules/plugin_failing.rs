//! A plugin of this node does not do its work. Of this plugin's own failures the broker must tell by itself.

use std::{collections::BTreeMap, time::Duration};

use gantry_plugin_sdk::{Growth, prelude::*};

use super::Offer;
use crate::{
    limits::{Limits, seconds, window},
    rule::{Rule, alert, count},
};

const NAME: &str = "plugin-failing";
const FAULTS: &str = "gantry_plugins_faults_total";
/// 1 while a filter rests after too many faults.
const RESTING: &str = "gantry_plugins_resting";
/// 1 while a version serves.
const LOADED: &str = "gantry_plugins_loaded";
/// 1 while the latest file or configuration is not taken.
const REFUSED: &str = "gantry_plugins_refused";

pub(crate) const OFFER: Offer = Offer {
    name: NAME,
    params: &["plugin_faults_warning", "plugin_faults_critical", "plugin_window_s", "plugin_for_s"],
    open: |params, _| {
        let window = window(params, "plugin_window_s", 300)?;
        Ok(Box::new(PluginFailing {
            faults: Limits::read(params, "plugin_faults", [Some(5.0), Some(50.0)])?,
            window_s: window.as_secs(),
            growth: Growth::of(FAULTS, window),
            holds_for: seconds(params, "plugin_for_s", 60)?,
        }))
    },
};

struct PluginFailing {
    faults: Limits,
    window_s: u64,
    growth: Growth,
    holds_for: Duration,
}

/// What is known of a plugin.
#[derive(Default)]
struct State {
    faults: f64,
    rests: bool,
    serves_nothing: bool,
    is_refused: bool,
}

impl PluginFailing {
    /// How bad it is and why, the worst first.
    fn trouble(&self, state: &State) -> Option<(Severity, String)> {
        let faults = format!("failed {} within {} s", count(state.faults, "time"), self.window_s);
        if state.rests {
            return Some((Severity::Critical, format!("rests after too many faults; it {faults}")));
        }
        if let Some(severity) = self.faults.reached(state.faults) {
            return Some((severity, faults));
        }
        if state.serves_nothing {
            return Some((
                Severity::Warning,
                "serves no version: what it is bound to waits or goes the default way".into(),
            ));
        }
        state
            .is_refused
            .then(|| (Severity::Warning, "serves an old version: its latest file or configuration was refused".into()))
    }
}

impl Rule for PluginFailing {
    fn wants(&self) -> &'static [&'static str] {
        &[FAULTS, RESTING, LOADED, REFUSED]
    }

    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>) {
        self.growth.follow(feed);
        let mut plugins: BTreeMap<[&str; 2], State> = BTreeMap::new();
        for series in feed.series().filter(|series| self.wants().contains(&series.name())) {
            let state = plugins.entry(["plugin", "node_id"].map(|label| series.label(label))).or_default();
            match series.name() {
                FAULTS => state.faults += self.growth.within(series),
                RESTING => state.rests |= series.value() == 1.0,
                LOADED => state.serves_nothing |= series.value() == 0.0,
                _ => state.is_refused |= series.value() == 1.0,
            }
        }
        for ([plugin, node], state) in plugins {
            let Some((severity, trouble)) = self.trouble(&state) else { continue };
            let labels = [("plugin", plugin), ("node_id", node)];
            let summary = format!("plugin {plugin} {trouble}; see gantry plugin list");
            alerts.push(alert(NAME, &labels, severity, summary).value(state.faults).holds_for(self.holds_for));
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

    fn faults(feed: TestFeed, plugin: &str, cause: &str, count: f64) -> TestFeed {
        feed.counter(FAULTS, &[("plugin", plugin), ("cause", cause)], count)
    }

    #[test]
    fn faults_of_all_causes_add_up() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        let tick = |traps, deadlines| faults(faults(TestFeed::new(), "p", "trap", traps), "p", "deadline", deadlines);
        assert!(plugin.tick(0, &tick(100.0, 0.0)).is_empty());
        assert!(plugin.tick(10_000, &tick(102.0, 2.0)).is_empty());
        let alerts = plugin.tick(20_000, &tick(103.0, 2.0));
        assert_eq!(said(&alerts), ["warning plugin-failing/p"]);
        assert_eq!(alerts[0].summary, "plugin p failed 5 times within 300 s; see gantry plugin list");
        assert_eq!((alerts[0].value, alerts[0].holds_for), (5.0, Duration::from_secs(60)));
        assert_eq!(said(&plugin.tick(30_000, &tick(148.0, 2.0))), ["critical plugin-failing/p"]);
    }

    #[test]
    fn resting_serving_nothing_and_refused() {
        let mut plugin = open(&[("rules", NAME)]).unwrap();
        let states = [("ok", RESTING, 0.0), ("ok", LOADED, 1.0), ("ok", REFUSED, 0.0), ("rests", RESTING, 1.0)];
        let more = [("gone", LOADED, 0.0), ("gone", REFUSED, 1.0), ("old", LOADED, 1.0), ("old", REFUSED, 1.0)];
        let all = states.iter().chain(&more);
        let feed =
            all.fold(TestFeed::new(), |feed, (plugin, name, value)| feed.gauge(name, &[("plugin", plugin)], *value));
        let alerts = plugin.tick(0, &feed);
        let expected = ["warning plugin-failing/gone", "warning plugin-failing/old", "critical plugin-failing/rests"];
        assert_eq!(said(&alerts), expected);
        assert!(alerts[0].summary.contains("serves no version") && alerts[1].summary.contains("serves an old version"));
    }
}
