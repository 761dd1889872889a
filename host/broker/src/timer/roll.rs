//! Waiting longer than the log is kept: before a segment goes, what waits in it is appended to the timer queue once more.

use std::ops::Range;

use gantry_model::properties;
use gantry_store::{AppendError, due::DueEntry};

use super::{
    batch::Found,
    engine::{BATCH_MAX, Engine, TimerError, UNREADABLE_RETRY_MS, entries_of},
    entry::TimerRecord,
};
use crate::message::Outgoing;

/// Entries that one look through the index gathers.
pub(super) const SCAN_MAX: usize = 65_536;
/// Bytes that are stored anew with one append, as far as there is more than one message.
const BYTES_MAX: u64 = 2 << 20;

impl Engine {
    /// Stores a piece of what waits below the position that retention wants to delete to. The hold follows once nothing is
    /// left there and the copies are on disk. `true` when there is more to do at once.
    pub(super) fn roll(&mut self, now_ms: u64) -> Result<bool, TimerError> {
        if let Some((to, end)) = self.rolled {
            if self.store.flushed().get() >= end {
                self.hold.advance(to);
                self.rolled = None;
            }
            return Ok(false);
        }
        let expiring = self.store.expiring().get();
        let resting = now_ms < self.roll_retry_ms && self.roll_retry_ms - now_ms <= UNREADABLE_RETRY_MS;
        if expiring <= self.hold.get() || resting {
            return Ok(false);
        }
        let Some(void_below) = self.first_behind(expiring)? else {
            // At the bound of the index nothing more is looked at before something falls due or a seal works.
            return Ok(!self.is_full());
        };
        let from = self.progress.void_below;
        if void_below > from {
            let (pending, gathered_all) = self.pending_below(from..void_below)?;
            let mut rest = pending.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fits = |entry: &&DueEntry| {
                    let before = bytes;
                    bytes += u64::from(entry.size);
                    before < BYTES_MAX
                };
                let count = rest.iter().take(BATCH_MAX).take_while(fits).count();
                let (batch, later) = rest.split_at(count);
                if !self.store_anew(batch, false)? {
                    self.roll_retry_ms = now_ms + UNREADABLE_RETRY_MS;
                    return Ok(false);
                }
                rest = later;
            }
            if !gathered_all {
                return Ok(true);
            }
        }
        let journalled = self.journalled_at.is_some_and(|at| at >= expiring);
        let nothing_yet = self.journalled_at.is_none() && self.queue.end().get() == 0;
        if !nothing_yet && (!journalled || self.progress.void_below < void_below) {
            let before = self.progress.void_below;
            self.progress.void_below = before.max(void_below);
            if let Err(error) = self.append(Vec::new(), &[]) {
                self.progress.void_below = before;
                return Err(error.into());
            }
        }
        self.rolled = Some((expiring, self.appended_end));
        Ok(true)
    }

    /// What waits among these queue offsets, by queue offset, and whether it is all: at the bound it is the first few.
    fn pending_below(&self, offsets: Range<u64>) -> Result<(Vec<DueEntry>, bool), TimerError> {
        let mut pending = self.index.scan(offsets.clone(), &self.done(), self.scan_max)?;
        let scanned_all = pending.len() < self.scan_max;
        let others = self.held.values().copied().chain(self.recalls.entries());
        pending.extend(others.filter(|entry| offsets.contains(&entry.key.queue_offset)));
        pending.sort_unstable_by_key(|entry| entry.key.queue_offset);
        pending.dedup_by_key(|entry| entry.key.queue_offset);
        // Where the scan stopped, others lie behind entries that it did not come to.
        let gathered_all = scanned_all && pending.len() <= self.scan_max;
        pending.truncate(self.scan_max);
        Ok((pending, gathered_all))
    }

    /// The first queue offset whose record lies at `position` or behind it; `None` while records before it are not looked at.
    fn first_behind(&self, position: u64) -> Result<Option<u64>, TimerError> {
        let (mut low, mut high) = (self.queue.min_offset().0, self.queue.end().get());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = entries_of(&self.store, &self.queue, middle, 1)?;
            match found.iter().all(|entry| entry.physical_offset.0 < position) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok((low <= self.ingested).then_some(low))
    }

    /// Appends entries to the timer queue again; from then on they are void where they lay. They come by queue offset.
    /// `false`, and nothing is done, when one of them cannot be read, unless those are to be left out.
    pub(super) fn store_anew(&mut self, entries: &[DueEntry], leave_out: bool) -> Result<bool, TimerError> {
        let Some(last) = entries.last() else { return Ok(true) };
        let records = self.read(entries);
        let (mut batch, mut messages) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        let mut recalls = Vec::new();
        let mut first_due_ms = u64::MAX;
        for (index, entry) in entries.iter().enumerate() {
            let record = records.get(index);
            let Some((record, timer)) = record.and_then(|record| Some((record, TimerRecord::read(&record)?))) else {
                if records.found[index] == Found::GivenUp {
                    self.metrics.dropped.add(1);
                    continue;
                }
                tracing::error!(
                    physical_offset = %entry.physical_offset, queue_offset = entry.key.queue_offset,
                    "a timed message that waits cannot be read, so its file of the log is kept until it can"
                );
                if leave_out {
                    continue;
                }
                return Ok(false);
            };
            if self.was_done_before(&timer) {
                continue;
            }
            if let Some(target) = timer.recalls {
                recalls.push((timer.slot_ms, target.to_owned()));
            }
            first_due_ms = first_due_ms.min(timer.entry.key.due_ms);
            let waiting = record.message();
            let times = waiting.property(properties::TIMER_ROLL_TIMES).and_then(|times| times.parse::<u32>().ok());
            let mut message = Outgoing::again(&waiting, self.options.advertised, |name| {
                matches!(name, "TIMER_ROLL_TIMES" | "GANTRY_TIMER_ORIGIN")
            });
            message.set_property(properties::TIMER_ROLL_TIMES, &times.unwrap_or(0).saturating_add(1).to_string());
            message.set_property(properties::TIMER_ORIGIN, &entry.key.queue_offset.to_string());
            batch.push(entry.key.queue_offset);
            messages.push((message, self.queue.clone()));
        }
        let before = (self.progress.void_below, self.held.clone(), self.behind);
        self.progress.void_below = before.0.max(last.key.queue_offset + 1);
        self.held.retain(|_, entry| entry.key.queue_offset >= self.progress.void_below);
        // Until the copies are looked at, recalls of them are kept, and what they recall must not fall due.
        let earlier = self.behind.map_or(u64::MAX, |(due_ms, _)| due_ms);
        self.behind = Some((first_due_ms.min(earlier), u64::MAX));
        let appended = self.append(batch, &messages);
        if appended.is_err() {
            (self.progress.void_below, self.held, self.behind) = before;
        }
        match appended {
            Err(AppendError::TooLarge { .. } | AppendError::Unencodable(_)) if entries.len() > 1 => {
                return self.store_anew_singly(entries, leave_out);
            }
            Err(error @ (AppendError::TooLarge { .. } | AppendError::Unencodable(_))) => {
                tracing::error!(
                    queue_offset = last.key.queue_offset, %error,
                    "a timed message that waits cannot be stored anew; its file of the log is kept till it is delivered"
                );
                return Ok(false);
            }
            appended => appended?,
        }
        self.behind = Some((first_due_ms.min(earlier), self.queue.next_offset().0));
        self.metrics.rolled.add(messages.len() as u64);
        for (slot_ms, target) in recalls {
            self.recalls.announce(slot_ms, &target);
        }
        Ok(true)
    }

    fn store_anew_singly(&mut self, entries: &[DueEntry], leave_out: bool) -> Result<bool, TimerError> {
        for entry in entries {
            if !self.store_anew(std::slice::from_ref(entry), leave_out)? && !leave_out {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
