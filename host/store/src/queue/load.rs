//! Finding the end of a queue in its files.
//!
//! Entries of records before the *floor* (the checkpoint's position in the log) are on disk, all of them and in order.
//! Behind them anything may be: zeros, entries of records that recovery dispatches again, entries of records that the log
//! lost, and, where only one half of an entry reached the disk, numbers that nobody wrote. Recovery writes what belongs
//! there; what must be found first is how many entries are below the floor.

use super::{
    entry::{ENTRY_LEN, QueueEntry},
    files::{Found, QueueFiles},
    trim::first_kept,
};
use crate::{
    Wait,
    error::DiskError,
    log::Log,
    planted::{self, PlantedBug},
};

/// Whose entries they are, and which of them count.
pub(crate) struct Below<'a> {
    pub(crate) log: &'a Log,
    pub(crate) topic: &'a str,
    pub(crate) queue_id: u32,
    /// Entries of records before this belong to a deleted topic of the same name.
    pub(crate) dead_below: u64,
    /// Entries of records from here on are not counted.
    pub(crate) floor: u64,
}

/// Where a queue begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) min: u64,
    pub(crate) end: u64,
}

/// The extent of the entries below the floor.
pub(crate) fn load(files: &QueueFiles, below: &Below<'_>) -> Result<Extent, DiskError> {
    let found = files.list()?;
    let per_file = files.entries_per_file();
    let Some(first) = found.first() else { return Ok(Extent::default()) };
    // Files may hold entries of records that went with their segment.
    let from = first * per_file;
    let extent = |end: u64| {
        let min = first_kept(files, from, end, below.log.min())?.slot;
        Ok(Extent { min, end })
    };
    // Later files hold later entries: the end lies in the last file that begins with a good one.
    for index in found.iter().rev() {
        let (start, end) = (index * per_file, (index + 1) * per_file);
        if below.entry(files, start)?.is_none() {
            continue;
        }
        let last = below.bisect(files, start, end)?;
        if planted::is(PlantedBug::BelieveHalfEntry) || below.matches_log(files, last)? {
            return extent(last + 1);
        }
        // The bisection was led astray by half an entry: look at every slot, from the back.
        for slot in (start..end).rev() {
            if below.matches_log(files, slot)? {
                return extent(slot + 1);
            }
        }
    }
    Ok(Extent { min: from, end: from })
}

impl Below<'_> {
    /// The entry, if it could be one that counts.
    fn entry(&self, files: &QueueFiles, slot: u64) -> Result<Option<QueueEntry>, DiskError> {
        let mut bytes = [0; ENTRY_LEN];
        let complete = matches!(files.read(slot, &mut bytes, Wait::Allowed)?, Found::Bytes(ENTRY_LEN));
        let entry = if complete { QueueEntry::decode(&bytes) } else { None };
        Ok(entry.filter(|entry| {
            let position = entry.physical_offset.0;
            entry.is_filler() || position >= self.dead_below && position.saturating_add(entry.size.into()) <= self.floor
        }))
    }

    /// Some slot that holds such an entry while the next does not; the last one if all before it do. `good` holds one.
    fn bisect(&self, files: &QueueFiles, mut good: u64, mut bad: u64) -> Result<u64, DiskError> {
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            match self.entry(files, middle)? {
                Some(_) => good = middle,
                None => bad = middle,
            }
        }
        Ok(good)
    }

    /// Whether the record that the entry points at says that it is this one of this queue.
    fn matches_log(&self, files: &QueueFiles, slot: u64) -> Result<bool, DiskError> {
        let Some(entry) = self.entry(files, slot)? else { return Ok(false) };
        let position = entry.physical_offset.0;
        if entry.is_filler() {
            return Ok(true);
        }
        if position < self.log.min() {
            // Its record was deleted with its segment. Half an entry of a later record may look like that, but not as if it
            // lay behind the one before.
            let Some(before) = slot.checked_sub(1) else { return Ok(true) };
            if matches!(files.read(before, &mut [0; ENTRY_LEN], Wait::Allowed)?, Found::Bytes(0)) {
                // It is the first of the files that are left.
                return Ok(true);
            }
            let before = self.entry(files, before)?;
            return Ok(before.is_some_and(|before| {
                before.is_filler() || before.physical_offset.0 + u64::from(before.size) <= position
            }));
        }
        let Some(found) = self.log.identity(position)? else { return Ok(false) };
        Ok((found.size, found.queue_id, found.queue_offset) == (entry.size, self.queue_id, slot)
            && found.topic == self.topic)
    }
}
