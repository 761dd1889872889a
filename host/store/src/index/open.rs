//! Opening the index: what of its files may be believed, and from where the log has to be read again.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use gantry_base::{disk::Disk, watermark::Watermark};
use parking_lot::Mutex;

use super::{
    Active, Index, IndexFile, IndexMark, Marks, Sealed, State,
    file::{self, file_name},
    format::{Header, Shape},
    settle::no_file,
};
use crate::{
    error::{DiskError, While},
    metrics::StoreMetrics,
    options::Options,
};

/// What opening the store knows already.
pub(crate) struct Opening<'a> {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) metrics: Arc<StoreMetrics>,
    /// The last process crashed.
    pub(crate) dirty: bool,
    /// The index time of RocketMQ's checkpoint, ms.
    pub(crate) settled_ms: u64,
    /// Where the log begins and ends.
    pub(crate) min: u64,
    pub(crate) end: u64,
    /// Where dispatch begins.
    pub(crate) floor: u64,
}

impl Index {
    /// Opens the index, or says why it is stopped: it never keeps the store from opening.
    pub(crate) fn open(opening: &Opening<'_>) -> Index {
        let options = opening.options;
        let index = Index {
            enabled: options.index_enabled,
            disk: opening.disk.clone(),
            folder: opening.dir.join("index"),
            shape: Shape { slots: options.index_file_slots, entries: options.index_file_entries },
            clock: options.clock.clone(),
            unsettled_max: options.index_unsettled_max,
            metrics: opening.metrics.clone(),
            level: AtomicBool::new(false),
            state: Mutex::new(State {
                covered: opening.min,
                sealed: Vec::new(),
                active: None,
                stopped: None,
                cold: false,
                damaged: None,
                unsealed: Vec::new(),
            }),
            work: Mutex::default(),
            lags: Watermark::new(0),
            settled_ms: AtomicU64::new(opening.settled_ms),
        };
        if !index.enabled {
            return index;
        }
        if let Err(error) = index.load(opening) {
            index.stop(&mut index.state.lock(), &error);
            return index;
        }
        if index.covered() >= opening.floor {
            index.level.store(true, Ordering::Release);
        } else {
            index.fall_behind();
        }
        index
    }

    fn load(&self, opening: &Opening<'_>) -> Result<(), DiskError> {
        let disk = &*self.disk;
        disk.create_dir_all(&self.folder).doing("create folder", &self.folder)?;
        let (marks, mark) = Marks::open(disk, opening.dir.join("index.gantry"), self.shape)?;
        let (mut files, unwanted) = self.believed(opening, mark)?;
        self.remove_all(&unwanted)?;
        for folder in [&self.folder, opening.dir] {
            disk.sync_dir(folder).doing("sync folder", folder)?;
        }
        let mut work = self.work.lock();
        (work.marks, work.last) = (Some(marks), mark);
        let mut state = self.state.lock();

        let marked = mark.filter(|mark| files.last().map_or(0, |last| last.file.name) == mark.file);
        let mut adopted = marked.is_none();
        let (mut covered, applied) = match (marked, files.last()) {
            (Some(mark), None) => (mark.covered, 1),
            // RocketMQ went on in the file if the header is another.
            (Some(mark), Some(last)) if last.header == mark.header => (mark.covered, mark.applied),
            (marked, Some(last)) => {
                adopted = true;
                (marked.map_or(0, |mark| mark.covered).max(last.header.end_offset), last.header.next)
            }
            (None, None) => (0, 1),
        };
        let mut active = files.pop().map(|last| Active::new(last.file, last.header, applied, false));
        let mut removed = Vec::new();
        let mut changed = false;
        // What the slots lack is put in; then what the log lost is taken out, from as many files as it takes.
        while let Some(newest) = &mut active {
            let damaged = match newest.redo()? {
                Ok(()) if newest.header.end_offset < opening.end => break,
                Ok(()) => newest.undo(opening.end)?,
                Err(damaged) => Err(damaged),
            };
            match damaged {
                Ok(undone) => {
                    changed |= undone;
                    if !newest.header.is_empty() {
                        break;
                    }
                }
                Err(damaged) => {
                    self.metrics.index_damaged.add(1);
                    tracing::error!(
                        file = %newest.file.path.display(), entry = damaged.number,
                        "an index file is damaged; it is built again from the log. No message is lost"
                    );
                    covered = files.last().map_or(0, |before| before.header.end_offset);
                }
            }
            adopted = true;
            removed.push(newest.file.name);
            active = files.pop().map(|last| Active::new(last.file, last.header, last.header.next, false));
        }
        state.covered = covered.min(opening.end).max(opening.min);
        if let Some(newest) = active.as_mut().filter(|_| changed) {
            // In another order than elsewhere: the mark on disk still names the entries that were taken out, so that slots
            // and header can be made again from them until both are there.
            newest.slots.take_dirty().write(&newest.file)?;
            newest.file.sync()?;
            newest.slots.written();
            newest.file.write_header(&newest.header)?;
            newest.file.sync()?;
            newest.applied = newest.header.next;
        }
        if adopted || changed {
            let covered = state.covered;
            let mark = active.as_ref().map_or_else(|| no_file(covered), |active| active.mark(covered));
            self.mark(&mut work, mark)?;
        }
        self.remove_all(&removed)?;
        state.sealed = files.into_iter().map(Arc::new).collect();
        state.unsealed.extend(removed.into_iter().chain(unwanted));
        state.unsealed.extend(active.as_ref().map(|active| active.file.name));
        state.active = active;
        drop((state, work));
        self.expire(opening.min);
        Ok(())
    }

    /// The files that are believed, oldest first, the newest as the mark knows it; and the names of those to be removed.
    fn believed(&self, opening: &Opening<'_>, mark: Option<IndexMark>) -> Result<(Vec<Sealed>, Vec<u64>), DiskError> {
        let mut files: Vec<Sealed> = Vec::new();
        let mut unwanted = Vec::new();
        for name in file::list(&*self.disk, &self.folder)? {
            // Made by a process that died before it was of use.
            let unmarked = opening.dirty && mark.is_some_and(|mark| name > mark.file);
            let file = IndexFile::open(&*self.disk, &self.folder, name, self.shape)?;
            let Some(file) = file.filter(|_| !unmarked && unwanted.is_empty()) else {
                if unmarked || !unwanted.is_empty() {
                    unwanted.push(name);
                } else {
                    tracing::warn!(
                        file = name,
                        expected_bytes = self.shape.file_len(),
                        "an index file of another length is not used; it was made with other numbers of slots or entries"
                    );
                }
                continue;
            };
            let marked = mark.filter(|mark| mark.file == name);
            let header = match file.read_header()? {
                Some(found) if marked.is_some_and(|mark| mark.explains(&found)) => marked.map(|mark| mark.header),
                // RocketMQ wrote it last, or all of it. After its crash what is later than its checkpoint may be torn.
                Some(found) if opening.dirty && (marked.is_some() || mark.is_none()) => {
                    (found.end_ms <= opening.settled_ms).then_some(found)
                }
                found => found,
            };
            let follows =
                |header: &Header| files.last().is_none_or(|last| last.header.end_offset <= header.begin_offset);
            match header.filter(|header| header.is_empty() || follows(header)) {
                Some(header) => files.push(Sealed { file: Arc::new(file), header }),
                None => {
                    tracing::warn!(file = name, "an index file is not to be believed; it is built again from the log");
                    unwanted.push(name);
                }
            }
        }
        Ok((files, unwanted))
    }

    /// The newest first: what is left after a crash ends earlier, and has no gap.
    fn remove_all(&self, names: &[u64]) -> Result<(), DiskError> {
        let mut names = names.to_vec();
        names.sort_unstable();
        for name in names.into_iter().rev() {
            self.remove(&self.folder.join(file_name(name)))?;
            self.disk.sync_dir(&self.folder).doing("sync folder", &self.folder)?;
        }
        Ok(())
    }
}

impl IndexMark {
    /// Whether the header is one that a life of this mark may have left: of before it was settled, or of after.
    fn explains(&self, found: &Header) -> bool {
        [self.applied, self.header.next].contains(&found.next)
    }
}
