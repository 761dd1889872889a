//! What to do when a consume queue entry and the log do not agree: find out which of them is wrong.
//!
//! The log is the truth and the queue is derived from it. If the log holds the message whole, the entry is corrected and the
//! read goes on. If the log itself is damaged there, the place is noted, and the read ends with
//! [`ReadError::Damaged`] until an operator skips it. Both are decided by looking, never by the entry alone: an entry that
//! points into a damaged place may be the wrong one.

use std::ops::ControlFlow;

use gantry_model::offset::QueueOffset;
use gantry_protocol::record::RecordView;

use crate::{
    Wait,
    damage::Damage,
    dispatch::tag_code,
    error::{Damaged, DiskError, ReadError},
    inner::Inner,
    planted::{self, PlantedBug},
    queue::{Compare, ENTRY_LEN, Found, Look, Queue, QueueEntry},
    walk::{self, Walker},
};

/// Entries looked at on either side for one that is right.
const NEIGHBOURS_MAX: u64 = 1024;
/// Most of the log that is read to find one message, in bytes.
const SEARCH_MAX: u64 = 256 << 20;

/// How a disagreement was settled, when a reader can go on.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The entry as it should be.
    Entry(QueueEntry),
    /// The message was given up; the entry stands for the damaged place.
    Skipped(QueueEntry),
}

/// Settles what is at `offset` of the queue. `suspect` is the entry as it was read, if there was any. Blocks on the disk.
pub(crate) fn settle(
    inner: &Inner,
    queue: &Queue,
    offset: QueueOffset,
    suspect: Option<QueueEntry>,
) -> Result<Settled, ReadError> {
    inner.metrics.failed_checks.add(1);
    let mut walker = Walker::new(&inner.log, inner.marks.visible.get(), inner.checked_from);
    let this = Message { inner, queue, offset };
    if let Some(suspect) = suspect {
        let position = suspect.physical_offset.0;
        match walker.record(position).map(|found| found.map(|record| this.entry_of(&record))) {
            Ok(Ok(Some(entry))) => return this.corrected(suspect, entry),
            Ok(Ok(None)) => {}
            Ok(Err(reason)) => {
                let claim = walker.claim(position).ok().flatten();
                if let Some(size) = claim.filter(|record| this.is(record)).map(|record| record.size() as u64) {
                    return this.damaged(vec![(position, size, reason)], Some(suspect));
                }
            }
            // Sectors that the disk cannot read are the commonest damage of all.
            Err(error) => return this.damaged(vec![(position, suspect.size.into(), error.to_string())], Some(suspect)),
        }
    }
    let (mut lower, mut upper) = this.bounds(&mut walker)?;
    lower = lower.max(inner.tombstones.dead_below(queue.topic())).max(inner.log.min());
    upper = upper.min(lower.saturating_add(SEARCH_MAX));
    let (mut right, mut damages) = (None, Vec::new());
    walker.walk(lower, upper, &mut |position, found| {
        match found {
            walk::Found::Record(record) => right = this.entry_of(&record),
            walk::Found::Blank { .. } => {}
            walk::Found::Damaged { len, reason } => damages.push((position, len, reason)),
        }
        if right.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(right) = right {
        return match suspect {
            Some(suspect) => this.corrected(suspect, right),
            None => this.write(right).map(|()| Settled::Entry(right)),
        };
    }
    this.still_there()?;
    if let Some(gone) = suspect.filter(|entry| damages.is_empty() && entry.physical_offset.0 < inner.log.min()) {
        let (asked, len) = (gone.physical_offset, gone.size as usize);
        return Err(ReadError::Outside { asked, len, min: inner.log.min(), end: inner.marks.visible.get() });
    }
    if damages.is_empty() {
        let reason = format!(
            "the log has no message {offset} of queue {}/{} between {lower} and {upper}",
            queue.topic(),
            queue.id()
        );
        damages.push((suspect.map_or(lower, |entry| entry.physical_offset.0.clamp(lower, upper)), 1, reason));
    }
    this.damaged(damages, suspect)
}

/// Compares every entry of a block with its record and corrects those that are wrong. Messages that cannot be read are left to
/// whoever wants them. Blocks on the disk.
pub(crate) fn mend_block(inner: &Inner, queue: &Queue, block: u64) -> Result<(), ReadError> {
    let mut walker = Walker::new(&inner.log, inner.marks.visible.get(), inner.checked_from);
    let slots = queue.files.blocks().entries(block);
    let end = slots.end.min(queue.end().get());
    for slot in slots.start.max(queue.min_offset().0)..end {
        let this = Message { inner, queue, offset: QueueOffset(slot) };
        let entry = this.read_entry(slot)?;
        if let Some(entry) = entry {
            let record = walker.record(entry.physical_offset.0);
            if matches!(record, Ok(Ok(record)) if this.entry_of(&record) == Some(entry)) {
                continue;
            }
        }
        match settle(inner, queue, QueueOffset(slot), entry) {
            Ok(_) | Err(ReadError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut read = Vec::new();
    if let Look::Doubt { block } = queue.look(QueueOffset(end - 1), 1, Wait::Allowed, Compare::Blocks, &mut read)? {
        // As right as the log can make them.
        queue.forget_sum(block);
    }
    Ok(())
}

/// One message by its place in a queue.
struct Message<'a> {
    inner: &'a Inner,
    queue: &'a Queue,
    offset: QueueOffset,
}

impl Message<'_> {
    fn is(&self, record: &RecordView<'_>) -> bool {
        self.is_at(record, self.offset)
    }

    fn is_at(&self, record: &RecordView<'_>, offset: QueueOffset) -> bool {
        record.queue_offset() == offset && record.queue_id() == self.queue.id() && record.topic() == self.queue.topic()
    }

    fn entry_of(&self, record: &RecordView<'_>) -> Option<QueueEntry> {
        self.is(record).then(|| entry_of(record))
    }

    /// Positions between which the record must lie: behind the nearest earlier message that is right, before the nearest
    /// later one.
    fn bounds(&self, walker: &mut Walker<'_>) -> Result<(u64, u64), ReadError> {
        let (min, end, offset) = (self.queue.min_offset().0, self.queue.end().get(), self.offset.0);
        let earlier = (min.max(offset.saturating_sub(NEIGHBOURS_MAX))..offset).rev();
        let later = offset + 1..end.min(offset.saturating_add(NEIGHBOURS_MAX));
        let mut right = |slot: u64| -> Result<Option<QueueEntry>, ReadError> {
            let Some(entry) = self.read_entry(slot)? else { return Ok(None) };
            let Ok(Ok(record)) = walker.record(entry.physical_offset.0) else { return Ok(None) };
            Ok(self.is_at(&record, QueueOffset(slot)).then_some(entry))
        };
        let (mut lower, mut upper) = (0, u64::MAX);
        for slot in earlier {
            if let Some(entry) = right(slot)? {
                lower = entry.physical_offset.0 + u64::from(entry.size);
                break;
            }
        }
        for slot in later {
            if let Some(entry) = right(slot)? {
                upper = entry.physical_offset.0;
                break;
            }
        }
        Ok((lower, upper))
    }

    fn read_entry(&self, slot: u64) -> Result<Option<QueueEntry>, DiskError> {
        let mut bytes = [0; ENTRY_LEN];
        let complete = matches!(self.queue.files.read(slot, &mut bytes, Wait::Allowed)?, Found::Bytes(ENTRY_LEN));
        Ok(if complete { QueueEntry::decode(&bytes) } else { None })
    }

    fn corrected(&self, suspect: QueueEntry, right: QueueEntry) -> Result<Settled, ReadError> {
        // What the reader holds may be older than the file; a correction that is there already is not made again.
        if suspect != right && self.read_entry(self.offset.0)? != Some(right) {
            self.write(right)?;
        }
        Ok(Settled::Entry(right))
    }

    fn write(&self, right: QueueEntry) -> Result<(), ReadError> {
        let Message { inner, queue, offset } = self;
        tracing::error!(
            topic = queue.topic(),
            queue_id = queue.id(),
            queue_offset = offset.0,
            physical_offset = right.physical_offset.0,
            "a consume queue entry was wrong and is corrected from the log; the disk changed bytes that were right once"
        );
        // Not synced: after a power loss it is corrected once more. A sync that failed here would take the failure away from
        // the next checkpoint, which then counted lost entries of the same file as durable.
        queue.files.write(offset.0, &right.encode())?;
        inner.metrics.entries_corrected.add(1);
        Ok(())
    }

    /// Whether retention or a deletion took the message while it was looked for: that is no damage.
    fn still_there(&self) -> Result<(), ReadError> {
        let (asked, min) = (self.offset, self.queue.min_offset());
        if self.offset < min || self.queue.is_gone() { Err(ReadError::TooSmall { asked, min }) } else { Ok(()) }
    }

    /// Notes damaged places, of which one held the message.
    fn damaged(&self, places: Vec<(u64, u64, String)>, suspect: Option<QueueEntry>) -> Result<Settled, ReadError> {
        self.still_there()?;
        let inner = self.inner;
        let covering = |position: u64, length: u64| {
            suspect.is_some_and(|entry| entry.physical_offset.0.wrapping_sub(position) < length)
        };
        let mut stops = None;
        let mut skipped = None;
        for (position, length, reason) in places {
            let damage = inner.note_damage(position, length, reason);
            let best = covering(position, length);
            let slot = if damage.skipped || planted::is(PlantedBug::SkipDamaged) { &mut skipped } else { &mut stops };
            if slot.is_none() || best {
                *slot = Some(damage);
            }
        }
        match (stops, skipped) {
            (None, Some(damage)) => {
                inner.metrics.skipped_reads.add(1);
                let entry = standing_for(damage.position, damage.length);
                if suspect.is_none() {
                    self.write(entry)?;
                }
                Ok(Settled::Skipped(suspect.unwrap_or(entry)))
            }
            (stops, _) => {
                let damage = stops.unwrap_or_else(|| inner.note_damage(0, 1, "an unknown place".into()));
                let (topic, queue_id, queue_offset) = (self.queue.topic().to_owned(), self.queue.id(), self.offset);
                let dir = inner.dir.clone();
                Err(ReadError::Damaged(Box::new(Damaged { dir, damage, topic, queue_id, queue_offset })))
            }
        }
    }
}

/// The entry that dispatch makes of a record.
pub(crate) fn entry_of(record: &RecordView<'_>) -> QueueEntry {
    let (physical_offset, size) = (record.physical_offset(), record.size() as u32);
    QueueEntry { physical_offset, size, tag_code: tag_code(record) }
}

/// An entry for a message that cannot be read: readers meet the damage where the message was.
pub(crate) fn standing_for(position: u64, length: u64) -> QueueEntry {
    QueueEntry {
        physical_offset: gantry_model::offset::PhysicalOffset(position),
        size: length.clamp(1, i32::MAX as u64) as u32,
        tag_code: QueueEntry::TAG_UNKNOWN,
    }
}

impl Inner {
    /// Notes that the log reads wrong at `position`.
    pub(crate) fn note_damage(&self, position: u64, length: u64, reason: String) -> Damage {
        let path = self.log.segment(position).map_or_else(|| self.log.folder.clone(), |segment| segment.path.clone());
        let file = path.strip_prefix(&self.dir).unwrap_or(&path).display().to_string();
        let found_at_ms = self.options.clock.now_ms();
        self.damages.note(Damage { file, position, length, reason, found_at_ms, skipped: false })
    }
}
