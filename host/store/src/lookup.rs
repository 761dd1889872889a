//! Finding messages by something else than their queue offset: by place in the log, by time.
//!
//! This is also the one place where records are read for somebody: each is compared with its checksum and with who it should
//! be before it leaves. Entry and record vouch for each other, so a flipped bit in either is noticed; which one is wrong is
//! settled in [`repair`](crate::repair).

use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_protocol::record::{OVERHEAD_V1, Peek, RecordView, peek};

use crate::{
    Boundary, Read, Wait,
    error::{Damaged, ReadError},
    inner::Inner,
    planted::{self, PlantedBug},
    queue::{Compare, Look, Queue, QueueEntry},
    repair::{Settled, mend_block, settle},
    walk::whole,
};

/// Bytes between two records that are rather read along than skipped: they cost about as much as another call.
const GAP_MAX: u64 = 8 << 10;
/// Longest piece read at once, so that a sparse queue does not copy the whole log.
const SPAN_MAX: u64 = 256 << 10;

/// Blocks of entries mended in one read; a disk that answers now so, now so must not hold it for ever.
const MENDS_MAX: usize = 8;

/// What a pass over entries came to.
enum Pass {
    Done,
    WouldBlock,
    /// The entry of this number and the log do not agree.
    Doubt(usize),
}

/// See [`Store::entries`](crate::Store::entries).
pub(crate) fn entries(
    inner: &Inner,
    queue: &Queue,
    from: QueueOffset,
    max: usize,
    wait: Wait,
    out: &mut Vec<QueueEntry>,
) -> Result<Read, ReadError> {
    let before = out.len();
    let mut compare = Compare::Blocks;
    for tries in 1.. {
        match queue.look(from, max, wait, compare, out)? {
            Look::Done => break,
            Look::WouldBlock => return Ok(Read::WouldBlock),
            Look::Doubt { .. } if wait == Wait::Never => return Ok(Read::WouldBlock),
            Look::Doubt { block } => mend_block(inner, queue, block)?,
        }
        if tries >= MENDS_MAX {
            compare = Compare::Nothing;
        }
    }
    if out.len() == before && max > 0 && from.0 < queue.end().get() && from >= queue.min_offset() {
        if wait == Wait::Never {
            return Ok(Read::WouldBlock);
        }
        let (Settled::Entry(entry) | Settled::Skipped(entry)) = settle(inner, queue, from, None)?;
        out.push(entry);
    }
    Ok(Read::Done)
}

/// See [`Store::read_records`](crate::Store::read_records).
pub(crate) fn read_records(
    inner: &Inner,
    queue: &Queue,
    picked: &mut Vec<(QueueOffset, QueueEntry)>,
    wait: Wait,
    out: &mut Vec<u8>,
) -> Result<Read, ReadError> {
    let before = out.len();
    // Each entry can be settled once; if its record is read wrong again after that, the disk answers now so, now so.
    let mut settled = picked.len();
    loop {
        let at = match read_whole(inner, queue, picked, wait, out)? {
            Pass::Done => return Ok(Read::Done),
            Pass::WouldBlock => return Ok(Read::WouldBlock),
            Pass::Doubt(_) if wait == Wait::Never => return Ok(Read::WouldBlock),
            Pass::Doubt(at) => at,
        };
        out.truncate(before);
        inner.log.recent.forget();
        let (offset, entry) = picked[at];
        let min = queue.min_offset();
        if offset < min {
            // Retention took it meanwhile.
            return Err(ReadError::TooSmall { asked: offset, min });
        }
        if settled == 0 {
            let reason = "it reads differently each time".to_owned();
            let damage = inner.note_damage(entry.physical_offset.0, entry.size.into(), reason);
            return Err(damaged(inner, queue, offset, damage));
        }
        settled -= 1;
        match settle(inner, queue, offset, Some(entry))? {
            Settled::Entry(right) => picked[at].1 = right,
            Settled::Skipped(_) => drop(picked.remove(at)),
        }
    }
}

fn damaged(inner: &Inner, queue: &Queue, queue_offset: QueueOffset, damage: crate::Damage) -> ReadError {
    let (dir, topic, queue_id) = (inner.dir.clone(), queue.topic().to_owned(), queue.id());
    ReadError::Damaged(Box::new(Damaged { dir, damage, topic, queue_id, queue_offset }))
}

/// Reads all of them, or says which one is not what it should be.
fn read_whole(
    inner: &Inner,
    queue: &Queue,
    entries: &[(QueueOffset, QueueEntry)],
    wait: Wait,
    out: &mut Vec<u8>,
) -> Result<Pass, ReadError> {
    let (segment_size, end) = (inner.log.segment_size, inner.marks.visible.get());
    if let Some(pass) = read_by_blocks(inner, queue, entries, wait, out, end)? {
        return Ok(pass);
    }
    let mut done = 0;
    while let Some((_, first)) = entries.get(done) {
        let start = first.physical_offset.0;
        let mut behind = start.saturating_add(first.size.into());
        // The length may come from a damaged entry: checked before `out` grows.
        if behind > end || u64::from(first.size) > segment_size {
            return Ok(Pass::Doubt(done));
        }
        let mut count = 1;
        for (_, entry) in &entries[done + 1..] {
            let (at, size) = (entry.physical_offset.0, u64::from(entry.size));
            let near = at >= behind && at - behind <= GAP_MAX && at - start + size <= SPAN_MAX;
            if !near || at / segment_size != start / segment_size || at + size > end {
                break;
            }
            behind = at + size;
            count += 1;
        }
        let base = out.len();
        out.resize(base + (behind - start) as usize, 0);
        match inner.log.read(start, &mut out[base..], wait) {
            Ok(Some(Read::Done)) => {}
            Ok(Some(Read::WouldBlock)) => return Ok(Pass::WouldBlock),
            Ok(None) => return Ok(Pass::Doubt(done)),
            // One of a run, or the gap between two: alone, each shows what is wrong with it.
            Err(_) if count > 1 => return one_by_one(inner, queue, entries, wait, out, done, base),
            Err(_) => return Ok(Pass::Doubt(done)),
        }
        let mut kept = base;
        for (index, (offset, entry)) in entries[done..done + count].iter().enumerate() {
            let from = base + (entry.physical_offset.0 - start) as usize;
            let size = entry.size as usize;
            if !agrees(inner, queue, *offset, entry, &out[from..from + size]) {
                return Ok(Pass::Doubt(done + index));
            }
            out.copy_within(from..from + size, kept);
            kept += size;
        }
        out.truncate(kept);
        done += count;
    }
    Ok(Pass::Done)
}

/// Reads entries that lie close enough by blocks that the next pulls want, too; `None` where that is not worth it or does not
/// work, and each is read for itself.
fn read_by_blocks(
    inner: &Inner,
    queue: &Queue,
    entries: &[(QueueOffset, QueueEntry)],
    wait: Wait,
    out: &mut Vec<u8>,
    end: u64,
) -> Result<Option<Pass>, ReadError> {
    let [(_, first), .., (_, last)] = entries else { return Ok(None) };
    let (from, to) = (first.physical_offset.0, last.physical_offset.0.saturating_add(last.size.into()));
    let wanted: u64 = entries.iter().map(|(_, entry)| u64::from(entry.size)).sum();
    // Sizes may come from damaged entries: checked before `out` grows.
    if from >= to || wanted > to - from || !inner.log.recent.is_worth_it(from, to, wanted, end) {
        return Ok(None);
    }
    let before = out.len();
    out.reserve(wanted as usize);
    for (index, (offset, entry)) in entries.iter().enumerate() {
        let (position, size, start) = (entry.physical_offset.0, entry.size as usize, out.len());
        if position < from || position.saturating_add(size as u64) > to {
            return Ok(Some(Pass::Doubt(index)));
        }
        match inner.log.recent.read(&inner.log, position, size, wait, out) {
            Ok(Some(Read::Done)) => {}
            Ok(Some(Read::WouldBlock)) => return Ok(Some(Pass::WouldBlock)),
            // Around it something is gone or cannot be read.
            Ok(None) | Err(_) => {
                out.truncate(before);
                return Ok(None);
            }
        }
        if !agrees(inner, queue, *offset, entry, &out[start..]) {
            return Ok(Some(Pass::Doubt(index)));
        }
    }
    Ok(Some(Pass::Done))
}

/// Finds the first of the entries from `done` on that cannot be read by itself.
#[cold]
fn one_by_one(
    inner: &Inner,
    queue: &Queue,
    entries: &[(QueueOffset, QueueEntry)],
    wait: Wait,
    out: &mut Vec<u8>,
    done: usize,
    base: usize,
) -> Result<Pass, ReadError> {
    out.truncate(base);
    for index in done..entries.len() {
        match read_whole(inner, queue, &entries[index..=index], wait, out)? {
            Pass::Done => {}
            Pass::WouldBlock => return Ok(Pass::WouldBlock),
            Pass::Doubt(_) => return Ok(Pass::Doubt(index)),
        }
    }
    Ok(Pass::Done)
}

/// Whether the bytes are the whole record that the entry of this place of the queue stands for.
fn agrees(inner: &Inner, queue: &Queue, offset: QueueOffset, entry: &QueueEntry, bytes: &[u8]) -> bool {
    let position = entry.physical_offset.0;
    let record = match whole(bytes, position, position >= inner.checked_from) {
        Ok(record) => record,
        Err(_) if planted::is(PlantedBug::ServeUnchecked) => return true,
        Err(_) => return false,
    };
    let same = record.queue_offset() == offset && record.queue_id() == queue.id() && record.topic() == queue.topic();
    same || planted::is(PlantedBug::ServeAnyone)
}

/// See [`Store::record`](crate::Store::record). The bytes at a place that a client names may be anything, a forged record
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
    // Whose it says it is, true or not; the queue knows better.
    let Ok(record) = RecordView::parse(&bytes) else { return Ok(None) };
    let Some(queue) = inner.queues.get(record.topic(), record.queue_id()) else { return Ok(None) };
    let at = record.queue_offset();
    let known = entry(inner, &queue, at, wait)?;
    let Some(entry) = known.filter(|entry| entry.physical_offset == offset && entry.size as usize == size) else {
        return Ok(None);
    };
    bytes.clear();
    match read_records(inner, &queue, &mut vec![(at, entry)], wait, &mut bytes)? {
        // Empty when it is damaged and was given up.
        Read::Done => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Read::WouldBlock => Ok(None),
    }
}

/// See [`Store::store_time_of`](crate::Store::store_time_of).
pub(crate) fn store_time_of(inner: &Inner, queue: &Queue, offset: QueueOffset) -> Result<Option<u64>, ReadError> {
    let Some(entry) = entry(inner, queue, offset, Wait::Allowed)? else { return Ok(None) };
    let mut bytes = Vec::new();
    read_records(inner, queue, &mut vec![(offset, entry)], Wait::Allowed, &mut bytes)?;
    Ok(RecordView::parse(&bytes).ok().map(|record| record.store_ms().max(0) as u64))
}

/// See [`Boundary`]. Store times never fall within a queue, so bisection finds the place. A damaged message has no time: the
/// nearest later one speaks for it, and where none does the answer is the earlier place, which passes over nothing.
pub(crate) fn offset_by_time(
    inner: &Inner,
    queue: &Queue,
    timestamp_ms: i64,
    boundary: Boundary,
) -> Result<QueueOffset, ReadError> {
    let (first, end) = (queue.min_offset().0, queue.end().get());
    let (mut low, mut high) = (first, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut known = None;
        for slot in middle..high {
            match store_time_of(inner, queue, QueueOffset(slot)) {
                // Deleted meanwhile: it was older than all that is there.
                _ if slot < queue.min_offset().0 => known = Some((slot, i64::MIN)),
                Ok(None) | Err(ReadError::Damaged(_)) => continue,
                Ok(Some(time_ms)) => known = Some((slot, time_ms as i64)),
                Err(error) => return Err(error),
            }
            break;
        }
        let before = |time_ms: i64| match boundary {
            Boundary::Lower => time_ms < timestamp_ms,
            Boundary::Upper => time_ms <= timestamp_ms,
        };
        match known.filter(|(_, time_ms)| before(*time_ms)) {
            Some((slot, _)) => low = slot + 1,
            None => high = middle,
        }
    }
    let found = match boundary {
        Boundary::Lower => low,
        Boundary::Upper => low.saturating_sub(1).max(first),
    };
    Ok(QueueOffset(found).max(queue.min_offset()))
}

fn entry(inner: &Inner, queue: &Queue, offset: QueueOffset, wait: Wait) -> Result<Option<QueueEntry>, ReadError> {
    let mut found = Vec::with_capacity(1);
    if offset < queue.min_offset() {
        return Ok(None);
    }
    entries(inner, queue, offset, 1, wait, &mut found)?;
    Ok(found.first().copied())
}
