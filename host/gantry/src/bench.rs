//! Load for a broker, and the measures taken of it.
//!
//! The client is made to cost little: the machine that measures is often the one that serves. Frames are prepared once and
//! patched, a window is refilled with one write, answers are read only as far as needed, and connections stay on their thread.

pub(crate) mod backlog;
mod child;
pub(crate) mod consume;
pub(crate) mod e2e;
mod latency;
mod ledger;
mod link;
mod pace;
pub(crate) mod produce;
pub(crate) mod producer;
pub(crate) mod reference;
mod scan;
mod stamp;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod timers;
pub(crate) mod versus;
pub(crate) mod watch;
