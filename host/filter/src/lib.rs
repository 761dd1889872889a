//! Which messages a pull selects: those that the client's subscription asks for *and* the bound plugin delivers.
//!
//! A [`Selector`] lives for one look at a queue. It answers twice: for an entry of the consume queue, by its tag code,
//! before anything is read ([`Selector::admits_entry`]); and for the messages that were read, in batches
//! ([`Selector::judge`]). Tags, SQL92 expressions ([`sql`]) and plugins share this path. The exact text of a tag is the
//! client's own check: codes of different tags may be equal, and RocketMQ's clients compare the text again.

mod selector;
pub mod sql;

pub use gantry_plugin::Verdict;
pub use selector::{NATIVE_BATCH, Selector};
