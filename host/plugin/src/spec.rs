//! What the operator asked for: plugins and bindings as values, and the check that a set of them can work.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use gantry_balance::{ANY, Decision};
use serde::{Deserialize, Serialize};

/// Memory of one plugin instance when nothing else is said; enough for interpreters compiled to wasm, too.
pub const MEMORY_LIMIT_DEFAULT_BYTES: u64 = 16 << 20;
/// Range of a plugin's memory limit.
pub const MEMORY_LIMIT_RANGE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Processor time of one filter batch when nothing else is said.
pub const DEADLINE_DEFAULT_MS: u64 = 5;
/// Processor time of one tick of a hook when nothing else is said.
pub const HOOK_DEADLINE_DEFAULT_MS: u64 = 500;
/// Range of a filter batch's deadline.
pub const DEADLINE_RANGE_MS: std::ops::RangeInclusive<u64> = 1..=1_000;
/// Most plugins of one node.
pub const PLUGINS_MAX: usize = 256;
/// Most filters of one node, and most balancers.
pub const BINDINGS_MAX: usize = 4_096;
/// Most calls of plugins in SQL92 subscriptions that are open at a time.
pub const FUNCTIONS_MAX: usize = 1_024;

/// Longest plugin name: it becomes part of labels and response fields.
pub const NAME_LEN_MAX: usize = 64;

/// What a plugin is for; also what it must export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Decides which messages a group sees.
    #[default]
    MessageFilter,
    /// Decides where messages go and who consumes them.
    QueueBalancer,
    /// Makes metrics of metrics.
    MetricHook,
    /// Makes alerts of metrics.
    AlertHook,
}

impl World {
    /// All of them.
    pub const ALL: [World; 4] = [World::MessageFilter, World::QueueBalancer, World::MetricHook, World::AlertHook];

    /// As the WIT and the configuration spell it.
    pub fn name(self) -> &'static str {
        match self {
            World::MessageFilter => "message-filter",
            World::QueueBalancer => "queue-balancer",
            World::MetricHook => "metric-hook",
            World::AlertHook => "alert-hook",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<World> {
        World::ALL.into_iter().find(|world| world.name() == name)
    }

    /// Whether a plugin of this world has one instance on a node, which may keep state, instead of one for each worker.
    pub fn is_hook(self) -> bool {
        matches!(self, World::MetricHook | World::AlertHook)
    }

    /// Processor time of one call when nothing else is said, ms.
    pub fn default_deadline_ms(self) -> u64 {
        if self.is_hook() { HOOK_DEADLINE_DEFAULT_MS } else { DEADLINE_DEFAULT_MS }
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
    /// Memory of one instance; there is one instance a worker, and one of a hook.
    pub memory_limit_bytes: u64,
    /// Processor time of one call: a filter batch, a balancer's answer, a hook's tick.
    pub deadline_ms: u64,
    /// What happens to a message that a subscription's call of a filter cannot decide.
    pub on_error: OnError,
    /// SHA-256 that the file must have, in hex; `None` = any.
    pub sha256: Option<String>,
    /// Refuse a new version of a filter that judges more than this share of recent messages otherwise than the one that
    /// serves, in percent; `None` = any share.
    pub shadow_differs_max_percent: Option<u8>,
}

impl PluginSpec {
    /// A message filter with default limits and no parameters.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        PluginSpec::of(World::MessageFilter, name, file)
    }

    /// A plugin of some world with its default limits and no parameters.
    pub fn of(world: World, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        PluginSpec {
            name: name.into(),
            file: file.into(),
            world,
            params: Vec::new(),
            memory_limit_bytes: MEMORY_LIMIT_DEFAULT_BYTES,
            deadline_ms: world.default_deadline_ms(),
            on_error: OnError::Hold,
            sha256: None,
            shadow_differs_max_percent: None,
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
}

/// The plugin's parameters with a binding's laid over them.
pub(crate) fn merged_params(plugin: &PluginSpec, own: &[(String, String)]) -> Vec<(String, String)> {
    let mut params = plugin.params.clone();
    own.iter().for_each(|(name, value)| override_param(&mut params, name, value));
    params
}

fn override_param(params: &mut Vec<(String, String)>, name: &str, value: &str) {
    match params.iter_mut().find(|(found, _)| found == name) {
        Some((_, old)) => *old = value.to_owned(),
        None => params.push((name.to_owned(), value.to_owned())),
    }
}

/// One `[[balancer]]`: a plugin decides about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerSpec {
    /// The topic, or [`ANY`].
    pub topic: String,
    /// The consumer group whose assignments it makes, or [`ANY`].
    pub group: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Parameters that extend or override the plugin's.
    pub params: Vec<(String, String)>,
    /// What it is asked; what the plugin itself does not decide is not asked either.
    pub decides: BTreeSet<Decision>,
    /// Whether it may also move messages whose producer named a queue.
    pub retarget: bool,
}

impl BalancerSpec {
    /// A balancer of every topic and group that is asked everything.
    pub fn new(plugin: impl Into<String>) -> Self {
        BalancerSpec {
            topic: ANY.to_owned(),
            group: ANY.to_owned(),
            plugin: plugin.into(),
            params: Vec::new(),
            decides: Decision::ALL.into(),
            retarget: false,
        }
    }
}

/// Everything that a node's plugins are told by its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginConfig {
    /// `[[plugin]]`. Hooks need nothing more to serve.
    pub plugins: Vec<PluginSpec>,
    /// `[[filter]]`.
    pub filters: Vec<BindingSpec>,
    /// `[[balancer]]`.
    pub balancers: Vec<BalancerSpec>,
}

impl PluginConfig {
    /// Plugins that are filters.
    pub fn of_filters(plugins: Vec<PluginSpec>, filters: Vec<BindingSpec>) -> Self {
        PluginConfig { plugins, filters, balancers: Vec::new() }
    }
}

/// What the host itself is started with.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The broker's name, told to plugins.
    pub broker: String,
    /// Zone of the node, told to balancers; empty = none.
    pub zone: String,
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
    /// For so long after a swap a version that makes a breaker open is replaced by the one before.
    pub probation: Duration,
    /// Former versions of each plugin that are kept, to go back to.
    pub versions_kept: usize,
    /// Where plugins' former versions and states lie, and compiled code is cached; `None` = nowhere: nothing outlives the
    /// process.
    pub shelf: Option<PathBuf>,
    /// Keys of whom plugins are taken from, ed25519, 32 bytes each.
    pub trusted_keys: Vec<[u8; 32]>,
    /// Whether a file without a signature by one of these keys is refused.
    pub require_signed: bool,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            broker: "broker".to_owned(),
            zone: String::new(),
            slots: 2,
            memory_budget_bytes: 4 << 30,
            debounce: Duration::from_millis(200),
            rescan: Duration::from_secs(2),
            breaker: BreakerOptions::default(),
            probation: Duration::from_secs(60),
            versions_kept: 3,
            shelf: None,
            trusted_keys: Vec::new(),
            require_signed: false,
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
pub(crate) fn check(config: &PluginConfig, options: &HostOptions) -> Vec<ConfigProblem> {
    let PluginConfig { plugins, filters, balancers } = config;
    let mut problems = Vec::new();
    let mut problem = |key: String, problem: String| problems.push(ConfigProblem { key, problem });
    if plugins.len() > PLUGINS_MAX {
        problem("plugin".into(), format!("{} plugins are given, at most {PLUGINS_MAX} are allowed", plugins.len()));
    }
    for (key, what, count) in [("filter", "filters", filters.len()), ("balancer", "balancers", balancers.len())] {
        if count > BINDINGS_MAX {
            problem(key.into(), format!("{count} {what} are given, at most {BINDINGS_MAX} are allowed"));
        }
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
        if let Some(pinned) = &plugin.sha256
            && (pinned.len() != 64 || !pinned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        {
            problem(key(".sha256"), format!("{pinned:?} is no SHA-256, expected 64 digits of 0-9 and a-f"));
        }
        if !DEADLINE_RANGE_MS.contains(&plugin.deadline_ms) {
            let (low, high) = (DEADLINE_RANGE_MS.start(), DEADLINE_RANGE_MS.end());
            problem(
                key(".deadline_ms"),
                format!("{} is out of range, expected {low} to {high} ms", plugin.deadline_ms),
            );
        }
    }
    let unfit = |name: &str, world: World| match plugins.iter().find(|plugin| plugin.name == name) {
        None => Some(format!("there is no plugin {name:?}; add a [[plugin]] of this name")),
        Some(plugin) if plugin.world != world => {
            Some(format!("plugin {name:?} is of the world {}, expected {}", plugin.world.name(), world.name()))
        }
        Some(_) => None,
    };
    let mut bound = BTreeSet::new();
    for binding in filters {
        let key = format!("filter of topic {:?} for group {:?}", binding.topic, binding.group);
        if binding.topic.is_empty() || binding.group.is_empty() {
            problem(key.clone(), "topic and group must both be given".into());
        }
        if let Some(unfit) = unfit(&binding.plugin, World::MessageFilter) {
            problem(key.clone(), unfit);
        }
        if !bound.insert((&binding.topic, &binding.group)) {
            problem(key, "two filters bind this topic and group; one is allowed".into());
        }
    }
    let mut bound = BTreeSet::new();
    for balancer in balancers {
        let key = format!("balancer of topic {:?} for group {:?}", balancer.topic, balancer.group);
        if balancer.topic.is_empty() || balancer.group.is_empty() {
            problem(key.clone(), format!("topic and group must both be given; {ANY:?} is every one"));
        }
        if balancer.decides.is_empty() {
            problem(key.clone(), "it decides nothing; give at least one decision".into());
        }
        if let Some(unfit) = unfit(&balancer.plugin, World::QueueBalancer) {
            problem(key.clone(), unfit);
        }
        for decision in &balancer.decides {
            if !bound.insert((&balancer.topic, &balancer.group, decision)) {
                problem(key.clone(), format!("two balancers decide {} here; one is allowed", decision.name()));
            }
        }
    }
    let takes = |plugin: &PluginSpec| {
        plugin.memory_limit_bytes.saturating_mul(if plugin.world.is_hook() { 1 } else { options.slots as u64 })
    };
    let sum = plugins.iter().fold(0u64, |sum, plugin| sum.saturating_add(takes(plugin)));
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
            PluginSpec { world: World::QueueBalancer, ..PluginSpec::new("c", "c.wasm") },
        ];
        let bindings = [
            BindingSpec::new("t", "g", "a"),
            BindingSpec::new("t", "g", "x"),
            BindingSpec::new("", "g", "a"),
            BindingSpec::new("t", "h", "c"),
        ];
        let balancers = vec![
            BalancerSpec::new("a"),
            BalancerSpec::new("c"),
            BalancerSpec { decides: [Decision::Route].into(), ..BalancerSpec::new("c") },
            BalancerSpec { decides: BTreeSet::new(), topic: "t".into(), ..BalancerSpec::new("c") },
        ];
        let config = PluginConfig { plugins: plugins.into(), filters: bindings.into(), balancers };
        let found: Vec<String> = check(&config, &HostOptions::default()).iter().map(ToString::to_string).collect();
        let expected = [
            "plugin \"a\".name: two plugins",
            "plugin \"a\".file: no file",
            "plugin \"b c\".name: a name has",
            "plugin \"b c\".memory_limit_bytes: 1 is out of range",
            "plugin \"b c\".deadline_ms: 0 is out of range",
            "filter of topic \"t\" for group \"g\": there is no plugin \"x\"",
            "filter of topic \"t\" for group \"g\": two filters",
            "filter of topic \"\" for group \"g\": topic and group",
            "filter of topic \"t\" for group \"h\": plugin \"c\" is of the world queue-balancer, expected message-filter",
            "balancer of topic \"*\" for group \"*\": plugin \"a\" is of the world message-filter",
            "balancer of topic \"*\" for group \"*\": two balancers decide route",
            "balancer of topic \"*\" for group \"*\": two balancers decide select-queue",
            "balancer of topic \"*\" for group \"*\": two balancers decide assign",
            "balancer of topic \"*\" for group \"*\": two balancers decide route",
            "balancer of topic \"t\" for group \"*\": it decides nothing",
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
        let problems = |plugins: &[PluginSpec]| {
            check(&PluginConfig { plugins: plugins.to_vec(), ..PluginConfig::default() }, &options).len()
        };
        assert_eq!(problems(&[plugin("a")]), 0);
        assert_eq!(problems(&[plugin("a"), plugin("b")]), 1);
        let hook = PluginSpec { world: World::AlertHook, ..plugin("b") };
        assert_eq!(problems(&[plugin("a"), hook]), 0, "there is one instance of a hook");
    }
}
