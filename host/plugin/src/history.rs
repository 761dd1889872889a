//! What became of a plugin's versions, latest last.

use std::collections::VecDeque;

use gantry_base::clock::Clock;
use serde::{Deserialize, Serialize};

use crate::guest::cut;

/// Most events of one plugin that are kept.
pub const EVENTS_MAX: usize = 64;
/// Longest detail of one, bytes.
const DETAIL_BYTES_MAX: usize = 512;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// What.
    pub what: What,
    /// Hash of the version that it is about: the one that serves from then on, or served until then.
    pub sha256: Option<String>,
    /// Why, or how.
    pub detail: Option<String>,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A version began to serve.
    InService,
    /// A file or configuration was refused.
    Refused,
    /// A version failed soon after it began to serve, and the one before serves again.
    FailedProbation,
    /// An operator went back to this version.
    RolledBack,
    /// An operator took the plugin out of service.
    Disabled,
    /// An operator allowed it again.
    Enabled,
}

/// The latest events.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<Event>);

impl History {
    pub(crate) fn add(&mut self, what: What, sha256: Option<String>, detail: Option<String>) {
        let detail = detail.map(|detail| cut(&detail, DETAIL_BYTES_MAX));
        // A file that is refused again and again for one reason is one event.
        let again = |last: &Event| what == What::Refused && last.what == what && last.detail == detail;
        if self.0.back().is_some_and(again) {
            self.0.pop_back();
        }
        self.extend([Event { at_ms: Clock::system().now_ms(), what, sha256, detail }]);
    }

    pub(crate) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        self.0.extend(events);
        while self.0.len() > EVENTS_MAX {
            self.0.pop_front();
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.iter().cloned().collect()
    }
}
