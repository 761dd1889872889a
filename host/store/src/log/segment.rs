//! One file of the commit log.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_base::disk::{Disk, DiskFile};
use parking_lot::Mutex;

use crate::{
    error::{DiskError, SYNC, While},
    planted::{self, PlantedBug},
};

/// A file of fixed length, named by the physical offset of its first byte. Sparse: blocks are reserved some way ahead of the
/// tail, so that a full disk shows before a write and not in its middle.
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) len: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Bytes from the start with blocks; a hint for the fast path, raised under `reserving`.
    reserved: AtomicU64,
    reserving: Mutex<()>,
}

impl Segment {
    pub(crate) fn new(base: u64, len: u64, path: PathBuf, file: Arc<dyn DiskFile>) -> Self {
        Segment { base, len, path, file, reserved: AtomicU64::new(0), reserving: Mutex::new(()) }
    }

    /// Makes the file, at full length, and its name durable: a record acknowledged in it must be found after a crash.
    pub(crate) fn create(disk: &dyn Disk, folder: &Path, base: u64, len: u64) -> Result<Self, DiskError> {
        let path = folder.join(file_name(base));
        let file = disk.open(&path, true).doing("create", &path)?;
        file.set_len(len).doing("set the length of", &path)?;
        file.sync().doing(SYNC, &path)?;
        if !planted::is(PlantedBug::SkipSegmentNameSync) {
            disk.sync_dir(folder).doing("sync folder", folder)?;
        }
        Ok(Segment::new(base, len, path, file))
    }

    /// Physical offset behind its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.len
    }

    /// Reserves blocks up to the physical offset `to`, and `ahead` bytes more if there is space for them.
    pub(crate) fn reserve(&self, to: u64, ahead: u64) -> Result<(), DiskError> {
        let to = to.min(self.end()) - self.base;
        if to <= self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = self.reserving.lock();
        let from = self.reserved.load(Ordering::Acquire);
        if to <= from {
            return Ok(());
        }
        let goal = to.saturating_add(ahead).min(self.len);
        let reserved = match self.file.allocate(from, goal - from).doing("reserve space in", &self.path) {
            Ok(()) => goal,
            Err(error) if error.is_full() && goal > to => {
                self.file.allocate(from, to - from).doing("reserve space in", &self.path)?;
                to
            }
            Err(error) => return Err(error),
        };
        self.reserved.store(reserved, Ordering::Release);
        Ok(())
    }

    /// Writes at a physical offset.
    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<(), DiskError> {
        debug_assert!(at >= self.base && at + bytes.len() as u64 <= self.end());
        self.file.write_at(bytes, at - self.base).doing("write", &self.path)
    }

    /// Reads at a physical offset; fewer bytes only where the file is too short.
    pub(crate) fn read(&self, buf: &mut [u8], at: u64) -> Result<usize, DiskError> {
        self.file.read_at(buf, at - self.base).doing("read", &self.path)
    }

    /// Whether a range, from a physical offset on, can be read without the device.
    pub(crate) fn is_resident(&self, at: u64, len: u64) -> bool {
        let mut bytes = vec![0; len as usize];
        matches!(self.file.try_read_at(&mut bytes, at - self.base), Ok(Some(found)) if found == bytes.len())
    }

    /// The pages of a range need not stay in memory.
    pub(crate) fn forget_pages(&self, at: u64, len: u64) {
        self.file.forget_pages(at - self.base, len);
    }

    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync().doing(SYNC, &self.path)
    }

    /// Makes everything from the physical offset on zeros, durably. Shrinking and growing again, because overwriting
    /// with zeros would have to know how far stale bytes reach; each length is synced, because a length that ends where
    /// it began need not be written at all.
    pub(crate) fn cut(&self, at: u64) -> Result<(), DiskError> {
        if planted::is(PlantedBug::LeaveBehindEnd) {
            return Ok(());
        }
        self.file.set_len(at - self.base).doing("cut", &self.path)?;
        if !planted::is(PlantedBug::CutSyncedOnce) {
            self.sync()?;
        }
        self.file.set_len(self.len).doing("set the length of", &self.path)?;
        self.sync()
    }
}

/// 20 digits, as RocketMQ names the files of its logs and queues.
pub(crate) fn file_name(base: u64) -> String {
    format!("{base:020}")
}

/// The offset that a file name stands for; `None` for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
