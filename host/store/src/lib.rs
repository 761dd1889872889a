//! The durable store of one broker: a commit log that all messages go through, and a consume queue per topic queue that
//! says where the nth message lies. Formats are RocketMQ's, so a directory of Apache RocketMQ reads the same.
//!
//! ```text
//! append -> commitlog/ --flusher--> on disk --dispatcher--> consumequeue/<topic>/<id>/ -> entries -> read
//!    appended            flushed            visible                              end
//! ```
//!
//! Everything that moves is a [`Watermark`](gantry_base::watermark::Watermark): `appended`, `flushed`, `visible`,
//! `dispatched` in bytes of the log and each queue's `end` in messages. Whoever needs a fact waits for its position;
//! the store calls nobody. Dispatch never passes `visible`, so nothing is delivered that a crash could still take back.
//!
//! What it promises, under the faults of [`gantry_base::disk::sim`]:
//! - A message whose `end` is at most `flushed` is there after any crash, once, unchanged, in its place, in log and queue.
//! - A refused append leaves nothing behind, not even after a crash.
//! - After a failed write or sync nothing is acknowledged any more: the log stops, says why, and reads go on.
//! - A full disk refuses appends, keeps the rest running, and resumes by itself.
//!
//! What it does not do: network, replication, message semantics (delay, retry, transactions).
//! It does not map files into memory: a failing disk would be a SIGBUS where here it is an error value.

mod abort;
mod background;
mod checkpoint;
mod damage;
mod dispatch;
pub mod due;
mod error;
mod heads;
mod health;
mod index;
mod inner;
pub mod inspect;
mod layout;
mod lock;
mod log;
mod lookup;
mod metrics;
mod options;
mod planted;
mod queue;
mod queues;
mod recover;
mod repair;
mod retention;
mod scrub;
mod sidecar;
mod store;
mod takeover;
mod tombstone;
mod walk;

pub use damage::{DAMAGES_MAX, Damage, Skip, skip_stopped};
pub use error::{AppendError, Corrupt, Damaged, DeleteError, DiskError, OpenError, QueueError, ReadError};
pub use health::Health;
pub use index::{IndexState, KeyQuery, KeysFound, QueryLimit};
pub use log::tail::{Draft, Placed};
pub use metrics::StoreMetrics;
pub use options::{
    Background, Flush, INDEX_FILE_MAX_BYTES, Options, QUEUE_FILE_ENTRIES_MAX, SEGMENT_SIZE_MAX_BYTES,
    SEGMENT_SIZE_MIN_BYTES,
};
#[cfg(feature = "planted-bugs")]
pub use planted::{PlantedBug, with as with_planted};
pub use queue::{Queue, QueueEntry};
pub use recover::{Cut, RecoveryProgress, RecoveryReport};
pub use retention::{Hold, Reason, RetentionOptions, RetentionStatus};
pub use scrub::ScrubStatus;
pub use store::{Boundary, Step, Store};

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Only what is in memory: safe on a runtime worker.
    Never,
    /// Wait for the device: for a thread that may block.
    Allowed,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Done.
    Done,
    /// With [`Wait::Never`]: the disk would have to be waited for. Ask again where waiting is allowed.
    WouldBlock,
}
