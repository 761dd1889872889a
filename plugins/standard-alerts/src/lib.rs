//! The alerts that nearly everybody wants. Each rule is a file of `rules/`, which says what it reads and when it holds.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `rules` | all of them | the rules that are on, separated by commas |
//! | `ignore_groups`, `ignore_topics` | none | consumer groups and topics that no rule is about; a name may end with `*` |
//!
//! | rule | its parameters, with defaults | holds when |
//! |---|---|---|
//! | `consumer-lag` | `lag_messages_warning` 10000, `lag_messages_critical` 100000, `lag_age_s_warning` 600, `lag_age_s_critical` off, `lag_for_s` 300 | a group has so many messages before it, or the oldest of them is so old |
//! | `disk-watermark` | `disk_percent_warning` 75, `disk_percent_critical` 85, `disk_for_s` 60 | the disk of a broker is so full |
//! | `dlq-growth` | `dlq_messages_warning` 1, `dlq_messages_critical` off, `dlq_window_s` 300 | a group gave up so many messages within the window |
//! | `send-failures` | `send_failures_percent_warning` 1, `send_failures_percent_critical` 10, `send_failures_min` 10, `send_failures_window_s` 300 | such a part of the sends within the window failed, and at least so many |
//! | `broker-down` | `broker_for_s` 120, `broker_forget_s` 3600 | a broker refuses sends, its disk failed, or its series went away (until it is forgotten) |
//! | `hot-queue` | `hot_queue_skew_warning` 3, `hot_queue_skew_critical` off, `hot_queue_for_s` 600 | the fullest queue of a topic has so many times the mean; needs the plugin `queue-skew` |
//! | `plugin-failing` | `plugin_faults_warning` 5, `plugin_faults_critical` 50, `plugin_window_s` 300, `plugin_for_s` 60 | a plugin failed so often within the window, rests because of it, serves no version, or its latest file was refused |
//!
//! Limits count from their value on; `off` takes one away. What must hold "for" a time fires then; windows need no such time.
//! A second `[[plugin]]` with the same file and other parameters is a second set of rules, for example with lower limits for some
//! topics.

mod crowd;
mod ignore;
mod limits;
mod rule;
mod rules;
mod state;

use gantry_plugin_sdk::prelude::*;
use ignore::Ignore;
use rule::Rule;

struct StandardAlerts {
    rules: Vec<(&'static str, Box<dyn Rule>)>,
}

#[alert_hook]
impl AlertHook for StandardAlerts {
    fn open(params: &Params) -> Result<Self, String> {
        let own = ["rules", "ignore_groups", "ignore_topics"];
        let known: Vec<&str> = own.into_iter().chain(rules::ALL.iter().flat_map(|rule| rule.params).copied()).collect();
        params.expect_only(&known)?;
        let chosen: Option<Vec<&str>> = params.param("rules").map(|list| list.split(',').map(str::trim).collect());
        if let Some(unknown) = chosen.iter().flatten().find(|name| !rules::ALL.iter().any(|rule| rule.name == **name)) {
            let names: Vec<&str> = rules::ALL.iter().map(|rule| rule.name).collect();
            return Err(format!("`rules` names {unknown:?}; there are {}", names.join(", ")));
        }
        let is_on = |name: &str| chosen.as_ref().is_none_or(|chosen| chosen.contains(&name));
        let ignore = Ignore::read(params);
        let on = rules::ALL.iter().filter(|rule| is_on(rule.name));
        let rules = on.map(|rule| Ok((rule.name, (rule.open)(params, &ignore)?))).collect::<Result<_, String>>()?;
        Ok(StandardAlerts { rules })
    }

    fn wants(&self) -> Vec<String> {
        self.rules.iter().flat_map(|(_, rule)| rule.wants()).map(|&name| name.to_owned()).collect()
    }

    fn on_tick(&mut self, feed: &Feed) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for (name, rule) in &mut self.rules {
            let from = alerts.len();
            rule.look(feed, &mut alerts);
            alerts[from..].iter_mut().for_each(|alert| alert.labels.push(("alertname".into(), (*name).into())));
        }
        crowd::bound(alerts)
    }

    fn snapshot(&self) -> Vec<u8> {
        state::write(self.rules.iter().map(|(name, rule)| (*name, rule.snapshot()))).into_bytes()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        for (name, state) in state::read(state)? {
            // A rule that is off now has nothing to take.
            if let Some((_, rule)) = self.rules.iter_mut().find(|(on, _)| *on == name) {
                rule.restore(state)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
