//! The one who follows the timer queue and the clock. A step does a bounded piece of each of its jobs.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    io,
    sync::Arc,
};

use gantry_base::watermark::Watermark;
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_store::{
    AppendError, Queue, QueueEntry, ReadError, Store, Wait,
    due::{Done, DueEntry, DueError, DueIndex, DueKey, DueKind},
};

use super::{
    SLOT_MS,
    batch::Found,
    entry::TimerRecord,
    progress::{Progress, ProgressRecord},
    recall::Recalls,
    service::TimerMetrics,
};
use crate::{message::Outgoing, options::BrokerOptions, topics::TopicTable};

/// Messages that are delivered, or records that are looked at, in one piece.
pub(super) const BATCH_MAX: usize = 512;
/// Bytes of them, as far as there is more than one.
const BATCH_BYTES_MAX: u64 = 2 << 20;
/// Batches appended whose messages have no consume queue entries yet; at the bound the next one waits. So everything that fell
/// due while the broker was down goes out no faster than consumers can see it, with room for others between.
const IN_FLIGHT_MAX: usize = 4;
/// Records looked at, since the last seal of the index, that make the next one due; a start looks at them again.
pub(super) const SEAL_AFTER: u64 = 65_536;
/// Entries in memory at which no more are looked at until a seal worked: the disk is full.
pub(super) const UNSEALED_MAX: usize = 8 * SEAL_AFTER as usize;
/// Entries that a step merges.
const MERGE_BUDGET: usize = 4_096;
/// Messages that may wait outside of the index because the clock went back, or because they cannot be read.
pub(super) const HELD_MAX: usize = 4_096;
/// A record that could not be read is tried again after this.
pub(super) const UNREADABLE_RETRY_MS: u64 = 60_000;
/// Work on the index's files that failed is tried again after this.
const FILES_RETRY_MS: u64 = 1_000;

/// Why a step did not get on. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum TimerError {
    #[error("the timer queue cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("the timer queue has no entry {0} where its end says there is one")]
    Missing(u64),
    #[error("due messages cannot be stored: {0}")]
    Append(#[from] AppendError),
    #[error("the timers' index: {0}")]
    Index(#[from] DueError),
    #[error("the timers cannot be opened again: {0}")]
    Reopen(#[from] io::Error),
}

/// What there is to wait for after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outlook {
    /// There is more to do at once.
    pub(super) busy: bool,
    /// Consumers have to see this much of the log before more is delivered.
    pub(super) dispatched: Option<u64>,
    /// When something falls due.
    pub(super) next_due_ms: Option<u64>,
    /// The timer queue has news from this end on.
    pub(super) next_offset: u64,
}

/// See the module's documentation.
pub(super) struct Engine {
    pub(super) store: Store,
    pub(super) queue: Arc<Queue>,
    pub(super) journal: Arc<Queue>,
    pub(super) options: Arc<BrokerOptions>,
    pub(super) metrics: Arc<TimerMetrics>,
    pub(super) index: DueIndex,
    pub(super) progress: Progress,
    /// Entries of `progress.held`.
    pub(super) held: BTreeMap<DueKey, DueEntry>,
    /// Held once and now in the index, or a recall that counts, but in no file of the index yet: a start knows them by
    /// their note only.
    pub(super) moved: BTreeMap<DueKey, DueKind>,
    /// Held ones that could not be read: when to try again, ms since 1970.
    pub(super) unreadable: HashMap<u64, u64>,
    /// Queue offset up to which records are in the index or dealt with. At least `progress.enqueued`, but after a start.
    pub(super) ingested: u64,
    /// Nothing falls due before so much is ingested: there may be recalls in it.
    pub(super) settled_at: u64,
    pub(super) recalls: Recalls,
    /// The earliest due time among records that are not looked at yet, before this queue offset: messages stored anew, whose
    /// time may come before they are looked at again.
    pub(super) behind: Option<(u64, u64)>,
    /// Taken from the index and not delivered yet, because appending failed.
    pub(super) taken: Vec<DueEntry>,
    /// Queue offsets of a batch whose progress survived a crash without them.
    pub(super) redo: Vec<u64>,
    /// Where the last append of this engine ends.
    pub(super) appended_end: u64,
    /// Where the last record that was ingested ends.
    pub(super) ingested_end: u64,
    /// Where the last progress record begins.
    pub(super) journalled_at: Option<u64>,
    /// From where on recalls matter to a start that finds this record the last.
    pub(super) noted_from: u64,
    /// The same of the last record that is known to be on disk: recalls from here on are kept.
    pub(super) durable_from: u64,
    pub(super) in_flight: VecDeque<u64>,
    pub(super) files_retry_ms: u64,
    /// [`SEAL_AFTER`], but in tests.
    pub(super) seal_after: u64,
    /// [`UNSEALED_MAX`], but in tests.
    pub(super) unsealed_max: usize,
    /// [`SCAN_MAX`](super::roll::SCAN_MAX), but in tests.
    pub(super) scan_max: usize,
    pub(super) roll_retry_ms: u64,
    /// Everything from here on in the log is needed.
    pub(super) hold: Watermark,
    /// A finished roll: up to where, and where the log must be durable first.
    pub(super) rolled: Option<(u64, u64)>,
}

/// Which number a delivery moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    /// They came late: `enqueued`.
    Enqueued,
    /// They fell due: `fired`.
    Fired,
    /// They were held.
    Held,
    /// They are of a batch whose progress is noted already.
    Redone,
}

impl Engine {
    /// Does a piece of everything.
    pub(super) fn step(&mut self, topics: &TopicTable) -> Result<Outlook, TimerError> {
        let stepped = self.try_step(topics);
        if let Err(TimerError::Index(error @ DueError::Damaged { .. })) = &stepped {
            tracing::error!(%error, "the timers' index is built again from the log; due messages wait for it, none is lost");
            self.rebuild()?;
            return Ok(self.outlook(true)?);
        }
        self.metrics.pending.set((self.index.pending() + (self.taken.len() + self.held.len()) as u64) as i64);
        self.metrics.taken_in.set(self.ingested as i64);
        if let Ok(outlook) = &stepped {
            let first = self.taken.first().map(|entry| entry.key.due_ms);
            self.metrics.next_due_ms.set(first.or(outlook.next_due_ms).unwrap_or(0) as i64);
        }
        stepped
    }

    fn try_step(&mut self, topics: &TopicTable) -> Result<Outlook, TimerError> {
        if !self.redo.is_empty() {
            self.redo(topics)?;
            return Ok(self.outlook(true)?);
        }
        if self.store.flushed().get() >= self.appended_end {
            self.durable_from = self.noted_from;
        }
        let now_ms = self.options.clock.now_ms();
        let mut busy = self.ingest(topics, now_ms)?;
        if self.ingested >= self.settled_at {
            busy |= self.deliver_due(topics, now_ms)?;
            busy |= self.deliver_held(topics, now_ms)?;
        }
        if self.taken.is_empty() {
            busy |= self.roll(now_ms)?;
            busy |= self.keep_files(now_ms)?;
        }
        Ok(self.outlook(busy)?)
    }

    fn outlook(&mut self, busy: bool) -> Result<Outlook, DueError> {
        let crowded = self.in_flight.len() >= IN_FLIGHT_MAX;
        Ok(Outlook {
            busy: busy && !crowded,
            dispatched: self.in_flight.front().copied().filter(|_| crowded),
            next_due_ms: self.index.peek()?.map(|entry| entry.key.due_ms).into_iter().chain(self.next_held_ms()).min(),
            // At a bound nothing is looked at, and news would not help.
            next_offset: if self.is_full() { u64::MAX } else { self.ingested + 1 },
        })
    }

    /// The key behind which nothing that is still pending can lie, but for what is held.
    pub(super) fn done(&self) -> Done {
        let forget_before = DueKey { due_ms: self.recalls_matter_from(), queue_offset: 0 };
        Done { to: self.progress.fired, forget_before, void_below: self.progress.void_below }
    }

    /// Recalls of an earlier second concern nothing that is still pending, neither here nor for a start after a power
    /// loss, ms since 1970.
    pub(super) fn recalls_matter_from(&self) -> u64 {
        self.pending_from().min(self.durable_from)
    }

    /// Nothing that is pending here has its recall in an earlier second, ms since 1970.
    pub(super) fn pending_from(&self) -> u64 {
        let held = self.held.first_key_value().map_or(u64::MAX, |(key, _)| key.due_ms);
        let behind = self.behind.map_or(u64::MAX, |(due_ms, _)| due_ms);
        self.progress.fired.due_ms.min(held).min(behind).saturating_sub(SLOT_MS)
    }

    pub(super) fn is_full(&self) -> bool {
        self.index.unsealed() >= self.unsealed_max || self.held.len() >= HELD_MAX
    }

    /// Looks at a piece of the timer queue; `false` when there is none.
    fn ingest(&mut self, topics: &TopicTable, now_ms: u64) -> Result<bool, TimerError> {
        if self.ingested >= self.queue.end().get() || self.is_full() || !self.taken.is_empty() {
            return Ok(false);
        }
        let mut found = entries_of(&self.store, &self.queue, self.ingested, BATCH_MAX)?;
        let mut bytes_left = BATCH_BYTES_MAX;
        let fits = |entry: &&QueueEntry| {
            let before = bytes_left;
            bytes_left = bytes_left.saturating_sub(u64::from(entry.size));
            before > 0
        };
        let count = found.iter().take_while(fits).count();
        found.truncate(count);
        let from = self.ingested;
        let entries: Vec<DueEntry> = (from..)
            .zip(&found)
            // As if it were over, if it cannot be read.
            .map(|(nth, entry)| unknown_time(nth, entry, self.progress.fired.due_ms.min(now_ms)))
            .collect();
        let (mut late, mut recalls) = (Vec::new(), Vec::new());
        let records = self.read(&entries);
        // What is held is delivered from there, also when it is looked at once more.
        let held: HashSet<u64> = self.held.keys().chain(self.moved.keys()).map(|key| key.queue_offset).collect();
        for (index, entry) in entries.iter().enumerate() {
            let nth = entry.key.queue_offset;
            if held.contains(&nth) {
                continue;
            }
            let Some(record) = records.get(index) else {
                if records.found[index] == Found::Unreadable && nth >= self.progress.void_below {
                    if nth < self.progress.enqueued {
                        self.progress.doubtful.insert(nth, self.progress.fired);
                    }
                    self.hold_unreadable(*entry, now_ms);
                }
                continue;
            };
            match TimerRecord::read(&record) {
                Some(timer) => match timer.recalls {
                    // Noted below: what it is for may be among those that came late.
                    Some(target) if timer.entry.key <= self.progress.fired => {
                        recalls.push((timer.slot_ms, target.to_owned(), timer.entry));
                    }
                    _ => self.take_in(&timer, now_ms, &mut late),
                },
                None => {
                    tracing::error!(
                        physical_offset = %entry.physical_offset, queue_offset = entry.key.queue_offset,
                        "a record of the timer queue names no time to fall due and is passed over; Gantry writes none such"
                    );
                }
            }
        }
        let to = from + entries.len() as u64;
        if !late.is_empty() {
            self.deliver(topics, &late, Advance::Enqueued)?;
        }
        for (slot_ms, target, entry) in recalls {
            if entry.key.queue_offset >= self.progress.void_below {
                self.recalls.note(slot_ms, &target, entry, self.recalls_matter_from());
            }
        }
        if let Some(last) = entries.last() {
            self.ingested_end = last.physical_offset.0 + u64::from(last.size);
        }
        self.ingested = to;
        self.progress.enqueued = self.progress.enqueued.max(to);
        self.behind = self.behind.filter(|(_, until)| to < *until);
        if !self.held.is_empty() && self.held.values().any(|entry| entry.key.queue_offset >= from) {
            // A start must know them, for `enqueued` has passed them.
            self.append(Vec::new(), &[])?;
        }
        Ok(to > from)
    }

    /// Whether a held message turns out to have been dealt with before it was held, now that its time is known.
    pub(super) fn was_done_before(&self, timer: &TimerRecord<'_>) -> bool {
        let doubtful = self.progress.doubtful.get(&timer.entry.key.queue_offset);
        timer.recalls.is_none() && doubtful.is_some_and(|done_to| timer.entry.key <= *done_to)
    }

    /// Puts a record of the timer queue where it belongs: the index, `late`, the held ones, or nowhere. A recall has a key
    /// behind `fired`.
    fn take_in(&mut self, timer: &TimerRecord<'_>, now_ms: u64, late: &mut Vec<DueEntry>) {
        let entry = timer.entry;
        let (nth, passed) = (entry.key.queue_offset, entry.key <= self.progress.fired);
        if nth < self.progress.void_below {
            return;
        }
        match (timer.recalls, passed) {
            (Some(target), _) => {
                // In the index it comes before what it is for.
                self.recalls.forget(timer.slot_ms, target);
                self.index.insert(entry);
            }
            (None, false) => self.index.insert(entry),
            (None, true) if nth < self.progress.enqueued => {}
            (None, true) if entry.key.due_ms <= now_ms => late.push(entry),
            (None, true) => drop(self.held.insert(entry.key, entry)),
        }
    }

    pub(super) fn hold_unreadable(&mut self, entry: DueEntry, now_ms: u64) {
        tracing::error!(
            physical_offset = %entry.physical_offset, queue_offset = entry.key.queue_offset,
            "a timed message cannot be delivered now; it waits and is tried again every minute, others go on"
        );
        self.held.insert(entry.key, entry);
        self.unreadable.insert(entry.key.queue_offset, now_ms + UNREADABLE_RETRY_MS);
    }

    /// Puts what was held into the index.
    pub(super) fn index_held(&mut self, entry: DueEntry) {
        self.moved.insert(entry.key, entry.kind);
        self.index.insert(entry);
    }

    fn next_held_ms(&self) -> Option<u64> {
        let due = |entry: &DueEntry| self.unreadable.get(&entry.key.queue_offset).copied().unwrap_or(entry.key.due_ms);
        self.held.values().map(due).min()
    }

    /// Delivers what is held and due by now; reads again what could not be read.
    fn deliver_held(&mut self, topics: &TopicTable, now_ms: u64) -> Result<bool, TimerError> {
        let ready = |entry: &&DueEntry| {
            self.unreadable.get(&entry.key.queue_offset).copied().unwrap_or(entry.key.due_ms) <= now_ms
        };
        let due: Vec<DueEntry> = self.held.values().filter(ready).take(BATCH_MAX).copied().collect();
        let mut known = Vec::new();
        for entry in &due {
            if self.unreadable.remove(&entry.key.queue_offset).is_none() {
                known.push(*entry);
                continue;
            }
            // Its time may not be known.
            let records = self.read(std::slice::from_ref(entry));
            let record = records.get(0);
            match record.as_ref().and_then(TimerRecord::read) {
                None if records.found[0] == Found::GivenUp => drop(self.held.remove(&entry.key)),
                None => self.hold_unreadable(*entry, now_ms),
                Some(timer) => {
                    self.held.remove(&entry.key);
                    match timer.recalls {
                        Some(target) => {
                            self.moved.insert(timer.entry.key, DueKind::Recall);
                            self.recalls.note(timer.slot_ms, target, timer.entry, self.recalls_matter_from());
                        }
                        None if self.was_done_before(&timer) => {}
                        None if timer.entry.key > self.progress.fired => self.index_held(timer.entry),
                        None => drop(self.held.insert(timer.entry.key, timer.entry)),
                    }
                }
            }
        }
        if known.is_empty() {
            return Ok(false);
        }
        self.deliver(topics, &known, Advance::Held)?;
        Ok(true)
    }

    /// Delivers a batch of what is due; `false` when nothing is.
    fn deliver_due(&mut self, topics: &TopicTable, now_ms: u64) -> Result<bool, TimerError> {
        let dispatched = self.store.dispatched().get();
        self.in_flight.retain(|end| *end > dispatched);
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Ok(true);
        }
        let now = DueKey { due_ms: now_ms, queue_offset: u64::MAX };
        let (mut bytes, mut passed_over) = (0, 0);
        while self.taken.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX && passed_over < 16 * BATCH_MAX {
            // What lies up to `fired` is only there for its recalls, which a start needs even when the clock went back.
            let Some(entry) = self.index.take_due(now.max(self.progress.fired))? else { break };
            let done = entry.key <= self.progress.fired && entry.kind == DueKind::Deliver;
            // One that was held may be in a file and, after a start that did not know of it, in memory too.
            let repeated = self.taken.last().is_some_and(|before| before.key == entry.key);
            if done || repeated || entry.key.queue_offset < self.progress.void_below {
                passed_over += 1;
                continue;
            }
            bytes += u64::from(entry.size);
            self.taken.push(entry);
        }
        let Some(last) = self.taken.last().map(|entry| entry.key) else { return Ok(passed_over > 0) };
        let taken = std::mem::take(&mut self.taken);
        if let Err(error) = self.deliver(topics, &taken, Advance::Fired) {
            // What of them is delivered already lies up to `fired`.
            self.taken = taken;
            self.taken.retain(|entry| entry.key > self.progress.fired || entry.kind == DueKind::Recall);
            return Err(error);
        }
        self.progress.fired = self.progress.fired.max(last);
        self.recalls.prune(self.recalls_matter_from());
        Ok(true)
    }

    /// Delivers what the last life noted as delivered and did not get into the log.
    fn redo(&mut self, topics: &TopicTable) -> Result<(), TimerError> {
        let mut entries = Vec::with_capacity(self.redo.len());
        for nth in &self.redo {
            let found = entries_of(&self.store, &self.queue, *nth, 1)?;
            entries.extend(found.iter().map(|entry| unknown_time(*nth, entry, self.progress.fired.due_ms)));
        }
        let (again, due): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.key.queue_offset < self.progress.void_below);
        if !again.is_empty() {
            self.store_anew(&again, true)?;
        }
        if !due.is_empty() {
            self.deliver(topics, &due, Advance::Redone)?;
        }
        self.redo.clear();
        Ok(())
    }

    /// Appends a progress record that speaks of `batch`, with the messages in the same append.
    pub(super) fn append(&mut self, batch: Vec<u64>, messages: &[(Outgoing, Arc<Queue>)]) -> Result<(), AppendError> {
        debug_assert_eq!(batch.len(), messages.len());
        let fired = self.progress.fired;
        let pending = |key: &DueKey, kind: &DueKind| *key > fired || *kind == DueKind::Recall;
        let moved = self.moved.iter().filter(|(key, kind)| pending(key, kind)).map(|(key, _)| key);
        // Those behind `enqueued` are looked at again by the next start.
        let noted = self.progress.void_below..self.progress.enqueued;
        let waiting = self.held.keys().chain(moved).map(|key| key.queue_offset);
        self.progress.held = waiting.filter(|nth| noted.contains(nth)).collect();
        self.progress.doubtful.retain(|nth, _| self.progress.held.contains(nth));
        let record = ProgressRecord { progress: self.progress.clone(), batch };
        let record = Outgoing::internal(&self.options, record.encode());
        let parts: Vec<[&[u8]; 1]> = messages.iter().map(|(message, _)| [message.properties.as_slice()]).collect();
        let mut drafts = Vec::with_capacity(messages.len() + 1);
        drafts.push(record.draft(&self.journal, &[]));
        drafts.extend(messages.iter().zip(&parts).map(|((message, queue), parts)| message.draft(queue, parts)));
        let mut placed = Vec::with_capacity(drafts.len());
        self.store.append_own(&drafts, &mut placed)?;
        self.moved.retain(|key, kind| pending(key, kind));
        if let Some(first) = placed.first() {
            self.journalled_at = Some(first.physical_offset.0);
            self.appended_end = first.end;
            self.noted_from = self.pending_from();
        }
        if !messages.is_empty() {
            self.in_flight.push_back(self.appended_end);
        }
        Ok(())
    }

    /// Seals and merges the index's files.
    fn keep_files(&mut self, now_ms: u64) -> Result<bool, TimerError> {
        if now_ms < self.files_retry_ms && self.files_retry_ms - now_ms <= FILES_RETRY_MS {
            return Ok(false);
        }
        let done = self.done();
        let sealed = self.seal_if_due(&done);
        if matches!(sealed, Ok(true)) && self.noted_from < self.pending_from() {
            // Batches of which every message was recalled moved on without a record; recalls are kept for their sake.
            self.append(Vec::new(), &[])?;
        }
        match sealed.and_then(|_| self.index.merge(MERGE_BUDGET, &done)) {
            Err(DueError::Disk(error)) => {
                tracing::error!(%error, "the timers' index cannot be written and is tried again; meanwhile a restart takes longer");
                self.files_retry_ms = now_ms + FILES_RETRY_MS;
                Ok(false)
            }
            kept => Ok(kept?),
        }
    }

    /// `true` when it sealed.
    fn seal_if_due(&mut self, done: &Done) -> Result<bool, DueError> {
        // What the files say must never be ahead of the log that survives a power loss.
        let durable = self.store.flushed().get() >= self.ingested_end.max(self.appended_end);
        if !durable || self.ingested - self.index.indexed_to() < self.seal_after {
            return Ok(false);
        }
        let recalls = self.recalls.entries();
        self.index.seal(self.ingested, &recalls, done)?;
        self.moved.clear();
        Ok(true)
    }

    /// Begins the index anew.
    pub(super) fn rebuild(&mut self) -> Result<(), DueError> {
        self.index.clear()?;
        // They lie behind `fired`, or are recalls: both are found again, and nothing is looked at while they are here.
        self.taken.clear();
        self.moved.clear();
        self.ingested = self.progress.void_below.max(self.queue.min_offset().0);
        self.settled_at = self.queue.end().get();
        Ok(())
    }
}

/// Entries of the timer queue from the nth on, at least one: the nth must be before the queue's end. One that is lost,
/// and whose record is damaged too, is given as if it pointed at the damage: reading it says so, and the others go on.
pub(super) fn entries_of(store: &Store, queue: &Queue, nth: u64, max: usize) -> Result<Vec<QueueEntry>, TimerError> {
    let mut found = Vec::with_capacity(max);
    match store.entries(queue, QueueOffset(nth), max, Wait::Allowed, &mut found) {
        Err(ReadError::Damaged(damaged)) => {
            let size = damaged.damage.length.clamp(1, i32::MAX as u64) as u32;
            let physical_offset = PhysicalOffset(damaged.damage.position);
            found.push(QueueEntry { physical_offset, size, tag_code: 0 });
        }
        read => drop(read?),
    }
    if found.is_empty() { Err(TimerError::Missing(nth)) } else { Ok(found) }
}

/// The entry of a record that was not read yet.
pub(super) fn unknown_time(nth: u64, entry: &QueueEntry, due_ms: u64) -> DueEntry {
    let key = DueKey { due_ms, queue_offset: nth };
    DueEntry { key, kind: DueKind::Deliver, physical_offset: entry.physical_offset, size: entry.size }
}
