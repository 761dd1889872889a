//! Runs plugins: loads them, checks them, limits them, judges messages with them, and swaps them while they serve.
//!
//! A [`PluginHost`] is told which plugins there are and which topic and group each is bound to ([`PluginHost::apply`]). A
//! pull asks for its [`Binding`], pins one version of it for as long as it lasts ([`Binding::pin`]) and has its messages
//! judged in batches ([`Run::judge`]), synchronously, on the thread that it is on. Everything slow (reading files, compiling,
//! dropping old versions) happens on one background thread.
//!
//! - A version is immutable. New bytes, parameters or bindings make a new version, checked and with all its instances
//!   made, that takes over in one atomic step; whatever fails before that leaves the old one serving.
//! - A guest is bounded in memory, stack, processor time and log lines, and reaches only the functions of
//!   `sdk-wasm/wit`. After any fault its instance is thrown away.
//! - No message is passed over because a plugin failed: a fault is traced to the message, what comes before it is decided,
//!   and the caller is told that this one is not.
//!
//! It knows message views; it does not know queues, sockets, offsets or the configuration file.

mod anatomy;
mod binding;
mod breaker;
mod check;
mod code;
mod columns;
mod engine;
mod guest;
mod host;
mod limits;
mod loader;
mod news;
mod plan;
mod plugin;
mod refusal;
mod run;
mod slot;
mod spec;
mod status;
mod ticker;
mod version;
mod watch;
mod wit;

pub use anatomy::ABI_VERSION;
pub use binding::{Binding, NotReady};
pub use breaker::BreakerState;
pub use check::{CheckReport, PlanReport, check_file};
pub use code::FILE_MAX_BYTES;
pub use host::{PluginHost, StartError};
pub use plan::{BATCH_DEFAULT, BATCH_MAX, BODY_PREFIX_MAX, COLUMNS_MAX, TAGS_MAX, TagSet};
pub use refusal::Refusal;
pub use run::{Run, Verdict};
pub use spec::{
    BINDINGS_MAX, BindingSpec, BreakerOptions, ConfigProblem, DEADLINE_DEFAULT_MS, DEADLINE_RANGE_MS, HostOptions,
    MEMORY_LIMIT_DEFAULT_BYTES, MEMORY_LIMIT_RANGE_BYTES, NAME_LEN_MAX, OnError, PLUGINS_MAX, PluginSpec, World,
};
pub use status::{BindingStatus, Faults, PluginState, PluginStatus};
