//! Plugins, from what `gantry plugin list` shows. Names begin with `gantry_plugins_`, because `gantry_plugin_` is for series that
//! plugins derive.

use std::collections::BTreeMap;

use gantry_base::metric::{Family, Sink, Unit};
use gantry_plugin::{BindingStatus, BreakerState, PluginState, PluginStatus};

static LOADED: Family = Family::gauge("gantry_plugins_loaded", "1 while a version of the plugin serves.");
static VERSION: Family = Family::gauge("gantry_plugins_version_info", "1, with the version that serves in the labels.");
static REFUSED: Family =
    Family::gauge("gantry_plugins_refused", "1 while the latest file or configuration of the plugin is not taken.");
static SUSPECT: Family = Family::gauge(
    "gantry_plugins_suspect",
    "1 while the plugin runs off the workers, because it lately used up a deadline.",
);
static SWAPS: Family = Family::counter("gantry_plugins_swaps_total", "Versions put in service.");
static REFUSALS: Family = Family::counter("gantry_plugins_refusals_total", "Files and configurations refused.");
static COUNTERS: Family =
    Family::counter("gantry_plugins_counter_total", "Counters that plugins keep themselves, by name.");
static CALLS: Family = Family::counter(
    "gantry_plugins_calls_total",
    "Calls into the plugin, by what it is used for: filter, balancer ...",
);
static FAULTS: Family = Family::counter("gantry_plugins_faults_total", "Calls that failed, by cause.");
static TIME: Family = Family::counter(
    "gantry_plugins_seconds_total",
    "Time spent in calls; of a filter also in extracting what it reads.",
)
.counted_in(Unit::Seconds);
static RESTING: Family =
    Family::gauge("gantry_plugins_resting", "1 while the plugin rests there after too many faults.");
static MESSAGES: Family = Family::counter(
    "gantry_filter_messages_total",
    "Messages judged, by verdict; a message that is held counts as undecided each time that it is tried.",
);
static PLACED: Family = Family::counter("gantry_balancer_messages_total", "Messages placed by the plugin.");

/// Uses of a plugin that an operator would not tell apart: a filter that several subscriptions call with arguments of their
/// own is one, for there is no bound on arguments.
#[derive(Default)]
struct Use {
    calls: u64,
    nanoseconds: u64,
    resting: bool,
    messages: u64,
    verdicts: [u64; 3],
    faults: [u64; 4],
}

const VERDICTS: [&str; 3] = ["deliver", "skip", "undecided"];
const CAUSES: [&str; 4] = ["trap", "deadline", "memory", "result"];

impl Use {
    fn add(&mut self, binding: &BindingStatus) {
        let BindingStatus { calls, nanoseconds, breaker, messages, delivered, skipped, undecided, faults, .. } =
            binding;
        self.calls += calls;
        self.nanoseconds += nanoseconds;
        self.resting |= *breaker == BreakerState::Open;
        self.messages += messages;
        let verdicts = [*delivered, *skipped, *undecided];
        self.verdicts.iter_mut().zip(verdicts).for_each(|(sum, more)| *sum += more);
        let faults = [faults.trap, faults.deadline, faults.memory, faults.result];
        self.faults.iter_mut().zip(faults).for_each(|(sum, more)| *sum += more);
    }
}

/// Tells all of them.
pub(super) fn collect(plugins: &[PluginStatus], out: &mut dyn Sink) {
    for plugin in plugins {
        let name = ("plugin", plugin.name.as_str());
        let of_world = [name, ("world", plugin.world.name())];
        out.number(&LOADED, &of_world, one_if(plugin.state == PluginState::Loaded));
        if let Some(sha256) = &plugin.sha256 {
            let guest = plugin.guest.as_deref().unwrap_or_default();
            out.number(&VERSION, &[name, ("sha256", sha256), ("guest", guest)], 1.0);
        }
        out.number(&REFUSED, &[name], one_if(plugin.refusal.is_some()));
        out.number(&SUSPECT, &[name], one_if(plugin.suspect));
        out.number(&SWAPS, &[name], plugin.swaps as f64);
        out.number(&REFUSALS, &[name], plugin.refusals as f64);
        for (counter, count) in &plugin.counters {
            out.number(&COUNTERS, &[name, ("counter", counter)], *count as f64);
        }
        let mut uses: BTreeMap<(&str, &str, &str), Use> = BTreeMap::new();
        for binding in &plugin.bindings {
            uses.entry((binding.kind, &binding.topic, &binding.group)).or_default().add(binding);
        }
        for ((kind, topic, group), used) in &uses {
            let labels = [name, ("kind", *kind), ("topic", *topic), ("consumer_group", *group)];
            collect_use(kind, labels, used, out);
        }
    }
}

fn collect_use(kind: &str, labels: [(&str, &str); 4], used: &Use, out: &mut dyn Sink) {
    out.number(&CALLS, &labels, used.calls as f64);
    out.number(&TIME, &labels, used.nanoseconds as f64 / 1e9);
    out.number(&RESTING, &labels, one_if(used.resting));
    let with = |last| [labels[0], labels[1], labels[2], labels[3], last];
    for (cause, count) in CAUSES.iter().zip(used.faults) {
        out.number(&FAULTS, &with(("cause", *cause)), count as f64);
    }
    match kind {
        "filter" | "subscription" => {
            for (verdict, count) in VERDICTS.iter().zip(used.verdicts) {
                out.number(&MESSAGES, &with(("verdict", *verdict)), count as f64);
            }
        }
        "balancer" => out.number(&PLACED, &labels, used.messages as f64),
        _ => {}
    }
}

fn one_if(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use gantry_base::metric::{Distribution, Labels};
    use gantry_plugin::{Faults, OnError, World};

    use super::*;

    /// Every series, each at most once.
    #[derive(Default)]
    struct Told {
        series: BTreeSet<String>,
        values: BTreeMap<String, f64>,
    }

    impl Sink for Told {
        fn number(&mut self, family: &Family, labels: Labels<'_>, value: f64) {
            let series = format!("{}{labels:?}", family.name);
            assert!(self.series.insert(series.clone()), "{series} is told twice");
            self.values.insert(series, value);
        }

        fn distribution(&mut self, _: &Family, _: Labels<'_>, _: &Distribution) {}
    }

    fn binding(kind: &'static str, arg: Option<&str>) -> BindingStatus {
        BindingStatus {
            kind,
            arg: arg.map(str::to_owned),
            topic: "orders".to_owned(),
            group: "billing".to_owned(),
            on_error: OnError::Hold,
            breaker: BreakerState::Closed,
            problem: None,
            columns: Vec::new(),
            tags: Vec::new(),
            decides: Vec::new(),
            wants: Vec::new(),
            calls: 2,
            messages: 64,
            delivered: 60,
            skipped: 3,
            undecided: 1,
            faults: Faults { trap: 1, ..Faults::default() },
            nanoseconds: 1_500_000_000,
        }
    }

    /// A plugin may filter what a group sees, be called by its subscription as well, and with several arguments.
    #[test]
    fn uses_that_look_alike_are_one_series() {
        let bindings =
            vec![binding("filter", None), binding("subscription", Some("a")), binding("subscription", Some("b"))];
        let plugin = PluginStatus {
            name: "eu".to_owned(),
            file: PathBuf::new(),
            world: World::MessageFilter,
            state: PluginState::Loaded,
            sha256: None,
            size_bytes: None,
            loaded_ms: None,
            compile_ms: None,
            guest: None,
            refusal: None,
            note: None,
            swaps: 1,
            refusals: 0,
            suspect: false,
            counters: BTreeMap::new(),
            kept: Vec::new(),
            shadow: None,
            history: Vec::new(),
            bindings,
        };
        let mut told = Told::default();
        collect(&[plugin], &mut told);
        let labels = |kind| {
            format!(r#"[("plugin", "eu"), ("kind", "{kind}"), ("topic", "orders"), ("consumer_group", "billing"), "#)
        };
        let trap = |kind| told.values[&format!("gantry_plugins_faults_total{}(\"cause\", \"trap\")]", labels(kind))];
        assert_eq!((trap("filter"), trap("subscription")), (1.0, 2.0));
        let skipped = format!("gantry_filter_messages_total{}(\"verdict\", \"skip\")]", labels("subscription"));
        assert_eq!(told.values[&skipped], 6.0);
    }
}
