//! The world `stateful-alert-hook`.

use crate::{
    alert::{Alert, AlertHook},
    bindings::{
        alert::exports::gantry::plugin::{alerts as wit, feed},
        filter::gantry::plugin::types::Pair,
    },
    export::{Exported, Followed, Identity, hook::hook_exports},
};

/// The node's one alert hook of this plugin, whatever its type.
trait Running {
    fn wants(&self) -> Vec<String>;
    fn added(&mut self, id: u32, name: String, counter: bool, labels: Vec<(String, String)>);
    fn removed(&mut self, ids: &[u32]);
    fn tick(&mut self, tick: &feed::Tick) -> Vec<Alert>;
    fn snapshot(&self) -> Vec<u8>;
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

impl<H: AlertHook> Running for Followed<H> {
    fn wants(&self) -> Vec<String> {
        self.hook.wants()
    }

    fn added(&mut self, id: u32, name: String, counter: bool, labels: Vec<(String, String)>) {
        self.add(id, name, counter, labels);
    }

    fn removed(&mut self, ids: &[u32]) {
        self.feed.remove(ids);
    }

    fn tick(&mut self, tick: &feed::Tick) -> Vec<Alert> {
        self.feed.apply(tick.at_millis, &tick.ids, &tick.values);
        self.hook.on_tick(&self.feed)
    }

    fn snapshot(&self) -> Vec<u8> {
        self.hook.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.hook.restore(state)
    }
}

hook_exports!(alert, AlertHook, Running, HOOK);

impl<H: AlertHook + Identity> wit::Guest for Exported<H> {
    fn on_tick(tick: feed::Tick) -> Vec<wit::Alert> {
        let alert = |alert: Alert| wit::Alert {
            key: alert.key,
            severity: alert.severity,
            summary: alert.summary,
            labels: alert.labels.into_iter().map(|(name, value)| Pair { name, value }).collect(),
            value: alert.value,
            for_millis: alert.holds_for.as_millis() as u64,
        };
        running(|hook| hook.tick(&tick)).into_iter().map(alert).collect()
    }
}
