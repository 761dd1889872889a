//! What an operator or a test may choose, with the limits of the store.

use gantry_base::clock::Clock;

use crate::retention::{Hold, RetentionOptions};

/// When `flushed` follows `appended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// At once: one fdatasync for everything appended meanwhile. A message is dispatched once it is on disk.
    Sync,
    /// On a timer. What was acknowledged since the last flush is lost when the power goes (not when the process dies).
    Async {
        /// Longest time between flushes, in milliseconds; also when over [`Options::async_dirty_max_bytes`] wait.
        interval_ms: u64,
    },
}

/// Who moves the store's positions on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Threads of the store: the normal way.
    Threads,
    /// Nobody: the caller calls [`Store::step`](crate::Store::step). Simulations, where each run must be repeatable.
    Stepped,
}

/// Settings of a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Default [`Flush::Sync`].
    pub flush: Flush,
    /// Length of each commit log file in bytes; default 1 GiB. A directory keeps the value it was made with.
    pub segment_size_bytes: u64,
    /// Entries of each consume queue file; default 300000 (6 MB). A directory keeps the value it was made with.
    pub queue_file_entries: u32,
    /// Most consume queue files open at once, of all queues together; default 4096, at least 1. One that was not used
    /// lately is closed for the next; readers of the moment keep theirs.
    pub queue_files_open_max: usize,
    /// Whether messages are found by their keys; default true. Switched on again, the index catches up with the log.
    pub index_enabled: bool,
    /// Hash slots of each index file; default 5 million. A directory keeps the value it was made with.
    pub index_file_slots: u32,
    /// Entries of each index file, one a key; default 20 million. A directory keeps the value it was made with.
    pub index_file_entries: u32,
    /// After this many keys the slots of the newest index file are written; default 1 million. After a crash so many entries are
    /// read again, 20 bytes each.
    pub index_unsettled_max: u32,
    /// Queues that a checkpoint syncs file by file; default 256. When more were written, one sync of the whole file system
    /// takes less time.
    pub queue_syncs_max: usize,
    /// How far ahead of the tail blocks are reserved; default 64 MiB.
    pub allocate_ahead_bytes: u64,
    /// Longest record of a sender, all of it; default 4 MiB of body and 64 KiB around it, as in RocketMQ. At most a
    /// segment, which alone bounds what the store's owner appends.
    pub record_size_max_bytes: u32,
    /// Asynchronous flush: a flush starts early when this much waits; default 64 MiB.
    pub async_dirty_max_bytes: u64,
    /// Added to each sync of the log, in milliseconds: what a slow disk does, for measurements. Default 0.
    pub sync_delay_ms: u64,
    /// Longest time between checkpoints while messages come; default 5000 ms.
    pub checkpoint_interval_ms: u64,
    /// A checkpoint is made early after this much log; default 128 MiB. It bounds what a restart after a crash reads.
    pub checkpoint_bytes: u64,
    /// What is deleted, and when.
    pub retention: RetentionOptions,
    /// What owners above still need of the log; nothing from the lowest of their positions on is ever deleted. None by
    /// default.
    pub holds: Vec<Hold>,
    /// How fast damage is looked for, in bytes a second; 0 = not at all. Default 8 MiB.
    pub scrub_bytes_per_s: u64,
    /// Time from the end of one look at everything to the beginning of the next, in seconds; default a week.
    pub scrub_interval_s: u64,
    /// Stamps records.
    pub clock: Clock,
    /// Default [`Background::Threads`].
    pub background: Background,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            flush: Flush::Sync,
            segment_size_bytes: 1 << 30,
            queue_file_entries: 300_000,
            queue_files_open_max: 4_096,
            queue_syncs_max: 256,
            index_enabled: true,
            index_file_slots: 5_000_000,
            index_file_entries: 20_000_000,
            index_unsettled_max: 1_000_000,
            allocate_ahead_bytes: 64 << 20,
            record_size_max_bytes: (4 << 20) + (64 << 10),
            async_dirty_max_bytes: 64 << 20,
            sync_delay_ms: 0,
            checkpoint_interval_ms: 5_000,
            checkpoint_bytes: 128 << 20,
            retention: RetentionOptions::default(),
            holds: Vec::new(),
            scrub_bytes_per_s: 8 << 20,
            scrub_interval_s: 7 * 86_400,
            clock: Clock::system(),
            background: Background::Threads,
        }
    }
}

/// Smallest segment: room for a few records with their blank.
pub const SEGMENT_SIZE_MIN_BYTES: u64 = 1024;
/// Largest segment: positions inside one fit the blank's 32-bit length.
pub const SEGMENT_SIZE_MAX_BYTES: u64 = 1 << 30;
/// Most entries of a consume queue file.
pub const QUEUE_FILE_ENTRIES_MAX: u32 = 10_000_000;
/// Longest index file: RocketMQ reckons with positions of 31 bits.
pub const INDEX_FILE_MAX_BYTES: u64 = i32::MAX as u64;

impl Options {
    pub(crate) fn check(&self) -> Result<(), String> {
        let segment = self.segment_size_bytes;
        if !(SEGMENT_SIZE_MIN_BYTES..=SEGMENT_SIZE_MAX_BYTES).contains(&segment) {
            return Err(format!(
                "segment_size_bytes is {segment}, allowed are {SEGMENT_SIZE_MIN_BYTES} to {SEGMENT_SIZE_MAX_BYTES}"
            ));
        }
        if !(1..=QUEUE_FILE_ENTRIES_MAX).contains(&self.queue_file_entries) {
            let found = self.queue_file_entries;
            return Err(format!("queue_file_entries is {found}, allowed are 1 to {QUEUE_FILE_ENTRIES_MAX}"));
        }
        if self.queue_files_open_max == 0 {
            return Err("queue_files_open_max is 0, at least 1 is needed".into());
        }
        let (slots, entries) = (self.index_file_slots, self.index_file_entries);
        let index_bytes = 40 + 4 * u64::from(slots) + 20 * u64::from(entries);
        if slots < 1 || entries < 2 || index_bytes > INDEX_FILE_MAX_BYTES {
            return Err(format!(
                "index_file_slots is {slots} and index_file_entries is {entries}: a file of {index_bytes} bytes, allowed \
                 are 1 slot, 2 entries and {INDEX_FILE_MAX_BYTES} bytes"
            ));
        }
        self.retention.check()
    }
}
