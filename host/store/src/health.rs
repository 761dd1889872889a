//! Whether the log still runs, and the one way in which it stops for good.

use std::sync::{Arc, OnceLock};

use gantry_base::watermark::Watermark;

/// State of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes appends, or refuses them for a reason that passes.
    Healthy,
    /// A disk error stopped it; only a restart, after the disk was looked at, goes on.
    Failed(Arc<str>),
}

/// The reason of the stop, set once, and the positions that stop with it.
pub(crate) struct Pulse {
    failed: OnceLock<Arc<str>>,
    marks: Vec<Watermark>,
}

impl Pulse {
    pub(crate) fn new(marks: Vec<Watermark>) -> Self {
        Pulse { failed: OnceLock::new(), marks }
    }

    pub(crate) fn health(&self) -> Health {
        self.failed.get().map_or(Health::Healthy, |reason| Health::Failed(reason.clone()))
    }

    pub(crate) fn failure(&self) -> Option<&Arc<str>> {
        self.failed.get()
    }

    /// Stops the log. After a failed fsync the kernel may have dropped the pages, so trying again would prove nothing:
    /// nothing is acknowledged any more, and whoever waits is told.
    pub(crate) fn fail(&self, error: &dyn std::fmt::Display) -> Arc<str> {
        let reason: Arc<str> = error.to_string().into();
        let first = self.failed.get_or_init(|| {
            tracing::error!(
                %reason,
                "the log stops: no send is acknowledged from here on; reads go on. Check the disk, then restart: \
                 recovery keeps what was acknowledged"
            );
            reason
        });
        for mark in &self.marks {
            mark.close();
        }
        first.clone()
    }
}
