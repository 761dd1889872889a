//! What a hook's one instance is asked. It is told each series once; an instance that was made anew is told all again.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::{Cause, Fault, START_BUDGET, Slot};
use crate::{
    engine::Runtime,
    exports::WorldExports,
    feed::{Feed, Series, SeriesKind, Wants},
    wit::{alert, metric},
};

/// Most bytes that an instance may hand over to the next.
pub(crate) const STATE_BYTES_MAX: usize = 1 << 20;

/// What an instance was told of the feed.
#[derive(Default)]
pub(crate) struct Told {
    ids: FxHashSet<u32>,
}

/// The part of a tick that one instance gets.
struct Change {
    added: Vec<usize>,
    removed: Vec<u32>,
    ids: Vec<u32>,
    values: Vec<f64>,
}

impl Told {
    /// Compares what the instance knows with what there is.
    fn change(&mut self, feed: &Feed, wants: &Wants) -> Change {
        let mut change = Change { added: Vec::new(), removed: Vec::new(), ids: Vec::new(), values: Vec::new() };
        let mut now = FxHashSet::default();
        for (index, (series, value)) in feed.samples.iter().enumerate() {
            if !wants.matches(&series.name) || !now.insert(series.id) {
                continue;
            }
            if !self.ids.contains(&series.id) {
                change.added.push(index);
            }
            change.ids.push(series.id);
            change.values.push(*value);
        }
        change.removed = self.ids.difference(&now).copied().collect();
        self.ids = now;
        change
    }
}

/// One tick in one call's budget: what is gone, what is new, then the values. The types are each world's own.
macro_rules! tick {
    ($slot:ident, $runtime:ident, $budget:ident, $feed:ident, $change:ident, $world:ident, $exports:ident,
     |$guest:ident, $store:ident, $tick:ident| $ask:expr) => {{
        use $world::{exports::gantry::plugin::feed as wit, gantry::plugin::types::Pair};
        let Change { added, removed, ids, values } = $change;
        let describe = |index: usize| {
            let Series { id, name, kind, labels } = &*$feed.samples[index].0;
            let kind = match kind {
                SeriesKind::Counter => wit::SeriesKind::Counter,
                SeriesKind::Gauge => wit::SeriesKind::Gauge,
            };
            let pair = |(name, value): &(String, String)| Pair { name: name.clone(), value: value.clone() };
            wit::Series { id: *id, name: name.clone(), kind, labels: labels.iter().map(pair).collect() }
        };
        let added: Vec<wit::Series> = added.into_iter().map(describe).collect();
        let told = &wit::Tick { at_millis: $feed.at_ms, ids, values };
        $slot.call($runtime, $budget, |exports, $store| {
            let WorldExports::$exports($guest) = exports else { return None };
            let ask = || {
                let follow = $guest.gantry_plugin_feed();
                if !removed.is_empty() {
                    follow.call_series_removed(&mut *$store, &removed)?;
                }
                if !added.is_empty() {
                    follow.call_series_added(&mut *$store, &added)?;
                }
                let ($store, $tick) = ($store, told);
                $ask
            };
            Some(ask())
        })
    }};
}

impl Slot {
    /// Names of the series that it wants.
    pub(crate) fn wants(&mut self, runtime: &Runtime) -> Result<Vec<String>, Fault> {
        self.call(runtime, START_BUDGET, |exports, store| match exports {
            WorldExports::Metric(guest) => Some(guest.gantry_plugin_feed().call_wants(store)),
            WorldExports::Alert(guest) => Some(guest.gantry_plugin_feed().call_wants(store)),
            _ => None,
        })
    }

    /// What a metric hook derives; nothing of an alert hook.
    pub(crate) fn families(
        &mut self,
        runtime: &Runtime,
    ) -> Result<Vec<metric::exports::gantry::plugin::metrics::Family>, Fault> {
        self.call(runtime, START_BUDGET, |exports, store| match exports {
            WorldExports::Metric(guest) => Some(guest.gantry_plugin_metrics().call_families(store)),
            WorldExports::Alert(_) => Some(Ok(Vec::new())),
            _ => None,
        })
    }

    /// Shows a metric hook one tick; its samples.
    pub(crate) fn tick_metrics(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        feed: &Feed,
        wants: &Wants,
    ) -> Result<Vec<metric::exports::gantry::plugin::metrics::Sample>, Fault> {
        let change = self.told.change(feed, wants);
        tick!(self, runtime, budget, feed, change, metric, Metric, |guest, store, tick| {
            guest.gantry_plugin_metrics().call_on_tick(store, tick)
        })
    }

    /// Shows an alert hook one tick; the alerts that hold.
    pub(crate) fn tick_alerts(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        feed: &Feed,
        wants: &Wants,
    ) -> Result<Vec<alert::exports::gantry::plugin::alerts::Alert>, Fault> {
        let change = self.told.change(feed, wants);
        tick!(self, runtime, budget, feed, change, alert, Alert, |guest, store, tick| {
            guest.gantry_plugin_alerts().call_on_tick(store, tick)
        })
    }

    /// What it hands over, if it can and has anything. A state that is too long is a fault.
    pub(crate) fn snapshot(&mut self, runtime: &Runtime, budget: Duration) -> Result<Option<Vec<u8>>, Fault> {
        let Some(carried) = &self.carried else { return Ok(None) };
        let in_flight = runtime.call(&mut self.store, budget);
        let answer = carried.gantry_plugin_carried_state().call_snapshot(&mut self.store);
        drop(in_flight);
        let state = answer.map_err(|error| super::fault(&error, &mut self.store, budget))?;
        if state.len() > STATE_BYTES_MAX {
            let text = format!("its state has {} bytes, at most {STATE_BYTES_MAX} are carried over", state.len());
            return Err(Fault { cause: Cause::Result, text });
        }
        Ok(Some(state).filter(|state| !state.is_empty()))
    }

    /// Gives it what a former version handed over. The inner error is the plugin's own no.
    pub(crate) fn restore(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        state: &[u8],
    ) -> Result<Result<(), String>, Fault> {
        let Some(carried) = &self.carried else { return Ok(Ok(())) };
        let in_flight = runtime.call(&mut self.store, budget);
        let answer = carried.gantry_plugin_carried_state().call_restore(&mut self.store, state);
        drop(in_flight);
        answer.map_err(|error| super::fault(&error, &mut self.store, budget))
    }
}
