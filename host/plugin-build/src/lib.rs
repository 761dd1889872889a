//! From Rust source to a plugin: finds a compiler for `wasm32-unknown-unknown` ([`Toolchain::find`]), builds a project with
//! it ([`Toolchain::build`]) and starts new ones ([`new_project`]).
//!
//! The binary and the developer chores use it; nothing that serves does. It only runs cargo: turning a module into a
//! component and checking it is the host's matter.

mod build;
mod scaffold;
mod toolchain;

pub use build::{BuildError, Built, Output};
pub use scaffold::{ScaffoldError, World, new_project};
pub use toolchain::{DEBIAN_PACKAGES, Missing, TARGET, Toolchain};
