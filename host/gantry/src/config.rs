//! The cluster file: one TOML file describes a whole cluster, and each host starts its own part of it.
//!
//! [`keys`] is the one table of what can be set; everything else here follows from it. Reading never stops at the first
//! problem, and a file with a problem is not used at all.

mod bindings;
mod cluster;
mod document;
pub(crate) mod explain;
pub(crate) mod key;
pub(crate) mod keys;
mod options;
mod problem;
#[cfg(test)]
mod tests;

pub(crate) use cluster::{Config, NodeSpec};
pub(crate) use key::Reload;
pub(crate) use problem::{Problem, did_you_mean};
