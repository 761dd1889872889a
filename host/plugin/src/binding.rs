//! A plugin bound to a topic and group.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use gantry_base::metric::Counter;
use parking_lot::Mutex;

use crate::{
    breaker::{Admission, Breaker},
    news::News,
    plugin::Plugin,
    run::Run,
    slot::Cause,
    spec::{BreakerOptions, OnError},
};

/// What a group sees of a topic is decided by a plugin. Lives as long as the operator leaves topic, group and plugin together.
pub struct Binding {
    pub(crate) id: u32,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) breaker: Breaker,
    pub(crate) stats: Stats,
    pub(crate) news: News,
    on_error: Mutex<OnError>,
    unbound: AtomicBool,
    /// Why the plugin does not serve this binding as configured, if so.
    problem: Mutex<Option<String>>,
}

/// Nothing can judge for the binding now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// A sentence for remarks and logs.
    pub reason: String,
    /// Whether waiting is right whatever the binding's `on_error` says: the plugin is about to come, or the binding is
    /// about to be looked up again.
    pub soon: bool,
}

/// What a binding has done; only grows.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) calls: Counter,
    pub(crate) messages: Counter,
    pub(crate) delivered: Counter,
    pub(crate) skipped: Counter,
    pub(crate) undecided: Counter,
    pub(crate) traps: Counter,
    pub(crate) deadlines: Counter,
    pub(crate) memory: Counter,
    pub(crate) results: Counter,
    pub(crate) nanoseconds: Counter,
}

impl Stats {
    pub(crate) fn faults(&self, cause: Cause) -> &Counter {
        match cause {
            Cause::Trap => &self.traps,
            Cause::Deadline => &self.deadlines,
            Cause::Memory => &self.memory,
            Cause::Result => &self.results,
        }
    }
}

impl Binding {
    pub(crate) fn new(
        id: u32,
        (topic, group): (&str, &str),
        plugin: Arc<Plugin>,
        on_error: OnError,
        breaker: BreakerOptions,
        news: News,
    ) -> Self {
        Binding {
            id,
            topic: topic.to_owned(),
            group: group.to_owned(),
            plugin,
            breaker: Breaker::new(breaker),
            stats: Stats::default(),
            news,
            on_error: Mutex::new(on_error),
            unbound: AtomicBool::new(false),
            problem: Mutex::new(None),
        }
    }

    /// Takes the version that serves now, for as long as the run lives: a whole pull is judged by one version.
    pub fn pin(self: &Arc<Self>) -> Result<Run, NotReady> {
        let soon = |reason: String| NotReady { reason, soon: true };
        let failed = |reason: String| NotReady { reason, soon: false };
        if self.unbound.load(Ordering::Acquire) {
            return Err(soon(format!("the filter of {} for {} was just changed; ask again", self.topic, self.group)));
        }
        let Some(version) = self.plugin.current() else {
            return Err(match self.plugin.last_refusal() {
                Some(refusal) => failed(format!("plugin {} is not in service: {refusal}", self.plugin.name())),
                None => soon(format!("plugin {} is being loaded", self.plugin.name())),
            });
        };
        if version.plan(self.id).is_none() {
            return Err(match self.problem() {
                Some(problem) => failed(format!("plugin {} does not serve this group: {problem}", self.plugin.name())),
                None => soon(format!("plugin {} is being opened for this group", self.plugin.name())),
            });
        }
        match self.breaker.admit(Instant::now()) {
            Admission::Refused => {
                Err(failed(format!("{} failed too often and rests; it is tried again by itself", version.label)))
            }
            admission => Ok(Run::new(self.clone(), version, admission == Admission::Probe)),
        }
    }

    /// What happens to a message that cannot be decided.
    pub fn on_error(&self) -> OnError {
        *self.on_error.lock()
    }

    /// Name of the plugin.
    pub fn plugin(&self) -> &str {
        self.plugin.name()
    }

    pub(crate) fn set_on_error(&self, on_error: OnError) {
        *self.on_error.lock() = on_error;
    }

    pub(crate) fn unbind(&self) {
        self.unbound.store(true, Ordering::Release);
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    pub(crate) fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock() = problem;
    }
}
