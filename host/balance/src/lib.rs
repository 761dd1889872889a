//! The three decisions of a queue balancer: what is asked, what is answered when nobody else decides, and which answers count.
//!
//! | decision | question | asked by | built-in answer |
//! |---|---|---|---|
//! | route | [`RouteQuestion`]: which brokers of a topic may producers write to? | name server | all that are writable |
//! | select-queue | [`QueueBoard`]: which queue takes a message whose producer left it open? | broker | the write queues in turn |
//! | assign | [`AssignQuestion`]: which member of a group gets which queue? | broker | RocketMQ's strategies ([`AllocationStrategy`]) |
//!
//! Whoever asks looks for a decider with [`Deciders::find`]; what it answers is checked here ([`route::verdict`],
//! [`Weights::new`], [`assign::check`]), and an answer that breaks a rule is a [`Fault`], after which the built-in answer
//! stands. Everything is a function of its arguments: no I/O, no clock. Plugins decide through [`FindDecider`], which the
//! binary implements; this crate knows none.

pub mod assign;
mod decider;
mod question;
pub mod route;
mod spec;
mod weights;
mod zones;

pub use assign::AllocationStrategy;
pub use decider::{Decider, Deciders, Fault, FindDecider, Unplaced, Weighing};
pub use question::{AssignMember, AssignQuestion, AssignQueue, BoardQueue, QueueBoard, RouteBroker, RouteQuestion};
pub use spec::{ANY, Decision};
pub use weights::Weights;
pub use zones::Zones;
