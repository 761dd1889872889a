//! What an alert hook is.

use std::time::Duration;

pub use crate::bindings::alert::exports::gantry::plugin::alerts::Severity;
use crate::{feed::Feed, params::Params};

/// Says what an operator should look at: asked every few seconds with all series that it wants, it names the alerts that hold
/// now. The broker does the rest: it waits for how long one must hold, tells destinations, and clears what is not named again.
///
/// There is one instance of it on a node. It may remember things between ticks; they are lost when the node ends, and handed
/// to the next version of the plugin by [`snapshot`](Self::snapshot) and [`restore`](Self::restore).
pub trait AlertHook: Sized + 'static {
    /// Begins with the parameters of the configuration. An error is a sentence for the operator.
    fn open(params: &Params) -> Result<Self, String>;

    /// Names of the series that it wants; a name may end with `*`.
    fn wants(&self) -> Vec<String>;

    /// The alerts that hold now, each key once; at most 1000.
    fn on_tick(&mut self, feed: &Feed) -> Vec<Alert>;

    /// What the next version should know; at most 1 MiB. Empty = nothing.
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes what a former version, perhaps of other code, left. On an error the plugin begins without it.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// Says why this build must not be put in service, before it is.
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Tells the plugin's alerts apart, for example `lag/eu-billing/orders`.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// For routing and grouping.
    pub labels: Vec<(String, String)>,
    /// The value that made it hold.
    pub value: f64,
    /// How long it must hold on end before it fires.
    pub holds_for: Duration,
}

impl Alert {
    /// An alert that fires at once.
    pub fn new(severity: Severity, key: impl Into<String>, summary: impl Into<String>) -> Self {
        let (key, summary) = (key.into(), summary.into());
        Alert { key, severity, summary, labels: Vec::new(), value: 0.0, holds_for: Duration::ZERO }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Says which value made it hold.
    #[must_use]
    pub fn value(mut self, value: f64) -> Self {
        self.value = value;
        self
    }

    /// Says how long it must hold on end before it fires.
    #[must_use]
    pub fn holds_for(mut self, time: Duration) -> Self {
        self.holds_for = time;
        self
    }
}
