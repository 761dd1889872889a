//! The newest index file: entries go to the file at once, slots and header stay in memory until they are settled.
//!
//! The entries are the log of the slots: entry n says which slot it is the newest of, and what that slot said before. So
//! slots lost in a crash are put in again from the entries ([`redo`](Active::redo)), and entries of records that the log
//! lost are taken out of them ([`undo`](Active::undo)).

use std::sync::Arc;

use super::{
    file::IndexFile,
    format::{ENTRY_LEN, Entry, Header, seconds_since},
    keys::Key,
    slots::SlotTable,
};
use crate::{Wait, error::DiskError};

/// Entries read at once.
const RUN_ENTRIES: u32 = 50_000;

pub(crate) struct Active {
    pub(crate) file: Arc<IndexFile>,
    /// Ahead of the file's own.
    pub(crate) header: Header,
    pub(crate) slots: SlotTable,
    /// Slots on disk know every entry below it.
    pub(crate) applied: u32,
    encoded: Vec<u8>,
}

/// How an insertion ended. Only `All` changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    All,
    /// A page of slots would have to be waited for.
    Cold,
    /// The file has not that many entries left.
    NoRoom,
}

/// An entry that cannot be where it is.
#[derive(Debug)]
pub(crate) struct Damaged {
    pub(crate) number: u32,
}

impl Active {
    pub(crate) fn new(file: Arc<IndexFile>, header: Header, applied: u32, fresh: bool) -> Self {
        let slots = SlotTable::new(file.shape, fresh);
        Active { file, header, slots, applied, encoded: Vec::new() }
    }

    /// Entries that the file still takes.
    pub(crate) fn room(&self) -> usize {
        (self.file.shape.entries - self.header.next) as usize
    }

    /// Puts keys in, in the order of their records: first into the file as entries, with one write, then they count. After
    /// an error or a refusal everything is as before; bytes beyond the last entry mean nothing.
    pub(crate) fn insert(&mut self, keys: &[Key], wait: Wait) -> Result<Inserted, DiskError> {
        let Some(first) = keys.first() else { return Ok(Inserted::All) };
        if keys.len() > self.room() {
            return Ok(Inserted::NoRoom);
        }
        let mut header = self.header;
        if header.is_empty() {
            (header.begin_ms, header.begin_offset) = (first.store_ms, first.offset);
        }
        self.encoded.clear();
        let put = self.put_slots(keys, &mut header, wait);
        let written = match put {
            Ok(true) => self.file.write_entries(&self.encoded, self.header.next),
            other => {
                self.take_back();
                return other.map(|_| Inserted::Cold);
            }
        };
        if let Err(error) = written {
            self.take_back();
            return Err(error);
        }
        self.header = header;
        Ok(Inserted::All)
    }

    /// Encodes the entries and makes each the newest of its slot. `false` when a page is not in memory.
    fn put_slots(&mut self, keys: &[Key], header: &mut Header, wait: Wait) -> Result<bool, DiskError> {
        let shape = self.file.shape;
        for key in keys {
            let Some(slot) = self.slots.get_mut(&self.file, shape.slot_of(key.hash), wait)? else { return Ok(false) };
            // RocketMQ takes a number that no entry has yet for an empty slot.
            let previous = if *slot < header.next { *slot } else { 0 };
            let seconds = seconds_since(header.begin_ms, key.store_ms);
            let entry = Entry { hash: key.hash, offset: key.offset, seconds, previous };
            self.encoded.extend_from_slice(&entry.encode());
            *slot = header.next;
            header.next += 1;
            header.slots_used += u32::from(previous == 0);
            header.end_ms = key.store_ms;
            header.end_offset = key.offset;
        }
        Ok(true)
    }

    /// Undoes [`put_slots`](Self::put_slots), the newest first.
    #[cold]
    fn take_back(&mut self) {
        let shape = self.file.shape;
        for entry in self.encoded.as_chunks::<ENTRY_LEN>().0.iter().rev().map(Entry::decode) {
            // Its page was loaded a moment ago.
            if let Ok(Some(slot)) = self.slots.get_mut(&self.file, shape.slot_of(entry.hash), Wait::Never) {
                *slot = entry.previous;
            }
        }
        self.encoded.clear();
    }

    /// Makes the slots know the entries from `applied` on. They may know some already, or read as if they did while a failed
    /// sync never wrote them: so each counts as changed.
    pub(crate) fn redo(&mut self) -> Result<Result<(), Damaged>, DiskError> {
        let shape = self.file.shape;
        let mut entries = Vec::new();
        let mut last_offset = 0;
        let mut number = self.applied;
        while number < self.header.next {
            let count = RUN_ENTRIES.min(self.header.next - number);
            self.file.read_entries(number, count, &mut entries)?;
            if entries.len() < count as usize {
                return Ok(Err(Damaged { number }));
            }
            for entry in &entries {
                if entry.previous >= number || entry.offset < last_offset || entry.hash > i32::MAX as u32 {
                    return Ok(Err(Damaged { number }));
                }
                last_offset = entry.offset;
                let slot = self.slots.get_mut(&self.file, shape.slot_of(entry.hash), Wait::Allowed)?;
                let Some(slot) = slot else { return Ok(Err(Damaged { number })) };
                *slot = number;
                number += 1;
            }
        }
        Ok(Ok(()))
    }

    /// Takes the entries of records at and behind `end` out of slots and header. `true` when there were any.
    ///
    /// The entries stay in the file until the slots are settled: a crash before that does the same again.
    pub(crate) fn undo(&mut self, end: u64) -> Result<Result<bool, Damaged>, DiskError> {
        let shape = self.file.shape;
        let mut entries = Vec::new();
        let before = self.header.next;
        'all: while self.header.next > 1 {
            let first = self.header.next.saturating_sub(RUN_ENTRIES).max(1);
            self.file.read_entries(first, self.header.next - first, &mut entries)?;
            if entries.len() < (self.header.next - first) as usize {
                return Ok(Err(Damaged { number: first }));
            }
            for entry in entries.iter().rev() {
                let number = self.header.next - 1;
                if entry.offset < end {
                    self.header.end_offset = entry.offset;
                    // To the second; nothing but RocketMQ's checkpoint reads it.
                    self.header.end_ms = self.header.begin_ms + u64::from(entry.seconds) * 1000;
                    break 'all;
                }
                if entry.previous >= number {
                    return Ok(Err(Damaged { number }));
                }
                let slot = self.slots.get_mut(&self.file, shape.slot_of(entry.hash), Wait::Allowed)?;
                let Some(slot) = slot else { return Ok(Err(Damaged { number })) };
                if *slot == number {
                    *slot = entry.previous;
                }
                self.header.slots_used = self.header.slots_used.saturating_sub(u32::from(entry.previous == 0));
                self.header.next = number;
            }
        }
        self.applied = self.applied.min(self.header.next);
        Ok(Ok(self.header.next < before))
    }
}
