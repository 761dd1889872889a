//! The plugin host as the broker and the binary see it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use gantry_base::watermark::Watermark;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{
    binding::Binding,
    engine::Runtime,
    loader::{Job, Loader, Wanted},
    news::News,
    plugin::Plugin,
    spec::{self, BindingSpec, ConfigProblem, HostOptions, PluginSpec},
    status::{self, PluginStatus},
};

/// Loads, watches, swaps and runs the plugins of one node. Clones share it.
#[derive(Clone)]
pub struct PluginHost(Arc<Inner>);

struct Inner {
    options: HostOptions,
    news: News,
    /// What pulls look at, without a lock.
    bindings: ArcSwap<Bindings>,
    config: Mutex<Config>,
    loader: Mutex<Option<JoinHandle<()>>>,
}

/// By topic, then by group.
type Bindings = FxHashMap<String, FxHashMap<String, Arc<Binding>>>;

/// The configuration that was last applied.
#[derive(Default)]
struct Config {
    next_id: u32,
    plugins: BTreeMap<String, Arc<Plugin>>,
    bindings: BTreeMap<(String, String), Arc<Binding>>,
}

/// The host cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the plugin host cannot start: {0}")]
pub struct StartError(String);

impl PluginHost {
    /// Starts the loading thread. Nothing is compiled yet.
    pub fn start(options: HostOptions) -> Result<Self, StartError> {
        let runtime = Runtime::new().map_err(|error| StartError(error.to_string()))?;
        let (jobs, inbox) = mpsc::channel();
        let news = News::new(jobs);
        let thread = spawn_loader(Arc::new(runtime), options.clone(), news.clone(), inbox);
        let thread = thread.map_err(|error| StartError(error.to_string()))?;
        Ok(PluginHost(Arc::new(Inner {
            options,
            news,
            bindings: ArcSwap::default(),
            config: Mutex::default(),
            loader: Mutex::new(Some(thread)),
        })))
    }

    /// Makes this the whole set of plugins and bindings. A set with problems changes nothing. New bindings hold from now
    /// on until their plugin is in service; removed ones are gone at once. Does not wait for compiling.
    pub fn apply(&self, plugins: Vec<PluginSpec>, bindings: Vec<BindingSpec>) -> Result<(), Vec<ConfigProblem>> {
        let problems = spec::check(&plugins, &bindings, &self.0.options);
        if !problems.is_empty() {
            return Err(problems);
        }
        // The lock is kept until the loader has its job, so that two calls reach it in the order in which they were published.
        let mut config = self.0.config.lock();
        let config = &mut *config;
        let mut known = std::mem::take(&mut config.plugins);
        for spec in &plugins {
            let plugin = known.remove(&spec.name).unwrap_or_else(|| Arc::new(Plugin::new(&spec.name)));
            // Not left to the loader: who lists plugins sees where each comes from as soon as it is there.
            plugin.set_source(spec.file.clone(), spec.world);
            config.plugins.insert(spec.name.clone(), plugin);
        }
        let mut former = std::mem::take(&mut config.bindings);
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for spec in plugins {
            let plugin = config.plugins[&spec.name].clone();
            wanted.insert(spec.name.clone(), Wanted { plugin, spec, bindings: Vec::new() });
        }
        for spec in bindings {
            let Some(wanted) = wanted.get_mut(&spec.plugin) else { continue };
            let key = (spec.topic.clone(), spec.group.clone());
            let kept = former.remove(&key).filter(|binding| Arc::ptr_eq(&binding.plugin, &wanted.plugin));
            let binding = kept.unwrap_or_else(|| {
                config.next_id += 1;
                let (plugin, news) = (wanted.plugin.clone(), self.0.news.clone());
                let names = (spec.topic.as_str(), spec.group.as_str());
                Arc::new(Binding::new(config.next_id, names, plugin, spec.on_error, self.0.options.breaker, news))
            });
            binding.set_on_error(spec.on_error);
            config.bindings.insert(key, binding.clone());
            wanted.bindings.push((binding, spec));
        }
        let mut published = Bindings::default();
        for ((topic, group), binding) in &config.bindings {
            published.entry(topic.clone()).or_default().insert(group.clone(), binding.clone());
        }
        let replaced = self.0.bindings.swap(Arc::new(published));
        for binding in replaced.values().flat_map(|groups| groups.values()) {
            let now = config.bindings.get(&(binding.topic.clone(), binding.group.clone()));
            if !now.is_some_and(|now| Arc::ptr_eq(now, binding)) {
                binding.unbind();
            }
        }
        self.0.news.send(Job::Want(wanted.into_values().collect()));
        self.0.news.announce();
        Ok(())
    }

    /// The binding of a topic and group, if there is one. Costs two hash lookups. Whoever waits between two looks at a
    /// queue should ask again: bindings come and go while they wait.
    pub fn binding(&self, topic: &str, group: &str) -> Option<Arc<Binding>> {
        self.0.bindings.load().get(topic)?.get(group).cloned()
    }

    /// Grows with every swap, refusal, unbinding and breaker that is to be tried again: whoever holds a message because
    /// its filter could not decide waits for more than it saw before.
    pub fn generation(&self) -> &Watermark {
        self.0.news.generation()
    }

    /// Loads a plugin's file now, changed or not; the answer is the label in service or why it was refused. Blocks while
    /// compiling.
    pub fn reload(&self, plugin: &str) -> Result<String, String> {
        let (answer, result) = mpsc::channel();
        self.0.news.send(Job::Reload(plugin.to_owned(), answer));
        result.recv().unwrap_or_else(|_| Err("the plugin host has shut down".to_owned()))
    }

    /// Every plugin with its bindings, by name.
    pub fn status(&self) -> Vec<PluginStatus> {
        let config = self.0.config.lock();
        let mut bindings: BTreeMap<&str, Vec<Arc<Binding>>> = BTreeMap::new();
        for binding in config.bindings.values() {
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
