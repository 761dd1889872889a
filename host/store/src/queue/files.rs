//! The files of one consume queue.

use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_base::disk::DiskFile;
use parking_lot::Mutex;

use super::{
    cache::FileCache,
    entry::{ENTRY_LEN, QueueEntry},
    ext,
    sums::Blocks,
};
use crate::{
    Wait,
    error::{DiskError, SYNC, While},
    log::segment::{file_name, parse_file_name},
    planted::{self, PlantedBug},
};

/// Entries by number, in files of a fixed number of entries. Files are opened when first used and kept open by the store's
/// [`FileCache`] for as long as it sees fit, so that a queue costs no descriptor.
pub(crate) struct QueueFiles {
    pub(super) cache: Arc<FileCache>,
    /// Its number in the cache.
    number: u32,
    pub(crate) id: u32,
    pub(crate) topic: Arc<str>,
    /// The folder belongs to another queue of the same name now, or to none.
    shut: AtomicBool,
    unsynced: Mutex<Unsynced>,
}

struct Unsynced {
    /// Numbers of files; entries are written in order, so there are no gaps worth a set.
    files: Range<u64>,
    names: bool,
}

/// What a read found.
pub(crate) enum Found {
    /// This many bytes; fewer than asked for where a file is missing or short.
    Bytes(usize),
    /// It would have to wait for the device.
    WouldBlock,
}

impl QueueFiles {
    pub(crate) fn new(cache: Arc<FileCache>, topic: Arc<str>, id: u32) -> Self {
        QueueFiles {
            number: cache.number(),
            cache,
            id,
            topic,
            shut: AtomicBool::new(false),
            // Files that are there may have been made by a process that died before it synced their names.
            unsynced: Mutex::new(Unsynced { files: 0..0, names: true }),
        }
    }

    /// Which of its entries have a checksum in common.
    pub(crate) fn blocks(&self) -> Blocks {
        Blocks { entries_per_file: self.entries_per_file() }
    }

    pub(crate) fn entries_per_file(&self) -> u64 {
        self.cache.entries_per_file
    }

    /// Its number in the cache of open files.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Numbers of the files that are there, ascending. Files of other names are not ours and are left alone.
    pub(crate) fn list(&self) -> Result<Vec<u64>, DiskError> {
        let folder = self.folder();
        let names = match self.cache.disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.doing("list", &folder)?,
        };
        let file_len = self.entries_per_file() * ENTRY_LEN as u64;
        let bases = names.iter().filter(|entry| !entry.is_dir).filter_map(|entry| parse_file_name(&entry.name));
        Ok(bases.filter(|base| base % file_len == 0).map(|base| base / file_len).collect())
    }

    /// Writes whole entries from number `slot` on, making files as needed. Durable after [`sync`](Self::sync).
    pub(crate) fn write(&self, mut slot: u64, mut bytes: &[u8]) -> Result<(), DiskError> {
        debug_assert!(bytes.len().is_multiple_of(ENTRY_LEN));
        while !bytes.is_empty() {
            let (index, within) = self.place(slot);
            let fits = (bytes.len() / ENTRY_LEN).min((self.entries_per_file() - within) as usize);
            let (now, rest) = bytes.split_at(fits * ENTRY_LEN);
            let file = match self.file(index)? {
                Some(file) => file,
                None => self.create(index)?,
            };
            self.unsynced.lock().add(index);
            file.write_at(now, within * ENTRY_LEN as u64).doing_at("write", || self.path(index))?;
            slot += fits as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads from entry `slot` on, within one file.
    pub(crate) fn read(&self, slot: u64, buf: &mut [u8], wait: Wait) -> Result<Found, DiskError> {
        let (index, within) = self.place(slot);
        let len = buf.len().min((self.entries_per_file() - within) as usize * ENTRY_LEN);
        let file = match (self.cache.get(self.key(index)), wait) {
            (Some(file), _) => file,
            // Opening looks names up, and their folders may have to come from the device.
            (None, Wait::Never) => return Ok(Found::WouldBlock),
            (None, Wait::Allowed) => match self.file(index)? {
                Some(file) => file,
                None => return Ok(Found::Bytes(0)),
            },
        };
        let (buf, at) = (&mut buf[..len], within * ENTRY_LEN as u64);
        match wait {
            Wait::Allowed => Ok(Found::Bytes(file.read_at(buf, at).doing_at("read", || self.path(index))?)),
            Wait::Never => match file.try_read_at(buf, at).doing_at("read", || self.path(index))? {
                Some(found) if found == len => Ok(Found::Bytes(found)),
                _ => Ok(Found::WouldBlock),
            },
        }
    }

    /// See [`ext::resolve`].
    pub(crate) fn resolve_ext(&self, entries: &mut [QueueEntry], wait: Wait) {
        if ext::are_any(entries) {
            ext::resolve(&*self.cache.disk, &self.folder(), entries, wait);
        }
    }

    /// Makes all entries written so far durable, and the names of their files; says which folders above need a sync. A file
    /// that was closed meanwhile is opened again: what was written through one handle is synced through any.
    pub(crate) fn sync(&self, folders: &mut BTreeSet<PathBuf>) -> Result<(), DiskError> {
        let taken = Unsynced { files: 0..0, names: false };
        let Unsynced { files, names } = std::mem::replace(&mut *self.unsynced.lock(), taken);
        for index in files {
            if planted::is(PlantedBug::ForgetClosedQueueFile) && self.cache.get(self.key(index)).is_none() {
                continue;
            }
            if let Some(file) = self.file(index)?
                && !planted::is(PlantedBug::SkipQueueSync)
            {
                file.sync().doing(SYNC, &self.path(index))?;
            }
        }
        if names && !planted::is(PlantedBug::SkipQueueNameSync) {
            folders.extend(self.folder().ancestors().take(3).map(Path::to_path_buf));
        }
        Ok(())
    }

    /// All of it is durable by other means.
    pub(crate) fn note_synced(&self) {
        *self.unsynced.lock() = Unsynced { files: 0..0, names: false };
    }

    /// Forgets entries from `slot` on: zeros in its file, later files removed. Not durable: what comes back after a crash
    /// is told from entries by the log that it does not match.
    pub(crate) fn truncate(&self, slot: u64) -> Result<(), DiskError> {
        let (index, within) = self.place(slot);
        for later in self.list()?.into_iter().rev().filter(|file| *file > index) {
            self.cache.close(self.key(later));
            let path = self.path(later);
            self.cache.disk.remove_file(&path).doing("remove", &path)?;
        }
        if let Some(file) = self.file(index)? {
            let path = self.path(index);
            file.set_len(within * ENTRY_LEN as u64).doing("cut", &path)?;
            file.set_len(self.entries_per_file() * ENTRY_LEN as u64).doing("set the length of", &path)?;
        }
        Ok(())
    }

    /// From now on it has no files: those in its folder are going, and what comes there later is another queue's. Its open
    /// ones are closed by the caller, who knows all queues that go.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Release);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.root.join(&*self.topic).join(self.id.to_string())
    }

    pub(super) fn close_one(&self, index: u64) {
        self.cache.close(self.key(index));
    }

    pub(super) fn path(&self, index: u64) -> PathBuf {
        self.folder().join(file_name(index * self.entries_per_file() * ENTRY_LEN as u64))
    }

    fn key(&self, index: u64) -> super::cache::Key {
        (self.number, index)
    }

    /// The file that holds an entry, and the entry's number in it.
    fn place(&self, slot: u64) -> (u64, u64) {
        (slot / self.entries_per_file(), slot % self.entries_per_file())
    }

    fn file(&self, index: u64) -> Result<Option<Arc<dyn DiskFile>>, DiskError> {
        if let Some(file) = self.cache.get(self.key(index)) {
            return Ok(Some(file));
        }
        if self.is_shut() {
            return Ok(None);
        }
        let path = self.path(index);
        match self.cache.disk.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(self.keep(index, file.doing("open", &path)?))),
        }
    }

    fn create(&self, index: u64) -> Result<Arc<dyn DiskFile>, DiskError> {
        let folder = self.folder();
        self.cache.disk.create_dir_all(&folder).doing("create folder", &folder)?;
        let path = self.path(index);
        let file = self.cache.disk.open(&path, true).doing("create", &path)?;
        file.set_len(self.entries_per_file() * ENTRY_LEN as u64).doing("set the length of", &path)?;
        self.unsynced.lock().names = true;
        Ok(self.keep(index, file))
    }

    fn keep(&self, index: u64, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let kept = self.cache.keep(self.key(index), file);
        if self.is_shut() {
            // A deletion came between; nobody would close it but a full cache.
            self.cache.close(self.key(index));
        }
        kept
    }
}

impl Unsynced {
    fn add(&mut self, index: u64) {
        self.files = match self.files.is_empty() {
            true => index..index + 1,
            false => self.files.start.min(index)..self.files.end.max(index + 1),
        };
    }
}
