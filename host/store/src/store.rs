//! The store as others use it.

use std::{fmt, path::Path, sync::Arc, thread::JoinHandle};

use gantry_base::{disk::Disk, watermark::Watermark};
use gantry_model::offset::PhysicalOffset;
use parking_lot::Mutex;

use crate::{
    Read, Wait, abort, background,
    damage::{Damage, Skip},
    error::{AppendError, DeleteError, DiskError, OpenError, QueueError, ReadError, While},
    health::Health,
    index::{IndexState, KeyQuery, KeysFound, Progress},
    inner::Inner,
    log::tail::{Draft, Placed},
    metrics::StoreMetrics,
    options::{Background, Options},
    planted::{self, PlantedBug},
    queue::{Queue, QueueEntry},
    recover::{self, RecoveryProgress, RecoveryReport},
    retention::RetentionStatus,
    scrub::ScrubStatus,
    tombstone::Tombstone,
};

/// An open store; clones are the same one. When the last is dropped without [`shutdown`](Store::shutdown), it is left as a
/// crash leaves it, and the next open recovers.
#[derive(Clone)]
pub struct Store(Arc<Owner>);

struct Owner {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What [`Store::step`] moves on, for [`Background::Stepped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Flushes what is appended.
    Flush,
    /// Dispatches a piece of what is visible.
    Dispatch,
    /// Writes a checkpoint.
    Checkpoint,
    /// Reserves space and makes the next segment.
    Prepare,
    /// Brings the index a piece nearer to dispatch.
    Index,
    /// Looks at one piece of the files for damage; `false` when that was the last piece of a pass.
    Scrub,
    /// Asks the disk how full it is and deletes what is due.
    Retain,
}

impl Store {
    /// Opens or makes the store in `dir`, recovering what a crash left. Blocks on the disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<(Store, RecoveryReport), OpenError> {
        let (inner, report) = recover::open(disk, dir, options, progress)?;
        let threads = match inner.options.background {
            Background::Threads => background::start(&inner).doing("start a thread for", dir)?,
            Background::Stepped => Vec::new(),
        };
        Ok((Store(Arc::new(Owner { inner, threads: Mutex::new(threads) })), report))
    }

    /// The queue, if it was made before and its topic is not deleted.
    pub fn queue(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        self.inner().queues.get(topic, id)
    }

    /// The queue, made if need be. Costs no disk access; it has files from its first message on.
    pub fn queue_or_create(&self, topic: &str, id: u32) -> Result<Arc<Queue>, QueueError> {
        self.inner().queues.get_or_create(topic, id)
    }

    /// Topics that have queues, sorted.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.inner().queues.topics()
    }

    /// Appends all drafts one after another, or none. Any thread may call; it waits for other appends and for the copy
    /// into the page cache, not for the disk. Adds a [`Placed`] per draft; wait for [`flushed`](Self::flushed) to
    /// reach its `end` before acknowledging what must survive a power loss.
    pub fn append(&self, drafts: &[Draft<'_>], placed: &mut Vec<Placed>) -> Result<(), AppendError> {
        if let Some(reason) = self.inner().pressure.refusal() {
            self.inner().metrics.refused_pressure.add(1);
            return Err(AppendError::Pressure(reason));
        }
        self.append_up_to(self.inner().appender.sent_size_max, drafts, placed)
    }

    /// The same for what the owner of the store writes to keep or move on what is stored already: journals, delayed messages
    /// that fall due, records copied out of a segment that is to go. Such an append is refused only when the disk is full to
    /// the last block, not from the level on where senders are turned away: it is what lets old segments go. And only
    /// for a record that does not fit a segment: a message that was accepted stays movable when the senders' limit is
    /// lowered.
    pub fn append_own(&self, drafts: &[Draft<'_>], placed: &mut Vec<Placed>) -> Result<(), AppendError> {
        self.append_up_to(self.inner().appender.own_size_max, drafts, placed)
    }

    fn append_up_to(&self, size_max: usize, drafts: &[Draft<'_>], placed: &mut Vec<Placed>) -> Result<(), AppendError> {
        let inner = self.inner();
        inner.appender.append(&inner.log, &inner.pulse, &inner.metrics, size_max, drafts, placed)
    }

    /// Where the log ends, in bytes. Closes when the store shuts down or fails, as the other positions do.
    pub fn appended(&self) -> &Watermark {
        &self.inner().marks.appended
    }

    /// Up to where the log survives a power loss, in bytes.
    pub fn flushed(&self) -> &Watermark {
        &self.inner().marks.flushed
    }

    /// Up to where messages may be delivered, in bytes: `flushed` with synchronous flush, `appended` with asynchronous.
    pub fn visible(&self) -> &Watermark {
        &self.inner().marks.visible
    }

    /// Up to where messages have their consume queue entries, in bytes.
    pub fn dispatched(&self) -> &Watermark {
        &self.inner().marks.dispatched
    }

    /// Up to where retention wants to delete next, in bytes of the log: the end of a segment. It is announced before anything
    /// is deleted, and deletion waits for every [`Hold`](crate::Hold) of [`Options::holds`]: an owner that needs a record below
    /// appends it again and moves its hold on.
    pub fn expiring(&self) -> &Watermark {
        &self.inner().marks.expiring
    }

    /// First byte of the log that is kept.
    pub fn min_physical_offset(&self) -> PhysicalOffset {
        PhysicalOffset(self.inner().log.min())
    }

    /// Adds `len` bytes of the log from `offset` on to `out`, unchecked: who asks must know what should be there.
    /// [`Read::WouldBlock`] adds none.
    pub fn read(&self, offset: PhysicalOffset, len: usize, wait: Wait, out: &mut Vec<u8>) -> Result<Read, ReadError> {
        let (log, end) = (&self.inner().log, self.appended().get());
        let outside = || ReadError::Outside { asked: offset, len, min: log.min(), end };
        // Checked before `out` grows: the length may come from a damaged entry.
        if offset.0.checked_add(len as u64).is_none_or(|to| to > end) || len as u64 > log.segment_size {
            return Err(outside());
        }
        let before = out.len();
        out.resize(before + len, 0);
        let found = log.read(offset.0, &mut out[before..], wait);
        if !matches!(found, Ok(Some(Read::Done))) {
            out.truncate(before);
        }
        found?.ok_or_else(outside)
    }

    /// Adds entries of the queue from `from` on to `out`, as [`Queue::entries_unchecked`] does, and compares them with their
    /// checksums. Where the queue's file has lost or changed some, they are made again from the log first; [`Wait::Never`] leaves
    /// that to a call that may wait.
    pub fn entries(
        &self,
        queue: &Queue,
        from: gantry_model::offset::QueueOffset,
        max: usize,
        wait: Wait,
        out: &mut Vec<QueueEntry>,
    ) -> Result<Read, ReadError> {
        crate::lookup::entries(self.inner(), queue, from, max, wait, out)
    }

    /// Adds the records of `picked`, messages of the queue by their offset, to `out`, back to back in their order. Entries of
    /// one queue lie near each other in the log with those of other queues between, so what lies near is read at once.
    /// [`Read::WouldBlock`] adds none.
    ///
    /// Every record is checked: its checksum, and that it is the message of this offset. Where an entry was wrong, `picked`
    /// has the right one afterwards; a damaged message that an operator gave up is taken out of `picked`; any other one is
    /// [`ReadError::Damaged`].
    pub fn read_records(
        &self,
        queue: &Queue,
        picked: &mut Vec<(gantry_model::offset::QueueOffset, QueueEntry)>,
        wait: Wait,
        out: &mut Vec<u8>,
    ) -> Result<Read, ReadError> {
        let before = out.len();
        let read = crate::lookup::read_records(self.inner(), queue, picked, wait, out);
        if !matches!(read, Ok(Read::Done)) {
            out.truncate(before);
        }
        read
    }

    /// The dispatched record that begins at `offset`, which may come from a client: `None` unless a consume queue knows
    /// exactly this record there. With [`Wait::Never`] also `None` when it is not in memory.
    pub fn record(&self, offset: PhysicalOffset, wait: Wait) -> Result<Option<Vec<u8>>, ReadError> {
        crate::lookup::record(self.inner(), offset, wait)
    }

    /// The newest messages that have a key, at most as many as asked for, in the order of the log. Each was read and has the
    /// topic, exactly the key and a store time in range. Blocks on the disk; the work is bounded, see [`KeysFound::stopped`].
    pub fn query(&self, query: &KeyQuery<'_>) -> Result<KeysFound, ReadError> {
        crate::index::query(self.inner(), query)
    }

    /// Whether [`query`](Self::query) finds everything.
    pub fn index_state(&self) -> IndexState {
        self.inner().index.state(self.dispatched().get())
    }

    /// Bytes of index pages that are in memory.
    pub fn index_memory_bytes(&self) -> u64 {
        self.inner().index.memory_bytes()
    }

    /// Store time of a message, ms since 1970; `None` when the queue has none at `offset`. Blocks on the disk.
    pub fn store_time_of(
        &self,
        queue: &Queue,
        offset: gantry_model::offset::QueueOffset,
    ) -> Result<Option<u64>, ReadError> {
        crate::lookup::store_time_of(self.inner(), queue, offset)
    }

    /// The queue offset of a time, see [`Boundary`]. Blocks on the disk for a bisection.
    pub fn offset_by_time(
        &self,
        queue: &Queue,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<gantry_model::offset::QueueOffset, ReadError> {
        crate::lookup::offset_by_time(self.inner(), queue, timestamp_ms, boundary)
    }

    /// Deletes a topic: its queues end, its records in the log are never dispatched again, and a topic made later under
    /// this name begins at offset 0. Durable when it returns. Blocks on the disk; dispatch pauses meanwhile.
    pub fn delete_topic(&self, topic: &str) -> Result<(), DeleteError> {
        let inner = self.inner();
        if let Some(reason) = inner.pulse.failure() {
            return Err(DeleteError::Failed(reason.clone()));
        }
        let mut dispatcher = inner.dispatcher.lock();
        let queues = inner.queues.hide(topic);
        let interrupted = inner.tombstones.all().get(topic).is_some_and(|tombstone| !tombstone.folders_removed);
        if queues.is_empty() && !interrupted {
            inner.queues.forget(topic);
            return Ok(());
        }
        // Under the tail's lock: every record of the topic lies below this position, and none is appended any more.
        let below = {
            let tail = inner.appender.lock();
            queues.iter().for_each(|queue| queue.set_gone(true));
            tail.position
        };
        if planted::is(PlantedBug::RemoveBeforeTombstone) {
            let _ = remove_folder(inner, topic);
        }
        let recorded = inner.tombstones.set(topic, Tombstone { below, folders_removed: false });
        if let Err(error) = recorded {
            // One that an earlier deletion hid stays hidden: that one is recorded.
            if error.certain && !interrupted {
                queues.iter().for_each(|queue| queue.set_gone(false));
                inner.queues.unhide(topic);
            }
            return Err(DeleteError::Disk { begun: !error.certain || interrupted, source: error.source });
        }
        dispatcher.forget(topic);
        queues.iter().for_each(|queue| queue.end().close());
        inner.queues.shut(&queues);
        let removed = remove_folder(inner, topic)
            .and_then(|()| Ok(inner.tombstones.set(topic, Tombstone { below, folders_removed: true })?));
        removed.map_err(|source| DeleteError::Disk { begun: true, source })?;
        inner.queues.forget(topic);
        Ok(())
    }

    /// Places of the log that are known to be damaged, by position.
    pub fn damages(&self) -> Vec<Damage> {
        self.inner().damages.all()
    }

    /// How many there are.
    pub fn damages_len(&self) -> usize {
        self.inner().damages.len()
    }

    /// How far the look for damage is, and what it found.
    pub fn scrub_status(&self) -> ScrubStatus {
        self.inner().scrub_status.lock().clone()
    }

    /// Gives up the damaged record at a physical offset: from now on, and after restarts, readers pass over it. Blocks on the
    /// disk.
    pub fn skip(&self, position: u64) -> Result<Skip, DiskError> {
        self.inner().damages.skip(position)
    }

    /// Whether it runs.
    pub fn health(&self) -> Health {
        self.inner().pulse.health()
    }

    /// What retention keeps, wants to delete and waits for, and how full the disk is.
    pub fn retention(&self) -> RetentionStatus {
        self.inner().retention_status()
    }

    /// Store time of the oldest message that is kept, ms since 1970; `None` without one. May read the disk.
    pub fn earliest_store_ms(&self) -> Option<u64> {
        self.inner().earliest_store_ms()
    }

    /// Counters.
    pub fn metrics(&self) -> &Arc<StoreMetrics> {
        &self.inner().metrics
    }

    /// Ends in order: takes no more appends, flushes, dispatches the rest, and leaves the mark of a clean end. A second
    /// call does nothing. After an error, or when the log had failed, the next open recovers as after a crash.
    pub fn shutdown(&self) -> Result<(), DiskError> {
        let inner = self.inner();
        if inner.lock.lock().is_none() {
            return Ok(());
        }
        inner.appender.close();
        inner.index.lags.close();
        // Ends the flusher and the keeper, and the dispatcher too under asynchronous flush; the rest is done here.
        self.appended().close();
        let flushed = inner.flush().map(drop);
        self.visible().close();
        self.join();
        let done = flushed.and_then(|()| match inner.pulse.failure() {
            Some(_) => Ok(()),
            None => finish(inner),
        });
        for mark in [self.flushed(), self.dispatched(), self.expiring()] {
            mark.close();
        }
        inner.queues.all().iter().for_each(|queue| queue.end().close());
        inner.lock.lock().take();
        done
    }

    /// Does one step of a [`Background::Stepped`] store; `false` when there was nothing to do or it failed, which
    /// [`health`](Self::health) then tells.
    pub fn step(&self, step: Step) -> bool {
        let inner = self.inner();
        match step {
            Step::Flush => inner.flush().unwrap_or(false),
            Step::Dispatch => inner.dispatch().unwrap_or(false),
            Step::Checkpoint => inner.checkpoint().is_ok(),
            Step::Prepare => inner.prepare_ahead().is_ok(),
            Step::Index => !inner.index.is_level() && inner.catch_up_index() == Progress::Moved,
            Step::Scrub => matches!(inner.scrub(), Ok(Some(_))),
            Step::Retain => {
                inner.look_at_disk();
                inner.retain().unwrap_or(false)
            }
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0.inner
    }

    fn join(&self) {
        self.0.join();
    }
}

/// What is wanted of a time that falls between or on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first message stored at that time or later; the queue's end when all are earlier.
    Lower,
    /// The last message stored at that time or earlier; the queue's first offset when all are later.
    Upper,
}

fn remove_folder(inner: &Inner, topic: &str) -> Result<(), DiskError> {
    let (folder, above) = (inner.queues.topic_folder(topic), &inner.queues.folder);
    inner.disk.remove_dir_all(&folder).doing("remove folder", &folder)?;
    inner.disk.sync_dir(above).doing("sync folder", above)
}

/// Pieces of the log, 1 MiB each, that an index may be behind at the end and is still brought up; the rest waits for the next
/// start.
const INDEX_PIECES_AT_END: usize = 256;

fn finish(inner: &Inner) -> Result<(), DiskError> {
    loop {
        match inner.dispatch() {
            Ok(true) => {}
            Ok(false) => break,
            // Without space for entries the end is not clean; the next open dispatches them.
            Err(_) => return Ok(()),
        }
    }
    for _ in 0..INDEX_PIECES_AT_END {
        if inner.index.is_level() || inner.catch_up_index() != Progress::Moved {
            break;
        }
    }
    inner.index.checkpoint(true);
    // An end without a checkpoint of everything is none: the next open would take the rest for another program's.
    if !inner.checkpoint()? {
        return Ok(());
    }
    abort::mark_stopped(&*inner.disk, &inner.dir)
}

impl Owner {
    fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inner.appender.close();
        self.inner.index.lags.close();
        self.inner.marks.appended.close();
        self.inner.marks.visible.close();
        self.join();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, marks) = (&self.inner().dir, &self.inner().marks);
        let health = self.health();
        f.debug_struct("Store").field("dir", dir).field("appended", &marks.appended).field("health", &health).finish()
    }
}
