//! What the operator asked for: plugins and bindings as values, and the check that a set of them can work.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Memory of one plugin instance when nothing else is said; enough for interpreters compiled to wasm, too.
pub const MEMORY_LIMIT_DEFAULT_BYTES: u64 = 16 << 20;
/// Range of a plugin's memory limit.
pub const MEMORY_LIMIT_RANGE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Processor time of one filter batch when nothing else is said.
pub const DEADLINE_DEFAULT_MS: u64 = 5;
/// Range of a filter batch's deadline.
pub const DEADLINE_RANGE_MS: std::ops::RangeInclusive<u64> = 1..=1_000;
/// Most plugins of one node.
pub const PLUGINS_MAX: usize = 256;
/// Most bindings of one node.
pub const BINDINGS_MAX: usize = 4_096;
/// Longest plugin name: it becomes part of labels and response fields.
pub const NAME_LEN_MAX: usize = 64;

/// What a plugin is for; also what it must export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Decides which messages a group sees.
    #[default]
    MessageFilter,
}

impl World {
    /// As the WIT and the configuration spell it.
    pub fn name(self) -> &'static str {
        match self {
            World::MessageFilter => "message-filter",
        }
    }
}

/// What happens to a message that a bound plugin fails to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The group waits; nothing is passed over.
    #[default]
    Hold,
    /// The group gets it, marked.
    Deliver,
}

/// One `[[plugin]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSpec {
    /// Name that bindings use; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The `.wasm` file, a core module or a component. It may come later: bindings hold until it does.
    pub file: PathBuf,
    /// What it must be.
    pub world: World,
    /// Parameters of every binding.
    pub params: Vec<(String, String)>,
    /// Memory of one instance; there is one instance a worker.
    pub memory_limit_bytes: u64,
    /// Processor time of one filter batch.
    pub deadline_ms: u64,
}

impl PluginSpec {
    /// A message filter with default limits and no parameters.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        PluginSpec {
            name: name.into(),
            file: file.into(),
            world: World::MessageFilter,
            params: Vec::new(),
            memory_limit_bytes: MEMORY_LIMIT_DEFAULT_BYTES,
            deadline_ms: DEADLINE_DEFAULT_MS,
        }
    }

    /// The same with a parameter added or replaced.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        override_param(&mut self.params, name, value);
        self
    }
}

/// One `[[filter]]`: a plugin decides what a group sees of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSpec {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Parameters that extend or override the plugin's.
    pub params: Vec<(String, String)>,
    /// What happens to a message that cannot be decided.
    pub on_error: OnError,
}

impl BindingSpec {
    /// A binding that holds on error and adds no parameters.
    pub fn new(topic: impl Into<String>, group: impl Into<String>, plugin: impl Into<String>) -> Self {
        BindingSpec {
            topic: topic.into(),
            group: group.into(),
            plugin: plugin.into(),
            params: Vec::new(),
            on_error: OnError::Hold,
        }
    }

    /// The same with a parameter added or replaced.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        override_param(&mut self.params, name, value);
        self
    }

    /// The plugin's parameters with the binding's laid over them.
    pub(crate) fn merged_params(&self, plugin: &PluginSpec) -> Vec<(String, String)> {
        let mut params = plugin.params.clone();
        for (name, value) in &self.params {
            override_param(&mut params, name, value);
        }
        params
    }
}

fn override_param(params: &mut Vec<(String, String)>, name: &str, value: &str) {
    match params.iter_mut().find(|(found, _)| found == name) {
        Some((_, old)) => *old = value.to_owned(),
        None => params.push((name.to_owned(), value.to_owned())),
    }
}

/// What the host itself is started with.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The broker's name, told to plugins.
    pub broker: String,
    /// Threads that judge at the same time: the runtime's workers. There is one instance of each plugin for each.
    pub slots: usize,
    /// Bound on `plugins x slots x memory_limit_bytes`; a configuration beyond it is refused.
    pub memory_budget_bytes: u64,
    /// How long a file must stand still before it is read.
    pub debounce: Duration,
    /// How often files are looked at besides events, for file systems that send none.
    pub rescan: Duration,
    /// When a failing binding pauses.
    pub breaker: BreakerOptions,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            broker: "broker".to_owned(),
            slots: 2,
            memory_budget_bytes: 4 << 30,
            debounce: Duration::from_millis(200),
            rescan: Duration::from_secs(2),
            breaker: BreakerOptions::default(),
        }
    }
}

/// When a failing binding pauses, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BreakerOptions {
    /// This many messages that could not be decided ...
    pub faults: usize,
    /// ... within this time open the breaker ...
    pub window: Duration,
    /// ... for this long; then one batch is tried.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        BreakerOptions { faults: 5, window: Duration::from_secs(10), pause: Duration::from_secs(30) }
    }
}

/// One thing wrong with a set of plugins and bindings. A set with problems changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigProblem {
    /// Where: `plugin "eu-orders".file`, `filter of orders for eu-billing`.
    pub key: String,
    /// What was found and what is expected.
    pub problem: String,
}

/// Finds everything that is wrong with a set.
pub(crate) fn check(plugins: &[PluginSpec], bindings: &[BindingSpec], options: &HostOptions) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let mut problem = |key: String, problem: String| problems.push(ConfigProblem { key, problem });
    if plugins.len() > PLUGINS_MAX {
        problem("plugin".into(), format!("{} plugins are given, at most {PLUGINS_MAX} are allowed", plugins.len()));
    }
    if bindings.len() > BINDINGS_MAX {
        problem("filter".into(), format!("{} filters are given, at most {BINDINGS_MAX} are allowed", bindings.len()));
    }
    let mut names = BTreeSet::new();
    for plugin in plugins {
        let key = |member: &str| format!("plugin {:?}{member}", plugin.name);
        if !legal_name(&plugin.name) {
            let text = format!("a name has 1 to {NAME_LEN_MAX} letters, digits, `-`, `_` or `.`");
            problem(key(".name"), text);
        }
        if !names.insert(plugin.name.as_str()) {
            problem(key(".name"), "two plugins have this name; a name is given once".into());
        }
        if plugin.file.as_os_str().is_empty() {
            problem(key(".file"), "no file is named; give the path of a .wasm file".into());
        }
        if !MEMORY_LIMIT_RANGE_BYTES.contains(&plugin.memory_limit_bytes) {
            let (low, high) = (MEMORY_LIMIT_RANGE_BYTES.start(), MEMORY_LIMIT_RANGE_BYTES.end());
            let text = format!("{} is out of range, expected {low} to {high} bytes", plugin.memory_limit_bytes);
            problem(key(".memory_limit_bytes"), text);
        }
        if !DEADLINE_RANGE_MS.contains(&plugin.deadline_ms) {
            let (low, high) = (DEADLINE_RANGE_MS.start(), DEADLINE_RANGE_MS.end());
            problem(
                key(".deadline_ms"),
                format!("{} is out of range, expected {low} to {high} ms", plugin.deadline_ms),
            );
        }
    }
    let mut bound = BTreeSet::new();
    for binding in bindings {
        let key = format!("filter of topic {:?} for group {:?}", binding.topic, binding.group);
        if binding.topic.is_empty() || binding.group.is_empty() {
            problem(key.clone(), "topic and group must both be given".into());
        }
        if !names.contains(binding.plugin.as_str()) {
            problem(key.clone(), format!("there is no plugin {:?}; add a [[plugin]] of this name", binding.plugin));
        }
        if !bound.insert((&binding.topic, &binding.group)) {
            problem(key, "two filters bind this topic and group; one is allowed".into());
        }
    }
    let sum = plugins
        .iter()
        .fold(0u64, |sum, plugin| sum.saturating_add(plugin.memory_limit_bytes.saturating_mul(options.slots as u64)));
    if sum > options.memory_budget_bytes {
        let text = format!(
            "{} plugins with one instance for each of {} workers may take {sum} bytes, the budget is {}; lower \
             memory_limit_bytes or raise the budget",
            plugins.len(),
            options.slots,
            options.memory_budget_bytes
        );
        problem("plugin".into(), text);
    }
    problems
}

fn legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= NAME_LEN_MAX && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_with_its_key() {
        let plugins = [
            PluginSpec::new("a", "a.wasm"),
            PluginSpec::new("a", ""),
            PluginSpec { memory_limit_bytes: 1, deadline_ms: 0, ..PluginSpec::new("b c", "b.wasm") },
        ];
        let bindings =
            [BindingSpec::new("t", "g", "a"), BindingSpec::new("t", "g", "x"), BindingSpec::new("", "g", "a")];
        let found: Vec<String> =
            check(&plugins, &bindings, &HostOptions::default()).iter().map(ToString::to_string).collect();
        let expected = [
            "plugin \"a\".name: two plugins",
            "plugin \"a\".file: no file",
            "plugin \"b c\".name: a name has",
            "plugin \"b c\".memory_limit_bytes: 1 is out of range",
            "plugin \"b c\".deadline_ms: 0 is out of range",
            "filter of topic \"t\" for group \"g\": there is no plugin \"x\"",
            "filter of topic \"t\" for group \"g\": two filters",
            "filter of topic \"\" for group \"g\": topic and group",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} should start with {expected}");
        }
    }

    #[test]
    fn instances_beyond_the_memory_budget_are_refused() {
        let options = HostOptions { slots: 4, memory_budget_bytes: 100 << 20, ..HostOptions::default() };
        let plugin = |name: &str| PluginSpec::new(name, "x.wasm");
        assert!(check(&[plugin("a")], &[], &options).is_empty());
        assert_eq!(check(&[plugin("a"), plugin("b")], &[], &options).len(), 1);
    }
}
