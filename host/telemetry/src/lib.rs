//! What an operator sees of a node: its metrics, as Prometheus and plugins read them, and its alerts.
//!
//! ```text
//! sources --gather--> Snapshot --text--> GET /metrics
//!  (crates below,         \----feed----> metric and alert plugins
//!   handed in by the                       |           |
//!   binary)  <---- derived series --------/            v
//!                                                  alert book --> log, webhooks, `gantry alert list`
//! ```
//!
//! Nothing is pushed and nothing is global. A [`Registry`] asks its sources when somebody wants to see, one gathering at a
//! time, and keeps the [`Snapshot`] for a moment, so that what watches costs no more when more of it watches.
//!
//! It knows neither brokers nor plugins: the binary registers what they tell, and carries feed, derived series and alerts
//! between plugins and here.

pub mod alert;
mod derived;
mod feed;
mod http;
mod labels;
mod process;
mod registry;
mod snapshot;
mod text;
mod tick;
mod wants;

pub use derived::{DERIVED_FAMILIES_MAX, DERIVED_PREFIX, Declared, Derived, DerivedSample, NameProblem};
pub use feed::{Feed, FeedSeries, FeedTick};
pub use http::routes;
pub use labels::pairs;
pub use process::Process;
pub use registry::{GatherError, Registry, RegistryOptions};
pub use snapshot::{Sample, Series, Snapshot, Value};
pub use tick::{HookCall, Said, Ticks};
pub use wants::Wants;
