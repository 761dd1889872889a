//! The fault campaign: the store on a simulated disk that loses power, fills, fails, tears, forgets and lies, judged by an oracle that
//! is outside of it and knows only what was sent and what was acknowledged.
//!
//! - [`simulation`]: one run, a plan with a seed: lives of a store between crashes.
//! - [`prepared`]: a store of known content, damaged in copies.
//! - [`parts`]: the campaign's parts, each a number of trials that can be replayed one by one.
//! - [`campaign`]: runs parts on all cores and counts.
//! - `planted` (feature `planted-bugs`): faults compiled into the store on purpose, each of which a scenario must notice.
//!
//! The program `faults` runs it (`cargo xtask faults`); tests of the store run a slice. Nothing here is part of a node.

pub mod campaign;
pub mod parts;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod prepared;
pub mod simulation;
