//! Runs plugins: loads them, checks them, limits them, judges messages with them, and swaps them while they serve.
//!
//! A [`PluginHost`] is told which plugins there are and what each is bound to ([`PluginHost::apply`]). A pull asks for its
//! [`Binding`], pins one version of it for as long as it lasts ([`Binding::pin`]) and has its messages judged in batches
//! ([`Run::judge`]), synchronously, on the thread that it is on. Name server and broker ask a [`Balancer`]; whoever gathers
//! metrics shows them to each [`Hook`]. Everything slow (reading files, compiling, dropping old versions) happens on one
//! background thread.
//!
//! - A version is immutable. New bytes, parameters or bindings make a new version, checked and with all its instances
//!   made, that takes over in one atomic step; whatever fails before that leaves the old one serving.
//! - Before a version serves, its own cases and the messages that the present one judged last are put to it. One that fails soon
//!   after is replaced by the version before.
//! - A guest is bounded in memory, stack, processor time and log lines, and reaches only the functions of
//!   `sdk-wasm/wit`. After any fault its instance is thrown away.
//! - No message is passed over because a plugin failed: a fault is traced to the message, what comes before it is decided,
//!   and the caller is told that this one is not.
//!
//! It knows message views, routes and series; it does not know queues, sockets, offsets or the configuration file.

mod admitted;
mod anatomy;
pub mod balancer;
mod binding;
mod breaker;
mod cases;
mod check;
mod code;
mod columns;
mod engine;
mod exports;
pub mod feed;
mod frames;
mod guest;
mod history;
pub mod hook;
mod host;
mod limits;
mod loader;
mod news;
mod plan;
mod plugin;
mod refusal;
mod rehearsal;
mod run;
mod shadow;
mod shelf;
mod signature;
mod slot;
mod spec;
mod specimen;
mod status;
mod ticker;
mod trial;
mod version;
mod watch;
mod wit;

pub use anatomy::ABI_VERSION;
pub use balancer::Balancer;
pub use binding::{Binding, CallError, NotReady};
pub use breaker::BreakerState;
pub use cases::{CASES_FILE_BYTES_MAX, CaseReport, cases_file};
pub use check::{CheckReport, PlanReport, check_file, world_of};
pub use code::FILE_MAX_BYTES;
pub use history::{EVENTS_MAX, Event, What};
pub use hook::Hook;
pub use host::{PluginHost, StartError};
pub use plan::{BATCH_DEFAULT, BATCH_MAX, BODY_PREFIX_MAX, COLUMNS_MAX, TAGS_MAX, TagSet};
pub use refusal::Refusal;
pub use rehearsal::Rehearsal;
pub use run::{Run, Verdict};
pub use shadow::ShadowReport;
pub use signature::{SIGNATURE_LEN, hex};
pub use spec::{
    BINDINGS_MAX, BalancerSpec, BindingSpec, BreakerOptions, ConfigProblem, DEADLINE_DEFAULT_MS, DEADLINE_RANGE_MS,
    FUNCTIONS_MAX, HOOK_DEADLINE_DEFAULT_MS, HostOptions, MEMORY_LIMIT_DEFAULT_BYTES, MEMORY_LIMIT_RANGE_BYTES,
    NAME_LEN_MAX, OnError, PLUGINS_MAX, PluginConfig, PluginSpec, World,
};
pub use status::{BindingStatus, Faults, PluginState, PluginStatus};
