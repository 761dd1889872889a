//! Plugins, from what `gantry plugin list` shows. Names begin with `gantry_plugins_`, because `gantry_plugin_` is for series that
//! plugins derive.

use gantry_base::metric::{Family, Sink};
use gantry_plugin::{BreakerState, PluginState, PluginStatus};

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
static CALLS: Family = Family::counter("gantry_plugins_calls_total", "Calls into the plugin, by what it is used for.");
static MESSAGES: Family = Family::counter(
    "gantry_filter_messages_total",
    "Messages judged, by verdict; a message that is held counts as undecided each time that it is tried.",
);
static FAULTS: Family = Family::counter("gantry_plugins_faults_total", "Calls that failed, by cause.");
static TIME: Family =
    Family::counter("gantry_plugins_seconds_total", "Time spent in the plugin, with what extracting properties took.");
static RESTING: Family = Family::gauge("gantry_plugins_resting", "1 while the plugin rests after too many faults.");

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
        for binding in &plugin.bindings {
            let [topic, group] = [("topic", binding.topic.as_str()), ("consumer_group", binding.group.as_str())];
            // Calls of one plugin in a group's subscriptions differ by their argument alone.
            let (kind, arg) = (("kind", binding.kind), ("arg", binding.arg.as_deref().unwrap_or_default()));
            let labels = [name, kind, topic, group, arg];
            out.number(&CALLS, &labels, binding.calls as f64);
            out.number(&TIME, &labels, binding.nanoseconds as f64 / 1e9);
            out.number(&RESTING, &labels, one_if(binding.breaker == BreakerState::Open));
            for (verdict, count) in
                [("deliver", binding.delivered), ("skip", binding.skipped), ("undecided", binding.undecided)]
            {
                if matches!(binding.kind, "filter" | "subscription") {
                    out.number(&MESSAGES, &[name, kind, topic, group, arg, ("verdict", verdict)], count as f64);
                }
            }
            let faults = binding.faults;
            for (cause, count) in [
                ("trap", faults.trap),
                ("deadline", faults.deadline),
                ("memory", faults.memory),
                ("result", faults.result),
            ] {
                out.number(&FAULTS, &[name, topic, group, ("cause", cause)], count as f64);
            }
        }
    }
}

fn one_if(is: bool) -> f64 {
    f64::from(u8::from(is))
}
