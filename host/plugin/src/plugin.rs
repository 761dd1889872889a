//! One configured plugin: the version that serves, and what became of the ones that were to.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwapOption;
use gantry_base::{clock::Clock, metric::Counter};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    guest::Shared, history::History, refusal::Refusal, shadow::ShadowReport, spec::World, specimen::Recent,
    version::Version,
};

/// Lives from its first appearance in the configuration until it is taken out.
pub(crate) struct Plugin {
    name: Arc<str>,
    current: ArcSwapOption<Version>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) swaps: Counter,
    pub(crate) refusals: Counter,
    /// Messages that it judged lately, for a version that is to replace this one.
    pub(crate) recent: Recent,
    history: Mutex<History>,
    report: Mutex<Report>,
}

/// What reports say besides the version itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) world: World,
    pub(crate) loaded_ms: Option<u64>,
    /// The latest refusal, unless a load succeeded since.
    pub(crate) refusal: Option<String>,
    /// What is odd about the file although nothing was refused.
    pub(crate) note: Option<String>,
    /// An operator took it out of service.
    pub(crate) disabled: bool,
    /// Hashes of the versions that can be gone back to, latest last.
    pub(crate) kept: Vec<String>,
    /// What the version that serves would have changed, by the messages before it.
    pub(crate) shadow: Option<ShadowReport>,
}

impl Plugin {
    pub(crate) fn new(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Plugin {
            shared: Arc::new(Shared::new(name.clone())),
            name,
            current: ArcSwapOption::empty(),
            swaps: Counter::default(),
            refusals: Counter::default(),
            recent: Recent::default(),
            history: Mutex::default(),
            report: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// The version that serves.
    pub(crate) fn current(&self) -> Option<Arc<Version>> {
        self.current.load_full()
    }

    /// Puts a version in service; the former one is handed back, because dropping it may take a while.
    pub(crate) fn swap(&self, version: Option<Arc<Version>>) -> Option<Arc<Version>> {
        if version.is_some() {
            self.swaps.add(1);
            self.report.lock().loaded_ms = Some(Clock::system().now_ms());
        }
        self.current.swap(version)
    }

    /// Notes how the latest attempt to bring it to what is wanted ended.
    pub(crate) fn set_refusal(&self, refusal: Option<&Refusal>) {
        self.refusals.add(u64::from(refusal.is_some()));
        self.report.lock().refusal = refusal.map(Refusal::to_string);
    }

    /// Why nothing serves.
    pub(crate) fn last_refusal(&self) -> Option<String> {
        let report = self.report.lock();
        if report.disabled { Some("it is disabled".to_owned()) } else { report.refusal.clone() }
    }

    pub(crate) fn set_disabled(&self, disabled: bool) {
        self.report.lock().disabled = disabled;
    }

    pub(crate) fn set_kept(&self, kept: Vec<String>) {
        self.report.lock().kept = kept;
    }

    pub(crate) fn set_shadow(&self, shadow: Option<ShadowReport>) {
        self.report.lock().shadow = shadow;
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock()
    }

    pub(crate) fn note(&self, note: Option<String>) {
        self.report.lock().note = note;
    }

    pub(crate) fn set_source(&self, file: PathBuf, world: World) {
        let mut report = self.report.lock();
        (report.file, report.world) = (file, world);
    }

    pub(crate) fn report(&self) -> Report {
        self.report.lock().clone()
    }
}
