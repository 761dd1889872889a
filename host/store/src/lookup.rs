//! Finding messages by something else than their queue offset: by place in the log, by time.

use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_protocol::record::{OVERHEAD_V1, Peek, PropertyChecksum, RecordView, peek};

use crate::{
    Boundary, Read, Store, Wait,
    error::ReadError,
    inner::Inner,
    log::Log,
    queue::{Queue, QueueEntry},
};

/// Bytes between two records that are rather read along than skipped: they cost about as much as another call.
const GAP_MAX: u64 = 8 << 10;
/// Longest piece read at once, so that a sparse queue does not copy the whole log.
const SPAN_MAX: u64 = 256 << 10;

/// See [`Store::read_records`].
pub(crate) fn read_records(
    store: &Store,
    entries: &[QueueEntry],
    wait: Wait,
    out: &mut Vec<u8>,
) -> Result<Read, ReadError> {
    let segment_size = store.inner().log.segment_size;
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let start = first.physical_offset.0;
        let mut end = start + u64::from(first.size);
        let mut count = 1;
        for entry in &rest[1..] {
            let (at, size) = (entry.physical_offset.0, u64::from(entry.size));
            let near = at >= end && at - end <= GAP_MAX && at - start + size <= SPAN_MAX;
            if !near || at / segment_size != start / segment_size {
                break;
            }
            end = at + size;
            count += 1;
        }
        let (run, later) = rest.split_at(count);
        let base = out.len();
        if store.read(first.physical_offset, (end - start) as usize, wait, out)? == Read::WouldBlock {
            return Ok(Read::WouldBlock);
        }
        let mut kept = base;
        for entry in run {
            let from = base + (entry.physical_offset.0 - start) as usize;
            out.copy_within(from..from + entry.size as usize, kept);
            kept += entry.size as usize;
        }
        out.truncate(kept);
        rest = later;
    }
    Ok(Read::Done)
}

/// See [`Store::record`]. The bytes at a place that a client names may be anything, a forged record
/// inside a body included; only the consume queue, which dispatch wrote, says that a record begins there.
pub(crate) fn record(inner: &Inner, offset: PhysicalOffset, wait: Wait) -> Result<Option<Vec<u8>>, ReadError> {
    // Not `dispatched`: a queue's end moves a little before it, and a consumer may be that fast.
    let visible = inner.marks.visible.get();
    let mut head = [0; OVERHEAD_V1];
    if offset.0.checked_add(head.len() as u64).is_none_or(|to| to > visible) {
        return Ok(None);
    }
    if inner.log.read(offset.0, &mut head, wait)? != Some(Read::Done) {
        return Ok(None);
    }
    let Peek::Record { size } = peek(&head) else { return Ok(None) };
    if offset.0 + size as u64 > visible || size as u64 > inner.log.segment_size {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    if inner.log.read(offset.0, &mut bytes, wait)? != Some(Read::Done) {
        return Ok(None);
    }
    let Ok(record) = RecordView::parse(&bytes) else { return Ok(None) };
    if record.physical_offset() != offset || record.check_crc(PropertyChecksum::Optional).is_err() {
        return Ok(None);
    }
    let Some(queue) = inner.queues.get(record.topic(), record.queue_id()) else { return Ok(None) };
    let known = entry(&queue, record.queue_offset(), wait)?;
    let is_it = known.is_some_and(|entry| entry.physical_offset == offset && entry.size as usize == size);
    Ok(is_it.then_some(bytes))
}

/// See [`Store::store_time_of`](crate::Store::store_time_of).
pub(crate) fn store_time_of(log: &Log, queue: &Queue, offset: QueueOffset) -> Result<Option<u64>, ReadError> {
    let Some(entry) = entry(queue, offset, Wait::Allowed)? else { return Ok(None) };
    let mut bytes = vec![0; (entry.size as usize).min(log.segment_size as usize)];
    if log.read(entry.physical_offset.0, &mut bytes, Wait::Allowed)? != Some(Read::Done) {
        return Ok(None);
    }
    Ok(RecordView::parse(&bytes).ok().map(|record| record.store_ms().max(0) as u64))
}

/// See [`Boundary`]. Store times never fall within a queue, so bisection finds the place.
pub(crate) fn offset_by_time(
    log: &Log,
    queue: &Queue,
    timestamp_ms: i64,
    boundary: Boundary,
) -> Result<QueueOffset, ReadError> {
    let (first, end) = (queue.min_offset().0, queue.end().get());
    let (mut low, mut high) = (first, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let time_ms = match store_time_of(log, queue, QueueOffset(middle))? {
            Some(time_ms) => time_ms as i64,
            // Deleted meanwhile: it was older than all that is there.
            None if middle < queue.min_offset().0 => i64::MIN,
            None => i64::MAX,
        };
        let before = match boundary {
            Boundary::Lower => time_ms < timestamp_ms,
            Boundary::Upper => time_ms <= timestamp_ms,
        };
        if before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let found = match boundary {
        Boundary::Lower => low,
        Boundary::Upper => low.saturating_sub(1).max(first),
    };
    Ok(QueueOffset(found).max(queue.min_offset()))
}

fn entry(queue: &Queue, offset: QueueOffset, wait: Wait) -> Result<Option<QueueEntry>, ReadError> {
    let mut entries = Vec::with_capacity(1);
    if offset < queue.min_offset() {
        return Ok(None);
    }
    queue.entries(offset, 1, wait, &mut entries)?;
    Ok(entries.first().copied())
}
