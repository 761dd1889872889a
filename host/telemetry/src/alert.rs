//! Alerts: raised and cleared by sources (plugins), kept and told by the host.
//!
//! ```text
//! Change --apply--> book: pending --for_ms--> firing --clear--> gone
//!                     |                          |                |
//!                  file, each second        log, webhooks    log, webhooks
//! ```
//!
//! A source says what is wrong each time that it looks, as often as it likes: the book knows an alert by source and key, so
//! saying it again is no news. How alerts come about is none of this module's business.

mod book;
mod destination;
mod file;
mod manager;
mod outbox;
mod post;
mod wire;

use serde::{Deserialize, Serialize};

pub use self::{
    book::{Listed, State},
    destination::{Destination, DestinationProblem},
    manager::{AlertOptions, Alerts},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must look now.
    Critical,
}

impl Severity {
    /// As labels spell it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is, unique for its source: `lag/orders/billing`.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// A sentence for whoever is woken.
    pub summary: String,
    /// What it is about, by name.
    pub labels: Vec<(String, String)>,
    /// The value that is too high or too low.
    pub value: f64,
    /// How long it must be so, without a break, before anybody is told.
    pub for_ms: u64,
}

/// What a source says.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is so, or still so; the latest words count.
    Raise(Alert),
    /// It is no longer so.
    Clear {
        /// What.
        key: String,
    },
}
