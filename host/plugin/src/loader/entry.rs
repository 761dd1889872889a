//! One plugin in the loader's hands: from its file, or a version of before, to what serves.

mod orders;

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{
    binding::Binding,
    cases,
    code::{self, Code},
    engine::Runtime,
    history::What,
    news::News,
    plugin::Plugin,
    refusal::Refusal,
    shadow,
    shelf::{Shelf, ShelfState},
    signature,
    spec::{HostOptions, PluginSpec},
    version::{Ground, Prepared, Version, Wire, Wiring},
    watch::Fingerprint,
};

/// What all entries are made with.
pub(crate) struct Tools {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) options: HostOptions,
    pub(crate) news: News,
    broker: Arc<str>,
}

impl Tools {
    pub(crate) fn new(runtime: Arc<Runtime>, options: HostOptions, news: News) -> Self {
        Tools { broker: options.broker.as_str().into(), runtime, options, news }
    }
}

/// One plugin as configured, with its bindings.
pub(crate) struct Wanted {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) spec: PluginSpec,
    /// Weak, because a call in a subscription is open for as long as the subscription keeps it.
    pub(crate) bindings: Vec<(Weak<Binding>, Wire)>,
}

/// A version to go back to.
struct Former {
    sha256: String,
    /// `None` = of an earlier process: on the shelf, compiled when it is wanted.
    code: Option<Arc<Code>>,
}

pub(crate) struct Entry {
    wanted: Wanted,
    /// The file as it was when last read; `None` before the first time.
    seen: Option<Fingerprint>,
    /// A changed file that must stand still until then.
    settling: Option<(Fingerprint, Instant)>,
    /// Whether the last attempt came to less than was wanted: another configuration may do better with the same file.
    refused: bool,
    /// Versions that served before, latest last.
    former: VecDeque<Former>,
    /// Until when the version in service may be replaced by the one before it.
    probation: Option<Instant>,
    shelf: Shelf,
    /// What of all this outlives the process.
    state: ShelfState,
}

impl Entry {
    pub(crate) fn new(tools: &Tools, wanted: Wanted) -> Self {
        let shelf = Shelf::open(tools.options.shelf.as_deref(), &wanted.spec.name);
        let state = shelf.state();
        wanted.plugin.set_disabled(state.disabled);
        wanted.plugin.history().extend(state.history.iter().cloned());
        let mut entry = Entry {
            wanted,
            seen: None,
            settling: None,
            refused: false,
            former: VecDeque::new(),
            probation: None,
            shelf,
            state,
        };
        entry.take_up(tools);
        entry
    }

    /// The same plugin under another configuration.
    pub(crate) fn wanting(self, wanted: Wanted) -> Self {
        let same_file = self.wanted.spec.file == wanted.spec.file && self.wanted.spec.world == wanted.spec.world;
        let seen = self.seen.filter(|_| same_file && !self.refused);
        Entry { wanted, seen, settling: self.settling.filter(|_| same_file), ..self }
    }

    /// The plugin is gone from the configuration; the version that served it.
    pub(crate) fn leave(self) -> Option<Arc<Version>> {
        self.wanted.plugin.swap(None)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.wanted.spec.file
    }

    pub(crate) fn settles_at(&self) -> Option<Instant> {
        self.settling.as_ref().map(|(_, due)| *due)
    }

    /// Whether the file is another one than was read last.
    pub(crate) fn is_news(&self, found: &Fingerprint) -> bool {
        self.seen.as_ref() != Some(found)
    }

    /// Whether a file that is news has stood still for long enough.
    pub(crate) fn has_settled(&mut self, found: Fingerprint, now: Instant, debounce: Duration) -> bool {
        if !self.is_news(&found) {
            self.settling = None;
            return false;
        }
        match &self.settling {
            Some((settling, due)) if *settling == found => now >= *due,
            _ => {
                self.settling = Some((found, now + debounce));
                false
            }
        }
    }

    /// Brings the plugin to what is wanted of it. Returns why not.
    pub(crate) fn refresh(&mut self, tools: &Tools, old: &mut Vec<Arc<Version>>, force: bool) -> Option<String> {
        if self.state.disabled {
            return None;
        }
        let plugin = self.wanted.plugin.clone();
        let file = self.wanted.spec.file.clone();
        let serving = plugin.current();
        let found = Fingerprint::of(&file);
        let (mut refusal, mut candidates) = (None, Vec::new());
        if force || self.is_news(&found) {
            let present = matches!(found, Fingerprint::File { .. });
            plugin.note((!present).then(|| format!("{} is not there", file.display())));
            match self.read_code(tools, serving.as_deref(), force) {
                Ok(code) => candidates.push(code),
                Err(error) => refusal = Some(error),
            }
            // A file that changed while it was read has not settled.
            self.seen = (Fingerprint::of(&file) == found).then_some(found);
            self.settling = None;
        }
        let from_file = candidates.len();
        candidates.extend(serving.as_ref().map(|version| version.code.clone()));
        let wiring = self.wiring();
        let mut prepared = None;
        for (place, code) in candidates.into_iter().enumerate() {
            let serves = |version: &Version| version.code.sha256 == code.sha256 && version.wiring == wiring;
            if serving.as_deref().is_some_and(serves) && !(force && place < from_file) {
                break;
            }
            match self.prepare(tools, code, &wiring) {
                Ok(fit) => {
                    prepared = Some(fit);
                    break;
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        self.refused = refusal.is_some() || prepared.as_ref().is_some_and(|prepared| !prepared.problems.is_empty());
        // Before the swap: whoever sees the new version sees what was refused beside it.
        plugin.set_refusal(refusal.as_ref());
        if let Some(prepared) = prepared {
            self.put_in_service(tools, old, prepared, What::InService, None);
        }
        if let Some(refusal) = &refusal {
            let (name, file) = (plugin.name(), file.display().to_string());
            self.note(What::Refused, None, Some(refusal.to_string()));
            match plugin.current() {
                Some(version) => {
                    tracing::warn!(plugin = name, file, "plugin refused, {} goes on serving: {refusal}", version.label);
                }
                None => tracing::warn!(plugin = name, file, "plugin refused, nothing serves its bindings: {refusal}"),
            }
            // A binding without a version follows its own policy once it is known that none comes.
            tools.news.announce();
        }
        refusal.map(|refusal| refusal.to_string())
    }

    /// The file's code, once it may be used at all; the code that serves when the bytes are the same.
    fn read_code(&mut self, tools: &Tools, serving: Option<&Version>, force: bool) -> Result<Arc<Code>, Refusal> {
        let bytes = code::read_file(&self.wanted.spec.file)?;
        signature::check(&tools.options, &self.wanted.spec.file, &bytes)?;
        self.code_from(tools, serving, &bytes, force)
    }

    /// The code of bytes whose origin was checked.
    fn code_from(
        &mut self,
        tools: &Tools,
        serving: Option<&Version>,
        bytes: &[u8],
        force: bool,
    ) -> Result<Arc<Code>, Refusal> {
        let spec = &self.wanted.spec;
        let sha256 = code::sha256_hex(bytes);
        if let Some(pinned) = spec.sha256.as_ref().filter(|pinned| **pinned != sha256) {
            return Err(Refusal::Pinned { found: sha256, expected: pinned.clone() });
        }
        if force {
            self.state.forgive(&sha256);
        } else if self.state.shuns(&sha256) {
            return Err(Refusal::Shunned { sha256 });
        }
        if let Some(version) = serving.filter(|version| version.code.sha256 == sha256) {
            return Ok(version.code.clone());
        }
        if let Some(kept) = self.former.iter().find(|former| former.sha256 == sha256).and_then(|kept| kept.code.clone())
        {
            return Ok(kept);
        }
        let code = Arc::new(Code::compile(&tools.runtime, bytes, spec.world)?);
        self.shelf.put(&code.sha256, bytes);
        Ok(code)
    }

    /// A version of `code` that has passed everything that comes before service.
    fn prepare(&self, tools: &Tools, code: Arc<Code>, wiring: &Wiring) -> Result<Prepared, Refusal> {
        let Wanted { plugin, spec, .. } = &self.wanted;
        let ground = Ground {
            runtime: tools.runtime.clone(),
            plugin: plugin.shared_name(),
            shared: plugin.shared.clone(),
            broker: tools.broker.clone(),
            slots: tools.options.slots,
        };
        let serving = plugin.current();
        let fit = Version::prepare(&ground, code, wiring.clone(), serving.as_deref())?;
        // The same code was asked before; other parameters may well fail cases that are written for these.
        if serving.as_ref().is_none_or(|serving| serving.code.sha256 != fit.version.code.sha256) {
            cases::run_beside(&spec.file, &ground, &fit.version)?;
            if let Some(serving) = &serving {
                let report = shadow::run(&plugin.recent, serving, &fit.version);
                if let (Some(report), Some(most)) = (&report, spec.shadow_differs_max_percent)
                    && report.differs_percent() > f64::from(most)
                {
                    return Err(Refusal::Shadow { report: report.to_string(), most });
                }
                plugin.set_shadow(report);
            }
        }
        Ok(fit)
    }

    fn put_in_service(
        &mut self,
        tools: &Tools,
        old: &mut Vec<Arc<Version>>,
        prepared: Prepared,
        what: What,
        detail: Option<String>,
    ) {
        let Prepared { version, problems } = prepared;
        let plugin = self.wanted.plugin.clone();
        for binding in self.wanted.bindings.iter().filter_map(|(binding, _)| binding.upgrade()) {
            let problem = problems.iter().find(|(id, _)| *id == binding.id).map(|(_, refusal)| refusal.to_string());
            if let Some(problem) = &problem {
                tracing::warn!(plugin = plugin.name(), %binding, "not served as configured: {problem}");
            }
            binding.set_problem(problem);
            // A new version starts with a clean slate.
            binding.breaker.reset();
        }
        let (label, compile_ms, sha256) = (version.label.clone(), version.code.compile_ms, version.code.sha256.clone());
        if let Some(before) = plugin.current() {
            version.carry_over(&before);
        }
        let replaced = plugin.swap(Some(Arc::new(version)));
        let before = replaced.as_ref().map_or("nothing", |before| before.label.as_str());
        tracing::info!(plugin = plugin.name(), version = label, replaced = before, compile_ms, "plugin in service");
        // What serves is nothing to go back to.
        self.former.retain(|former| former.sha256 != sha256);
        self.publish_former();
        let other_code = replaced.as_ref().filter(|before| before.code.sha256 != sha256);
        if let Some(before) = other_code {
            self.keep(tools, before.code.clone());
            self.probation = Some(Instant::now() + tools.options.probation);
        }
        if other_code.is_some() || replaced.is_none() {
            self.state.serving = Some(sha256.clone());
            self.note(what, Some(sha256), detail);
        }
        old.extend(replaced);
        tools.news.announce();
    }

    /// Keeps code that serves no more, to go back to.
    fn keep(&mut self, tools: &Tools, code: Arc<Code>) {
        self.former.retain(|former| former.sha256 != code.sha256);
        self.former.push_back(Former { sha256: code.sha256.clone(), code: Some(code) });
        while self.former.len() > tools.options.versions_kept {
            self.former.pop_front();
        }
        self.publish_former();
    }

    fn publish_former(&mut self) {
        self.state.former = self.former.iter().map(|former| former.sha256.clone()).collect();
        self.wanted.plugin.set_kept(self.state.former.clone());
    }

    /// The code of a former version; `None` when its bytes are gone or cannot be used any more.
    fn code_of(&self, tools: &Tools, former: &Former) -> Option<Arc<Code>> {
        former.code.clone().or_else(|| self.shelved(tools, &former.sha256))
    }

    fn shelved(&self, tools: &Tools, sha256: &str) -> Option<Arc<Code>> {
        let bytes = self.shelf.get(sha256)?;
        Code::compile(&tools.runtime, &bytes, self.wanted.spec.world).map(Arc::new).ok()
    }

    /// Takes up what an earlier process left: versions to go back to, and the one that served if the file's own is shunned.
    fn take_up(&mut self, tools: &Tools) {
        self.former = self.state.former.iter().map(|sha256| Former { sha256: sha256.clone(), code: None }).collect();
        self.publish_former();
        if self.state.disabled {
            return;
        }
        let shunned = |bytes: Vec<u8>| self.state.shuns(&code::sha256_hex(&bytes));
        if !code::read_file(&self.wanted.spec.file).is_ok_and(shunned) {
            return;
        }
        let Some(sha256) = self.state.serving.clone() else { return };
        let wiring = self.wiring();
        let fit = self.shelved(tools, &sha256).map(|code| self.prepare(tools, code, &wiring));
        if let Some(Ok(fit)) = fit {
            self.put_in_service(tools, &mut Vec::new(), fit, What::InService, Some("as before the restart".into()));
        }
    }

    fn wiring(&self) -> Wiring {
        let spec = &self.wanted.spec;
        Wiring {
            params: spec.params.clone(),
            memory_limit_bytes: spec.memory_limit_bytes,
            deadline: Duration::from_millis(spec.deadline_ms),
            bindings: self.wanted.bindings.iter().map(|(_, wire)| wire.clone()).collect(),
        }
    }

    /// Writes down what happened, where it can be seen and where it outlives the process.
    fn note(&mut self, what: What, sha256: Option<String>, detail: Option<String>) {
        let mut history = self.wanted.plugin.history();
        history.add(what, sha256, detail);
        self.state.history = history.events();
        drop(history);
        self.shelf.save(&self.state);
    }
}
