//! A version held for a while on behalf of a binding, with what follows when its calls go well or wrong.

use std::{sync::Arc, time::Instant};

use crate::{
    binding::Binding,
    loader::Job,
    slot::{Cause, Fault},
    version::Version,
};

/// A version that a binding's breaker let through.
pub(crate) struct Admitted {
    pub(crate) binding: Arc<Binding>,
    pub(crate) version: Arc<Version>,
    /// Its first call decides whether the breaker closes.
    probe: bool,
}

impl Admitted {
    pub(crate) fn new(binding: Arc<Binding>, version: Arc<Version>, probe: bool) -> Self {
        Admitted { binding, version, probe }
    }

    /// One call came back well.
    pub(crate) fn note_success(&mut self) {
        self.version.note_call(false);
        if std::mem::take(&mut self.probe) {
            self.binding.breaker.reset();
            self.binding.news.announce();
            tracing::info!(version = self.version.label, binding = %self.binding, "the plugin works again");
        }
    }

    /// One call went wrong, which may yet turn out to be nobody's fault in particular.
    pub(crate) fn note_fault(&mut self, fault: &Fault) {
        self.binding.stats.faults(fault.cause).add(1);
        self.version.note_call(fault.cause == Cause::Deadline);
    }

    /// The binding is worse off for a fault: it counts towards its breaker, and the version's probation.
    pub(crate) fn blame(&mut self, fault: &Fault) {
        let (version, binding) = (&self.version, &self.binding);
        tracing::debug!(version = version.label, %binding, "the plugin failed: {fault}");
        if let Some(until) = binding.breaker.fault(Instant::now(), std::mem::take(&mut self.probe)) {
            binding.news.announce_at(until);
            binding.news.send(Job::Tripped {
                plugin: binding.plugin.name().to_owned(),
                sha256: version.code.sha256.clone(),
                fault: fault.text.clone(),
            });
            tracing::warn!(
                version = version.label,
                %binding,
                "the plugin failed too often and rests for {} s, then it is tried again; last fault: {fault}",
                until.saturating_duration_since(Instant::now()).as_secs_f32().round()
            );
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.probe {
            self.binding.breaker.release_probe(Instant::now());
        }
    }
}
