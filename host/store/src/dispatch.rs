//! Dispatch: the log's records become entries of consume queues.
//!
//! It follows `visible` and reads the log in big pieces into one buffer. A piece is parsed first, its entries gathered per
//! queue; then each queue gets one write and its end moves once, so waiting consumers wake once.

use std::sync::Arc;

use gantry_model::{delay::DelayLevel, name::SCHEDULE_TOPIC, properties, sys_flag, tag};
use gantry_protocol::record::{OVERHEAD_V1, Peek, RecordView, peek};
use rustc_hash::FxHashMap;

use crate::{
    Read, Wait,
    error::{Corrupt, DiskError},
    index::{Gathered, Index},
    log::Log,
    metrics::StoreMetrics,
    planted::{self, PlantedBug},
    queue::{Queue, QueueEntry},
    queues::Queues,
    repair::standing_for,
    tombstone::Tombstones,
};

/// Bytes of the log read at a time; a longer record makes its own piece.
const PIECE_BYTES: usize = 1 << 20;
/// Queues whose places are remembered between pieces; beyond it the memory starts anew.
const KNOWN_QUEUES_MAX: usize = 100_000;

/// Why dispatch did not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    /// No space for entries or their files; the same piece is tried again later.
    #[error("consume queues wait for space: {0}")]
    Full(DiskError),
    #[error(transparent)]
    Disk(DiskError),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The queue's files end before this record: entries that were synced once are missing.
    #[error("consume queue {topic}/{queue_id} has {found} entries, the log goes on at {expected}")]
    Gap { topic: String, queue_id: u32, found: u64, expected: u64 },
}

impl From<DiskError> for DispatchError {
    fn from(error: DiskError) -> Self {
        if error.is_full() { DispatchError::Full(error) } else { DispatchError::Disk(error) }
    }
}

/// What dispatch writes to.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) queues: &'a Queues,
    pub(crate) tombstones: &'a Tombstones,
    pub(crate) index: &'a Index,
}

pub(crate) struct Dispatcher {
    /// All records before it have their entries.
    pub(crate) position: u64,
    /// Where it began.
    began: u64,
    /// Store time of the last record dispatched, for RocketMQ's checkpoint.
    pub(crate) last_store_ms: u64,
    piece: Vec<u8>,
    known: Known,
    /// Keys of the piece, for the index.
    keys: Gathered,
    /// Places with entries gathered from this piece.
    touched: Vec<usize>,
    /// Places with entries since the last checkpoint.
    unsynced: Vec<usize>,
    /// The piece behind `position` has its entries in some queues and not in others.
    torn: bool,
}

/// Queues met so far.
#[derive(Default)]
struct Known {
    pass_over_indexed: bool,
    topics: FxHashMap<Box<str>, FxHashMap<u32, Option<usize>>>,
    places: Vec<Place>,
}

struct Place {
    queue: Arc<Queue>,
    /// Records of a deleted topic of this name lie before.
    dead_below: u64,
    /// Number of the first gathered entry; the next one expected when none is gathered.
    first: u64,
    entries: Vec<u8>,
    count: u64,
    unsynced: bool,
}

impl Dispatcher {
    pub(crate) fn new(position: u64) -> Self {
        Dispatcher {
            position,
            began: position,
            last_store_ms: 0,
            piece: Vec::new(),
            known: Known::default(),
            keys: Gathered::default(),
            touched: Vec::new(),
            unsynced: Vec::new(),
            torn: false,
        }
    }

    /// Dispatches one piece, at most to `limit`. `false` when it is there already.
    pub(crate) fn step(
        &mut self,
        log: &Log,
        to: Targets<'_>,
        limit: u64,
        metrics: &StoreMetrics,
    ) -> Result<bool, DispatchError> {
        if self.position >= limit {
            return Ok(false);
        }
        self.keys.begin(to.index.is_level());
        let gathered = self.gather(log, to.queues, to.tombstones, limit);
        let (after, store_ms) = match gathered {
            Ok(gathered) => gathered,
            Err(error) => {
                self.drop_gathered();
                return Err(error);
            }
        };
        self.torn = true;
        if let Err(error) = self.write_gathered(metrics) {
            self.drop_gathered();
            return Err(error.into());
        }
        self.torn = false;
        to.index.insert(&self.keys, after);
        self.position = after;
        self.last_store_ms = store_ms.max(self.last_store_ms);
        Ok(true)
    }

    /// For a log that another program went on with, before the first step: a queue takes no record that lies before its
    /// last entry. Its topic may have been deleted and made anew since that record was written.
    pub(crate) fn pass_over_indexed(&mut self) {
        self.known.pass_over_indexed = true;
    }

    /// Whether queues may have entries of records behind `position`, so that their ends are of no one place in the log.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn && !planted::is(PlantedBug::CheckpointTorn)
    }

    /// Queues with entries that are not synced.
    pub(crate) fn unsynced(&self) -> Vec<Arc<Queue>> {
        self.unsynced.iter().map(|place| self.known.places[*place].queue.clone()).collect()
    }

    /// Queues with entries that are not synced, in any order; from now on they count as synced.
    pub(crate) fn take_unsynced(&mut self) -> Vec<Arc<Queue>> {
        let places = &mut self.known.places;
        let take = |place: usize| {
            places[place].unsynced = false;
            places[place].queue.clone()
        };
        let mut queues: Vec<_> = self.unsynced.drain(..).map(take).collect();
        if planted::is(PlantedBug::ForgetUnsynced) {
            queues.pop();
        }
        if self.known.places.len() > KNOWN_QUEUES_MAX {
            self.known = Known::default();
        }
        queues
    }

    /// The topic was deleted: what is known about its queues is wrong.
    pub(crate) fn forget(&mut self, topic: &str) {
        // Places are only reached through the topic, and those in `unsynced` are synced once more without harm.
        self.known.topics.remove(topic);
    }

    /// Parses from `position` on; returns where the next piece begins and the last store time.
    fn gather(
        &mut self,
        log: &Log,
        queues: &Queues,
        tombstones: &Tombstones,
        limit: u64,
    ) -> Result<(u64, u64), DispatchError> {
        let start = self.position;
        let corrupt = |position: u64, problem: String| Corrupt { position, problem };
        let segment = log.segment(start).ok_or_else(|| corrupt(start, "no segment holds it".into()))?;
        let end = limit.min(segment.end());
        self.fill(log, start, ((end - start) as usize).min(PIECE_BYTES))?;
        let (mut at, mut store_ms) = (0, 0);
        while at < self.piece.len() {
            let position = start + at as u64;
            if let Some(len) = log.given_up_at(position) {
                // What lies before it first; then the next piece begins behind it.
                return Ok((if at == 0 { position + len } else { position }, store_ms));
            }
            let size = match peek(&self.piece[at..]) {
                Peek::Record { size } => size,
                Peek::Blank { .. } => return Ok((segment.end(), store_ms)),
                // The piece ends inside the first 8 bytes of a record.
                Peek::Short if at > 0 && start + self.piece.len() as u64 != end => break,
                other => return Err(corrupt(position, format!("{other:?} where a record should begin")).into()),
            };
            if at + size > self.piece.len() {
                if at > 0 {
                    break;
                }
                if start + size as u64 > end {
                    let problem = format!("a record of {size} bytes would end behind {end}");
                    return Err(corrupt(position, problem).into());
                }
                self.fill(log, start, size)?;
            }
            let record = RecordView::parse(&self.piece[at..]).map_err(|error| corrupt(position, error.to_string()))?;
            if record.physical_offset().0 != position {
                let problem = format!("its record says that it lies at {}", record.physical_offset());
                return Err(corrupt(position, problem).into());
            }
            store_ms = record.store_ms().max(0) as u64;
            self.keys.add(&record);
            if sys_flag::is_dispatched(record.sys_flag()) {
                // Records before the log's first are gone: a queue without files then begins where the log's part of it does.
                let may_begin_late = self.began > 0 && self.began == log.min();
                self.known.add(&record, log, queues, tombstones, &mut self.touched, may_begin_late)?;
            }
            at += size;
        }
        Ok((start + at as u64, store_ms))
    }

    fn fill(&mut self, log: &Log, position: u64, len: usize) -> Result<(), DispatchError> {
        self.piece.resize(len, 0);
        match log.read(position, &mut self.piece, Wait::Allowed)? {
            Some(Read::Done) => Ok(()),
            _ => Err(Corrupt { position, problem: format!("{len} bytes should be there and are not") }.into()),
        }
    }

    fn write_gathered(&mut self, metrics: &StoreMetrics) -> Result<(), DiskError> {
        while let Some(index) = self.touched.last() {
            let place = &mut self.known.places[*index];
            if planted::is(PlantedBug::EndBeforeEntries) {
                place.queue.end().advance(place.first + place.count);
            }
            place.queue.files.write(place.first, &place.entries)?;
            place.queue.note_written(place.first, &place.entries);
            place.entries.clear();
            place.first += place.count;
            metrics.dispatched_messages.add(std::mem::take(&mut place.count));
            // After the write: a reader that sees the end reads entries up to it.
            place.queue.end().advance(place.first);
            if !place.unsynced {
                place.unsynced = true;
                self.unsynced.push(*index);
            }
            self.touched.pop();
        }
        Ok(())
    }

    fn drop_gathered(&mut self) {
        for index in self.touched.drain(..) {
            let place = &mut self.known.places[index];
            place.entries.clear();
            place.count = 0;
        }
    }
}

impl Known {
    fn add(
        &mut self,
        record: &RecordView<'_>,
        log: &Log,
        queues: &Queues,
        tombstones: &Tombstones,
        touched: &mut Vec<usize>,
        may_begin_late: bool,
    ) -> Result<(), DispatchError> {
        let known = self.topics.get(record.topic()).and_then(|by_id| by_id.get(&record.queue_id()));
        let index = match known {
            Some(known) => *known,
            None => self.meet(record, queues, tombstones),
        };
        let Some(index) = index else { return Ok(()) };
        let place = &mut self.places[index];
        if record.physical_offset().0 < place.dead_below {
            return Ok(());
        }
        let found = record.queue_offset().0;
        if self.pass_over_indexed && place.first + place.count == 0 && found > 0 {
            // Its topic was deleted by the other program; what it is made anew with begins at 0.
            return Ok(());
        }
        if may_begin_late && place.first + place.count == 0 && found > 0 {
            place.queue.begin_at(found)?;
            place.first = found;
        }
        let expected = place.first + place.count;
        if found < expected {
            // Written before a crash or a full disk interrupted the piece.
            return Ok(());
        }
        if found > expected
            && let Some(((at, len), bytes)) = log.given_up_before(record.physical_offset().0)
            // No more than could have lain there.
            && found - expected <= bytes / OVERHEAD_V1 as u64
            && at >= place.dead_below
        {
            // Its messages were in a damaged place that was given up: readers pass over what stands for them.
            if place.count == 0 {
                touched.push(index);
            }
            for _ in expected..found {
                place.entries.extend_from_slice(&standing_for(at, len).encode());
                place.count += 1;
            }
        } else if found > expected {
            let (topic, queue_id) = (record.topic().to_owned(), record.queue_id());
            return Err(DispatchError::Gap { topic, queue_id, found: expected, expected: found });
        }
        if place.count == 0 {
            touched.push(index);
        }
        let entry = QueueEntry {
            physical_offset: record.physical_offset(),
            size: record.size() as u32,
            tag_code: tag_code(record),
        };
        place.entries.extend_from_slice(&entry.encode());
        place.count += 1;
        Ok(())
    }

    /// The place of a queue met for the first time; none if its topic may not be a folder or is deleted.
    #[cold]
    fn meet(&mut self, record: &RecordView<'_>, queues: &Queues, tombstones: &Tombstones) -> Option<usize> {
        let (topic, id) = (record.topic(), record.queue_id());
        let dead_below = tombstones.dead_below(topic);
        if record.physical_offset().0 < dead_below {
            // Not remembered: records behind the deletion may be alive. The queue must not be made for a dead one.
            return None;
        }
        let place = match queues.for_dispatch(topic, id) {
            Ok(queue) => {
                let first = queue.end().get();
                let indexed = if self.pass_over_indexed { queue.indexed_below() } else { 0 };
                let dead_below = dead_below.max(indexed);
                let place = Place { queue, dead_below, first, entries: Vec::new(), count: 0, unsynced: false };
                self.places.push(place);
                Some(self.places.len() - 1)
            }
            Err(error) => {
                let position = record.physical_offset().0;
                tracing::warn!(position, %error, "a record's queue cannot exist; it stays in the log, undelivered");
                None
            }
        };
        self.topics.entry(topic.into()).or_default().insert(id, place);
        place
    }
}

/// What RocketMQ stores beside the place: the tag's hash, for a delayed message the time of delivery.
pub(crate) fn tag_code(record: &RecordView<'_>) -> i64 {
    if record.topic() == SCHEDULE_TOPIC {
        let delay = properties::find_str(record.properties(), properties::DELAY);
        if let Some(level) = delay.and_then(|delay| delay.parse().ok()).and_then(DelayLevel::clamped) {
            return record.store_ms().saturating_add(level.delay_ms() as i64);
        }
    }
    tag::tag_code(properties::tags(record.properties()))
}
