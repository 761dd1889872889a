//! One queue of one topic: its entries, its end, its next offset.

pub(crate) mod cache;
mod entry;
mod ext;
pub(crate) mod files;
pub(crate) mod load;
pub(crate) mod sums;
pub(crate) mod trim;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gantry_base::watermark::Watermark;
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use parking_lot::Mutex;

pub use self::entry::QueueEntry;
pub(crate) use self::{
    entry::ENTRY_LEN,
    files::{Found, QueueFiles},
    load::{Below, Extent},
    sums::{BLOCK_ENTRIES, Sums},
};
use crate::{
    Read, Wait,
    error::ReadError,
    heads::Head,
    planted::{self, PlantedBug},
};

/// Bytes that one read of the file takes at most; a call for more reads again.
const READ_BYTES: usize = BLOCK_ENTRIES as usize * ENTRY_LEN;

/// Whether entries are compared with checksums as they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Blocks,
    Nothing,
}

/// How a look at entries ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Done,
    WouldBlock,
    /// The entries of this block are not what was written.
    Doubt {
        block: u64,
    },
}

/// A queue. Its end follows dispatch; records beyond it are in the log already or will never be.
///
/// Invariant: `min_offset <= end <= next_offset`.
pub struct Queue {
    /// Offset of the next record appended. Changed under the log's tail lock only.
    next: AtomicU64,
    /// One past the last entry that may be read.
    end: Watermark,
    min: AtomicU64,
    /// Where the record of the first entry lies; 0 = not known. See `trim`.
    first_position: AtomicU64,
    /// Of its entries.
    sums: Mutex<Sums>,
    /// Block up to which they are saved.
    sums_saved: AtomicU64,
    /// The topic was deleted: this value takes no more appends and entries.
    gone: AtomicBool,
    pub(crate) files: QueueFiles,
}

impl Queue {
    pub(crate) fn new(files: QueueFiles, extent: Extent) -> Self {
        Queue {
            next: AtomicU64::new(extent.end),
            end: Watermark::new(extent.end),
            min: AtomicU64::new(extent.min),
            first_position: AtomicU64::new(0),
            sums: Mutex::new(Sums::unknown(files.blocks(), extent.end)),
            sums_saved: AtomicU64::new(0),
            gone: AtomicBool::new(false),
            files,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.files.topic
    }

    /// The topic's name, shared.
    pub fn topic_arc(&self) -> &Arc<str> {
        &self.files.topic
    }

    /// Its number in the topic.
    pub fn id(&self) -> u32 {
        self.files.id
    }

    /// One past the last entry, in messages: what is before it can be read. Closes when the topic is deleted or the log
    /// stops.
    pub fn end(&self) -> &Watermark {
        &self.end
    }

    /// First offset that is there; equal to the end when none is.
    pub fn min_offset(&self) -> QueueOffset {
        QueueOffset(self.min.load(Ordering::Acquire).min(self.end.get()))
    }

    /// Offset that the next appended message gets; messages below it may not be dispatched yet.
    pub fn next_offset(&self) -> QueueOffset {
        QueueOffset(self.next.load(Ordering::Acquire))
    }

    /// Whether its topic was deleted; then look the queue up again.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Where the first message lies; `None` without one, or when its entry cannot be read.
    pub fn first_physical_offset(&self) -> Option<PhysicalOffset> {
        let mut first = Vec::with_capacity(1);
        self.entries_unchecked(self.min_offset(), 1, Wait::Allowed, &mut first).ok()?;
        first.first().map(|entry| entry.physical_offset)
    }

    /// Where the record of the last entry ends; 0 without one, or when it cannot be read.
    pub(crate) fn indexed_below(&self) -> u64 {
        let mut last = Vec::with_capacity(1);
        let at = QueueOffset(self.end.get().saturating_sub(1)).max(self.min_offset());
        let read = self.entries_unchecked(at, 1, Wait::Allowed, &mut last);
        last.first().filter(|_| read.is_ok()).map_or(0, |entry| entry.physical_offset.0 + u64::from(entry.size))
    }

    /// Adds entries from `from` on to `out`, at most `max`, none beyond the end. It may add fewer: ask again from where it
    /// stopped. [`Read::WouldBlock`] adds none. `from` at or beyond the end adds none and is no error. Nothing is compared with a
    /// checksum; [`Store::entries`](crate::Store::entries) does that.
    pub fn entries_unchecked(
        &self,
        from: QueueOffset,
        max: usize,
        wait: Wait,
        out: &mut Vec<QueueEntry>,
    ) -> Result<Read, ReadError> {
        match self.look(from, max, wait, Compare::Nothing, out)? {
            Look::WouldBlock => Ok(Read::WouldBlock),
            Look::Done | Look::Doubt { .. } => Ok(Read::Done),
        }
    }

    /// The same; with [`Compare::Blocks`] every block that is touched is compared with its checksum, where it has one.
    pub(crate) fn look(
        &self,
        from: QueueOffset,
        max: usize,
        wait: Wait,
        compare: Compare,
        out: &mut Vec<QueueEntry>,
    ) -> Result<Look, ReadError> {
        let (min, end) = (self.min_offset(), self.end.get());
        if from < min {
            return Err(ReadError::TooSmall { asked: from, min });
        }
        let blocks = self.files.blocks();
        let mut slot = from.0;
        let mut left = end.saturating_sub(slot).min(max as u64) as usize;
        let before = out.len();
        let mut bytes = [0; READ_BYTES];
        let trusts_entries = planted::is(PlantedBug::TrustEntries) || planted::is(PlantedBug::ServeAnyone);
        while left > 0 {
            let block = blocks.of(slot);
            let range = blocks.entries(block);
            let known = match compare {
                Compare::Blocks if !trusts_entries => {
                    self.sums.lock().of(blocks, block).filter(|known| known.end > slot)
                }
                _ => None,
            };
            let (start, behind) = match known {
                Some(known) => (range.start, known.end),
                None => (slot, range.end.min(slot + left as u64)),
            };
            let wanted = &mut bytes[..(behind - start) as usize * ENTRY_LEN];
            let found = match self.files.read(start, wanted, wait) {
                Ok(Found::Bytes(found)) => found,
                Ok(Found::WouldBlock) if out.len() == before => return Ok(Look::WouldBlock),
                Ok(Found::WouldBlock) => break,
                Err(error) => {
                    out.truncate(before);
                    return Err(error.into());
                }
            };
            if let Some(known) = known
                && !(found == wanted.len() && sums::fits(known.sum, wanted))
                && !self.files.is_shut()
                && slot >= self.min_offset().0
            {
                out.truncate(before);
                return Ok(Look::Doubt { block });
            }
            let (chunks, _) = wanted[..found].as_chunks::<ENTRY_LEN>();
            let chunks = chunks.get((slot - start) as usize..).unwrap_or_default();
            let entries = out.len();
            out.extend(chunks[..chunks.len().min(left)].iter().map_while(QueueEntry::decode));
            let read = out.len() - entries;
            if read == 0 && self.files.is_shut() {
                break;
            }
            if read == 0 && slot < self.min_offset().0 {
                // Retention took its file away meanwhile.
                out.truncate(before);
                return Err(ReadError::TooSmall { asked: from, min: self.min_offset() });
            }
            if read == 0 {
                // The file was cut by another hand; the caller sees an empty answer where there should be entries.
                tracing::error!(topic = %self.topic(), queue_id = self.id(), slot, "a consume queue entry is missing");
                break;
            }
            slot += read as u64;
            left -= read;
        }
        self.files.resolve_ext(&mut out[before..], wait);
        Ok(Look::Done)
    }

    /// The entries of a block are not those that its checksum is of, and are right: those of a damaged place that was given up.
    pub(crate) fn forget_sum(&self, block: u64) {
        self.sums.lock().forget(self.files.blocks(), block);
    }

    /// Checksums since block `saved`, for the head.
    pub(crate) fn sums_since(&self, saved: u64) -> Sums {
        self.sums.lock().since(saved)
    }

    /// Block up to which they are saved.
    pub(crate) fn sums_saved(&self) -> u64 {
        self.sums_saved.load(Ordering::Relaxed)
    }

    pub(crate) fn set_sums_saved(&self, block: u64) {
        self.sums_saved.store(block, Ordering::Relaxed);
    }

    /// Takes the checksums that were saved with its head.
    pub(crate) fn set_sums(&self, sums: Sums) {
        self.set_sums_saved(sums.next());
        *self.sums.lock() = sums;
    }

    /// Where it begins and ends now. Right only while nothing is dispatched.
    pub(crate) fn head(&self) -> Head {
        let (end, min) = (self.end.get(), self.min.load(Ordering::Acquire));
        Head { id: self.id(), min: min.min(end), end, first_position: self.first_position.load(Ordering::Acquire) }
    }

    /// Takes the place of its first record from its head.
    pub(crate) fn note_first_position(&self, position: u64) {
        self.first_position.store(position, Ordering::Release);
    }

    pub(crate) fn set_next_offset(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    pub(crate) fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Release);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] {}..{:?}", self.topic(), self.id(), self.min_offset(), self.end)
    }
}
