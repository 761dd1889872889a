//! The beginning of a queue: where it is once a part of the log is gone, and which files before it can go too.

use std::{io, sync::atomic::Ordering};

use gantry_model::offset::PhysicalOffset;

use super::{
    ENTRY_LEN, Queue, QueueEntry,
    files::{Found, QueueFiles},
};
use crate::{
    Wait,
    error::{DiskError, While},
};

/// Stands for entries that were never there, in the file of a queue that begins inside of it. RocketMQ writes the same
/// (`ConsumeQueue.fillPreBlank`), because it takes zeros for the end of the queue.
const FILLER: QueueEntry = QueueEntry { physical_offset: PhysicalOffset(0), size: i32::MAX as u32, tag_code: 0 };
/// Entries of filler written at a time.
const FILL_ENTRIES: u64 = 4096;

impl QueueEntry {
    pub(crate) fn is_filler(&self) -> bool {
        *self == FILLER
    }
}

/// The first entry that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) slot: u64,
    /// Where its record lies; 0 = not known.
    pub(crate) position: u64,
}

/// Finds the first of the entries `from..end` whose record lies at `below` or behind it; `end` when all lie before. Positions
/// grow along a queue, so bisection finds it. An entry that cannot be read is not taken for a stale one.
pub(crate) fn first_kept(files: &QueueFiles, from: u64, end: u64, below: u64) -> Result<First, DiskError> {
    let none = First { slot: end, position: 0 };
    if from >= end {
        return Ok(none);
    }
    let kept = |slot: u64| -> Result<Option<First>, DiskError> {
        let mut bytes = [0; ENTRY_LEN];
        let complete = matches!(files.read(slot, &mut bytes, Wait::Allowed)?, Found::Bytes(ENTRY_LEN));
        Ok(match QueueEntry::decode(&bytes).filter(|_| complete) {
            Some(entry) if entry.is_filler() || entry.physical_offset.0 < below => None,
            Some(entry) => Some(First { slot, position: entry.physical_offset.0 }),
            None => Some(First { slot, position: 0 }),
        })
    };
    // Mostly nothing is stale, or everything.
    if let Some(first) = kept(from)? {
        return Ok(first);
    }
    let Some(mut first) = kept(end - 1)? else { return Ok(none) };
    let (mut low, mut high) = (from, end - 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match kept(middle)? {
            Some(found) => (high, first) = (middle, found),
            None => low = middle,
        }
    }
    Ok(first)
}

impl Queue {
    /// Moves the minimum on to the first entry whose record lies at `below` or behind; `true` when it moved. All records
    /// before `below` must be dispatched. Costs nothing for a queue whose first record is known to lie behind.
    pub(crate) fn trim(&self, below: u64) -> Result<bool, DiskError> {
        let (min, end) = (self.min_offset().0, self.end().get());
        if min >= end || self.first_position.load(Ordering::Acquire) >= below {
            return Ok(false);
        }
        let first = first_kept(&self.files, min, end, below)?;
        self.min.store(first.slot, Ordering::Release);
        self.first_position.store(first.position, Ordering::Release);
        self.sums.lock().drop_before(self.files.blocks(), first.slot);
        Ok(first.slot > min)
    }

    /// Entries were written from `slot` on: their checksums are counted, and the place of the first in an empty queue is remembered, so that trimming need not
    /// read it.
    pub(crate) fn note_written(&self, slot: u64, entries: &[u8]) {
        self.sums.lock().note_written(self.files.blocks(), slot, entries);
        if slot == self.min.load(Ordering::Relaxed)
            && let Some(entry) = entries.first_chunk().and_then(QueueEntry::decode)
        {
            self.first_position.store(entry.physical_offset.0, Ordering::Release);
        }
    }

    /// Lets an empty queue begin at `slot`: what was before is gone with its part of the log.
    pub(crate) fn begin_at(&self, slot: u64) -> Result<(), DiskError> {
        debug_assert_eq!(self.end().get(), 0);
        let per_file = self.files.entries_per_file();
        let filler = FILLER.encode().repeat(FILL_ENTRIES.min(per_file) as usize);
        let mut at = slot - slot % per_file;
        while at < slot {
            let count = (slot - at).min(FILL_ENTRIES);
            self.files.write(at, &filler[..count as usize * ENTRY_LEN])?;
            at += count;
        }
        self.min.store(slot, Ordering::Release);
        self.end().advance(slot);
        Ok(())
    }

    /// Removes files that hold nothing but entries before the minimum, oldest first. The file of the last entry stays: it is
    /// what says where the queue goes on.
    pub(crate) fn remove_stale_files(&self, last_too: bool) -> Result<u64, DiskError> {
        match self.first_file_kept(last_too) {
            0 => Ok(0),
            keep => self.files.remove_before(keep),
        }
    }

    /// Whether there may be such files.
    pub(crate) fn has_stale_files(&self, last_too: bool) -> bool {
        self.first_file_kept(last_too) > 0
    }

    /// `last_too` is a planted bug.
    fn first_file_kept(&self, last_too: bool) -> u64 {
        let per_file = self.files.entries_per_file();
        let (min, end) = (self.min_offset().0, self.end().get());
        let last = if last_too { u64::MAX } else { end.saturating_sub(1) / per_file };
        if self.is_gone() { 0 } else { (min / per_file).min(last) }
    }
}

impl QueueFiles {
    /// Removes the files before number `index`. Not durable: what comes back after a crash is stale, and goes again.
    fn remove_before(&self, index: u64) -> Result<u64, DiskError> {
        let mut removed = 0;
        for stale in self.list()?.into_iter().filter(|file| *file < index) {
            self.close_one(stale);
            let path = self.path(stale);
            match self.cache.disk.remove_file(&path) {
                // Its topic was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.doing("remove", &path)?,
            }
            removed += 1;
        }
        Ok(removed)
    }
}
