//! The contract as Rust types, one module a world, generated from `wit/plugin.wit` and kept, so that an author builds no
//! generator. What the macros expand to names it.
//!
//! `host` and `types` are the same in every world: they are generated once, in [`filter`].

#[rustfmt::skip]
pub mod alert;
#[rustfmt::skip]
pub mod balancer;
#[rustfmt::skip]
pub mod filter;
#[rustfmt::skip]
pub mod metric;
