//! Where timers stand after a start: from the last progress record, or from what Apache RocketMQ left.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    path::Path,
    sync::Arc,
};

use gantry_base::{
    disk::{Disk, read_whole},
    watermark::Watermark,
};
use gantry_model::{
    name::TIMER_TOPIC,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_protocol::record::{Peek, RecordView, peek};
use gantry_store::{
    Queue, Read, Store, Wait,
    due::{DueEntry, DueError, DueIndex, DueKey, DueKind},
};

use super::{
    PROGRESS_TOPIC,
    batch::Found,
    engine::{Engine, SEAL_AFTER, TimerError, UNSEALED_MAX, entries_of, unknown_time},
    entry::TimerRecord,
    progress::{Progress, ProgressRecord},
    recall::Recalls,
    roll::SCAN_MAX,
    service::TimerMetrics,
};
use crate::options::BrokerOptions;

/// Records that are read at once at the start.
const READ_PIECE: usize = 64;
/// Length of RocketMQ's checkpoint that is looked at.
const ROCKETMQ_CHECK_LEN: usize = 24;
/// Longest of its file, which it pre-sizes.
const ROCKETMQ_CHECK_LEN_MAX: u64 = 1 << 20;

impl Engine {
    /// Reads where things stand. Appends nothing. Blocks on the disk.
    pub(super) fn open(
        store: Store,
        disk: Arc<dyn Disk>,
        options: Arc<BrokerOptions>,
        metrics: Arc<TimerMetrics>,
        hold: Watermark,
    ) -> io::Result<Engine> {
        let queue = store.queue_or_create(TIMER_TOPIC, 0).map_err(io::Error::other)?;
        let journal = store.queue_or_create(PROGRESS_TOPIC, 0).map_err(io::Error::other)?;
        let (mut progress, redo, journalled_at) = match last_progress(&store, &journal)? {
            Some((record, at, end)) => {
                let there = delivered(&store, &record.batch, end)?;
                (record.progress, record.batch[there..].to_vec(), Some(at))
            }
            None => (Progress::default(), Vec::new(), None),
        };
        take_over_from_rocketmq(&*disk, &options.data, &queue, &mut progress)?;
        progress.void_below = progress.void_below.max(queue.min_offset().0);
        let end = queue.end().get();
        if progress.enqueued > end {
            tracing::error!(
                enqueued = progress.enqueued,
                end,
                "the timer queue ends before the place that was reached in it: files of the log are missing"
            );
            progress.enqueued = end;
        }

        let held = held_entries(&store, &queue, &progress).map_err(io::Error::other)?;
        let folder = options.data.join("timers");
        let mut index = DueIndex::open(disk, &folder, DueKey::default()).map_err(io::Error::other)?;
        if index.indexed_to() > end {
            index.clear().map_err(io::Error::other)?;
        }
        let ingested = index.indexed_to().max(progress.void_below);
        // What the files hold was looked at, and every message that came late among it was delivered and noted before.
        if index.indexed_to() > 0 {
            progress.enqueued = progress.enqueued.max(index.indexed_to());
        }
        let mut engine = Engine {
            store,
            queue,
            journal,
            options,
            metrics,
            index,
            progress,
            held,
            moved: BTreeMap::new(),
            unreadable: HashMap::new(),
            ingested,
            settled_at: end,
            recalls: Recalls::default(),
            behind: None,
            taken: Vec::new(),
            redo,
            appended_end: 0,
            ingested_end: 0,
            journalled_at,
            noted_from: 0,
            durable_from: u64::MAX,
            in_flight: VecDeque::new(),
            files_retry_ms: 0,
            seal_after: SEAL_AFTER,
            unsealed_max: UNSEALED_MAX,
            scan_max: SCAN_MAX,
            roll_retry_ms: 0,
            hold,
            rolled: None,
        };
        engine.read_held()?;
        engine.look_ahead(end)?;
        engine.noted_from = engine.pending_from();
        Ok(engine)
    }

    /// Of held messages only the place is noted; their time is read again.
    fn read_held(&mut self) -> io::Result<()> {
        let now_ms = self.options.clock.now_ms();
        let entries: Vec<DueEntry> = std::mem::take(&mut self.held).into_values().collect();
        for piece in entries.chunks(READ_PIECE) {
            let records = self.read(piece);
            for (index, entry) in piece.iter().enumerate() {
                let record = records.get(index);
                match record.as_ref().and_then(TimerRecord::read) {
                    Some(timer) if self.was_done_before(&timer) => {}
                    Some(timer) if timer.entry.key > self.progress.fired => self.index_held(timer.entry),
                    Some(timer) => drop(self.held.insert(timer.entry.key, timer.entry)),
                    None if records.found[index] == Found::GivenUp => {}
                    None => self.hold_unreadable(*entry, now_ms),
                }
            }
        }
        Ok(())
    }

    /// Finds the recalls that count for what is delivered next: those that the last life had looked at, of seconds that are
    /// not over, and those in what is looked at next: messages in it that came late are delivered at once.
    fn look_ahead(&mut self, end: u64) -> io::Result<()> {
        let mut ahead = Vec::new();
        let mut next = self.ingested;
        while next < end {
            let found = entries_of(&self.store, &self.queue, next, READ_PIECE).map_err(io::Error::other)?;
            let entries: Vec<DueEntry> = (next..).zip(&found).map(|(nth, entry)| unknown_time(nth, entry, 0)).collect();
            next += found.len() as u64;
            let records = self.read(&entries);
            for index in 0..entries.len() {
                let record = records.get(index);
                let Some(timer) = record.as_ref().and_then(TimerRecord::read) else { continue };
                let earliest = self.behind.map_or(u64::MAX, |(due_ms, _)| due_ms);
                self.behind = Some((earliest.min(timer.entry.key.due_ms), end));
                ahead.extend(timer.recalls.map(|target| (timer.slot_ms, target.to_owned())));
            }
        }
        self.load_recalls()?;
        for (slot_ms, target) in ahead {
            self.recalls.announce(slot_ms, &target);
        }
        Ok(())
    }

    /// Recalls that the last life had looked at, of a second that is not over.
    fn load_recalls(&mut self) -> io::Result<()> {
        let mut entries = Vec::new();
        let from = DueKey { due_ms: self.recalls_matter_from(), queue_offset: 0 };
        let mut sought = self.index.seek(from);
        loop {
            match sought.and_then(|()| self.index.take_due(self.progress.fired)) {
                Ok(Some(entry)) => {
                    let wanted = entry.kind == DueKind::Recall && entry.key.queue_offset >= self.progress.void_below;
                    entries.extend(wanted.then_some(entry));
                }
                Ok(None) => break,
                Err(error @ DueError::Damaged { .. }) => {
                    tracing::error!(%error, "the timers' index is built again from the log; no message is lost");
                    self.rebuild().map_err(io::Error::other)?;
                    break;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
            sought = Ok(());
        }
        for piece in entries.chunks(READ_PIECE) {
            let records = self.read(piece);
            for index in 0..piece.len() {
                let record = records.get(index);
                if let Some(timer) = record.as_ref().and_then(TimerRecord::read)
                    && let Some(target) = timer.recalls
                {
                    self.recalls.note(timer.slot_ms, target, timer.entry, self.recalls_matter_from());
                }
            }
        }
        Ok(())
    }
}

/// The last progress record, where it begins and where it ends.
fn last_progress(store: &Store, journal: &Queue) -> io::Result<Option<(ProgressRecord, u64, u64)>> {
    let mut next = journal.end().get();
    while next > journal.min_offset().0 {
        next -= 1;
        let mut found = Vec::with_capacity(1);
        store.entries(journal, QueueOffset(next), 1, Wait::Allowed, &mut found).map_err(io::Error::other)?;
        let Some(entry) = found.first() else { continue };
        let mut bytes = Vec::new();
        let mut picked = vec![(QueueOffset(next), *entry)];
        store.read_records(journal, &mut picked, Wait::Allowed, &mut bytes).map_err(io::Error::other)?;
        if bytes.is_empty() {
            // Damaged and given up: the one before it is taken.
            continue;
        }
        let record = RecordView::parse(&bytes).map_err(io::Error::other)?;
        if let Some(progress) = ProgressRecord::decode(record.body()) {
            let at = entry.physical_offset.0;
            return Ok(Some((progress, at, at + u64::from(entry.size))));
        }
        tracing::error!(
            physical_offset = %entry.physical_offset,
            "a progress record of the timers is unreadable; the one before it is taken, messages may be delivered again"
        );
    }
    Ok(None)
}

/// How many of a batch follow its progress record, which ends at `end`, in the log. A crash keeps the first few.
fn delivered(store: &Store, batch: &[u64], end: u64) -> io::Result<usize> {
    let mut at = end;
    for (there, nth) in batch.iter().enumerate() {
        let Some(bytes) = record_at(store, &mut at)? else { return Ok(there) };
        let Ok(record) = RecordView::parse(&bytes) else { return Ok(there) };
        let origin = properties::find_str(record.properties(), properties::TIMER_ORIGIN);
        if record.physical_offset().0 != at || origin.and_then(|origin| origin.parse().ok()) != Some(*nth) {
            return Ok(there);
        }
        at += bytes.len() as u64;
    }
    Ok(batch.len())
}

/// The record at `at`, which moves over the blank at the end of a segment; `None` behind the end of the log.
fn record_at(store: &Store, at: &mut u64) -> io::Result<Option<Vec<u8>>> {
    let end = store.appended().get();
    loop {
        let mut head = Vec::with_capacity(8);
        if *at + 8 > end {
            return Ok(None);
        }
        store.read(PhysicalOffset(*at), 8, Wait::Allowed, &mut head).map_err(io::Error::other)?;
        match peek(&head) {
            Peek::Blank { size } if size > 0 => *at += size as u64,
            Peek::Record { size } if *at + size as u64 <= end => {
                let mut bytes = Vec::with_capacity(size);
                let read =
                    store.read(PhysicalOffset(*at), size, Wait::Allowed, &mut bytes).map_err(io::Error::other)?;
                return Ok((read == Read::Done).then_some(bytes));
            }
            _ => return Ok(None),
        }
    }
}

fn held_entries(store: &Store, queue: &Queue, progress: &Progress) -> Result<BTreeMap<DueKey, DueEntry>, TimerError> {
    let mut held = BTreeMap::new();
    for nth in progress.held.iter().filter(|nth| **nth >= progress.void_below) {
        let found = entries_of(store, queue, *nth, 1)?;
        held.extend(found.iter().map(|entry| {
            let entry = unknown_time(*nth, entry, progress.fired.due_ms);
            (entry.key, entry)
        }));
    }
    Ok(held)
}

/// Apache RocketMQ notes in `config/timercheck` up to which second it delivered (at 0, ms since 1970) and how far it looked at
/// the timer queue (at 16). If that is ahead of what is known here, it was the last to work on this directory.
fn take_over_from_rocketmq(disk: &dyn Disk, data: &Path, queue: &Queue, progress: &mut Progress) -> io::Result<()> {
    let file = data.join("config").join("timercheck");
    let bytes = match read_whole(disk, &file, ROCKETMQ_CHECK_LEN_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    if bytes.len() < ROCKETMQ_CHECK_LEN {
        return Ok(());
    }
    let field = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // Seconds before this one are delivered; in our terms what is due up to its beginning.
    let fired = DueKey { due_ms: field(0), queue_offset: u64::MAX };
    if fired > progress.fired && field(0) <= i64::MAX as u64 {
        let enqueued = field(16).min(queue.end().get());
        tracing::info!(read_ms = field(0), enqueued, "timed messages are taken over where Apache RocketMQ left them");
        progress.fired = fired;
        progress.enqueued = progress.enqueued.max(enqueued);
    }
    Ok(())
}
