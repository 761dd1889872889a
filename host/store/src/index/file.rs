//! One index file on disk: positional reads and writes of its parts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::{Disk, DiskFile};

use super::format::{ENTRY_LEN, Entry, HEADER_LEN, Header, Shape};
use crate::{
    Read, Wait,
    error::{DiskError, SYNC, While},
};

/// Digits of a file's name.
const NAME_LEN: usize = 17;

/// A file, sparse at full length.
pub(crate) struct IndexFile {
    /// Its name as a number: local time of creation, yyyyMMddHHmmssSSS. Later files have higher ones.
    pub(crate) name: u64,
    pub(crate) shape: Shape,
    pub(crate) path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl IndexFile {
    /// Makes an empty one with its header, durably.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &Path,
        name: u64,
        shape: Shape,
        header: &Header,
    ) -> Result<Self, DiskError> {
        let path = folder.join(file_name(name));
        let file = disk.open(&path, true).doing("create", &path)?;
        let file = IndexFile { name, shape, path, file };
        file.file.set_len(shape.file_len()).doing("set the length of", &file.path)?;
        file.write_header(header)?;
        file.sync()?;
        disk.sync_dir(folder).doing("sync folder", folder)?;
        Ok(file)
    }

    /// Opens one; `None` when its length is not that of the shape.
    pub(crate) fn open(disk: &dyn Disk, folder: &Path, name: u64, shape: Shape) -> Result<Option<Self>, DiskError> {
        let path = folder.join(file_name(name));
        let file = disk.open(&path, false).doing("open", &path)?;
        let len = file.len().doing("look at", &path)?;
        Ok((len == shape.file_len()).then_some(IndexFile { name, shape, path, file }))
    }

    /// `None` when it is none.
    pub(crate) fn read_header(&self) -> Result<Option<Header>, DiskError> {
        let mut bytes = [0; HEADER_LEN];
        self.read(&mut bytes, 0)?;
        Ok(Header::decode(&bytes, self.shape))
    }

    pub(crate) fn write_header(&self, header: &Header) -> Result<(), DiskError> {
        self.write(&header.encode(), 0)
    }

    /// The number in a slot.
    pub(crate) fn read_slot(&self, slot: u32) -> Result<u32, DiskError> {
        let mut bytes = [0; 4];
        self.read(&mut bytes, self.shape.slot_at(slot))?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Fills `bytes` with slots from `slot` on.
    pub(crate) fn read_slots(&self, bytes: &mut [u8], slot: u32, wait: Wait) -> Result<Read, DiskError> {
        let at = self.shape.slot_at(slot);
        if wait == Wait::Never {
            let found = self.file.try_read_at(bytes, at).doing("read", &self.path)?;
            return Ok(if found == Some(bytes.len()) { Read::Done } else { Read::WouldBlock });
        }
        self.read(bytes, at)?;
        Ok(Read::Done)
    }

    pub(crate) fn write_slots(&self, bytes: &[u8], slot: u32) -> Result<(), DiskError> {
        self.write(bytes, self.shape.slot_at(slot))
    }

    /// Entries from number `first` on, encoded.
    pub(crate) fn write_entries(&self, bytes: &[u8], first: u32) -> Result<(), DiskError> {
        self.write(bytes, self.shape.entry_at(first))
    }

    /// Reads `count` entries from number `first` on; fewer where the file ends early.
    pub(crate) fn read_entries(&self, first: u32, count: u32, out: &mut Vec<Entry>) -> Result<(), DiskError> {
        let mut bytes = vec![0; count as usize * ENTRY_LEN];
        let found = self.file.read_at(&mut bytes, self.shape.entry_at(first)).doing("read", &self.path)?;
        out.clear();
        out.extend(bytes[..found].as_chunks().0.iter().map(Entry::decode));
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.file.sync().doing(SYNC, &self.path)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), DiskError> {
        gantry_base::disk::read_exact_at(&*self.file, bytes, at).doing("read", &self.path)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), DiskError> {
        self.file.write_at(bytes, at).doing("write", &self.path)
    }
}

pub(crate) fn file_name(name: u64) -> String {
    format!("{name:017}")
}

pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}

/// Names of index files in a folder, ascending; others are not ours.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, DiskError> {
    let entries = disk.list(folder).doing("list", folder)?;
    // Names of one length sort like their numbers.
    Ok(entries.iter().filter(|entry| !entry.is_dir).filter_map(|entry| parse_file_name(&entry.name)).collect())
}

/// The highest name in a folder, 0 without one.
pub(crate) fn newest(disk: &dyn Disk, folder: &Path) -> Result<u64, DiskError> {
    Ok(list(disk, folder)?.last().copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_times() {
        assert_eq!(file_name(20_231_114_221_320_007), "20231114221320007");
        assert_eq!(parse_file_name("20231114221320007"), Some(20_231_114_221_320_007));
        for other in ["2023111422132000", "202311142213200071", "20231114221320 07", "+0231114221320007"] {
            assert_eq!(parse_file_name(other), None);
        }
    }
}
