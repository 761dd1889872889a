//! The index: from a key to the records that have it. RocketMQ's files, in folder `index`; formats in [`format`].
//!
//! Dispatch hands over the keys of each piece of the log ([`Index::insert`]); queries walk from a slot through its entries,
//! newest first, and re-check every record, because a hash says little. The index never holds anything up: when it cannot
//! go on at once (a file is full, slots are not in memory, the disk is full) it falls *behind*, dispatch goes on without it,
//! and a thread of its own follows the log from where it stopped ([`catch_up`]) until it is level again. The same thread builds
//! an index that is missing or damaged. A disk error stops the index, not the store.
//!
//! # What is where, and when
//!
//! Entries are written to the file as they come. Slots and header of the newest file are in memory and written only when it is
//! *settled*: after a million entries, when the store is idle, when the file is full, at a clean end. The entries are a log of
//! the slots (each names its slot and what the slot said before), so slots can be put in again. What may be believed is in
//! `index.gantry` ([`mark`]): `covered`, the position in the log before which every record has its keys here; the header; and
//! `applied`, the entry up to which slots on disk are complete. A checkpoint syncs the entries, then writes the mark. To settle:
//!
//! 1. sync the entries, mark with the header of now: slots on disk never name an entry that is not there;
//! 2. header, sync; 3. slots, sync; 4. mark with `applied` = all.
//!
//! A crash at any of these boundaries:
//!
//! - before the mark of a checkpoint: the mark before it holds; entries behind it are nameless bytes, since slots are
//!   written only for entries that a mark counts. Dispatch begins at the store's floor, which is never above `covered` by
//!   more than catching up closes, and inserts the same records again.
//! - between 1 and 4, anywhere, torn or not: `applied` to `next` of the mark are put into the slots again from the entries,
//!   which were synced. Slots that had it already get the same value. The header comes from the mark.
//! - the log itself lost its end (asynchronous flush): entries of records that are not there any more are taken out again
//!   from the newest back, each restoring what its slot said before. Then slots, header and mark are settled in this order
//!   before anything else is inserted: until the mark is there the old entries are, and the same is done again.
//! - while a full file is followed by a new one: the old one is settled before the new one is made, the new one is empty and
//!   durable before a mark names it. A file that no mark names, newer than the marked one, is removed after a crash.
//!
//! RocketMQ may have worked on the directory in between. After its clean end a header that differs from the mark is believed.
//! After its crash the rule is RocketMQ's own: a file with entries later than the checkpoint's index time is removed and
//! built again from the log. Gantry sets that time to the last settled header's, so RocketMQ treats Gantry's crash alike.
//!
//! A slot chain that leads to an entry of another slot, or forward, is damage: the file and newer ones are removed and built
//! again, a few times in the life of a process at most.

mod active;
mod catch_up;
mod file;
mod format;
mod keys;
mod mark;
mod open;
mod query;
mod scrub;
mod settle;
mod slots;

use std::{
    fmt::Display,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gantry_base::{clock::Clock, disk::Disk, watermark::Watermark};
use parking_lot::Mutex;

pub(crate) use self::query::query;
pub use self::query::{KeyQuery, KeysFound, QueryLimit};
use self::{
    active::{Active, Inserted},
    file::IndexFile,
    format::{Header, Shape},
    mark::{IndexMark, Marks},
};
pub(crate) use self::{catch_up::Progress, keys::Gathered, open::Opening};
use crate::{
    Wait,
    error::{DiskError, While},
    metrics::StoreMetrics,
};

/// Whether queries by key find everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexState {
    /// Switched off: nothing is found by key.
    Off,
    /// Every dispatched record is found by its keys.
    Level,
    /// The last part of the log is not in the index yet; it is being added.
    Behind {
        /// Bytes of the log to go.
        bytes: u64,
    },
    /// A disk error stopped it; a restart goes on from where it stopped. What it has is still found.
    Stopped {
        /// What happened.
        reason: Arc<str>,
    },
}

/// Lock order: `work`, the dispatcher (outside), `state`.
pub(crate) struct Index {
    enabled: bool,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    shape: Shape,
    clock: Clock,
    unsettled_max: u32,
    metrics: Arc<StoreMetrics>,
    /// Dispatch hands its keys over, and nobody else inserts. Set under the dispatcher's lock only.
    level: AtomicBool,
    state: Mutex<State>,
    /// Held by whoever changes files or the mark: one at a time.
    work: Mutex<Work>,
    /// Counts how often the index fell behind; the thread that catches up follows it.
    pub(crate) lags: Watermark,
    /// Store time of the last entry that is settled, for RocketMQ's checkpoint.
    settled_ms: AtomicU64,
}

struct State {
    /// Every record before this position of the log has its keys in.
    covered: u64,
    /// Full files, oldest first.
    sealed: Vec<Arc<Sealed>>,
    active: Option<Active>,
    /// Why it stopped for good.
    stopped: Option<Arc<str>>,
    /// Pages of slots were missing: all are loaded before it is level again.
    cold: bool,
    /// A file that was found damaged, to be removed with all newer ones.
    damaged: Option<u64>,
    /// Files that were full and take keys again or are gone, for who keeps checksums of full ones.
    unsealed: Vec<u64>,
}

struct Sealed {
    file: Arc<IndexFile>,
    header: Header,
}

#[derive(Default)]
struct Work {
    marks: Option<Marks>,
    last: Option<IndexMark>,
    /// Pieces of the log are read into it.
    piece: Vec<u8>,
    gathered: Gathered,
    rebuilds: u32,
    /// A full disk was reported.
    full: bool,
    /// Where catching up began, for the report of its end.
    began: Option<u64>,
}

impl Index {
    /// Whether dispatch shall gather keys and [`insert`](Self::insert) them.
    pub(crate) fn is_level(&self) -> bool {
        self.level.load(Ordering::Acquire)
    }

    /// Inserts the keys of a piece of the log that ends at `after`; all before the piece is covered. Never waits for the
    /// disk but for writes to the page cache; what it cannot do now is caught up with later.
    pub(crate) fn insert(&self, gathered: &Gathered, after: u64) {
        if !gathered.is_collecting() {
            return;
        }
        let mut state = self.state.lock();
        if !self.is_level() {
            return;
        }
        let keys = gathered.keys();
        let keys = &keys[keys.partition_point(|key| key.offset < state.covered)..];
        let inserted = match &mut state.active {
            _ if keys.is_empty() => Ok(Inserted::All),
            Some(active) => active.insert(keys, Wait::Never),
            None => Ok(Inserted::NoRoom),
        };
        match inserted {
            Ok(Inserted::All) => {
                state.covered = state.covered.max(after);
                self.metrics.index_keys.add(keys.len() as u64);
            }
            Ok(Inserted::Cold) => {
                state.cold = true;
                self.fall_behind();
            }
            Ok(Inserted::NoRoom) => self.fall_behind(),
            Err(error) if error.is_full() => self.fall_behind(),
            Err(error) => self.stop(&mut state, &error),
        }
    }

    /// From now on the index is caught up with the log by its thread.
    fn fall_behind(&self) {
        self.level.store(false, Ordering::Release);
        self.metrics.index_lags.add(1);
        self.lags.advance(self.lags.get() + 1);
    }

    /// Stops it for an error met elsewhere: nothing of it is marked as durable any more.
    pub(crate) fn give_up(&self, error: &dyn Display) {
        if self.enabled {
            self.stop(&mut self.state.lock(), error);
        }
    }

    fn stop(&self, state: &mut State, error: &dyn Display) {
        self.level.store(false, Ordering::Release);
        if state.stopped.is_none() {
            let reason: Arc<str> = error.to_string().into();
            tracing::error!(
                %reason,
                "the index stops: messages stored from here on are not found by key until a restart, which goes on from \
                 the log; sends, pulls and queries for what it has go on"
            );
            state.stopped = Some(reason);
        }
    }

    /// Up to where the log is in the index.
    pub(crate) fn covered(&self) -> u64 {
        self.state.lock().covered
    }

    /// See [`IndexState`].
    pub(crate) fn state(&self, dispatched: u64) -> IndexState {
        let state = self.state.lock();
        match &state.stopped {
            _ if !self.enabled => IndexState::Off,
            Some(reason) => IndexState::Stopped { reason: reason.clone() },
            None if state.damaged.is_some() => {
                let damaged = state.sealed.iter().find(|sealed| Some(sealed.file.name) == state.damaged);
                let active = state.active.as_ref().map_or(0, |active| active.header.begin_offset);
                let from = damaged.map_or(active, |sealed| sealed.header.begin_offset);
                IndexState::Behind { bytes: dispatched.saturating_sub(from) }
            }
            // Dispatch publishes its position a moment after it inserted.
            None if self.is_level() || state.covered >= dispatched => IndexState::Level,
            None => IndexState::Behind { bytes: dispatched - state.covered },
        }
    }

    /// Bytes of the slot table that are in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.state.lock().active.as_ref().map_or(0, |active| active.slots.bytes())
    }

    /// What RocketMQ's checkpoint says of the index: files that end later are not believed after a crash.
    pub(crate) fn settled_ms(&self) -> u64 {
        self.settled_ms.load(Ordering::Acquire)
    }

    /// Removes the files all of whose records lie before `min`, the first byte of the log that is kept; never the newest.
    pub(crate) fn expire(&self, min: u64) {
        let _work = self.work.lock();
        let expired: Vec<_> = {
            let mut state = self.state.lock();
            let count = state.sealed.iter().take_while(|sealed| sealed.header.end_offset < min).count();
            state.sealed.drain(..count).collect()
        };
        if expired.is_empty() {
            return;
        }
        // One that stays for now goes at the next start.
        let removed = expired.iter().try_for_each(|sealed| self.remove(&sealed.file.path));
        let removed = removed.and_then(|()| self.disk.sync_dir(&self.folder).doing("sync folder", &self.folder));
        match removed {
            Ok(()) => tracing::info!(files = expired.len(), min, "index files of deleted messages are removed"),
            Err(error) => tracing::warn!(%error, "index files of deleted messages could not be removed"),
        }
    }

    fn remove(&self, path: &std::path::Path) -> Result<(), DiskError> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.doing("remove", path),
        }
    }
}
