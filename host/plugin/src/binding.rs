//! A plugin bound to what it decides about.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use gantry_base::metric::Counter;
use parking_lot::Mutex;

use crate::{
    admitted::Admitted,
    breaker::{Admission, Breaker},
    news::News,
    plugin::Plugin,
    run::Run,
    slot::Cause,
    spec::{BreakerOptions, OnError},
};

/// One use of a plugin: a filter of a topic for a group, a balancer, or a hook. Lives as long as the operator leaves what is
/// bound and the plugin together.
pub struct Binding {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// Empty for a hook.
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) breaker: Breaker,
    pub(crate) stats: Stats,
    pub(crate) news: News,
    on_error: Mutex<OnError>,
    retargets: AtomicBool,
    unbound: AtomicBool,
    /// Why the plugin does not serve this binding as configured, if so.
    problem: Mutex<Option<String>>,
}

/// What a plugin is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By the configuration.
    Filter,
    /// By a subscription that calls it, with this argument.
    Function(Option<String>),
    Balancer,
    Hook,
}

/// A plugin cannot be asked now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// A sentence for remarks and logs.
    pub reason: String,
    /// Whether waiting is right whatever the binding's `on_error` says: the plugin is about to come, or the binding is
    /// about to be looked up again.
    pub soon: bool,
}

/// A balancer or hook gave no answer that can be used; whoever asked has a way of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody was asked.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// It was asked and failed, refused, or answered what cannot be. The version, and the sentence.
    #[error("{0}: {1}")]
    Failed(String, String),
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
        kind: Kind,
        (topic, group): (&str, &str),
        plugin: Arc<Plugin>,
        breaker: BreakerOptions,
        news: News,
    ) -> Self {
        Binding {
            id,
            kind,
            topic: topic.to_owned(),
            group: group.to_owned(),
            plugin,
            breaker: Breaker::new(breaker),
            stats: Stats::default(),
            news,
            on_error: Mutex::default(),
            retargets: AtomicBool::new(false),
            unbound: AtomicBool::new(false),
            problem: Mutex::new(None),
        }
    }

    /// Takes the version of a filter that serves now, for as long as the run lives: a whole pull is judged by one version.
    pub fn pin(self: &Arc<Self>) -> Result<Run, NotReady> {
        self.admit().map(Run::new)
    }

    /// Takes the version that serves now.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Admitted, NotReady> {
        let soon = |reason: String| NotReady { reason, soon: true };
        let failed = |reason: String| NotReady { reason, soon: false };
        if self.is_unbound() {
            return Err(soon(format!("the {self} was just changed; ask again")));
        }
        let name = self.plugin.name();
        let Some(version) = self.plugin.current() else {
            return Err(match self.plugin.last_refusal() {
                Some(refusal) => failed(format!("plugin {name} is not in service: {refusal}")),
                None => soon(format!("plugin {name} is being loaded")),
            });
        };
        if !version.serves(self.id) {
            return Err(match self.problem() {
                Some(problem) => failed(format!("plugin {name} does not serve the {self}: {problem}")),
                None => soon(format!("plugin {name} is being opened for the {self}")),
            });
        }
        match self.breaker.admit(Instant::now()) {
            Admission::Refused => {
                Err(failed(format!("{} failed too often and rests; it is tried again by itself", version.label)))
            }
            admission => Ok(Admitted::new(self.clone(), version, admission == Admission::Probe)),
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

    pub(crate) fn retargets(&self) -> bool {
        self.retargets.load(Ordering::Relaxed)
    }

    pub(crate) fn set_retargets(&self, retargets: bool) {
        self.retargets.store(retargets, Ordering::Relaxed);
    }

    /// Whether it is not in the configuration any more: it never judges again, and another may be in its place.
    pub fn is_unbound(&self) -> bool {
        self.unbound.load(Ordering::Acquire)
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

/// As part of a sentence: `filter of orders for eu-billing`.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binding { topic, group, .. } = self;
        match &self.kind {
            Kind::Filter => write!(f, "filter of {topic} for {group}"),
            Kind::Function(_) => write!(f, "subscription of {group} to {topic} that calls it"),
            Kind::Balancer => write!(f, "balancer of {topic} for {group}"),
            Kind::Hook => f.write_str("hook"),
        }
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.plugin.name())
    }
}
