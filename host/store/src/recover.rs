//! Opening a store: from whatever a crash left to a log that ends at a whole record and queues that match it.
//!
//! 1. Take the lock; see whether the last process left in order (`abort`).
//! 2. Take each queue's begin and end as of the checkpoint's position in the log, the *floor*, from the saved
//!    [heads](crate::heads); without usable ones, find them in the queue's files. Below the floor everything is on disk.
//! 3. Scan the log from the floor to the last whole record. See that nothing lies behind that was flushed ([`behind`]); after
//!    a crash, cut the log there and zero what follows, so that no stale record can rise again when later ones end where it
//!    begins.
//! 4. Dispatch what was scanned. If a queue's files turn out to miss entries, rebuild all queues from the log.
//! 5. Checkpoint.
//!
//! So the work depends on what was not checkpointed: not on the size of the log, and with heads hardly on the number of queues.

mod behind;
pub(crate) mod scan;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use gantry_base::{disk::Disk, watermark::Watermark};
use parking_lot::Mutex;

use crate::{
    abort::{self, Entries, LastRun},
    checkpoint::{Checkpoints, Mark},
    damage::DamageList,
    dispatch::{DispatchError, Dispatcher, Targets},
    error::{DiskError, OpenError, While},
    heads::{Heads, HeadsWriter},
    health::Pulse,
    index::{Index, Opening},
    inner::{CheckpointState, Inner, Marks},
    layout, lock,
    log::{
        Log,
        segment::{Segment, parse_file_name},
        tail::Appender,
    },
    metrics::StoreMetrics,
    options::{Flush, Options},
    planted::{self, PlantedBug},
    queue::{Below, Queue, load::load},
    queues::Queues,
    retention::{Keeping, Pressure},
    scrub::Scrub,
    sidecar::Sidecar,
    takeover,
    tombstone::{Tombstone, Tombstones},
};

use self::behind::{Judge, Known};

/// Stale bytes behind the end are counted for the report this far.
const REPORT_BYTES_MAX: u64 = 64 << 20;

/// What opening is busy with; for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryProgress {
    /// Consume queues are loaded.
    Queues {
        /// Queues loaded.
        done: u64,
        /// Queues found.
        total: u64,
    },
    /// The log is checked, in bytes.
    Log {
        /// Bytes checked.
        done: u64,
        /// Bytes to the end of the last segment: an upper bound.
        total: u64,
    },
    /// Records are dispatched, in bytes of the log.
    Dispatch {
        /// Bytes dispatched.
        done: u64,
        /// Bytes to dispatch.
        total: u64,
    },
}

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The last process shut down in order, or there was none.
    pub clean: bool,
    /// Another program (Apache RocketMQ) had the store open since Gantry last did: what it wrote was taken over.
    pub taken_over: bool,
    /// Physical offset that the check of the log began at.
    pub from: u64,
    /// Where the log ends.
    pub end: u64,
    /// Records checked and dispatched.
    pub records: u64,
    /// What was cut off. Never anything that was acknowledged after a flush, unless the disk lost it.
    pub cut: Vec<Cut>,
    /// Whole records behind the end that were cut off with what is damaged before them; none of them was flushed.
    pub records_behind: u64,
    /// The file that keeps them.
    pub kept: Option<PathBuf>,
    /// All consume queues were rebuilt from the log, because files of some were missing.
    pub queues_rebuilt: bool,
    /// Queues found.
    pub queues: usize,
    /// Why queues were looked for in their folders, which takes time for many of them; `None` when saved heads were used.
    pub heads_unused: Option<String>,
    /// Time it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Bytes that are not part of the log any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: PathBuf,
    /// Physical offset of the first byte cut.
    pub position: u64,
    /// Bytes up to the last that was not zero, as far as was looked (64 MiB).
    pub bytes: u64,
    /// Why the log cannot go on there.
    pub reason: String,
}

pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<(Arc<Inner>, RecoveryReport), OpenError> {
    let begun = Instant::now();
    options.check().map_err(OpenError::Options)?;
    layout::check(&*disk, dir, &options)?;
    let guard = lock::take(&*disk, dir)?;
    let (log_folder, queue_folder) = (dir.join("commitlog"), dir.join("consumequeue"));
    let last = abort::last_run(&*disk, dir)?;
    let dirty = last != LastRun::Ended;
    let (mut checkpoints, mut mark) = Checkpoints::open(&*disk, dir)?;
    disk.create_dir_all(&log_folder).doing("create folder", &log_folder)?;
    let segments = open_segments(&*disk, &log_folder, &options, mark.map_or(0, |mark| mark.position))?;
    let log = Log::new(disk.clone(), log_folder.clone(), options.segment_size_bytes, segments);
    // Consume queues, checkpoint and checksums are trusted only as far as the program that ran last took care of them.
    let taken_over = takeover::happened(&log, last, mark)?;
    let entries = abort::dispatched(&*disk, dir)?;
    abort::mark_running(&*disk, dir, last, taken_over, options.flush)?;
    let something = mark.map_or(!log.segments().is_empty(), |mark| mark.position > 0);
    let rebuild = something && is_absent(&*disk, &queue_folder)?;
    let lost_checkpoint = mark.is_none();
    // All before the checkpoint is flushed too, and what a start was refused for once is noted there.
    let flushed = mark.map_or(0, |mark| mark.position).max(checkpoints.flushed()?);
    if rebuild {
        // An operator's way to have the queues rebuilt. Noted before the folder is made, lest a crash forgets it; and how far
        // the log must be whole, which the position of the checkpoint does not say any more then.
        HeadsWriter::discard(&*disk, dir)?;
        checkpoints.note_flushed(flushed)?;
        let from_start = Mark { position: 0, checked_from: mark.map_or(u64::MAX, |mark| mark.checked_from) };
        checkpoints.write(from_start)?;
        mark = Some(from_start);
    }
    disk.create_dir_all(&queue_folder).doing("create folder", &queue_folder)?;
    // An earlier life may have died between making a name and making it durable; now every name that is seen is durable.
    sync_folders(&*disk, dir, &[&log_folder, &queue_folder])?;
    let metrics = Arc::new(StoreMetrics::default());
    let queues = Queues::new(disk.clone(), queue_folder, &options, metrics.clone());
    let tombstones = Tombstones::open(disk.clone(), dir.join("deletedTopics.json"))?;
    finish_deletions(&*disk, &queues, &tombstones)?;

    let mut report = RecoveryReport { clean: !dirty, queues_rebuilt: rebuild, ..RecoveryReport::default() };
    report.taken_over = taken_over;
    let mut heads = match mark {
        Some(_) if rebuild => Err("the folder consumequeue was missing, all queues are rebuilt".to_owned()),
        Some(mark) if !taken_over => Heads::usable(&*disk, dir, mark.position, &log, &queues, &tombstones)?,
        Some(_) => Err("another program had the store".to_owned()),
        None => Err("there is no checkpoint.gantry".to_owned()),
    };
    let checkpoint = heads.as_ref().map_or(mark.map_or(0, |mark| mark.position), |heads| heads.position);
    let known = checkpoint.max(log.min());
    let from_start = mark.is_some_and(|mark| mark.position == 0);
    let floor = if taken_over && !from_start { takeover::scan_from(&*disk, dir, &log, known)? } else { known };
    report.from = floor;
    match &heads {
        Ok(heads) => report.queues = queues_of(heads, &log, &queues, &tombstones, progress)?,
        Err(_) if taken_over => HeadsWriter::discard(&*disk, dir)?,
        Err(reason) => {
            tracing::info!(reason, "queues are looked for in their folders");
            report.queues = load_queues(&log, &queues, &tombstones, floor, progress)?;
        }
    }

    let mut sidecar = Sidecar::open(&*disk, dir)?;
    if taken_over {
        sidecar.retain(|_| false);
    }
    // When both slots of the checkpoint are lost, the sidecar still knows.
    let noted = mark.map(|mark| mark.checked_from).or(sidecar.checked_from);
    let checked_from = noted.filter(|_| !taken_over).unwrap_or(u64::MAX);
    let total = log.segments().last().map_or(0, |last| last.end()).saturating_sub(floor);
    let mut on_log = |position: u64| progress(RecoveryProgress::Log { done: position - floor, total });
    let damages = DamageList::open(disk.clone(), dir)?;
    damages.retain(|damage| damage.position >= log.min());
    log.give_up(damages.skipped(), checked_from);
    let scanned = scan::scan(&log, floor, checked_from, dirty, &mut on_log)?;
    (report.end, report.records) = (scanned.end, scanned.records);
    let untidy = dirty || taken_over;
    // An orderly end leaves nothing behind the log's, and nothing of what is cut may go unseen.
    let judged = untidy || rebuild || behind::goes_on(&log, scanned.end)?;
    if judged {
        let known = Known { noted: flushed, checked_from, last, taken_over, lost_checkpoint };
        let judge = Judge { disk: &disk, dir, log: &log, scanned: &scanned, known, options: &options };
        let judged = judge.judge(&damages, &checkpoints)?;
        (report.records_behind, report.kept) = (judged.records, judged.kept);
    }
    let flush_note = checkpoints.flush_note();
    report.cut = cut(&log, scanned.end, judged, &scanned.reason)?;
    if !planted::is(PlantedBug::SkipRecoverySync) {
        log.sync(floor, scanned.end.max(floor + 1))?;
    }
    if !planted::is(PlantedBug::KeepTombstonePosition) {
        tombstones.clamp(scanned.end).map_err(DiskError::from)?;
    }

    let settled_ms = checkpoints.rocketmq_index_ms()?;
    let (min, end) = (log.min(), scanned.end);
    let mut dispatch_from = floor;
    if taken_over {
        report.queues = load_queues(&log, &queues, &tombstones, end, progress)?;
        if !dirty && !from_start {
            // RocketMQ ends with everything dispatched: what no queue has, up to there, belongs to deleted topics.
            let indexed = queues.all().iter().map(|queue| queue.indexed_below()).max();
            dispatch_from = dispatch_from.max(indexed.unwrap_or(0).min(end));
        }
    }
    let index = Index::open(&Opening {
        disk: disk.clone(),
        dir,
        options: &options,
        metrics: metrics.clone(),
        dirty,
        settled_ms,
        min,
        end,
        floor: dispatch_from,
    });
    let mut dispatcher = Dispatcher::new(dispatch_from);
    if taken_over && !from_start {
        dispatcher.pass_over_indexed();
    }
    let targets = Targets { queues: &queues, tombstones: &tombstones, index: &index };
    let forget = &mut || {
        // Noted before a folder goes: half of a rebuilt set of queues must not be believed after a crash.
        heads = Err("entries were missing, all queues are rebuilt".to_owned());
        HeadsWriter::discard(&*disk, dir)?;
        mark.as_mut().map_or(Ok(()), |mark| {
            mark.position = 0;
            checkpoints.note_flushed(end)?;
            checkpoints.write(*mark)
        })
    };
    report.queues_rebuilt |= dispatch(&log, targets, &mut dispatcher, end, &metrics, forget, progress)?;
    if untidy {
        // With heads, what is not dispatched anew was not written since the checkpoint; unless it was, for records that the
        // log lost. Their entries must go, or a later start without heads would take them for those of other records.
        for queue in if heads.is_ok() && entries != Entries::Lost { dispatcher.unsynced() } else { queues.all() } {
            let early = u64::from(planted::is(PlantedBug::TruncateOffByOne));
            queue.files.truncate(queue.end().get().saturating_sub(early))?;
        }
    }
    queues.for_each(|queue| queue.set_next_offset(queue.end().get()));
    let volume = disk.volume(&queues.folder).doing("open", &queues.folder)?;
    let heads_writer = HeadsWriter::new(disk.clone(), dir, heads.as_ref().ok())?;
    report.heads_unused = heads.err();

    let appended = Watermark::new(scanned.end);
    let flushed = Watermark::new(scanned.end);
    let visible = match options.flush {
        Flush::Sync => flushed.clone(),
        Flush::Async { .. } => appended.clone(),
    };
    let dispatched = Watermark::new(dispatcher.position.min(scanned.end));
    let marks = Marks { appended, flushed, visible, dispatched, expiring: Watermark::new(log.min()) };
    let tail = log.segment(scanned.end).ok_or_else(|| no_tail(&log, scanned.end))?;
    let appender = Appender::new(tail, marks.appended.clone(), scanned.last_store_ms, &options);
    let pulse = Pulse::new(vec![
        marks.appended.clone(),
        marks.flushed.clone(),
        marks.dispatched.clone(),
        marks.expiring.clone(),
    ]);
    // Without a mark the log may be RocketMQ's: then it is checked by what it has, and from its end on by all.
    let checked_from = noted.filter(|_| !taken_over).unwrap_or(scanned.end);
    let mark = Mark { position: mark.map_or(0, |mark| mark.position), checked_from };
    sidecar.set_checked_from(checked_from);
    let inner = Arc::new(Inner {
        disk,
        dir: dir.into(),
        options,
        log,
        appender,
        queues,
        tombstones,
        index,
        damages,
        scrub: Mutex::new(Scrub::new(sidecar)),
        scrub_status: Mutex::default(),
        checked_from,
        dispatcher: Mutex::new(dispatcher),
        checkpoints: Mutex::new(CheckpointState { files: checkpoints, heads: heads_writer, volume, mark }),
        flush_note,
        flushing: Mutex::new(()),
        pulse,
        marks,
        metrics,
        pressure: Pressure::default(),
        keeping: Keeping::default(),
        lock: Mutex::new(Some(guard)),
    });
    inner.forget_unsealed_index_files();
    inner.first_checkpoint()?;
    let first_unflushed = dirty && entries == Entries::Flushed && inner.options.flush != Flush::Sync;
    if taken_over || first_unflushed {
        // Only now: the checkpoint says from where on records are Gantry's, and none is there yet.
        abort::claim(&*inner.disk, dir, inner.options.flush)?;
    }
    inner.look_at_disk();
    report.elapsed_ms = begun.elapsed().as_millis() as u64;
    tracing::info!(
        dir = %dir.display(), clean = report.clean, end = report.end, records = report.records,
        queues = report.queues, elapsed_ms = report.elapsed_ms, "store opened"
    );
    Ok((inner, report))
}

fn is_absent(disk: &dyn Disk, folder: &Path) -> Result<bool, DiskError> {
    match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        listed => listed.map(|_| false).doing("list", folder),
    }
}

fn sync_folders(disk: &dyn Disk, dir: &Path, below: &[&PathBuf]) -> Result<(), DiskError> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    for folder in below.iter().map(|folder| folder.as_path()).chain([dir]) {
        disk.sync_dir(folder).doing("sync folder", folder)?;
    }
    // The folders above may have been made with `dir`; else they are the operator's, perhaps not even readable here.
    for above in dir.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        match disk.sync_dir(above) {
            Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput) => {}
            synced => synced.doing("sync folder", above)?,
        }
    }
    Ok(())
}

/// Opens the files of the log, oldest first, and sees that they follow each other.
fn open_segments(
    disk: &dyn Disk,
    folder: &Path,
    options: &Options,
    floor: u64,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let size = options.segment_size_bytes;
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for entry in disk.list(folder).doing("list", folder)? {
        let Some(base) = parse_file_name(&entry.name).filter(|_| !entry.is_dir) else { continue };
        let file = folder.join(&entry.name);
        let wrong = |found: String, expected: String| OpenError::Layout {
            file: file.clone(),
            found,
            expected,
            advice: "set segment_size_bytes to what the directory was made with, or bring the missing files back; \
                     nothing was changed",
        };
        let expected = segments.last().map_or(base, |last| last.end());
        if base != expected || base % size != 0 {
            return Err(wrong(format!("begins at {base}"), format!("a file that begins at {expected} ({size} each)")));
        }
        let handle = disk.open(&file, false).doing("open", &file)?;
        let len = handle.len().doing("look at", &file)?;
        // A crash may leave the newest ones short; never one that lies below the checkpoint.
        if len > size || (len < size && base + size <= floor) {
            return Err(wrong(format!("has {len} bytes"), format!("{size}")));
        }
        segments.push(Arc::new(Segment::new(base, size, file, handle)));
    }
    let end = segments.last().map_or(0, |last| last.end());
    if end < floor {
        return Err(OpenError::Layout {
            file: folder.into(),
            found: format!("the log's files end at {end}"),
            expected: format!("{floor} at least, as checkpoint.gantry says"),
            advice: "bring the missing files back; or, to go on without their messages, remove checkpoint.gantry and \
                     the folder consumequeue. The whole log is read then and nothing says how far it was flushed, so \
                     look at what is left with `gantry store check` before",
        });
    }
    Ok(segments)
}

/// Removes the folders of topics whose deletion a crash interrupted.
fn finish_deletions(disk: &dyn Disk, queues: &Queues, tombstones: &Tombstones) -> Result<(), DiskError> {
    for (topic, tombstone) in tombstones.all().iter().filter(|(_, tombstone)| !tombstone.folders_removed) {
        let folder = queues.topic_folder(topic);
        disk.remove_dir_all(&folder).doing("remove folder", &folder)?;
        disk.sync_dir(&queues.folder).doing("sync folder", &queues.folder)?;
        tombstones.set(topic, Tombstone { folders_removed: true, ..*tombstone })?;
    }
    Ok(())
}

/// Makes the queues that `heads` say.
fn queues_of(
    heads: &Heads,
    log: &Log,
    queues: &Queues,
    tombstones: &Tombstones,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<usize, DiskError> {
    let made: usize = heads.topics().map(|topic| queues.insert_heads(topic, heads.live(topic, tombstones))).sum();
    if heads.log_min < log.min() {
        // Segments went after these heads were saved.
        for queue in queues.all() {
            queue.trim(log.min())?;
        }
    }
    progress(RecoveryProgress::Queues { done: made as u64, total: made as u64 });
    Ok(made)
}

fn load_queues(
    log: &Log,
    queues: &Queues,
    tombstones: &Tombstones,
    floor: u64,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<usize, DiskError> {
    let found: BTreeSet<_> = queues.on_disk()?;
    let total = found.len() as u64;
    for (done, (topic, id)) in found.iter().enumerate() {
        let files = queues.files(topic, *id);
        let below = Below { log, topic, queue_id: *id, dead_below: tombstones.dead_below(topic), floor };
        let extent = load(&files, &below)?;
        queues.insert(files, extent);
        progress(RecoveryProgress::Queues { done: done as u64 + 1, total });
    }
    Ok(found.len())
}

/// Makes the log end at `end`: nothing but zeros behind it. Without having been `judged`, nothing else is there.
fn cut(log: &Log, end: u64, judged: bool, reason: &str) -> Result<Vec<Cut>, DiskError> {
    let mut cuts = Vec::new();
    if judged {
        for segment in log.segments().iter().filter(|segment| segment.end() > end) {
            let position = end.max(segment.base);
            let bytes = written_behind(segment, position)?;
            if bytes > 0 {
                tracing::warn!(
                    file = %segment.path.display(), position, bytes, reason,
                    "the log is cut here; what is known to have been flushed lies before"
                );
                cuts.push(Cut { file: segment.path.clone(), position, bytes, reason: reason.to_owned() });
            }
        }
    }
    log.remove_behind(end)?;
    match log.segment(end) {
        Some(tail) if judged || tail.file.len().doing("look at", &tail.path)? < tail.len => tail.cut(end)?,
        Some(_) => {}
        None => {
            log.prepare(end)?;
            log.adopt(end + 1);
        }
    }
    Ok(cuts)
}

/// Bytes from `position` to the last that is not zero, as far as is looked.
fn written_behind(segment: &Segment, position: u64) -> Result<u64, DiskError> {
    let mut piece = vec![0; 1 << 20];
    let mut written = 0;
    let mut at = position;
    while at < segment.end() && at - position < REPORT_BYTES_MAX {
        let len = piece.len().min((segment.end() - at) as usize);
        let found = segment.read(&mut piece[..len], at)?;
        if let Some(last) = piece[..found].iter().rposition(|byte| *byte != 0) {
            written = at + last as u64 + 1 - position;
        }
        if found < len {
            break;
        }
        at += len as u64;
    }
    Ok(written)
}

/// Dispatches up to `end`; `true` when all queues had to be rebuilt for it.
fn dispatch(
    log: &Log,
    to: Targets<'_>,
    dispatcher: &mut Dispatcher,
    end: u64,
    metrics: &StoreMetrics,
    forget: &mut dyn FnMut() -> Result<(), DiskError>,
    progress: &mut dyn FnMut(RecoveryProgress),
) -> Result<bool, OpenError> {
    let (mut rebuilt, queues) = (false, to.queues);
    // Queues whose records are all gone; only their files say where they go on.
    let mut ends: Vec<(Arc<str>, u32, u64)> = Vec::new();
    let mut from = dispatcher.position;
    loop {
        match dispatcher.step(log, to, end, metrics) {
            Ok(true) => {
                let total = end.saturating_sub(from);
                progress(RecoveryProgress::Dispatch { done: (dispatcher.position - from).min(total), total });
            }
            Ok(false) => {
                for (topic, id, end) in ends {
                    let queue = queues.for_dispatch(&topic, id).ok().filter(|queue| queue.end().get() == 0);
                    queue.map_or(Ok(()), |queue| queue.begin_at(end))?;
                }
                return Ok(rebuilt);
            }
            Err(gap @ DispatchError::Gap { .. }) if !rebuilt => {
                tracing::warn!(%gap, "consume queues are rebuilt from the log");
                forget()?;
                let drained = |queue: &Arc<Queue>| queue.min_offset().0 == queue.end().get() && queue.end().get() > 0;
                let drained = queues.all().into_iter().filter(drained);
                ends = drained.map(|queue| (queue.topic_arc().clone(), queue.id(), queue.end().get())).collect();
                for topic in queues.topics() {
                    let folder = queues.topic_folder(&topic);
                    log.disk.remove_dir_all(&folder).doing("remove folder", &folder)?;
                }
                log.disk.sync_dir(&queues.folder).doing("sync folder", &queues.folder)?;
                queues.clear();
                from = log.min();
                *dispatcher = Dispatcher::new(from);
                rebuilt = true;
            }
            Err(DispatchError::Full(error) | DispatchError::Disk(error)) => return Err(error.into()),
            Err(DispatchError::Corrupt(corrupt)) => return Err(corrupt.into()),
            Err(gap @ DispatchError::Gap { .. }) => {
                return Err(OpenError::Layout {
                    file: queues.folder.clone(),
                    found: gap.to_string(),
                    expected: "every offset of a queue once in the log".into(),
                    advice: "files of the log are missing; bring them back",
                });
            }
        }
    }
}

fn no_tail(log: &Log, end: u64) -> OpenError {
    OpenError::Layout {
        file: log.folder.clone(),
        found: "no file".into(),
        expected: format!("one that holds position {end}"),
        advice: "this is a fault of Gantry; please report it with a listing of the folder",
    }
}
