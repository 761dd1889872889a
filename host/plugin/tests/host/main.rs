//! The host with real guests: hostile ones, swaps under load, changing bindings, memory.

mod hostile;
mod memory;
mod rig;
mod swap;
