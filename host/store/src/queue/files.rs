//! The files of one consume queue.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::{Disk, DiskFile};
use parking_lot::{Mutex, RwLock};

use super::{
    entry::{ENTRY_LEN, QueueEntry},
    ext,
};
use crate::{
    Wait,
    error::{DiskError, SYNC, While},
    log::segment::{file_name, parse_file_name},
    planted::{self, PlantedBug},
};

/// Entries by number, in files of a fixed number of entries. Files are opened when first used, so that a queue that
/// nobody touches costs no descriptor.
pub(crate) struct QueueFiles {
    pub(super) disk: Arc<dyn Disk>,
    folder: PathBuf,
    entries_per_file: u64,
    /// Few, and mostly the last is wanted.
    open: RwLock<Vec<(u64, Arc<dyn DiskFile>)>>,
    unsynced: Mutex<Unsynced>,
}

struct Unsynced {
    files: BTreeSet<u64>,
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
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, entries_per_file: u32) -> Self {
        QueueFiles {
            disk,
            folder,
            entries_per_file: entries_per_file.into(),
            open: RwLock::default(),
            // Files that are there may have been made by a process that died before it synced their names.
            unsynced: Mutex::new(Unsynced { files: BTreeSet::new(), names: true }),
        }
    }

    pub(crate) fn entries_per_file(&self) -> u64 {
        self.entries_per_file
    }

    /// Numbers of the files that are there, ascending. Files of other names or sizes are not ours and are left alone.
    pub(crate) fn list(&self) -> Result<Vec<u64>, DiskError> {
        let names = match self.disk.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.doing("list", &self.folder)?,
        };
        let file_len = self.entries_per_file * ENTRY_LEN as u64;
        let bases = names.iter().filter(|entry| !entry.is_dir).filter_map(|entry| parse_file_name(&entry.name));
        Ok(bases.filter(|base| base % file_len == 0).map(|base| base / file_len).collect())
    }

    /// Writes whole entries from number `slot` on, making files as needed. Durable after [`sync`](Self::sync).
    pub(crate) fn write(&self, mut slot: u64, mut bytes: &[u8]) -> Result<(), DiskError> {
        debug_assert!(bytes.len().is_multiple_of(ENTRY_LEN));
        while !bytes.is_empty() {
            let (index, within) = (slot / self.entries_per_file, slot % self.entries_per_file);
            let fits = (bytes.len() / ENTRY_LEN).min((self.entries_per_file - within) as usize);
            let (now, rest) = bytes.split_at(fits * ENTRY_LEN);
            let file = match self.file(index)? {
                Some(file) => file,
                None => self.create(index)?,
            };
            self.unsynced.lock().files.insert(index);
            file.write_at(now, within * ENTRY_LEN as u64).doing("write", &self.path(index))?;
            slot += fits as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads from entry `slot` on, within one file.
    pub(crate) fn read(&self, slot: u64, buf: &mut [u8], wait: Wait) -> Result<Found, DiskError> {
        let (index, within) = (slot / self.entries_per_file, slot % self.entries_per_file);
        let len = buf.len().min((self.entries_per_file - within) as usize * ENTRY_LEN);
        let Some(file) = self.file(index)? else { return Ok(Found::Bytes(0)) };
        let (buf, at) = (&mut buf[..len], within * ENTRY_LEN as u64);
        match wait {
            Wait::Allowed => Ok(Found::Bytes(file.read_at(buf, at).doing("read", &self.path(index))?)),
            Wait::Never => match file.try_read_at(buf, at).doing("read", &self.path(index))? {
                Some(found) if found == len => Ok(Found::Bytes(found)),
                _ => Ok(Found::WouldBlock),
            },
        }
    }

    /// See [`ext::resolve`].
    pub(crate) fn resolve_ext(&self, entries: &mut [QueueEntry], wait: Wait) {
        ext::resolve(&*self.disk, &self.folder, entries, wait);
    }

    /// Makes all entries written so far durable, and the names of their files; says which folders above need a sync.
    pub(crate) fn sync(&self, folders: &mut BTreeSet<PathBuf>) -> Result<(), DiskError> {
        let taken = Unsynced { files: BTreeSet::new(), names: false };
        let Unsynced { files, names } = std::mem::replace(&mut *self.unsynced.lock(), taken);
        for index in files {
            if let Some(file) = self.file(index)?
                && !planted::is(PlantedBug::SkipQueueSync)
            {
                file.sync().doing(SYNC, &self.path(index))?;
            }
        }
        if names && !planted::is(PlantedBug::SkipQueueNameSync) {
            folders.extend(self.folder.ancestors().take(3).map(Path::to_path_buf));
        }
        Ok(())
    }

    /// Forgets entries from `slot` on: zeros in its file, later files removed. Not durable: what comes back after a crash
    /// is told from entries by the log that it does not match.
    pub(crate) fn truncate(&self, slot: u64) -> Result<(), DiskError> {
        let (index, within) = (slot / self.entries_per_file, slot % self.entries_per_file);
        for later in self.list()?.into_iter().rev().filter(|file| *file > index) {
            self.open.write().retain(|(open, _)| *open != later);
            let path = self.path(later);
            self.disk.remove_file(&path).doing("remove", &path)?;
        }
        if let Some(file) = self.file(index)? {
            let path = self.path(index);
            file.set_len(within * ENTRY_LEN as u64).doing("cut", &path)?;
            file.set_len(self.entries_per_file * ENTRY_LEN as u64).doing("set the length of", &path)?;
        }
        Ok(())
    }

    /// Closes all files; they are opened again when needed.
    pub(crate) fn close(&self) {
        self.open.write().clear();
    }

    pub(super) fn close_one(&self, index: u64) {
        self.open.write().retain(|(open, _)| *open != index);
    }

    pub(super) fn path(&self, index: u64) -> PathBuf {
        self.folder.join(file_name(index * self.entries_per_file * ENTRY_LEN as u64))
    }

    fn file(&self, index: u64) -> Result<Option<Arc<dyn DiskFile>>, DiskError> {
        if let Some((_, file)) = self.open.read().iter().rev().find(|(open, _)| *open == index) {
            return Ok(Some(file.clone()));
        }
        let path = self.path(index);
        match self.disk.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => {
                let file = file.doing("open", &path)?;
                self.open.write().push((index, file.clone()));
                Ok(Some(file))
            }
        }
    }

    fn create(&self, index: u64) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.create_dir_all(&self.folder).doing("create folder", &self.folder)?;
        let path = self.path(index);
        let file = self.disk.open(&path, true).doing("create", &path)?;
        file.set_len(self.entries_per_file * ENTRY_LEN as u64).doing("set the length of", &path)?;
        self.unsynced.lock().names = true;
        self.open.write().push((index, file.clone()));
        Ok(file)
    }
}
