//! Timed messages: delivered at any time that the sender names, to the millisecond, never before it.
//!
//! ```text
//! send -> rmq_sys_wheel_timer/0 --follow--> due index --due--> [progress, message, message ...] -> real topics
//!                                                              one append; rmq_sys_gantry_timers/0 has the progress
//! ```
//!
//! A timed message waits in RocketMQ's timer topic with its real topic and queue in its properties. The [`engine`] follows
//! that queue, keeps a [due index](gantry_store::due) of it, which a restart may build again, and appends what is due to
//! where it belongs. How far it has come is a record of its own in the log, written in one append with the messages that
//! it speaks of and *before* them. A crash keeps a prefix of the log, so of a torn batch it keeps the progress and some of the
//! messages; the progress names all of them, and the next start delivers the ones that are missing. So a timed message is
//! delivered exactly once, whenever the process is killed or the power goes, under synchronous flush. (Under asynchronous
//! flush a power loss takes the end of the log back, deliveries included, and they happen again.)
//!
//! Waiting is not bounded by retention: before a segment goes, what waits in it is stored anew at the end of the log.
//!
//! RocketMQ floors due times to a second and delivers at the end of that second. `TIMER_OUT_MS` is what it would write, so
//! that either broker can take over the other's directory; `GANTRY_DUE_MS` beside it is the time itself. A message of
//! RocketMQ, without it, is due where RocketMQ delivers it: a second after its `TIMER_OUT_MS`.

mod batch;
mod engine;
mod entry;
mod open;
mod progress;
mod recall;
mod roll;
mod service;
#[cfg(test)]
mod tests;
mod wish;

pub use self::service::TimerMetrics;
pub(crate) use self::{
    recall::recall,
    service::{Timers, follow},
    wish::{PROPERTIES_RESERVE, TimerWish},
};

/// Topic of the progress records; only the broker writes it, no client sees it in a route.
pub(crate) const PROGRESS_TOPIC: &str = "rmq_sys_gantry_timers";
/// What RocketMQ floors due times to.
const SLOT_MS: u64 = 1_000;

/// The second that RocketMQ would put a due time into: the last whole one before it.
fn slot_of(due_ms: u64) -> u64 {
    due_ms.saturating_sub(1) / SLOT_MS * SLOT_MS
}
