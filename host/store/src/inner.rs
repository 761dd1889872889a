//! What the threads of a store share, and the steps that they take.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::{
    disk::{Disk, Volume},
    watermark::Watermark,
};
use parking_lot::Mutex;

use crate::{
    checkpoint::{Checkpoints, FlushNote, Mark, RocketMark},
    damage::DamageList,
    dispatch::{DispatchError, Dispatcher, Targets},
    error::{DiskError, SYNC, While},
    heads::HeadsWriter,
    health::Pulse,
    index::{Index, Progress},
    log::{Log, tail::Appender},
    metrics::StoreMetrics,
    options::Options,
    planted::{self, PlantedBug},
    queue::Queue,
    queues::Queues,
    retention::{Keeping, Pressure},
    scrub::{Scrub, ScrubStatus},
    tombstone::Tombstones,
};

/// Lock order: `scrub`, `keeping`, `checkpoints`, `dispatcher`, the tail inside `appender`, then any lock of the log or a queue.
pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) appender: Appender,
    pub(crate) queues: Queues,
    pub(crate) tombstones: Tombstones,
    pub(crate) index: Index,
    pub(crate) damages: DamageList,
    /// Held for one piece; what is to be told of it is in `scrub_status`.
    pub(crate) scrub: Mutex<Scrub>,
    pub(crate) scrub_status: Mutex<ScrubStatus>,
    /// From this physical offset on a record without property checksum is damaged.
    pub(crate) checked_from: u64,
    pub(crate) dispatcher: Mutex<Dispatcher>,
    pub(crate) checkpoints: Mutex<CheckpointState>,
    pub(crate) flush_note: FlushNote,
    /// One flush at a time.
    pub(crate) flushing: Mutex<()>,
    pub(crate) pulse: Pulse,
    pub(crate) marks: Marks,
    pub(crate) metrics: Arc<StoreMetrics>,
    pub(crate) pressure: Pressure,
    pub(crate) keeping: Keeping,
    /// The directory's lock; dropped when the store is closed.
    pub(crate) lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// Positions in the log, in bytes. `dispatched <= visible`, and both other ones are at most `appended`.
#[derive(Clone)]
pub(crate) struct Marks {
    pub(crate) appended: Watermark,
    pub(crate) flushed: Watermark,
    /// Dispatch never passes it: `flushed` with synchronous flush, else `appended`.
    pub(crate) visible: Watermark,
    pub(crate) dispatched: Watermark,
    /// Up to where retention wants to delete; at most `dispatched`.
    pub(crate) expiring: Watermark,
}

pub(crate) struct CheckpointState {
    pub(crate) files: Checkpoints,
    pub(crate) heads: HeadsWriter,
    /// The file system of the consume queues.
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) mark: Mark,
}

impl Inner {
    /// Makes durable what is appended by now. `false` when there is nothing to do.
    pub(crate) fn flush(&self) -> Result<bool, DiskError> {
        let _one = self.flushing.lock();
        let (from, to) = (self.marks.flushed.get(), self.marks.appended.get());
        if from >= to || self.pulse.failure().is_some() {
            return Ok(false);
        }
        if planted::is(PlantedBug::AcknowledgeEarly) {
            self.marks.flushed.advance(to);
        }
        let begun = Instant::now();
        let synced = match planted::is(PlantedBug::SkipSync) {
            true => self.log.sync(to - 1, to),
            false if planted::is(PlantedBug::RetrySync) => self.log.sync(from, to).or_else(|_| self.log.sync(from, to)),
            false => self.log.sync(from, to),
        };
        if self.options.sync_delay_ms > 0 {
            std::thread::sleep(Duration::from_millis(self.options.sync_delay_ms));
        }
        if let Err(error) = synced {
            self.pulse.fail(&error);
            return Err(error);
        }
        self.metrics.flushes.add(1);
        self.metrics.flush_us.add(begun.elapsed().as_micros() as u64);
        self.flush_note.write(to);
        self.marks.flushed.advance(to);
        Ok(true)
    }

    /// Dispatches one piece of what is visible. `false` when there is nothing to do.
    pub(crate) fn dispatch(&self) -> Result<bool, DispatchError> {
        if self.pulse.failure().is_some() {
            return Ok(false);
        }
        let limit = match planted::is(PlantedBug::DispatchPastVisible) {
            true => self.marks.appended.get(),
            false => self.marks.visible.get(),
        };
        let targets = Targets { queues: &self.queues, tombstones: &self.tombstones, index: &self.index };
        let mut dispatcher = self.dispatcher.lock();
        match dispatcher.step(&self.log, targets, limit, &self.metrics) {
            Ok(progress) => {
                self.marks.dispatched.advance(dispatcher.position);
                Ok(progress)
            }
            Err(error) => {
                if !matches!(error, DispatchError::Full(_)) {
                    drop(dispatcher);
                    self.fail(&error);
                }
                Err(error)
            }
        }
    }

    /// Brings the index a piece nearer to dispatch when it is behind.
    pub(crate) fn catch_up_index(&self) -> Progress {
        let progress = self.index.catch_up(&self.log, self.marks.dispatched.get());
        self.forget_unsealed_index_files();
        if progress == Progress::Moved && self.index.covered() >= self.marks.dispatched.get() {
            let dispatcher = self.dispatcher.lock();
            self.index.join(&self.log, dispatcher.position);
        }
        progress
    }

    /// Moves the place that recovery would begin at to where dispatch is: syncs the consume queues written since, then
    /// writes the checkpoint. In this order, so that entries before the checkpoint are never missing.
    ///
    /// `false` when it could not be done now, mostly for want of space; the one before stays good.
    pub(crate) fn checkpoint(&self) -> Result<bool, DiskError> {
        if self.pulse.failure().is_some() {
            return Ok(false);
        }
        let done = self.try_checkpoint(false);
        if let Err(error) = &done {
            // The list of unsynced queues is used up, so another try would skip them.
            self.fail(error);
        }
        done
    }

    /// The checkpoint at the end of opening, when nobody has to be told of a failure yet. Written even if the position is
    /// that of before: from now on the log's records all have their checksum, and the next recovery must know.
    pub(crate) fn first_checkpoint(&self) -> Result<(), DiskError> {
        self.try_checkpoint(true).map(drop)
    }

    fn try_checkpoint(&self, first: bool) -> Result<bool, DiskError> {
        let mut state = self.checkpoints.lock();
        let (position, mut unsynced, last_store_ms, heads) = {
            let mut dispatcher = self.dispatcher.lock();
            if dispatcher.is_torn() {
                return Ok(false);
            }
            let unsynced = dispatcher.take_unsynced();
            state.heads.note(unsynced.iter().cloned());
            let heads = state.heads.take(dispatcher.position, self.log.min(), &self.queues);
            (dispatcher.position, unsynced, dispatcher.last_store_ms, heads)
        };
        // With asynchronous flush dispatch may be ahead. Heads are as of where dispatch is, so the log must be there too.
        if self.marks.flushed.get() < position && !planted::is(PlantedBug::CheckpointPastFlushed) {
            self.flush()?;
            if self.marks.flushed.get() < position {
                // The log failed meanwhile.
                return Ok(false);
            }
        }
        unsynced.sort_by(|a, b| (a.topic(), a.id()).cmp(&(b.topic(), b.id())));
        let sync_first = !planted::is(PlantedBug::CheckpointBeforeQueues);
        if sync_first {
            self.sync_queues(&unsynced, &*state.volume)?;
            self.index.checkpoint(false);
        }
        let (position, saved) = match state.heads.write(heads) {
            Ok(()) => (position.max(state.mark.position), true),
            // Recovery would go on from the checkpoint before; the next one tries again.
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "no space to save where queues end: a restart would read more of the log until there is");
                (state.mark.position, false)
            }
            Err(error) => return Err(error),
        };
        if first || position > state.mark.position {
            let mark = Mark { position, ..state.mark };
            state.files.write(mark)?;
            state.mark = mark;
            self.metrics.checkpoints.add(1);
        }
        if !sync_first {
            self.sync_queues(&unsynced, &*state.volume)?;
        }
        let flushed = self.marks.flushed.get();
        let (log_ms, queues_ms, index_ms) = (last_store_ms, last_store_ms, self.index.settled_ms());
        let rocketmq = RocketMark { log_ms, queues_ms, index_ms, flushed, confirmed: position };
        state.files.write_rocketmq(rocketmq)?;
        Ok(saved)
    }

    fn sync_queues(&self, queues: &[Arc<Queue>], volume: &dyn Volume) -> Result<(), DiskError> {
        if queues.len() > self.options.queue_syncs_max {
            // Noted before: what is written meanwhile is not covered, and is synced next time.
            queues.iter().for_each(|queue| queue.files.note_synced());
            // Where it fails, pages of the index may be lost too, and the index's own sync would not say so any more.
            return volume.sync().doing(SYNC, &self.queues.folder).inspect_err(|error| self.index.give_up(error));
        }
        let mut folders = BTreeSet::new();
        for queue in queues {
            queue.files.sync(&mut folders)?;
        }
        for folder in folders {
            match self.disk.sync_dir(&folder) {
                // Its topic was deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced.doing("sync folder", &folder)?,
            }
        }
        Ok(())
    }

    /// Saves where these queues begin now, with a checkpoint; `false` when that is left to the next one.
    pub(crate) fn save_minimums(&self, queues: impl IntoIterator<Item = Arc<Queue>>) -> Result<bool, DiskError> {
        self.checkpoints.lock().heads.note(queues);
        self.checkpoint()
    }

    /// Reserves space ahead of the tail and makes the next segment before the current one is full.
    pub(crate) fn prepare_ahead(&self) -> Result<(), DiskError> {
        let ahead = self.options.allocate_ahead_bytes;
        let position = self.marks.appended.get();
        let Some(segment) = self.log.segment(position) else { return Ok(()) };
        segment.reserve(position + ahead / 2, ahead / 2)?;
        if segment.end() - position <= ahead.max(self.options.segment_size_bytes / 4) {
            let (next, _) = self.log.prepare(segment.end())?;
            next.reserve(next.base + ahead / 2, 0)?;
        }
        Ok(())
    }

    /// Stops everything for good; reads go on.
    pub(crate) fn fail(&self, error: &dyn std::fmt::Display) {
        self.pulse.fail(error);
        for queue in self.queues.all() {
            queue.end().close();
        }
    }
}
