//! The thread that makes versions: one, of low priority, so that compiling never competes with serving.
//!
//! It brings each plugin to what is wanted of it (file, parameters, bindings), keeps the version that serves when that
//! fails, and drops old versions when their last user is gone, so that no worker does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    binding::Binding,
    code::{self, Code},
    engine::Runtime,
    news::News,
    plugin::Plugin,
    refusal::Refusal,
    spec::{BindingSpec, HostOptions, PluginSpec},
    version::{Ground, Prepared, Version, Wire, Wiring},
    watch::{Fingerprint, Watch},
};

/// How often old versions are looked at while there are any.
const DRAIN_LOOK: Duration = Duration::from_millis(50);
/// Least time between two looks at the files, however many events their folders send.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// Added to the loading thread's nice value.
const NICENESS: i32 = 5;

/// What the loader is asked to do.
pub(crate) enum Job {
    /// Bring everything to this.
    Want(Vec<Wanted>),
    /// A file may have changed.
    Look,
    /// Load a plugin's file now, changed or not; answers with the label or why not.
    Reload(String, Sender<Result<String, String>>),
    /// Grow the generation then.
    AnnounceAt(Instant),
    Stop,
}

/// One plugin as configured, with its bindings.
pub(crate) struct Wanted {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) spec: PluginSpec,
    pub(crate) bindings: Vec<(Arc<Binding>, BindingSpec)>,
}

struct Entry {
    wanted: Wanted,
    /// The file as it was when last read; `None` before the first time.
    seen: Option<Fingerprint>,
    /// A changed file that must stand still until then.
    settling: Option<(Fingerprint, Instant)>,
    /// Whether the last attempt came to less than was wanted: another configuration may do better with the same file.
    refused: bool,
}

pub(crate) struct Loader {
    runtime: Arc<Runtime>,
    options: HostOptions,
    broker: Arc<str>,
    news: News,
    watch: Watch,
    entries: BTreeMap<String, Entry>,
    /// Out of service, perhaps still in use.
    old: Vec<Arc<Version>>,
    announcements: Vec<Instant>,
    last_look: Instant,
    /// When events asked for a look that was too soon after the last one.
    next_look: Option<Instant>,
    next_rescan: Instant,
}

impl Loader {
    pub(crate) fn new(runtime: Arc<Runtime>, options: HostOptions, news: News) -> Self {
        let next_rescan = Instant::now() + options.rescan;
        let (broker, watch) = (options.broker.as_str().into(), Watch::new(news.clone()));
        Loader {
            runtime,
            options,
            broker,
            news,
            watch,
            entries: BTreeMap::new(),
            old: Vec::new(),
            announcements: Vec::new(),
            last_look: Instant::now(),
            next_look: None,
            next_rescan,
        }
    }

    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        // Without the permission it runs at the common priority, which only costs some latency elsewhere.
        let _ = rustix::process::nice(NICENESS);
        loop {
            let wait = self.next_due().saturating_duration_since(Instant::now());
            match jobs.recv_timeout(wait) {
                Ok(Job::Want(wanted)) => self.want(wanted),
                Ok(Job::Look) => self.next_look = Some(self.last_look + LOOK_GAP),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Reload(name, answer)) => {
                    // Whoever asked may have gone away.
                    let _ = answer.send(self.reload(&name));
                }
                Ok(Job::AnnounceAt(when)) => self.announcements.push(when),
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_if_due();
            self.announce_due();
            // Strong count 1 is this list's own: nobody can take another, the version is out of service.
            self.old.retain(|version| Arc::strong_count(version) > 1);
        }
    }

    fn next_due(&self) -> Instant {
        let settling = self.entries.values().filter_map(|entry| entry.settling.as_ref().map(|(_, due)| *due));
        let draining = (!self.old.is_empty()).then(|| Instant::now() + DRAIN_LOOK);
        let due = settling.chain(self.announcements.iter().copied()).chain(draining).chain(self.next_look).min();
        due.map_or(self.next_rescan, |due| due.min(self.next_rescan))
    }

    fn look_if_due(&mut self) {
        let now = Instant::now();
        let asked = self.next_look.is_some_and(|due| now >= due);
        let settled = self.entries.values().any(|entry| entry.settling.as_ref().is_some_and(|(_, due)| now >= *due));
        if asked || settled || now >= self.next_rescan {
            (self.next_look, self.last_look) = (None, now);
            self.look();
        }
    }

    fn announce_due(&mut self) {
        let now = Instant::now();
        let before = self.announcements.len();
        self.announcements.retain(|when| *when > now);
        if self.announcements.len() < before {
            self.news.announce();
        }
    }

    fn want(&mut self, wanted: Vec<Wanted>) {
        let mut former = std::mem::take(&mut self.entries);
        for wanted in wanted {
            let name = wanted.spec.name.clone();
            let entry = match former.remove(&name) {
                Some(entry) if entry.wanted.spec.file == wanted.spec.file => {
                    let seen = entry.seen.filter(|_| !entry.refused);
                    Entry { wanted, seen, ..entry }
                }
                _ => Entry { wanted, seen: None, settling: None, refused: false },
            };
            self.entries.insert(name, entry);
        }
        for entry in former.into_values() {
            self.old.extend(entry.wanted.plugin.swap(None));
        }
        self.follow();
        let names: Vec<String> = self.entries.keys().cloned().collect();
        for name in names {
            self.refresh(&name, false);
        }
        self.news.announce();
    }

    fn reload(&mut self, name: &str) -> Result<String, String> {
        if !self.entries.contains_key(name) {
            return Err(format!("there is no plugin {name:?}"));
        }
        let refusal = self.refresh(name, true);
        match (refusal, self.entries.get(name).and_then(|entry| entry.wanted.plugin.current())) {
            (None, Some(version)) => Ok(version.label.clone()),
            (refusal, _) => Err(refusal.unwrap_or_else(|| "nothing is in service".to_owned())),
        }
    }

    fn follow(&mut self) {
        self.watch.follow(self.entries.values().map(|entry| entry.wanted.spec.file.as_path()));
    }

    /// Compares every file with what was last read of it, and loads those that changed and have settled.
    fn look(&mut self) {
        self.watch.begin_look();
        let now = Instant::now();
        let mut changed = false;
        let mut settled = Vec::new();
        for (name, entry) in &mut self.entries {
            let found = Fingerprint::of(&entry.wanted.spec.file);
            if entry.seen.as_ref() == Some(&found) {
                entry.settling = None;
                continue;
            }
            changed = true;
            match &entry.settling {
                Some((settling, due)) if *settling == found => {
                    if now >= *due {
                        settled.push(name.clone());
                    }
                }
                _ => entry.settling = Some((found, now + self.options.debounce)),
            }
        }
        for name in settled {
            self.refresh(&name, false);
        }
        if changed || now >= self.next_rescan {
            self.follow();
            self.next_rescan = now + self.options.rescan;
        }
    }

    /// Brings one plugin to what is wanted of it. Returns why not.
    fn refresh(&mut self, name: &str, force: bool) -> Option<String> {
        let (runtime, broker) = (self.runtime.clone(), self.broker.clone());
        let entry = self.entries.get_mut(name)?;
        let plugin = entry.wanted.plugin.clone();
        let file = entry.wanted.spec.file.clone();
        let serving = plugin.current();
        let found = Fingerprint::of(&file);
        let (mut refusal, mut candidates) = (None, Vec::new());
        if force || entry.seen.as_ref() != Some(&found) {
            let present = matches!(found, Fingerprint::File { .. });
            plugin.note((!present).then(|| format!("{} is not there", file.display())));
            match read_code(&runtime, &entry.wanted.spec, serving.as_deref()) {
                Ok(code) => candidates.push(code),
                Err(error) => refusal = Some(error),
            }
            // A file that changed while it was read has not settled.
            entry.seen = (Fingerprint::of(&file) == found).then_some(found);
            entry.settling = None;
        }
        let from_file = candidates.len();
        candidates.extend(serving.as_ref().map(|version| version.code.clone()));
        let wiring = wiring(&entry.wanted);
        let ground = Ground {
            runtime,
            plugin: plugin.shared_name(),
            shared: plugin.shared.clone(),
            broker,
            slots: self.options.slots,
        };
        let mut prepared = None;
        for (place, code) in candidates.into_iter().enumerate() {
            let serves = |version: &Version| version.code.sha256 == code.sha256 && version.wiring == wiring;
            if serving.as_deref().is_some_and(serves) && !(force && place < from_file) {
                break;
            }
            match Version::prepare(&ground, code, wiring.clone(), serving.as_deref()) {
                Ok(fit) => {
                    prepared = Some(fit);
                    break;
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        entry.refused = refusal.is_some() || prepared.as_ref().is_some_and(|prepared| !prepared.problems.is_empty());
        // Before the swap: whoever sees the new version sees what was refused beside it.
        plugin.set_refusal(refusal.as_ref());
        if let Some(prepared) = prepared {
            self.put_in_service(name, prepared);
        }
        if let Some(refusal) = &refusal {
            let file = file.display().to_string();
            match plugin.current() {
                Some(version) => {
                    tracing::warn!(plugin = name, file, "plugin refused, {} goes on serving: {refusal}", version.label);
                }
                None => tracing::warn!(plugin = name, file, "plugin refused, nothing serves its bindings: {refusal}"),
            }
            // A binding without a version follows its own policy once it is known that none comes.
            self.news.announce();
        }
        refusal.map(|refusal| refusal.to_string())
    }

    fn put_in_service(&mut self, name: &str, prepared: Prepared) {
        let Some(entry) = self.entries.get(name) else { return };
        let Prepared { version, problems } = prepared;
        for (binding, _) in &entry.wanted.bindings {
            let problem = problems.iter().find(|(id, _)| *id == binding.id).map(|(_, refusal)| refusal.to_string());
            if let Some(problem) = &problem {
                tracing::warn!(
                    plugin = name,
                    topic = binding.topic,
                    group = binding.group,
                    "the filter is not served as configured: {problem}"
                );
            }
            binding.set_problem(problem);
            // A new version starts with a clean slate.
            binding.breaker.reset();
        }
        let (label, compile_ms) = (version.label.clone(), version.code.compile_ms);
        let former = entry.wanted.plugin.swap(Some(Arc::new(version)));
        let replaced = former.as_ref().map_or("nothing", |former| former.label.as_str());
        tracing::info!(plugin = name, version = label, replaced, compile_ms, "plugin in service");
        self.old.extend(former);
        self.news.announce();
    }
}

/// The file's code; the code that serves when the bytes are the same.
fn read_code(runtime: &Runtime, spec: &PluginSpec, serving: Option<&Version>) -> Result<Arc<Code>, Refusal> {
    let bytes = code::read_file(&spec.file)?;
    match serving.filter(|version| version.code.sha256 == code::sha256_hex(&bytes)) {
        Some(version) => Ok(version.code.clone()),
        None => Code::compile(runtime, &bytes, spec.world).map(Arc::new),
    }
}

fn wiring(wanted: &Wanted) -> Wiring {
    let wire = |(binding, spec): &(Arc<Binding>, BindingSpec)| Wire {
        id: binding.id,
        topic: spec.topic.clone(),
        group: spec.group.clone(),
        params: spec.merged_params(&wanted.spec),
    };
    Wiring {
        params: wanted.spec.params.clone(),
        memory_limit_bytes: wanted.spec.memory_limit_bytes,
        deadline: Duration::from_millis(wanted.spec.deadline_ms),
        bindings: wanted.bindings.iter().map(wire).collect(),
    }
}
