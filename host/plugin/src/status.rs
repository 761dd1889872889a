//! What is to be seen from outside: `gantry plugin list`, and the sources of metrics.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde::Serialize;

use crate::{
    binding::{Binding, Kind},
    breaker::BreakerState,
    history::Event,
    plugin::Plugin,
    shadow::ShadowReport,
    spec::{OnError, World},
};

/// One plugin.
#[derive(Debug, Clone, Serialize)]
pub struct PluginStatus {
    /// Name in the configuration.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// What it must be.
    pub world: World,
    /// Whether something serves.
    pub state: PluginState,
    /// Hash of the bytes that serve.
    pub sha256: Option<String>,
    /// Size of these bytes.
    pub size_bytes: Option<usize>,
    /// When they came into service, ms since 1970.
    pub loaded_ms: Option<u64>,
    /// What it took to check and compile them, ms.
    pub compile_ms: Option<u64>,
    /// Name, version and language in the plugin's own words.
    pub guest: Option<String>,
    /// Why the latest file or configuration was not taken; whatever served before still serves.
    pub refusal: Option<String>,
    /// What is odd about the file.
    pub note: Option<String>,
    /// Versions put in service since the start.
    pub swaps: u64,
    /// Files and configurations refused since the start.
    pub refusals: u64,
    /// Whether it is kept off the runtime's workers because it lately used up a deadline.
    pub suspect: bool,
    /// The plugin's own counters.
    pub counters: BTreeMap<String, u64>,
    /// Hashes of the versions that can be gone back to, latest last.
    pub kept: Vec<String>,
    /// How the version that serves judges what the one before judged last; of filters.
    pub shadow: Option<ShadowReport>,
    /// What became of its versions, latest last.
    pub history: Vec<Event>,
    /// Where it is bound.
    pub bindings: Vec<BindingStatus>,
}

/// Whether a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// A version serves.
    Loaded,
    /// Nothing serves yet; the bindings hold.
    Loading,
    /// Nothing serves, because what was found was refused.
    Refused,
    /// Nothing serves, because an operator said so.
    Disabled,
}

/// One binding. Figures count since it was made.
#[derive(Debug, Clone, Serialize)]
pub struct BindingStatus {
    /// `filter`, `subscription`, `balancer` or `hook`.
    pub kind: &'static str,
    /// What a subscription calls it with.
    pub arg: Option<String>,
    /// The topic; empty of a hook.
    pub topic: String,
    /// The group; empty of a hook.
    pub group: String,
    /// What happens to a message that cannot be decided.
    pub on_error: OnError,
    /// Whether it rests after faults.
    pub breaker: BreakerState,
    /// Why the plugin does not serve it as configured.
    pub problem: Option<String>,
    /// Columns that the plugin reads, as `name: shape`.
    pub columns: Vec<String>,
    /// Tags that the plugin restricts itself to.
    pub tags: Vec<String>,
    /// What a balancer decides.
    pub decides: Vec<&'static str>,
    /// Names of the series that a hook wants.
    pub wants: Vec<String>,
    /// Calls into the plugin.
    pub calls: u64,
    /// Messages judged, or placed.
    pub messages: u64,
    /// Of these, delivered.
    pub delivered: u64,
    /// Of these, skipped.
    pub skipped: u64,
    /// Of these, undecided; a held message counts each time it is tried.
    pub undecided: u64,
    /// Calls that failed, by cause.
    pub faults: Faults,
    /// Time spent judging, extraction included.
    pub nanoseconds: u64,
}

/// Failed calls by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// The guest trapped.
    pub trap: u64,
    /// It used up its deadline.
    pub deadline: u64,
    /// It wanted more memory than its limit.
    pub memory: u64,
    /// It answered something that is no verdict list.
    pub result: u64,
}

pub(crate) fn of(plugin: &Plugin, bindings: &[Arc<Binding>]) -> PluginStatus {
    let (report, version) = (plugin.report(), plugin.current());
    let state = match (&version, &report.refusal) {
        (Some(_), _) => PluginState::Loaded,
        (None, _) if report.disabled => PluginState::Disabled,
        (None, Some(_)) => PluginState::Refused,
        (None, None) => PluginState::Loading,
    };
    let code = version.as_ref().map(|version| &version.code);
    let binding = |binding: &Arc<Binding>| {
        let (stats, plan) = (&binding.stats, version.as_ref().and_then(|version| version.plan(binding.id)));
        let (kind, arg) = match &binding.kind {
            Kind::Filter => ("filter", None),
            Kind::Function(arg) => ("subscription", arg.clone()),
            Kind::Balancer => ("balancer", None),
            Kind::Hook => ("hook", None),
        };
        let decides = version.as_ref().and_then(|version| version.decisions(binding.id));
        let wants = version.as_ref().and_then(|version| version.hook_plan(binding.id));
        BindingStatus {
            kind,
            arg,
            decides: decides.map(|decisions| decisions.names()).unwrap_or_default(),
            wants: wants.map(|plan| plan.wants.patterns()).unwrap_or_default(),
            topic: binding.topic.clone(),
            group: binding.group.clone(),
            on_error: binding.on_error(),
            breaker: binding.breaker.state(),
            problem: binding.problem(),
            columns: plan.map(|plan| plan.extractor.describe()).unwrap_or_default(),
            tags: plan.and_then(|plan| plan.tags.as_ref()).map(|tags| tags.tags().to_vec()).unwrap_or_default(),
            calls: stats.calls.get(),
            messages: stats.messages.get(),
            delivered: stats.delivered.get(),
            skipped: stats.skipped.get(),
            undecided: stats.undecided.get(),
            faults: Faults {
                trap: stats.traps.get(),
                deadline: stats.deadlines.get(),
                memory: stats.memory.get(),
                result: stats.results.get(),
            },
            nanoseconds: stats.nanoseconds.get(),
        }
    };
    PluginStatus {
        name: plugin.name().to_owned(),
        file: report.file,
        world: report.world,
        state,
        sha256: code.map(|code| code.sha256.clone()),
        size_bytes: code.map(|code| code.size_bytes),
        loaded_ms: report.loaded_ms,
        compile_ms: code.map(|code| code.compile_ms),
        guest: version.as_ref().map(|version| version.info.clone()),
        refusal: report.refusal,
        note: report.note,
        swaps: plugin.swaps.get(),
        refusals: plugin.refusals.get(),
        suspect: version.as_ref().is_some_and(|version| version.suspect()),
        counters: plugin.shared.counters(),
        kept: report.kept,
        shadow: report.shadow,
        history: plugin.history().events(),
        bindings: bindings.iter().map(binding).collect(),
    }
}
