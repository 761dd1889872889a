//! The due index: which records of one queue fall due when, in the order of time.
//!
//! A queue is ordered by arrival; timers are wanted by due time, far ones too, more than memory holds. So entries gather
//! in memory and are *sealed* from time to time into a run, a file sorted by due time that is never changed; runs of like size
//! are merged into a longer one, a little at a time. Taking what is due is then a merge of a few sequential reads, a
//! million entries in one second as well as one a year, and a far entry costs 28 bytes of disk.
//!
//! ```text
//! insert -> memory --seal--> run --merge--> longer run
//!              \______________|______________/
//!                          take_due, by key
//! ```
//!
//! All of it can be built again from the log: no entry is synced when it is inserted, and files that are damaged are thrown
//! away and said so. [`indexed_to`](DueIndex::indexed_to) is the queue offset from which on the owner inserts again
//! after a start. What was taken is not noted here: the owner knows the last key that it is done with, and gives it.
//!
//! Descriptors: fewer than [`MERGE_RUNS`] runs of each size, a size being eight times the one before; 40 files hold a
//! billion entries. Memory: what is not sealed, and 64 KiB for each run.

mod entry;
mod manifest;
mod merge;
mod run;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::{
    disk::{Disk, read_whole},
    durable,
};

pub use self::entry::{DUE_MS_MAX, DueEntry, DueKey, DueKind};
use self::{
    manifest::{MANIFEST_BYTES_MAX, Manifest},
    merge::Merge,
    run::{Cursor, Run, RunMeta, Writer, number_of, path_of},
};
use crate::error::{DiskError, While};

/// So many runs of like size become one.
pub const MERGE_RUNS: usize = 8;

/// The index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DueError {
    /// The disk failed. A later try may succeed; nothing that was inserted is forgotten.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file is not what was written. The index must be [cleared](DueIndex::clear) and filled again from the log.
    #[error("{}: {problem}; it is derived from the log, which has all of it", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// What the owner is done with, so that seals and merges leave it out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Entries up to this key were taken and dealt with.
    pub to: DueKey,
    /// Entries before this key are not wanted any more, not even by the next start. At most `to`.
    pub forget_before: DueKey,
    /// Entries of records before this queue offset are void, whatever their key.
    pub void_below: u64,
}

impl Done {
    fn keeps(&self, entry: &DueEntry) -> bool {
        entry.key >= self.forget_before && entry.key.queue_offset >= self.void_below
    }

    fn retires(&self, run: &RunMeta) -> bool {
        run.last < self.forget_before || run.offsets.1 < self.void_below
    }
}

/// See the module's documentation.
pub struct DueIndex {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    indexed_to: u64,
    next_number: u64,
    runs: Vec<Cursor>,
    memory: BTreeMap<DueKey, DueEntry>,
    merge: Option<Merge>,
}

impl DueIndex {
    /// Opens the index in `dir`, or begins an empty one there. It stands before the first entry with a key of at least
    /// `from`. Files that are damaged or missing make it empty: look at [`indexed_to`](Self::indexed_to).
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, from: DueKey) -> Result<Self, DueError> {
        disk.create_dir_all(dir).doing("create folder", dir)?;
        if let Some(above) = dir.parent() {
            disk.sync_dir(above).doing("sync folder", above)?;
        }
        let mut index = DueIndex {
            disk,
            dir: dir.into(),
            indexed_to: 0,
            next_number: 0,
            runs: Vec::new(),
            memory: BTreeMap::new(),
            merge: None,
        };
        let files = index.files()?;
        index.next_number = files.iter().max().map_or(0, |number| number + 1);
        if let Err(error) = index.load(from) {
            tracing::error!(%error, "the timers' index is thrown away and built again from the log; no message is lost");
            index.clear()?;
        }
        for number in files {
            if index.runs.iter().all(|cursor| cursor.run.meta.number != number) {
                index.remove(number)?;
            }
        }
        Ok(index)
    }

    fn files(&self) -> Result<Vec<u64>, DiskError> {
        let listed = self.disk.list(&self.dir).doing("list", &self.dir)?;
        Ok(listed.iter().filter_map(|entry| number_of(&entry.name)).collect())
    }

    fn manifest_path(&self) -> PathBuf {
        self.dir.join("manifest")
    }

    fn load(&mut self, from: DueKey) -> Result<(), DueError> {
        let file = self.manifest_path();
        let bytes = match read_whole(&*self.disk, &file, MANIFEST_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.doing("read", &file)?,
        };
        let manifest = Manifest::decode(&bytes);
        let manifest = manifest.ok_or_else(|| DueError::Damaged { file, problem: "its checksum is wrong".into() })?;
        for meta in &manifest.runs {
            let run = Run::open(&*self.disk, &self.dir, *meta)?;
            self.runs.push(Cursor::seek(run, from)?);
        }
        self.indexed_to = manifest.indexed_to;
        self.next_number = self.next_number.max(manifest.next_number);
        Ok(())
    }

    /// Stands before the first entry with a key of at least `from`, in the files; what is in memory stays.
    pub fn seek(&mut self, from: DueKey) -> Result<(), DueError> {
        for cursor in &mut self.runs {
            *cursor = Cursor::seek(cursor.run.clone(), from)?;
        }
        Ok(())
    }

    /// Records before this queue offset are in files, as far as they were pending: after a start insert those from here
    /// on.
    pub fn indexed_to(&self) -> u64 {
        self.indexed_to
    }

    /// Entries that were not taken yet, in memory and in files.
    pub fn pending(&self) -> u64 {
        self.memory.len() as u64 + self.runs.iter().map(Cursor::left).sum::<u64>()
    }

    /// For each time how many entries that were not taken yet fall due by then; times in ms since 1970, growing. Reads a few
    /// blocks of each file for each time.
    pub fn pending_by(&self, due_by_ms: &[u64]) -> Result<Vec<u64>, DueError> {
        let mut counts = vec![0; due_by_ms.len()];
        for key in self.memory.keys() {
            let first = due_by_ms.partition_point(|by| *by < key.due_ms);
            if let Some(count) = counts.get_mut(first) {
                *count += 1;
            }
        }
        // Each entry was counted at the first time that it falls due by; it does by all later ones.
        for at in 1..counts.len() {
            counts[at] += counts[at - 1];
        }
        for cursor in self.runs.iter().filter(|cursor| cursor.left() > 0) {
            for (count, by) in counts.iter_mut().zip(due_by_ms) {
                let behind = DueKey { due_ms: by.saturating_add(1), queue_offset: 0 };
                *count += cursor.left().saturating_sub(Cursor::seek(cursor.run.clone(), behind)?.left());
            }
        }
        Ok(counts)
    }

    /// Entries in memory: what a seal would write, and what a start would have to insert again.
    pub fn unsealed(&self) -> usize {
        self.memory.len()
    }

    /// Adds an entry, with a key behind all that were taken.
    pub fn insert(&mut self, entry: DueEntry) {
        self.memory.insert(entry.key, entry);
    }

    /// The entry that falls due next.
    pub fn peek(&mut self) -> Result<Option<DueEntry>, DueError> {
        Ok(self.least()?.map(|(entry, _)| entry))
    }

    /// Takes the entry that falls due next if its key is at most `to`.
    pub fn take_due(&mut self, to: DueKey) -> Result<Option<DueEntry>, DueError> {
        let Some((entry, run)) = self.least()?.filter(|(entry, _)| entry.key <= to) else { return Ok(None) };
        match run {
            Some(index) => self.runs[index].advance(),
            None => drop(self.memory.pop_first()),
        }
        Ok(Some(entry))
    }

    /// The least entry, and the run that has it.
    fn least(&mut self) -> Result<Option<(DueEntry, Option<usize>)>, DueError> {
        let mut least = self.memory.first_key_value().map(|(_, entry)| (*entry, None));
        for (index, cursor) in self.runs.iter_mut().enumerate() {
            if let Some(entry) = cursor.peek()?
                && least.is_none_or(|(found, _)| entry.key < found.key)
            {
                least = Some((entry, Some(index)));
            }
        }
        Ok(least)
    }

    /// The entries not taken yet whose queue offset lies in `offsets`, by queue offset; at most the first `limit`.
    pub fn scan(&self, offsets: std::ops::Range<u64>, done: &Done, limit: usize) -> Result<Vec<DueEntry>, DueError> {
        let mut found: Vec<DueEntry> =
            self.memory.values().filter(|entry| offsets.contains(&entry.key.queue_offset)).copied().collect();
        let shorten = |found: &mut Vec<DueEntry>| {
            found.sort_unstable_by_key(|entry| entry.key.queue_offset);
            found.truncate(limit);
        };
        for cursor in &self.runs {
            let (least, greatest) = cursor.run.meta.offsets;
            if greatest < offsets.start || least >= offsets.end {
                continue;
            }
            let mut cursor = Cursor::seek(cursor.run.clone(), behind(done.to))?;
            while let Some(entry) = cursor.peek()? {
                cursor.advance();
                if offsets.contains(&entry.key.queue_offset) {
                    found.push(entry);
                    if found.len() >= 2 * limit.max(1) {
                        shorten(&mut found);
                    }
                }
            }
        }
        shorten(&mut found);
        Ok(found)
    }

    /// Writes what is in memory as a run, together with `again` (entries that were taken, which the next start wants to see),
    /// durably. From now on records before queue offset `to` need not be inserted after a start: all of them must have
    /// been, and they must be durable in the log. After an error everything is as before; if only the last sync of the
    /// folder failed, the next start may find a manifest that names a run which is not there, and builds the index
    /// again.
    pub fn seal(&mut self, to: u64, again: &[DueEntry], done: &Done) -> Result<(), DueError> {
        debug_assert!(to >= self.indexed_to);
        let number = self.take_number();
        let sealed = self.try_seal(number, to, again, done);
        if sealed.is_err() {
            self.give_up(number);
        }
        sealed
    }

    fn try_seal(&mut self, number: u64, to: u64, again: &[DueEntry], done: &Done) -> Result<(), DueError> {
        let mut entries: BTreeMap<DueKey, DueEntry> = again.iter().map(|entry| (entry.key, *entry)).collect();
        entries.extend(self.memory.iter().map(|(key, entry)| (*key, *entry)));
        let mut writer = Writer::create(&*self.disk, &self.dir, number)?;
        for entry in entries.values().filter(|entry| done.keeps(entry)) {
            writer.push(*entry)?;
        }
        let added = self.opened(number, writer.finish()?, done)?;
        self.replace(&[], added, to, done)?;
        self.memory.clear();
        Ok(())
    }

    /// Goes on with merging, by at most `budget` entries; `false` when there is nothing to merge.
    pub fn merge(&mut self, budget: usize, done: &Done) -> Result<bool, DueError> {
        let mut merge = match self.merge.take() {
            Some(merge) => merge,
            None => {
                let Some(inputs) = merge::choose(self.runs.iter().map(|cursor| &cursor.run)) else { return Ok(false) };
                let number = self.take_number();
                Merge::begin(&*self.disk, &self.dir, number, inputs, *done)?
            }
        };
        let number = merge.number();
        let merged = match merge.step(budget) {
            Ok(true) => {
                self.merge = Some(merge);
                return Ok(true);
            }
            Ok(false) => self.finish_merge(merge, done),
            Err(error) => Err(error),
        };
        if merged.is_err() {
            self.give_up(number);
        }
        merged.map(|()| true)
    }

    fn finish_merge(&mut self, merge: Merge, done: &Done) -> Result<(), DueError> {
        let (number, inputs) = (merge.number(), merge.inputs());
        let added = self.opened(number, merge.finish()?, done)?;
        self.replace(&inputs, added, self.indexed_to, done)
    }

    /// A new run, standing where the owner is; nothing for an empty one.
    fn opened(&self, number: u64, run: Option<Run>, done: &Done) -> Result<Option<Cursor>, DueError> {
        match run {
            Some(run) => Cursor::seek(run, behind(done.to)).map(Some),
            None => {
                self.remove(number)?;
                Ok(None)
            }
        }
    }

    /// Removes the file of a run that did not get into the index, so that a full disk is not filled by tries. What cannot
    /// be removed now is by the next start.
    fn give_up(&self, number: u64) {
        if self.runs.iter().all(|cursor| cursor.run.meta.number != number) {
            let _ = self.remove(number);
        }
    }

    /// Throws all files away; [`indexed_to`](Self::indexed_to) is 0 again.
    pub fn clear(&mut self) -> Result<(), DueError> {
        self.merge = None;
        self.memory.clear();
        self.runs.clear();
        self.indexed_to = 0;
        let manifest = self.manifest_path();
        match self.disk.remove_file(&manifest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.doing("remove", &manifest)?,
        }
        self.disk.sync_dir(&self.dir).doing("sync folder", &self.dir)?;
        for number in self.files()? {
            self.remove(number)?;
        }
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Makes the runs without `removed` and the retired ones, with `added`, the index, durably; then removes files.
    fn replace(&mut self, removed: &[u64], added: Option<Cursor>, to: u64, done: &Done) -> Result<(), DueError> {
        let merging = self.merge.as_ref().map(Merge::inputs).unwrap_or_default();
        let goes =
            |meta: &RunMeta| removed.contains(&meta.number) || (done.retires(meta) && !merging.contains(&meta.number));
        let stays = self.runs.iter().map(|cursor| cursor.run.meta).filter(|meta| !goes(meta));
        let runs = stays.chain(added.iter().map(|cursor| cursor.run.meta)).collect();
        let manifest = Manifest { indexed_to: to, next_number: self.next_number, runs };
        // The runs' names before the manifest that names them.
        self.disk.sync_dir(&self.dir).doing("sync folder", &self.dir)?;
        let path = self.manifest_path();
        durable::replace(&*self.disk, &path, &manifest.encode(), false).doing("replace", &path)?;
        self.indexed_to = to;
        let (gone, kept) = std::mem::take(&mut self.runs).into_iter().partition(|cursor| goes(&cursor.run.meta));
        self.runs = kept;
        self.runs.extend(added);
        let gone: Vec<Cursor> = gone;
        for cursor in gone {
            // It is no part of the index any more; what cannot be removed now is by the next start.
            let _ = self.remove(cursor.run.meta.number);
        }
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), DiskError> {
        let path = path_of(&self.dir, number);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.doing("remove", &path),
        }
    }
}

/// The least key greater than this one.
fn behind(key: DueKey) -> DueKey {
    match key.queue_offset.checked_add(1) {
        Some(queue_offset) => DueKey { queue_offset, ..key },
        None => DueKey { due_ms: key.due_ms + 1, queue_offset: 0 },
    }
}

impl std::fmt::Debug for DueIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs: Vec<_> = self.runs.iter().map(|cursor| (cursor.run.meta.number, cursor.left())).collect();
        f.debug_struct("DueIndex").field("memory", &self.memory.len()).field("runs", &runs).finish()
    }
}

#[cfg(test)]
mod tests;
