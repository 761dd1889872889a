//! Making durable what is in the index; the order is argued in the head of the module above.

use std::sync::{Arc, atomic::Ordering};

use super::{
    Active, Index, IndexFile, IndexMark, Sealed, State, Work,
    file::{self, file_name},
    format::Header,
};
use crate::{
    error::DiskError,
    planted::{self, PlantedBug},
};

impl Index {
    /// Makes durable what was inserted by now, and settles when much is unsettled or `all` shall be. A failure is the index's
    /// own: it stops, or tries again when the disk was full.
    pub(crate) fn checkpoint(&self, all: bool) {
        let mut work = self.work.lock();
        if !self.enabled || self.state.lock().stopped.is_some() {
            return;
        }
        if let Err(error) = self.try_checkpoint(&mut work, all) {
            self.failed(&mut work, &error);
        }
    }

    fn try_checkpoint(&self, work: &mut Work, all: bool) -> Result<(), DiskError> {
        let (file, mark) = self.now();
        let Some(file) = file else { return self.mark(work, mark) };
        let unsettled = mark.header.next - mark.applied;
        if unsettled >= self.unsettled_max || (all && unsettled > 0) {
            return self.settle(work);
        }
        let news = work.last.is_none_or(|last| last.header.next != mark.header.next);
        if news && !planted::is(PlantedBug::MarkBeforeEntries) {
            file.sync()?;
        }
        self.mark(work, mark)
    }

    /// What a mark would say now.
    fn now(&self) -> (Option<Arc<IndexFile>>, IndexMark) {
        let state = self.state.lock();
        match &state.active {
            Some(active) => (Some(active.file.clone()), active.mark(state.covered)),
            None => (None, no_file(state.covered)),
        }
    }

    pub(super) fn mark(&self, work: &mut Work, mark: IndexMark) -> Result<(), DiskError> {
        if work.last != Some(mark)
            && let Some(marks) = &mut work.marks
        {
            marks.write(mark)?;
            work.last = Some(mark);
        }
        Ok(())
    }

    /// Brings slots and header of the newest file to disk. Insertions go on meanwhile.
    pub(super) fn settle(&self, work: &mut Work) -> Result<(), DiskError> {
        let (file, dirty, mark) = {
            let mut state = self.state.lock();
            let covered = state.covered;
            let Some(active) = &mut state.active else { return Ok(()) };
            (active.file.clone(), active.slots.take_dirty(), active.mark(covered))
        };
        let written = (|| {
            file.sync()?;
            self.mark(work, mark)?;
            file.write_header(&mark.header)?;
            file.sync()?;
            dirty.write(&file)?;
            file.sync()
        })();
        if let Some(active) = &mut self.state.lock().active {
            match &written {
                Ok(()) => {
                    active.slots.written();
                    active.applied = mark.header.next;
                }
                Err(_) => active.slots.put_back(),
            }
        }
        written?;
        self.settled_ms.store(mark.header.end_ms, Ordering::Release);
        self.mark(work, IndexMark { applied: mark.header.next, ..mark })
    }

    /// Closes the newest file and begins another, or the first. Nothing is inserted meanwhile.
    pub(super) fn begin_file(&self, work: &mut Work) -> Result<(), DiskError> {
        self.settle(work)?;
        let (header, covered, newest) = {
            let state = self.state.lock();
            let before = state.active.as_ref().map(|active| (active.header, active.file.name));
            let header =
                before.map_or(Header::following(0, 0), |(old, _)| Header::following(old.end_ms, old.end_offset));
            (header, state.covered, before.map_or(0, |(_, name)| name))
        };
        let newest = newest.max(work.last.map_or(0, |last| last.file)).max(file::newest(&*self.disk, &self.folder)?);
        let name = self.clock.stamp().max(newest + 1);
        let file = IndexFile::create(&*self.disk, &self.folder, name, self.shape, &header).inspect_err(|_| {
            // Half of it may be there, and the next try takes another name.
            let _ = self.disk.remove_file(&self.folder.join(file_name(name)));
        });
        let file = Arc::new(file?);
        let active = Active::new(file, header, header.next, true);
        self.mark(work, active.mark(covered))?;
        let mut state = self.state.lock();
        if let Some(full) = state.active.replace(active) {
            state.sealed.push(Arc::new(Sealed { file: full.file, header: full.header }));
        }
        Ok(())
    }

    /// Ends what a failed call ends: the index, unless the disk was only full.
    pub(super) fn failed(&self, work: &mut Work, error: &DiskError) {
        if !error.is_full() {
            self.stop(&mut self.state.lock(), error);
        } else if !std::mem::replace(&mut work.full, true) {
            tracing::warn!(%error, "the index waits for space; messages stored meanwhile are not found by key until then");
        }
    }
}

impl Active {
    pub(super) fn mark(&self, covered: u64) -> IndexMark {
        IndexMark { file: self.file.name, covered, applied: self.applied, header: self.header }
    }
}

/// The mark of an index that has no file, because no record had a key.
pub(super) fn no_file(covered: u64) -> IndexMark {
    IndexMark { file: 0, covered, applied: 1, header: Header::following(0, 0) }
}

impl State {
    /// The end of the newest file, after it was found that nothing behind is believed.
    pub(super) fn end_offset(&self) -> u64 {
        let sealed = || self.sealed.last().map(|sealed| sealed.header.end_offset);
        self.active.as_ref().map(|active| active.header.end_offset).or_else(sealed).unwrap_or(0)
    }
}
