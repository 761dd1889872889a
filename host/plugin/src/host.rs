//! The plugin host as the broker and the binary see it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Weak,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use gantry_balance::{ANY, Decision};
use gantry_base::watermark::Watermark;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{
    balancer::Balancer,
    binding::{Binding, Kind},
    engine::Runtime,
    hook::Hook,
    loader::{Job, Loader, Order, Pushed, Wanted},
    news::News,
    plugin::Plugin,
    spec::{self, ConfigProblem, FUNCTIONS_MAX, HostOptions, PluginConfig, PluginSpec, World},
    status::{self, PluginStatus},
    version::Wire,
};

/// Loads, watches, swaps and runs the plugins of one node. Clones share it.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    options: HostOptions,
    news: News,
    /// What requests look at, without a lock.
    published: ArcSwap<Published>,
    config: Mutex<Config>,
    loader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Published {
    /// By topic, then by group.
    filters: FxHashMap<String, FxHashMap<String, Arc<Binding>>>,
    /// By decision, then by topic, then by group.
    balancers: FxHashMap<Decision, FxHashMap<String, FxHashMap<String, Arc<Binding>>>>,
    hooks: Vec<Arc<Binding>>,
}

/// What tells one use of a plugin from another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Filter { topic: String, group: String },
    Balancer { topic: String, group: String, decides: Vec<Decision> },
    Hook { plugin: String },
}

/// A call in a subscription: plugin, topic, group and argument.
type Function = (String, String, String, Option<String>);

/// A binding with its own parameters.
struct Bound {
    binding: Arc<Binding>,
    params: Vec<(String, String)>,
}

/// The configuration that was last applied.
#[derive(Default)]
struct Config {
    next_id: u32,
    applied: PluginConfig,
    plugins: BTreeMap<String, Arc<Plugin>>,
    bindings: BTreeMap<Key, Bound>,
    /// As long as a subscription uses them.
    functions: BTreeMap<Function, Weak<Binding>>,
}

/// The host cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the plugin host cannot start: {0}")]
pub struct StartError(pub(crate) String);

impl PluginHost {
    /// Starts the loading thread. Nothing is compiled yet.
    pub fn start(options: HostOptions) -> Result<Self, StartError> {
        let runtime = Runtime::start(&options)?;
        let (jobs, inbox) = mpsc::channel();
        let news = News::new(jobs);
        let thread = spawn_loader(Arc::new(runtime), options.clone(), news.clone(), inbox);
        let thread = thread.map_err(|error| StartError(error.to_string()))?;
        Ok(PluginHost(Arc::new(Inner {
            options,
            news,
            published: ArcSwap::default(),
            config: Mutex::default(),
            loader: Mutex::new(Some(thread)),
        })))
    }

    /// Makes this the whole set of plugins and what they are bound to. A set with problems changes nothing. New bindings hold
    /// from now on until their plugin is in service; removed ones are gone at once. Does not wait for compiling.
    pub fn apply(&self, set: PluginConfig) -> Result<(), Vec<ConfigProblem>> {
        let problems = spec::check(&set, &self.0.options);
        if !problems.is_empty() {
            return Err(problems);
        }
        // The lock is kept until the loader has its job, so that two calls reach it in the order in which they were published.
        let mut config = self.0.config.lock();
        let mut known = std::mem::take(&mut config.plugins);
        for spec in &set.plugins {
            let plugin = known.remove(&spec.name).unwrap_or_else(|| Arc::new(Plugin::new(&spec.name)));
            // Not left to the loader: who lists plugins sees where each comes from as soon as it is there.
            plugin.set_source(spec.file.clone(), spec.world);
            config.plugins.insert(spec.name.clone(), plugin);
        }
        config.applied = set;
        self.0.bind(&mut config);
        let jobs = self.0.wanted(&mut config);
        self.0.news.send(Job::Want(jobs));
        self.0.news.announce();
        Ok(())
    }

    /// The filter of a topic and group, if there is one. Costs two hash lookups. Whoever waits between two looks at a
    /// queue should ask again: bindings come and go while they wait.
    pub fn binding(&self, topic: &str, group: &str) -> Option<Arc<Binding>> {
        self.0.published.load().filters.get(topic)?.get(group).cloned()
    }

    /// The balancer that takes `decision` about a topic and group, if one is bound; the most particular one: by topic and
    /// group, by topic, by group, for all. Ask for group [`ANY`] where groups do not matter. Whether the plugin takes the
    /// decision is known once it serves ([`Balancer::decisions`]).
    pub fn balancer(&self, decision: Decision, topic: &str, group: &str) -> Option<Balancer> {
        let published = self.0.published.load();
        let topics = published.balancers.get(&decision)?;
        let places = [(topic, group), (topic, ANY), (ANY, group), (ANY, ANY)];
        places.into_iter().find_map(|(topic, group)| topics.get(topic)?.get(group)).cloned().map(Balancer)
    }

    /// The hooks, in the order of the configuration.
    pub fn hooks(&self) -> Vec<Hook> {
        self.0.published.load().hooks.iter().cloned().map(Hook).collect()
    }

    /// A filter that a subscription of `group` to `topic` calls by the plugin's name, with an argument that reaches it as the
    /// parameter `arg`. It is open for as long as the binding is kept, and judges like any other; it holds until then.
    /// The error is a sentence for whoever wrote the subscription.
    pub fn function(&self, plugin: &str, topic: &str, group: &str, arg: Option<&str>) -> Result<Arc<Binding>, String> {
        let mut config = self.0.config.lock();
        let Some(spec) = config.applied.plugins.iter().find(|spec| spec.name == plugin) else {
            return Err(format!("there is no plugin {plugin:?}"));
        };
        if spec.world != World::MessageFilter {
            return Err(format!("plugin {plugin:?} is of the world {}, not a filter", spec.world.name()));
        }
        let on_error = spec.on_error;
        let key: Function = (plugin.to_owned(), topic.to_owned(), group.to_owned(), arg.map(str::to_owned));
        if let Some(open) = config.functions.get(&key).and_then(Weak::upgrade) {
            return Ok(open);
        }
        config.functions.retain(|_, binding| binding.strong_count() > 0);
        if config.functions.len() >= FUNCTIONS_MAX {
            return Err(format!("{FUNCTIONS_MAX} calls of plugins are open in subscriptions, the most that may be"));
        }
        let kind = Kind::Function(key.3.clone());
        let binding = self.0.new_binding(&mut config, kind, (topic, group), plugin);
        let binding = binding.ok_or_else(|| format!("there is no plugin {plugin:?}"))?;
        binding.set_on_error(on_error);
        config.functions.insert(key, Arc::downgrade(&binding));
        let jobs = self.0.wanted(&mut config);
        self.0.news.send(Job::Want(jobs));
        Ok(binding)
    }

    /// Grows with every swap, refusal, unbinding and breaker that is to be tried again: whoever holds a message because
    /// its filter could not decide waits for more than it saw before.
    pub fn generation(&self) -> &Watermark {
        self.0.news.generation()
    }

    /// Loads a plugin's file now, changed or not; the answer is the label in service or why it was refused. Blocks while
    /// compiling.
    pub fn reload(&self, plugin: &str) -> Result<String, String> {
        self.0.order(plugin, Order::Reload)
    }

    /// Takes a plugin out of service until it is enabled: its filters hold (or deliver, marked), its balancers leave
    /// everything to the broker, its hooks rest. Outlives a restart.
    pub fn disable(&self, plugin: &str) -> Result<String, String> {
        self.0.order(plugin, Order::Disable)
    }

    /// Puts a disabled plugin back in service.
    pub fn enable(&self, plugin: &str) -> Result<String, String> {
        self.0.order(plugin, Order::Enable)
    }

    /// Puts a former version back in service: the one before, or the one whose SHA-256 begins with `to`. The version that
    /// served is not loaded again until its file changes or a reload is asked for.
    pub fn rollback(&self, plugin: &str, to: Option<&str>) -> Result<String, String> {
        self.0.order(plugin, Order::Rollback(to.map(str::to_owned)))
    }

    /// Puts these bytes in service as the plugin's new version and makes them its file, as if somebody had replaced it: cases,
    /// shadow run, pin and signature count alike. What is refused changes nothing.
    pub fn push(&self, plugin: &str, bytes: Vec<u8>, signature: Option<Vec<u8>>) -> Result<String, String> {
        self.0.order(plugin, Order::Push(Pushed { bytes, signature }))
    }

    /// Every plugin with its bindings, by name.
    pub fn status(&self) -> Vec<PluginStatus> {
        let config = self.0.config.lock();
        let mut bindings: BTreeMap<&str, Vec<Arc<Binding>>> = BTreeMap::new();
        let functions: Vec<Arc<Binding>> = config.functions.values().filter_map(Weak::upgrade).collect();
        for binding in config.bindings.values().map(|bound| &bound.binding).chain(&functions) {
            bindings.entry(binding.plugin.name()).or_default().push(binding.clone());
        }
        let of = |plugin: &Arc<Plugin>| status::of(plugin, bindings.get(plugin.name()).map_or(&[], Vec::as_slice));
        config.plugins.values().map(of).collect()
    }

    /// Ends the loading thread. Versions in service go on serving whoever still asks.
    pub fn shutdown(&self) {
        self.0.stop();
    }
}

impl Inner {
    fn new_binding(&self, config: &mut Config, kind: Kind, names: (&str, &str), plugin: &str) -> Option<Arc<Binding>> {
        let plugin = config.plugins.get(plugin)?.clone();
        config.next_id += 1;
        Some(Arc::new(Binding::new(config.next_id, kind, names, plugin, self.options.breaker, self.news.clone())))
    }

    /// Makes the bindings those of the applied configuration, keeping what stays, and publishes them.
    fn bind(&self, config: &mut Config) {
        let applied = config.applied.clone();
        let mut former = std::mem::take(&mut config.bindings);
        let mut published = Published::default();
        let mut keep = |config: &mut Config, key: Key, kind: Kind, names: (&str, &str), plugin: &str, params: &[_]| {
            let same = |bound: &Bound| {
                config.plugins.get(plugin).is_some_and(|plugin| Arc::ptr_eq(&bound.binding.plugin, plugin))
            };
            let kept = former.remove(&key).filter(same).map(|bound| bound.binding);
            let binding = kept.or_else(|| self.new_binding(config, kind, names, plugin))?;
            config.bindings.insert(key, Bound { binding: binding.clone(), params: params.to_vec() });
            Some(binding)
        };
        for spec in &applied.filters {
            let (topic, group) = (spec.topic.clone(), spec.group.clone());
            let names = (spec.topic.as_str(), spec.group.as_str());
            let key = Key::Filter { topic: topic.clone(), group: group.clone() };
            let Some(binding) = keep(config, key, Kind::Filter, names, &spec.plugin, &spec.params) else { continue };
            binding.set_on_error(spec.on_error);
            published.filters.entry(topic).or_default().insert(group, binding);
        }
        for spec in &applied.balancers {
            let (topic, group) = (spec.topic.clone(), spec.group.clone());
            let names = (spec.topic.as_str(), spec.group.as_str());
            let decides = spec.decides.iter().copied().collect();
            let key = Key::Balancer { topic: topic.clone(), group: group.clone(), decides };
            let Some(binding) = keep(config, key, Kind::Balancer, names, &spec.plugin, &spec.params) else { continue };
            binding.set_retargets(spec.retarget);
            for decision in &spec.decides {
                let topics = published.balancers.entry(*decision).or_default();
                topics.entry(topic.clone()).or_default().insert(group.clone(), binding.clone());
            }
        }
        for spec in applied.plugins.iter().filter(|spec| spec.world.is_hook()) {
            let key = Key::Hook { plugin: spec.name.clone() };
            published.hooks.extend(keep(config, key, Kind::Hook, ("", ""), &spec.name, &[]));
        }
        self.published.store(Arc::new(published));
        former.into_values().for_each(|bound| bound.binding.unbind());
        // A plugin that went away takes the calls of it with it.
        let plugins = &config.plugins;
        config.functions.retain(|(plugin, ..), binding| {
            let Some(binding) = binding.upgrade() else { return false };
            let stays = plugins.get(plugin).is_some_and(|plugin| Arc::ptr_eq(&binding.plugin, plugin));
            if !stays {
                binding.unbind();
            }
            stays
        });
    }

    /// Every plugin with what it is to be opened for.
    fn wanted(&self, config: &mut Config) -> Vec<Wanted> {
        let applied = config.applied.clone();
        let mut wires: BTreeMap<String, Vec<(Weak<Binding>, Wire)>> = BTreeMap::new();
        let plugin_of = |name: &str| applied.plugins.iter().find(|spec| spec.name == name);
        let mut add = |binding: &Arc<Binding>, spec: &PluginSpec, own: &[(String, String)]| {
            let wire = Wire {
                id: binding.id,
                kind: binding.kind.clone(),
                topic: binding.topic.clone(),
                group: binding.group.clone(),
                zone: self.options.zone.clone(),
                params: spec::merged_params(spec, own),
            };
            wires.entry(spec.name.clone()).or_default().push((Arc::downgrade(binding), wire));
        };
        for Bound { binding, params } in config.bindings.values() {
            if let Some(spec) = plugin_of(binding.plugin.name()) {
                add(binding, spec, params);
            }
        }
        for ((plugin, .., arg), binding) in &config.functions {
            if let (Some(spec), Some(binding)) = (plugin_of(plugin), binding.upgrade()) {
                let own: Vec<_> = arg.iter().map(|arg| ("arg".to_owned(), arg.clone())).collect();
                add(&binding, spec, &own);
            }
        }
        let wanted = |spec: PluginSpec| {
            let plugin = config.plugins.get(&spec.name)?.clone();
            Some(Wanted { plugin, bindings: wires.remove(&spec.name).unwrap_or_default(), spec })
        };
        applied.plugins.clone().into_iter().filter_map(wanted).collect()
    }

    fn order(&self, plugin: &str, order: Order) -> Result<String, String> {
        let (answer, result) = mpsc::channel();
        self.news.send(Job::Order(plugin.to_owned(), order, answer));
        result.recv().unwrap_or_else(|_| Err("the plugin host has shut down".to_owned()))
    }

    fn stop(&self) {
        self.news.send(Job::Stop);
        if let Some(thread) = self.loader.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the plugin loader had panicked; plugins were no longer reloaded");
        }
        self.news.generation().close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn_loader(
    runtime: Arc<Runtime>,
    options: HostOptions,
    news: News,
    inbox: Receiver<Job>,
) -> io::Result<JoinHandle<()>> {
    let run = move || Loader::new(runtime, options, news).run(&inbox);
    std::thread::Builder::new().name("plugin-loader".into()).spawn(run)
}
