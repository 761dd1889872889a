//! The end of the log, where one appender at a time assigns offsets and writes.

use std::{net::SocketAddr, sync::Arc};

use gantry_base::{clock::Clock, watermark::Watermark};
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    sys_flag,
};
use gantry_protocol::record::{self, BLANK_LEN, RecordDraft};
use parking_lot::{Mutex, MutexGuard};

use super::{Log, segment::Segment};
use crate::{
    error::{AppendError, DiskError},
    health::Pulse,
    metrics::StoreMetrics,
    options::Options,
    planted::{self, PlantedBug},
    queue::Queue,
};

/// A message to be appended; everything but its place.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// Where it goes.
    pub queue: &'a Arc<Queue>,
    /// The application's flag.
    pub flag: i32,
    /// Bits of [`sys_flag`]; the host bits follow from the hosts.
    pub sys_flag: i32,
    /// When the client made it, ms since 1970.
    pub born_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// This broker's address.
    pub store_host: SocketAddr,
    /// How often it was sent back before.
    pub reconsume_times: i32,
    /// Offset of the half message that it is committed from, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as it is to be stored.
    pub body: &'a [u8],
    /// Encoded properties in pieces, see [`RecordDraft::properties`].
    pub properties: &'a [&'a [u8]],
}

/// Where a draft was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its first byte in the log.
    pub physical_offset: PhysicalOffset,
    /// Its place in the queue; 0 for records that are not dispatched.
    pub queue_offset: QueueOffset,
    /// Bytes of the record.
    pub size: u32,
    /// When it was stored, ms since 1970; never less than that of an earlier record.
    pub store_ms: u64,
    /// Where the whole append ends: when `flushed` is here, it is on disk.
    pub end: u64,
}

/// Appends records. Lock order: the tail is taken before any lock of a queue or the log.
pub(crate) struct Appender {
    tail: Mutex<Tail>,
    appended: Watermark,
    clock: Clock,
    ahead: u64,
    /// Longest record that a sender may append.
    pub(crate) sent_size_max: usize,
    /// Longest one that there can be.
    pub(crate) own_size_max: usize,
}

pub(crate) struct Tail {
    /// Where the next record goes.
    pub(crate) position: u64,
    segment: Arc<Segment>,
    last_store_ms: u64,
    buffer: Vec<u8>,
    /// What is to be written this time.
    parts: Vec<Part>,
    /// Longest record this time.
    size_max: usize,
    /// What a refused append left behind and could not be zeroed yet.
    litter: Vec<Part>,
    closed: bool,
}

/// A run of bytes of the buffer that goes to one segment.
#[derive(Clone)]
struct Part {
    segment: Arc<Segment>,
    at: u64,
    start: usize,
    len: usize,
}

impl Appender {
    /// Begins at `appended`, inside or at the end of the log's last segment.
    pub(crate) fn new(segment: Arc<Segment>, appended: Watermark, last_store_ms: u64, options: &Options) -> Self {
        let tail = Tail {
            position: appended.get(),
            segment,
            last_store_ms,
            buffer: Vec::new(),
            parts: Vec::new(),
            size_max: 0,
            litter: Vec::new(),
            closed: false,
        };
        let segment_max = options.segment_size_bytes as usize - BLANK_LEN;
        Appender {
            tail: Mutex::new(tail),
            appended,
            clock: options.clock.clone(),
            ahead: options.allocate_ahead_bytes,
            sent_size_max: (options.record_size_max_bytes as usize).min(segment_max),
            own_size_max: segment_max,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock()
    }

    /// No append gets in any more; returns where the log ends.
    pub(crate) fn close(&self) -> u64 {
        let mut tail = self.tail.lock();
        tail.closed = true;
        tail.position
    }

    /// Places all drafts one after another, with one write per segment that they touch, or none of them. One of the two
    /// bounds above is `size_max`.
    pub(crate) fn append(
        &self,
        log: &Log,
        pulse: &Pulse,
        metrics: &StoreMetrics,
        size_max: usize,
        drafts: &[Draft<'_>],
        placed: &mut Vec<Placed>,
    ) -> Result<(), AppendError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let mut tail = self.tail.lock();
        if let Some(reason) = pulse.failure() {
            return Err(AppendError::Failed(reason.clone()));
        }
        if tail.closed {
            return Err(AppendError::Closed);
        }
        tail.size_max = size_max;
        let first = placed.len();
        let before = tail.position;
        match self.place(&mut tail, log, pulse, metrics, drafts, placed) {
            Ok(end) => {
                log.adopt_if_needed(&mut tail, end);
                tail.position = end;
                drop(tail);
                for place in &mut placed[first..] {
                    place.end = end;
                }
                metrics.appended_messages.add(drafts.len() as u64);
                metrics.appended_bytes.add(end - before);
                // Outside the lock: a later append may be announced first, which covers this one.
                self.appended.advance(end);
                Ok(())
            }
            Err(error) => {
                let taken = if planted::is(PlantedBug::KeepRefusedOffsets) { &[] } else { &placed[first..] };
                for (draft, _) in drafts.iter().zip(taken).filter(|(draft, _)| takes_queue_offset(draft)) {
                    draft.queue.set_next_offset(draft.queue.next_offset().0 - 1);
                }
                placed.truncate(first);
                if matches!(error, AppendError::Full(_)) {
                    metrics.refused_full.add(1);
                }
                Err(error)
            }
        }
    }

    /// Encodes and writes; returns the end. After an error queue offsets are taken for each entry in `placed`.
    fn place(
        &self,
        tail: &mut Tail,
        log: &Log,
        pulse: &Pulse,
        metrics: &StoreMetrics,
        drafts: &[Draft<'_>],
        placed: &mut Vec<Placed>,
    ) -> Result<u64, AppendError> {
        let refuse = |error: DiskError| {
            if error.is_full() { AppendError::Full(Arc::new(error)) } else { AppendError::Failed(pulse.fail(&error)) }
        };
        tail.pick_up_litter().map_err(refuse)?;
        let store_ms = self.clock.now_ms().max(tail.last_store_ms);
        let mut position = tail.position;
        let mut segment = tail.segment.clone();
        tail.buffer.clear();
        tail.parts.clear();
        tail.parts.push(Part { segment: segment.clone(), at: position, start: 0, len: 0 });
        for draft in drafts {
            if draft.queue.is_gone() {
                return Err(AppendError::QueueGone { topic: draft.queue.topic_arc().clone() });
            }
            let queue_offset = if takes_queue_offset(draft) { draft.queue.next_offset() } else { QueueOffset(0) };
            let start = tail.buffer.len();
            let mut size = encode(draft, queue_offset, position, store_ms, &mut tail.buffer)?;
            if size > tail.size_max {
                return Err(AppendError::TooLarge { size, limit: tail.size_max });
            }
            if position + (size + BLANK_LEN) as u64 > segment.end() {
                // It goes to the next segment, and its offset is part of its bytes: encode it again behind a blank.
                tail.buffer.truncate(start);
                tail.buffer.extend_from_slice(&record::blank(
                    (segment.end() - position) as u32 - 4 * u32::from(planted::is(PlantedBug::ShortBlank)),
                ));
                tail.end_part();
                position = segment.end();
                let (next, late) = log.prepare(position).map_err(refuse)?;
                metrics.segments_made_late.add(u64::from(late));
                segment = next;
                let start = tail.buffer.len();
                tail.parts.push(Part { segment: segment.clone(), at: position, start, len: 0 });
                size = encode(draft, queue_offset, position, store_ms, &mut tail.buffer)?;
            }
            placed.push(Placed {
                physical_offset: PhysicalOffset(position),
                queue_offset,
                size: size as u32,
                store_ms,
                end: 0,
            });
            if takes_queue_offset(draft) {
                draft.queue.set_next_offset(queue_offset.0 + 1);
            }
            position += size as u64;
        }
        tail.end_part();
        if planted::is(PlantedBug::AppendedBeforeWrite) {
            self.appended.advance(position);
        }
        self.write(tail).map_err(refuse)?;
        tail.last_store_ms = store_ms;
        Ok(position)
    }

    /// Writes the parts, or leaves nothing of them.
    fn write(&self, tail: &mut Tail) -> Result<(), DiskError> {
        // Space for all of it first, so that a full disk refuses before anything is written.
        for part in &tail.parts {
            part.segment.reserve(part.at + part.len as u64, self.ahead)?;
        }
        for (index, part) in tail.parts.iter().enumerate() {
            let bytes = &tail.buffer[part.start..part.start + part.len];
            if let Err(error) = part.segment.write(bytes, part.at) {
                if error.is_full() && planted::is(PlantedBug::IgnoreFull) {
                    continue;
                }
                if error.is_full() {
                    let kept = if planted::is(PlantedBug::LeaveLitter) { 0 } else { index + 1 };
                    tail.litter = tail.parts[..kept].to_vec();
                    match tail.pick_up_litter() {
                        // The next append tries first.
                        Err(error) if error.is_full() => {}
                        // A failed sync here is as bad as one of the flusher.
                        other => other?,
                    }
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Tail {
    fn end_part(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.len = self.buffer.len() - part.start;
        }
    }

    /// Zeroes what a refused append wrote, durably. A later record would overwrite only its beginning, and whole records
    /// behind it could then rise again after a crash, at offsets that are right.
    fn pick_up_litter(&mut self) -> Result<(), DiskError> {
        while let Some(part) = self.litter.last() {
            let zeros = vec![0; part.len];
            match part.segment.write(&zeros, part.at) {
                // Overwriting can be refused for space only where nothing was written; make sure.
                Err(error) if error.is_full() => {
                    let mut found = zeros;
                    part.segment.read(&mut found, part.at)?;
                    if found.iter().any(|byte| *byte != 0) {
                        return Err(error);
                    }
                }
                other => other?,
            }
            part.segment.sync()?;
            self.litter.pop();
        }
        Ok(())
    }
}

impl Log {
    fn adopt_if_needed(&self, tail: &mut Tail, end: u64) {
        if let Some(part) = tail.parts.last().filter(|part| part.segment.base != tail.segment.base) {
            tail.segment = part.segment.clone();
            self.adopt(end);
        }
    }
}

fn takes_queue_offset(draft: &Draft<'_>) -> bool {
    sys_flag::is_dispatched(draft.sys_flag)
}

fn encode(
    draft: &Draft<'_>,
    queue_offset: QueueOffset,
    position: u64,
    store_ms: u64,
    out: &mut Vec<u8>,
) -> Result<usize, AppendError> {
    let draft = RecordDraft {
        topic: draft.queue.topic(),
        queue_id: draft.queue.id(),
        flag: draft.flag,
        queue_offset,
        physical_offset: PhysicalOffset(position),
        sys_flag: draft.sys_flag,
        born_ms: draft.born_ms,
        born_host: draft.born_host,
        store_ms: store_ms as i64,
        store_host: draft.store_host,
        reconsume_times: draft.reconsume_times,
        prepared_transaction_offset: draft.prepared_transaction_offset,
        body: draft.body,
        properties: draft.properties,
    };
    Ok(record::encode(&draft, out)?)
}
