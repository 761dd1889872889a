//! Looking for damage before somebody needs what is damaged.
//!
//! A pass reads the whole log and checks every record, then every consume queue: a file that is full is compared with its
//! checksum in the [`sidecar`](crate::sidecar) (full index files too, which are built again when they do not match), one that has none or does not match, and the part of the last file that is
//! written, entry by entry with the log. Wrong entries are corrected, damaged records are noted for the operator while other
//! copies of them may still exist. It reads at a bounded rate, and what was not in memory before is not left there.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use gantry_model::offset::QueueOffset;

use crate::{
    Wait,
    error::{DiskError, ReadError},
    inner::Inner,
    log::segment::file_name,
    queue::{ENTRY_LEN, Found, Queue, QueueEntry},
    repair::{entry_of, settle},
    sidecar::{Progress, Sidecar, Sum},
    walk::{self, Walker},
};

/// Bytes of the log that one step checks, a record more at most.
pub(crate) const STEP_BYTES: u64 = 1 << 20;
/// Entries that one step compares with the log.
const STEP_ENTRIES: u64 = 4096;
/// Progress through the log is noted this often, so that a restart does not begin anew.
const NOTE_EVERY_BYTES: u64 = 1 << 30;

/// After an error of the disk.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Scrubs at the rate of the options until the store ends.
pub(crate) fn follow(inner: &Inner) {
    let mut pause = Duration::from_millis(inner.scrub_due_in_ms());
    // Waits for nothing but the end of the store.
    while inner.marks.visible.wait_blocking(u64::MAX, pause).is_ok() {
        pause = match inner.scrub() {
            Ok(Some(read)) => Duration::from_secs_f64(read as f64 / inner.options.scrub_bytes_per_s.max(1) as f64),
            Ok(None) => Duration::from_millis(inner.scrub_due_in_ms()),
            Err(error) => {
                tracing::error!(%error, "the look for damage pauses");
                RETRY_AFTER
            }
        };
    }
}

/// What scrubbing does and found, for an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Whether a pass is under way.
    pub running: bool,
    /// Physical offset up to which it has checked the log.
    pub position: u64,
    /// Where the log ended when the pass began.
    pub end: u64,
    /// Bytes checked since the store was opened, entries included.
    pub bytes: u64,
    /// Whole passes since then.
    pub passes: u64,
    /// When the last pass ended, ms since 1970; 0 = none ever did.
    pub finished_ms: u64,
    /// Consume queue files that did not have their checksum, since the store was opened.
    pub files_corrected: u64,
}

/// Where a pass is.
enum Place {
    /// Between two passes.
    Idle,
    Log {
        position: u64,
    },
    /// The sum of the first file left, as far as it was read.
    Index {
        left: VecDeque<(u64, String)>,
        at: u64,
        hasher: crc32fast::Hasher,
        seen: BTreeSet<String>,
    },
    Queues {
        left: VecDeque<Arc<Queue>>,
        file: u64,
        slot: u64,
        corrected: u64,
        seen: BTreeSet<String>,
    },
}

pub(crate) struct Scrub {
    place: Place,
    end: u64,
    noted: u64,
    sidecar: Sidecar,
}

impl Scrub {
    pub(crate) fn new(sidecar: Sidecar) -> Self {
        Scrub { place: Place::Idle, end: 0, noted: 0, sidecar }
    }
}

impl Inner {
    /// Checks one piece. `None` when that ended a pass; else the bytes read.
    pub(crate) fn scrub(&self) -> Result<Option<u64>, DiskError> {
        let mut scrub = self.scrub.lock();
        let scrub = &mut *scrub;
        if matches!(scrub.place, Place::Idle) {
            let from = scrub.sidecar.progress.position.max(self.log.min());
            scrub.end = self.marks.dispatched.get();
            scrub.place = Place::Log { position: from.min(scrub.end) };
            scrub.noted = from;
        }
        let read = match &mut scrub.place {
            Place::Idle => 0,
            Place::Log { position } => {
                let begun = (*position).max(self.log.min());
                *position = if begun < scrub.end { self.scrub_log(begun, scrub.end)? } else { scrub.end };
                let read = *position - begun.min(*position);
                if *position >= scrub.end {
                    let left = self.queues.all().into();
                    let seen = BTreeSet::new();
                    scrub.place = Place::Queues { left, file: 0, slot: 0, corrected: 0, seen };
                } else if *position - scrub.noted.min(*position) >= NOTE_EVERY_BYTES {
                    scrub.noted = *position;
                    let progress = Progress { position: *position, ..scrub.sidecar.progress };
                    scrub.sidecar.set_progress(progress);
                    scrub.sidecar.save(&self.disk)?;
                }
                read
            }
            Place::Queues { left, file, slot, corrected, seen } => match left.front().cloned() {
                Some(queue) => {
                    let mut cursor = Cursor { file, slot, corrected };
                    let read = self.scrub_queue(&queue, &mut cursor, &mut scrub.sidecar, seen);
                    let read = read.unwrap_or_else(|error| {
                        tracing::error!(%error, "a consume queue file cannot be checked");
                        (*cursor.file, *cursor.slot, *cursor.corrected) = (*cursor.file + 1, 0, 0);
                        Some(0)
                    });
                    if read.is_none() {
                        left.pop_front();
                        (*file, *slot, *corrected) = (0, 0, 0);
                    }
                    read.unwrap_or(0)
                }
                None => {
                    let (seen, left) = (std::mem::take(seen), self.index.sealed_files().into());
                    scrub.place = Place::Index { left, at: 0, hasher: crc32fast::Hasher::new(), seen };
                    0
                }
            },
            Place::Index { left, at, hasher, seen } => match left.front().cloned() {
                Some((number, name)) => {
                    let name = format!("index/{name}");
                    let piece = self.sum_piece(&name, *at, hasher);
                    let read = *piece.as_ref().unwrap_or(&0);
                    *at += read;
                    if read < STEP_BYTES {
                        let sum = Sum { length: std::mem::take(at), crc32: std::mem::take(hasher).finalize() };
                        left.pop_front();
                        match piece {
                            // Its part of the log went, or keys are added to it again.
                            _ if !self.index.is_sealed(number) => {}
                            Ok(_) if self.index_file_is_well(number, &name, sum, &mut scrub.sidecar) => {
                                seen.insert(name);
                            }
                            // It and newer ones are made anew, under other names.
                            Ok(_) => left.clear(),
                            Err(error) => {
                                // What it should be like stays as it was.
                                tracing::error!(name, %error, "an index file cannot be checked");
                                seen.insert(name);
                            }
                        }
                    }
                    read
                }
                None => {
                    let seen = std::mem::take(seen);
                    scrub.sidecar.retain(|name| seen.contains(name));
                    let finished_ms = self.options.clock.now_ms();
                    scrub.sidecar.set_progress(Progress { position: 0, finished_ms });
                    scrub.sidecar.save(&self.disk)?;
                    scrub.place = Place::Idle;
                    self.note_scrub(scrub, 0, true);
                    return Ok(None);
                }
            },
        };
        self.note_scrub(scrub, read, false);
        Ok(Some(read))
    }

    /// How long until the next pass is due, in ms.
    pub(crate) fn scrub_due_in_ms(&self) -> u64 {
        let finished_ms = self.scrub.lock().sidecar.progress.finished_ms;
        let age_ms = self.options.clock.now_ms().saturating_sub(finished_ms);
        (self.options.scrub_interval_s * 1000).saturating_sub(age_ms)
    }

    fn note_scrub(&self, scrub: &Scrub, read: u64, ended: bool) {
        let mut status = self.scrub_status.lock();
        status.running = !ended;
        status.end = scrub.end;
        status.position = match scrub.place {
            Place::Log { position } => position,
            _ => scrub.end,
        };
        status.bytes += read;
        status.passes += u64::from(ended);
        status.finished_ms = scrub.sidecar.progress.finished_ms;
        self.metrics.scrubbed_bytes.add(read);
        self.metrics.scrub_passes.add(u64::from(ended));
    }

    /// Checks records from `from` on; returns where the next step begins.
    fn scrub_log(&self, from: u64, end: u64) -> Result<u64, DiskError> {
        let to = (from + STEP_BYTES).min(end);
        let segment = self.log.segment(from);
        let was_resident = segment.as_ref().is_none_or(|segment| segment.is_resident(from, to - from));
        let mut whole = Vec::new();
        let after = Walker::new(&self.log, end, self.checked_from).walk(from, to, &mut |position, found| {
            match found {
                walk::Found::Damaged { len, reason } => drop(self.note_damage(position, len, reason)),
                walk::Found::Record(_) if self.damages.len() > 0 => whole.push(position),
                walk::Found::Record(_) | walk::Found::Blank { .. } => {}
            }
            ControlFlow::Continue(())
        })?;
        if !whole.is_empty() {
            // What reads well again, after a file was brought back, is no damage any more.
            self.damages.retain(|damage| whole.binary_search(&damage.position).is_err());
        }
        if let Some(segment) = segment.filter(|_| !was_resident) {
            segment.forget_pages(from, after.min(segment.end()) - from);
        }
        // A walk that does not advance would make the pass endless: without a segment there is nothing to check.
        Ok(if after > from { after } else { to })
    }

    /// Checks one piece of a queue, `None` when there is nothing left of it.
    fn scrub_queue(
        &self,
        queue: &Arc<Queue>,
        cursor: &mut Cursor<'_>,
        sidecar: &mut Sidecar,
        seen: &mut BTreeSet<String>,
    ) -> Result<Option<u64>, DiskError> {
        let per_file = queue.files.entries_per_file();
        let (min, end) = (queue.min_offset().0, queue.end().get());
        *cursor.file = (*cursor.file).max(min / per_file);
        let first = *cursor.file * per_file;
        if first >= end || queue.is_gone() {
            return Ok(None);
        }
        let sealed = first + per_file <= end;
        let name = format!("consumequeue/{}/{}/{}", queue.topic(), queue.id(), file_name(first * ENTRY_LEN as u64));
        let mut read = 0;
        if sealed && *cursor.slot == 0 {
            seen.insert(name.clone());
            let sum = file_sum(queue, first, per_file)?;
            read += sum.length;
            if sidecar.get(&name) == Some(sum) {
                *cursor.file += 1;
                return Ok(Some(read));
            }
        }
        let from = (first + *cursor.slot).max(min);
        let to = end.min(first + per_file).min(from + STEP_ENTRIES);
        read += self.compare(queue, from, to, cursor.corrected)?;
        *cursor.slot = to - first;
        if to == first + per_file {
            let sum = file_sum(queue, first, per_file)?;
            if sidecar.get(&name).is_some_and(|known| known != sum) || *cursor.corrected > 0 {
                self.scrub_status.lock().files_corrected += 1;
                tracing::error!(
                    file = name,
                    entries = *cursor.corrected,
                    "a consume queue file did not have its checksum; it was compared with the log and its wrong entries corrected"
                );
            }
            sidecar.set(&name, sum);
        }
        if to == first + per_file || to == end {
            (*cursor.file, *cursor.slot, *cursor.corrected) = (*cursor.file + 1, 0, 0);
        }
        Ok(Some(read))
    }

    /// Adds a piece of a file to its sum; returns its bytes, fewer than a step's at the end.
    fn sum_piece(&self, name: &str, at: u64, hasher: &mut crc32fast::Hasher) -> io::Result<u64> {
        let mut piece = vec![0; STEP_BYTES as usize];
        let file = self.disk.open_read_only(&self.dir.join(name))?;
        let found = file.read_at(&mut piece, at)?;
        file.forget_pages(at, STEP_BYTES);
        hasher.update(&piece[..found]);
        Ok(found as u64)
    }

    /// Whether a full index file has the checksum that it was sealed with; without one it is sealed now.
    fn index_file_is_well(&self, number: u64, name: &str, found: Sum, sidecar: &mut Sidecar) -> bool {
        match sidecar.get(name) {
            Some(known) if known != found => {
                let (found, known) = (found.crc32, known.crc32);
                let problem = format!("its checksum is {found:08x}, it was sealed with {known:08x}");
                self.index.found_damaged(number, &problem);
                false
            }
            _ => {
                sidecar.set(name, found);
                true
            }
        }
    }

    /// Forgets the checksums of index files that are not full any more: once they are again, their bytes are others.
    pub(crate) fn forget_unsealed_index_files(&self) {
        let unsealed = self.index.take_unsealed();
        if unsealed.is_empty() {
            return;
        }
        let mut scrub = self.scrub.lock();
        if let Place::Index { left, at, hasher, .. } = &mut scrub.place {
            // Their bytes changed while they were summed; the next pass sums what is there then.
            left.clear();
            (*at, *hasher) = (0, crc32fast::Hasher::new());
        }
        let mut sealed: Vec<_> = unsealed.iter().map(|name| format!("index/{name}")).collect();
        sealed.retain(|name| scrub.sidecar.get(name).is_some());
        if sealed.is_empty() {
            return;
        }
        scrub.sidecar.retain(|name| !sealed.iter().any(|unsealed| unsealed == name));
        if let Err(error) = scrub.sidecar.save(&self.disk) {
            tracing::warn!(%error, "checksums could not be saved; an index file may be built again for nothing");
        }
    }

    /// Compares entries with the records that they stand for, correcting them; returns the bytes read.
    fn compare(&self, queue: &Arc<Queue>, from: u64, to: u64, corrected: &mut u64) -> Result<u64, DiskError> {
        let mut walker = Walker::new(&self.log, self.marks.visible.get(), self.checked_from);
        let mut read = 0;
        for slot in from..to {
            let mut bytes = [0; ENTRY_LEN];
            let complete = matches!(queue.files.read(slot, &mut bytes, Wait::Allowed)?, Found::Bytes(ENTRY_LEN));
            let entry = if complete { QueueEntry::decode(&bytes) } else { None };
            read += ENTRY_LEN as u64;
            if let Some(entry) = entry {
                read += u64::from(entry.size);
                let position = entry.physical_offset.0;
                if let Ok(Ok(record)) = walker.record(position) {
                    let same = record.queue_offset().0 == slot
                        && record.queue_id() == queue.id()
                        && record.topic() == queue.topic()
                        && record.size() == entry.size as usize;
                    // RocketMQ's dispatch put other things there too, by its settings of that time.
                    let tag = position < self.checked_from || entry_of(&record).tag_code == entry.tag_code;
                    if same && tag {
                        continue;
                    }
                }
            }
            let before = self.metrics.entries_corrected.get();
            match settle(self, queue, QueueOffset(slot), entry) {
                // Damage is noted; a message that retention took is none of it.
                Ok(_) | Err(ReadError::Damaged(_) | ReadError::TooSmall { .. } | ReadError::Outside { .. }) => {}
                Err(ReadError::Disk(error)) => return Err(error),
            }
            *corrected += self.metrics.entries_corrected.get() - before;
        }
        Ok(read)
    }
}

/// Where in a queue a pass is.
struct Cursor<'a> {
    file: &'a mut u64,
    /// Entries of the file that were compared.
    slot: &'a mut u64,
    /// Entries of it that were corrected.
    corrected: &'a mut u64,
}

/// Length and checksum of a queue's file as it is.
fn file_sum(queue: &Queue, first: u64, entries: u64) -> Result<Sum, DiskError> {
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 3276 * ENTRY_LEN];
    let (mut slot, mut length) = (first, 0);
    while slot < first + entries {
        let wanted = ((first + entries - slot) as usize * ENTRY_LEN).min(piece.len());
        let found = match queue.files.read(slot, &mut piece[..wanted], Wait::Allowed)? {
            Found::Bytes(found) if found >= ENTRY_LEN => found / ENTRY_LEN * ENTRY_LEN,
            _ => break,
        };
        hasher.update(&piece[..found]);
        length += found as u64;
        slot += (found / ENTRY_LEN) as u64;
    }
    Ok(Sum { length, crc32: hasher.finalize() })
}
