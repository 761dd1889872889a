//! Deleting, in an order that is right for whoever reads meanwhile and wherever a crash falls:
//!
//! 1. The position is announced, and holds are waited for.
//! 2. Every queue's minimum moves behind what goes: nobody is sent to a record that is about to vanish. (A queue whose files
//!    cannot be read is left out.)
//! 3. The log begins later. Readers that have a segment open go on reading it.
//! 4. Files of segments go, oldest first, each durably before the next.
//! 5. What only pointed there goes: files of queues, deletions of topics, known damage.
//!
//! After a crash the segments that are left say where the log begins, and all else follows from that.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_protocol::record::{OVERHEAD_V1, Peek, RecordView, peek};
use parking_lot::Mutex;

use super::{
    Reason, RetentionStatus,
    policy::{Facts, SegmentFacts, decide},
};
use crate::{
    Read, Wait,
    error::DiskError,
    inner::Inner,
    log::{Log, segment::Segment},
    planted::{self, PlantedBug},
    queue::Queue,
};

/// How often the disk is asked how full it is, and whether a hold that kept something has moved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What retention remembers between passes.
#[derive(Default)]
pub(crate) struct Keeping {
    /// Held for a whole pass.
    state: Mutex<State>,
    /// Whose hold keeps what is due.
    held_by: Mutex<Option<&'static str>>,
    /// Where the log begins, and the store time of the record there.
    earliest: Mutex<Option<(u64, u64)>>,
}

#[derive(Default)]
struct State {
    /// Store time of the first record, by the segment's base.
    begins_ms: BTreeMap<u64, u64>,
    /// Out of use; their files are not all removed.
    leaving: Vec<Arc<Segment>>,
    /// Queue files that a crash kept from being removed were looked for.
    swept: bool,
    failing: bool,
}

/// Looks at the disk and deletes what is due until the store ends.
pub(crate) fn follow(inner: &Inner) {
    let interval = Duration::from_millis(inner.options.retention.interval_ms);
    let look_every = interval.min(LOOK_EVERY);
    let mut last_pass = Instant::now();
    while inner.marks.appended.wait_blocking(u64::MAX, look_every).is_ok() && inner.pulse.failure().is_none() {
        inner.look_at_disk();
        if last_pass.elapsed() >= interval || inner.is_held() {
            // It says itself what is wrong, and tries again.
            let _ = inner.retain();
            last_pass = Instant::now();
        }
    }
}

impl Inner {
    pub(crate) fn look_at_disk(&self) {
        let space = self.pressure.look(&*self.disk, &self.dir, self.options.retention.disk_refuse_percent);
        self.metrics.disk_used_percent.set(space.map_or(-1, |space| space.used_percent().into()));
    }

    /// One pass; `true` when something was deleted.
    pub(crate) fn retain(&self) -> Result<bool, DiskError> {
        let mut state = self.keeping.state.lock();
        let begun = Instant::now();
        let done = self.try_retain(&mut state);
        match &done {
            Err(error) if !state.failing => {
                tracing::error!(%error, "old segments could not be deleted; it is tried again, what is kept stays readable");
            }
            _ => {}
        }
        state.failing = done.is_err();
        self.metrics.retention_passes.add(1);
        self.metrics.retention_us.add(begun.elapsed().as_micros() as u64);
        done
    }

    fn try_retain(&self, state: &mut State) -> Result<bool, DiskError> {
        self.remove_leaving(state)?;
        let decision = decide(&self.facts(state), &self.options.retention);
        let Some(reason) = decision.reason else {
            *self.keeping.held_by.lock() = None;
            return Ok(false);
        };
        let due = self.dispatched_part(decision.below);
        self.marks.expiring.advance(due);
        if self.checkpoints.lock().mark.position < due {
            self.checkpoint()?;
        }
        let below = self.release(decision.below, reason).min(due);
        if below <= self.log.min() {
            return Ok(false);
        }

        let trim_first = !planted::is(PlantedBug::DeleteBeforeMinimum);
        let queues = self.queues.all();
        let mut moved = Vec::new();
        if trim_first {
            for queue in &queues {
                if trim(queue, below) || !state.swept {
                    moved.push(queue);
                }
            }
        }
        let leaving = self.log.leave(below);
        let (segments, bytes) = (leaving.len() as u64, leaving.iter().map(|segment| segment.len).sum::<u64>());
        state.leaving.extend(leaving);
        self.remove_leaving(state)?;
        if !trim_first {
            for queue in &queues {
                trim(queue, below);
            }
        }
        // The next opening takes minimums from where they are saved, and looks for later ones in the queues' files.
        let saved = self.save_minimums(moved.iter().map(|queue| Arc::clone(queue)))?;
        let last_too = planted::is(PlantedBug::RemoveLastQueueFile);
        for queue in moved.into_iter().filter(|queue| saved && queue.has_stale_files(last_too)) {
            // A topic that is deleted and made anew meanwhile would lose its new files.
            let _paused = self.dispatcher.lock();
            queue.remove_stale_files(last_too)?;
        }
        state.swept = saved;
        self.tombstones.drop_below(below)?;
        self.damages.retain(|damage| damage.position >= below);
        self.index.expire(below);
        state.begins_ms = state.begins_ms.split_off(&below);
        self.metrics.segments_deleted.add(segments);
        self.metrics.deleted_bytes.add(bytes);
        tracing::info!(%reason, segments, bytes, min = below, "old segments of the log are deleted");
        Ok(true)
    }

    /// What of the segments that are due is dispatched whole. No more is announced: a holder looks for what it needs in the
    /// queues, and what is not in them yet it would take for nothing.
    fn dispatched_part(&self, below: u64) -> u64 {
        let dispatched = self.marks.dispatched.get();
        below.min(dispatched - dispatched % self.log.segment_size)
    }

    /// Up to where may be deleted what is due up to `below`; notes and says who holds the rest.
    fn release(&self, below: u64, reason: Reason) -> u64 {
        let checkpoint = self.checkpoints.lock().mark.position;
        let holds = self.options.holds.iter().map(|hold| (hold.name, hold.position.get()));
        // Recovery reads the log from the checkpoint on.
        let all = holds.chain([("the checkpoint", checkpoint)]);
        let (holder, free) = all.min_by_key(|(_, position)| *position).unwrap_or(("", below));
        let mut held_by = self.keeping.held_by.lock();
        if free >= below || (holder != "the checkpoint" && planted::is(PlantedBug::IgnoreHold)) {
            *held_by = None;
            return below.min(checkpoint - checkpoint % self.log.segment_size);
        }
        if *held_by != Some(holder) && matches!(reason, Reason::DiskForced | Reason::DiskClean) {
            tracing::warn!(
                %reason, holder, held_from = free, wanted = below,
                "the disk is in need, but a part of the log that should go is still needed by its holder"
            );
        }
        *held_by = Some(holder);
        free - free % self.log.segment_size
    }

    fn is_held(&self) -> bool {
        self.keeping.held_by.lock().is_some()
    }

    fn remove_leaving(&self, state: &mut State) -> Result<(), DiskError> {
        while let Some(segment) = state.leaving.first() {
            self.log.remove(segment)?;
            state.leaving.remove(0);
        }
        Ok(())
    }

    fn facts(&self, state: &mut State) -> Facts {
        let segments = self.log.segments();
        let mut facts: Vec<_> = segments
            .iter()
            .map(|segment| SegmentFacts { base: segment.base, end: segment.end(), newest_ms: None })
            .collect();
        // Store times do not fall: what is in a segment is not newer than the first record of any later one, the next unless
        // that one is damaged. All that are wanted are those of the oldest.
        let wanted = self.options.retention.segments_per_pass_max as usize + 1;
        for index in 1..segments.len().min(wanted) {
            let mut later = segments[index..].iter();
            facts[index - 1].newest_ms = later.find_map(|segment| state.begins_ms(&self.log, segment.base));
        }
        Facts {
            segments: facts,
            log_end: self.marks.appended.get(),
            now_ms: self.options.clock.now_ms(),
            hour: self.options.clock.hour(),
            space: self.pressure.space(),
        }
    }

    /// Store time of the first record that is kept, ms since 1970, read once for each beginning of the log. `None` when there
    /// is none, or it cannot be read.
    pub(crate) fn earliest_store_ms(&self) -> Option<u64> {
        let min = self.log.min();
        let mut earliest = self.keeping.earliest.lock();
        match *earliest {
            Some((at, store_ms)) if at == min => Some(store_ms),
            _ => {
                let store_ms = begins_ms(&self.log, min)?;
                *earliest = Some((min, store_ms));
                Some(store_ms)
            }
        }
    }

    pub(crate) fn retention_status(&self) -> RetentionStatus {
        let held_by = *self.keeping.held_by.lock();
        RetentionStatus {
            min: self.log.min(),
            expiring: self.marks.expiring.get(),
            holds: self.options.holds.iter().map(|hold| (hold.name, hold.position.get())).collect(),
            held_by,
            space: self.pressure.space(),
            refusing: self.pressure.refusal(),
        }
    }
}

/// Moves a queue's minimum; `true` when it moved. One whose files cannot be read keeps it, and readers of what went find out
/// at the log: that is no reason for everything else to stay.
fn trim(queue: &Queue, below: u64) -> bool {
    queue.trim(below).unwrap_or_else(|error| {
        tracing::warn!(%error, ?queue, "where the queue begins now cannot be read; it is tried again when more goes");
        false
    })
}

impl State {
    /// Store time of the record at the beginning of a segment, read once.
    fn begins_ms(&mut self, log: &Log, base: u64) -> Option<u64> {
        let known = self.begins_ms.get(&base).copied().or_else(|| begins_ms(log, base))?;
        self.begins_ms.insert(base, known);
        Some(known)
    }
}

/// Store time of the record at the beginning of a segment; `None` when it cannot be read.
fn begins_ms(log: &Log, base: u64) -> Option<u64> {
    let mut head = [0; OVERHEAD_V1];
    let read = |bytes: &mut [u8]| matches!(log.read(base, bytes, Wait::Allowed), Ok(Some(Read::Done)));
    if !read(&mut head) {
        return None;
    }
    let Peek::Record { size } = peek(&head) else { return None };
    let mut bytes = vec![0; size.min(log.segment_size as usize)];
    if !read(&mut bytes) {
        return None;
    }
    let record = RecordView::parse(&bytes).ok()?;
    u64::try_from(record.store_ms()).ok().filter(|_| record.physical_offset().0 == base)
}
