//! What can go wrong, by operation; each says what the caller may conclude.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_model::{
    name::NameError,
    offset::{PhysicalOffset, QueueOffset},
};
use gantry_protocol::record::EncodeError;

use crate::damage::Damage;

/// A call to the disk that failed: what was done to which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub struct DiskError {
    /// "write", "sync" ...
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the disk said.
    pub source: io::Error,
}

/// Says that written bytes were to be made durable.
pub(crate) const SYNC: &str = "sync";

impl DiskError {
    /// Whether it passes when there is space again. Never for a sync: whatever its reason, what was written may be lost.
    pub(crate) fn is_full(&self) -> bool {
        self.doing != SYNC && matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Adds what was done and where to an I/O error.
pub(crate) trait While<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, DiskError>;
    /// The same where the path is put together only for an error: on the way of every message.
    fn doing_at(self, doing: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, DiskError>;
}

impl<T> While<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { doing, path: path.into(), source })
    }

    fn doing_at(self, doing: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { doing, path: path(), source })
    }
}

/// The store cannot be opened. Nothing was changed that a later open would miss.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on the directory.
    #[error("{} is in use by another process (its file `lock` is held); stop that one first or choose another data directory", dir.display())]
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// A setting is out of range.
    #[error("{0}")]
    Options(String),
    /// The files are not those of a store with these settings.
    #[error("{}: {found}, expected {expected}; {advice}", file.display())]
    Layout {
        /// The file.
        file: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
        /// What to do.
        advice: &'static str,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log is damaged before a place up to which it was flushed once: what lies between was acknowledged.
    #[error(
        "commit log position {position}: {reason}. The log was flushed up to {flushed}, so {records} whole records behind the \
         damage were acknowledged, and cutting them off is not for a start to decide: nothing was changed. Bring the file back \
         from a copy, or give up what is damaged with `gantry store skip --data {} {position}` and start again",
        dir.display()
    )]
    Damaged {
        /// The store's directory.
        dir: PathBuf,
        /// Physical offset of the damage.
        position: u64,
        /// What is wrong.
        reason: String,
        /// Up to where the log was flushed.
        flushed: u64,
        /// Whole records behind the damage.
        records: u64,
    },
    /// The log has bytes that are neither record nor blank where dispatch must pass.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// A part of the log that was written and checked before does not hold a record any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "commit log position {position}: {problem}; the bytes were intact once, so the disk or another program changed them"
)]
pub struct Corrupt {
    /// Physical offset.
    pub position: u64,
    /// What is wrong there.
    pub problem: String,
}

/// Drafts were not appended: none of them is or will become visible.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A record over the limit.
    #[error("a record of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the record.
        size: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// A part that does not fit the record format.
    #[error(transparent)]
    Unencodable(#[from] EncodeError),
    /// No space. Reads go on; appends succeed again when there is space.
    #[error("the disk is full: {0}; free space on it, appends go on by themselves then")]
    Full(Arc<DiskError>),
    /// The disk is fuller than senders may make it. Reads go on; appends succeed again when it is not.
    #[error("{0}")]
    Pressure(Arc<str>),
    /// The queue's topic was deleted; look the queue up again.
    #[error("topic {topic} was deleted")]
    QueueGone {
        /// The topic.
        topic: Arc<str>,
    },
    /// The log stopped after a disk error, for good: a message that was not acknowledged may or may not be stored.
    #[error("the log stopped: {0}")]
    Failed(Arc<str>),
    /// The store shuts down.
    #[error("the store shuts down")]
    Closed,
}

/// A read failed. Nothing was added to the caller's buffer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Before the first entry of the queue.
    #[error("queue offset {asked} is before the queue's first, {min}")]
    TooSmall {
        /// Asked for.
        asked: QueueOffset,
        /// First that is there.
        min: QueueOffset,
    },
    /// Outside of the log, or across the end of a segment, where no record lies.
    #[error("{len} bytes at physical offset {asked} are not inside the log ({min} to {end}) and one segment")]
    Outside {
        /// Asked for.
        asked: PhysicalOffset,
        /// Bytes asked for.
        len: usize,
        /// First byte of the log.
        min: u64,
        /// End of the log.
        end: u64,
    },
    /// The message is damaged, and nobody has given it up.
    #[error(transparent)]
    Damaged(Box<Damaged>),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A message that cannot be read as it was written. It is not passed over: that is for an operator to say.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "message {queue_offset} of queue {topic}/{queue_id} is damaged: {}, position {}, {} bytes: {}; the queue stops here and \
     nothing is passed over. Bring the file back from a copy while the node is stopped, or give the message up with \
     `gantry store skip --data {} {}`",
    damage.file, damage.position, damage.length, damage.reason, dir.display(), damage.position
)]
pub struct Damaged {
    /// The store's directory.
    pub dir: PathBuf,
    /// The place.
    pub damage: Damage,
    /// Topic of the message.
    pub topic: String,
    /// Its queue.
    pub queue_id: u32,
    /// Its place in the queue.
    pub queue_offset: QueueOffset,
}

/// A queue cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The topic's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The queue's number.
    #[error("queue id {found} is not below {}", gantry_model::topic::QUEUES_MAX)]
    QueueId {
        /// Asked for.
        found: u32,
    },
    /// A deletion of the topic has not finished.
    #[error("topic {topic} is being deleted; try again when that is done")]
    Deleting {
        /// The topic.
        topic: String,
    },
}

/// A topic was not deleted, or not entirely.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The disk failed.
    #[error(
        "{}: {source}",
        if *.begun { "the deletion has begun and is not finished, delete the topic again" } else { "the topic was not deleted" }
    )]
    Disk {
        /// `false`: the topic is as before. `true`: it is hidden; another call goes on, and a restart finishes it or, if
        /// the disk lost the beginning, brings the topic back whole.
        begun: bool,
        /// What failed.
        source: DiskError,
    },
    /// The log stopped.
    #[error("the log stopped: {0}")]
    Failed(Arc<str>),
}
