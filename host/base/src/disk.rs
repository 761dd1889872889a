//! All disk access of the store goes through these two traits, so that one store runs on a real disk ([`RealDisk`]) and on
//! a simulated one ([`sim::SimDisk`]) that forgets unsynced writes, tears them, fills up and fails, by seed.
//!
//! I/O errors are values; nothing here maps files into memory, because a failing or full disk would then be a signal.

mod real;
pub mod sim;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc};

pub use real::RealDisk;

/// One file system as the store sees it. Paths are those of the file system; the caller builds them from checked names only.
pub trait Disk: Send + Sync + 'static {
    /// Opens an existing file for reading and writing, or with `create` makes an empty one when it is absent.
    /// The *name* of a new file survives a crash only after [`sync_dir`](Disk::sync_dir) on its folder.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading; writes to it may fail.
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path, false)
    }
    /// Makes the folder and its parents; no error when it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names (not paths) in a folder, sorted; folders are marked. An absent folder is `NotFound`.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Atomically replaces `to` by `from`; durable after `sync_dir` on the folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; `NotFound` when absent.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that it holds; no error when absent.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in this folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The file system that holds `path`, to be [synced](Volume::sync) as a whole. Costs a descriptor; errors of writing that come
    /// after this call are told by the next sync.
    fn volume(&self, path: &Path) -> io::Result<Arc<dyn Volume>>;
    /// How full the file system that holds `path` is.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Names the time since the machine last started: as long as it is the same, what was written and not synced is still there.
    /// Empty when that cannot be told.
    fn boot(&self) -> String;
    /// Takes an exclusive lock on a file (made when absent) that ends with the returned value or the process.
    /// `WouldBlock` when another process (or another open of the same disk) holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// A file system, for when so many files were written that a sync of each would take longer.
pub trait Volume: Send + Sync {
    /// Makes durable all bytes, lengths and names that were written before this call, of every file.
    /// After an error nothing may be assumed about what is durable.
    fn sync(&self) -> io::Result<()>;
}

/// An open file with positional access; shared by threads without a cursor.
pub trait DiskFile: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file. May wait for the device.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Like [`read_at`](DiskFile::read_at) but only what is in memory: `None` (or fewer bytes than asked for) when the
    /// rest would have to wait for the device. Safe on a runtime worker.
    fn try_read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>>;
    /// Writes all of `buf` at `offset`, growing the file when needed. Not durable until [`sync`](DiskFile::sync).
    /// After an error any part of `buf` may be there.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes every write before this call durable (fdatasync). After an error nothing may be assumed about what is durable.
    fn sync(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Sets the length; growth reads as zeros and takes no blocks.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The pages of this range need not stay in memory; a hint.
    fn forget_pages(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
    /// Reserves blocks for `offset..offset + len` so that later writes there cannot run out of space; contents stay.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// How full a file system is, in bytes, as `df` counts: what is reserved for the administrator is in neither number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Taken by files, of whomever.
    pub used_bytes: u64,
    /// What this process could still write.
    pub available_bytes: u64,
}

impl Space {
    /// Used and available together.
    pub fn total_bytes(&self) -> u64 {
        self.used_bytes.saturating_add(self.available_bytes)
    }

    /// Share in use, in percent, rounded up as `df` and RocketMQ round; 0 of a file system that counts nothing.
    pub fn used_percent(&self) -> u8 {
        let (used, total) = (u128::from(self.used_bytes), u128::from(self.total_bytes()));
        if total == 0 { 0 } else { (used * 100).div_ceil(total) as u8 }
    }
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Last part of the path. Names that are not UTF-8 are left out of listings: no file of a store has one.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// Reads exactly `buf.len()` bytes, or `UnexpectedEof` naming how many there were.
pub fn read_exact_at(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let found = file.read_at(buf, offset)?;
    if found == buf.len() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("wanted {} bytes at {offset}, the file has {found} there", buf.len()),
    ))
}

/// Reads a whole file, refusing one over `limit` bytes (`FileTooLarge`).
pub fn read_whole(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let len = file.len()?;
    if len > limit {
        let text = format!("{} has {len} bytes, at most {limit} are read", path.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    read_exact_at(&*file, &mut bytes, 0)?;
    Ok(bytes)
}
