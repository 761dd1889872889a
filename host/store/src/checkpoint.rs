//! From where recovery must read the log.
//!
//! RocketMQ's `checkpoint` has timestamps and positions of flushes; it is kept for RocketMQ's sake. Gantry's own position
//! is in `checkpoint.gantry`: two slots of 512 bytes at 0 and 4096, written in turn, so that a torn write leaves the other
//! one. A slot, big-endian:
//!
//! ```text
//!  0  8 bytes "GANTRYCP"     20  u64 position: all before is flushed, dispatched and in synced consume queues
//!  8  u32 version, 1         28  u64 from here on every record has its property checksum
//! 12  u64 sequence           36  u32 CRC-32 of the bytes before
//! ```
//!
//! Behind the slots is the [`FlushNote`].

use std::{io, path::Path, sync::Arc};

use gantry_base::disk::{Disk, DiskFile};

use crate::{
    error::{DiskError, SYNC, While},
    planted::{self, PlantedBug},
};

const MAGIC: &[u8; 8] = b"GANTRYCP";
const VERSION: u32 = 1;
const SLOT_LEN: usize = 40;
const SLOTS_AT: [u64; 2] = [0, 4096];
/// Length of RocketMQ's file.
const ROCKETMQ_LEN: u64 = 4096;

/// Where the note of the last flush lies, behind the slots.
const FLUSHED_AT: u64 = 8192;
const FLUSHED_MAGIC: &[u8; 8] = b"GANTRYFL";
const FLUSHED_LEN: usize = 20;

/// Notes how far the log is flushed, after every flush and without a sync of its own: written only when it is true, so what a
/// restart finds is true too, if late after a power loss. Recovery must not cut the log before it.
///
/// `"GANTRYFL"`, u64 physical offset, u32 CRC-32 of the 16 bytes before, at byte 8192 of `checkpoint.gantry`.
pub(crate) struct FlushNote(Arc<dyn DiskFile>);

impl FlushNote {
    /// An error leaves an older note, which is true as well.
    pub(crate) fn write(&self, flushed: u64) {
        if let Err(error) = Self::try_write(&*self.0, flushed) {
            tracing::debug!(%error, "the flush is not noted");
        }
    }

    fn try_write(file: &dyn DiskFile, flushed: u64) -> io::Result<()> {
        let mut bytes = [0; FLUSHED_LEN];
        bytes[..8].copy_from_slice(FLUSHED_MAGIC);
        bytes[8..16].copy_from_slice(&flushed.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_be_bytes());
        file.write_at(&bytes, FLUSHED_AT)
    }
}

/// What one checkpoint says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Physical offset that recovery begins at.
    pub(crate) position: u64,
    /// Physical offset from which on a record without property checksum is torn.
    pub(crate) checked_from: u64,
}

/// RocketMQ's fields, ms since 1970 and physical offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RocketMark {
    pub(crate) log_ms: u64,
    pub(crate) queues_ms: u64,
    pub(crate) index_ms: u64,
    pub(crate) flushed: u64,
    pub(crate) confirmed: u64,
}

pub(crate) struct Checkpoints {
    own: Arc<dyn DiskFile>,
    own_path: std::path::PathBuf,
    rocketmq: Arc<dyn DiskFile>,
    rocketmq_path: std::path::PathBuf,
    sequence: u64,
}

impl Checkpoints {
    /// Opens both files, making them durably; gives the newest whole mark.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<(Self, Option<Mark>), DiskError> {
        let (own_path, rocketmq_path) = (dir.join("checkpoint.gantry"), dir.join("checkpoint"));
        let own = disk.open(&own_path, true).doing("open", &own_path)?;
        let rocketmq = disk.open(&rocketmq_path, true).doing("open", &rocketmq_path)?;
        if rocketmq.len().doing("look at", &rocketmq_path)? < ROCKETMQ_LEN {
            rocketmq.set_len(ROCKETMQ_LEN).doing("set the length of", &rocketmq_path)?;
        }
        let newest = newest(&*own, &own_path)?;
        if newest.is_none() {
            // Both slots' blocks now, so that a checkpoint never needs space.
            own.write_at(&[0; SLOT_LEN], SLOTS_AT[1]).doing("write", &own_path)?;
            own.sync().doing(SYNC, &own_path)?;
            disk.sync_dir(dir).doing("sync folder", dir)?;
        }
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        Ok((Checkpoints { own, own_path, rocketmq, rocketmq_path, sequence }, newest.map(|(_, mark)| mark)))
    }

    /// The newest whole mark, without making or opening anything for writing.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Mark>, DiskError> {
        let path = dir.join("checkpoint.gantry");
        match disk.open_read_only(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            file => Ok(newest(&*file.doing("open", &path)?, &path)?.map(|(_, mark)| mark)),
        }
    }

    /// For the flusher.
    pub(crate) fn flush_note(&self) -> FlushNote {
        FlushNote(self.own.clone())
    }

    /// Notes durably that the log is flushed up to here.
    pub(crate) fn note_flushed(&self, flushed: u64) -> Result<(), DiskError> {
        FlushNote::try_write(&*self.own, flushed).doing("write", &self.own_path)?;
        self.own.sync().doing(SYNC, &self.own_path)
    }

    /// Up to where the log is known to have been flushed; 0 without a note.
    pub(crate) fn flushed(&self) -> Result<u64, DiskError> {
        let mut bytes = [0; FLUSHED_LEN];
        let found = self.own.read_at(&mut bytes, FLUSHED_AT).doing("read", &self.own_path)?;
        let (covered, checksum) = bytes.split_at(16);
        let whole = found == FLUSHED_LEN && covered.starts_with(FLUSHED_MAGIC);
        let whole = whole && checksum == crc32fast::hash(covered).to_be_bytes();
        let flushed = covered.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Ok(if whole { flushed } else { 0 })
    }

    /// Makes `mark` the newest, durably.
    pub(crate) fn write(&mut self, mark: Mark) -> Result<(), DiskError> {
        let sequence = self.sequence + 1;
        let at = SLOTS_AT[(sequence % 2) as usize];
        self.own.write_at(&encode(sequence, mark), at).doing("write", &self.own_path)?;
        self.own.sync().doing(SYNC, &self.own_path)?;
        self.sequence = sequence;
        Ok(())
    }

    /// RocketMQ's file; not synced, because nothing here depends on it.
    pub(crate) fn write_rocketmq(&self, mark: RocketMark) -> Result<(), DiskError> {
        let mut bytes = [0; 40];
        let fields = [mark.log_ms, mark.queues_ms, mark.index_ms, mark.flushed, mark.confirmed];
        for (at, value) in fields.iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_be_bytes());
        }
        self.rocketmq.write_at(&bytes, 0).doing("write", &self.rocketmq_path)
    }

    /// The index time in RocketMQ's file, ms: index files that end later are not believed after its crash.
    pub(crate) fn rocketmq_index_ms(&self) -> Result<u64, DiskError> {
        let mut bytes = [0; 8];
        self.rocketmq.read_at(&mut bytes, 16).doing("read", &self.rocketmq_path)?;
        Ok(u64::from_be_bytes(bytes))
    }
}

/// The newest whole mark and its sequence number.
fn newest(own: &dyn DiskFile, path: &Path) -> Result<Option<(u64, Mark)>, DiskError> {
    let mut newest: Option<(u64, Mark)> = None;
    for at in SLOTS_AT {
        let mut slot = [0; SLOT_LEN];
        let whole = own.read_at(&mut slot, at).doing("read", path)? == SLOT_LEN;
        if let Some(found) = decode(&slot).filter(|_| whole) {
            newest = newest.max_by_sequence(found);
        }
    }
    Ok(newest)
}

trait Newest {
    fn max_by_sequence(self, other: (u64, Mark)) -> Self;
}

impl Newest for Option<(u64, Mark)> {
    fn max_by_sequence(self, other: (u64, Mark)) -> Self {
        match self {
            Some(this) if this.0 >= other.0 => Some(this),
            _ => Some(other),
        }
    }
}

fn encode(sequence: u64, mark: Mark) -> [u8; SLOT_LEN] {
    let mut slot = [0; SLOT_LEN];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..12].copy_from_slice(&VERSION.to_be_bytes());
    slot[12..20].copy_from_slice(&sequence.to_be_bytes());
    slot[20..28].copy_from_slice(&mark.position.to_be_bytes());
    slot[28..36].copy_from_slice(&mark.checked_from.to_be_bytes());
    let checksum = crc32fast::hash(&slot[..36]);
    slot[36..].copy_from_slice(&checksum.to_be_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_LEN]) -> Option<(u64, Mark)> {
    let u64_at = |at: usize| slot[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let u32_at = |at: usize| slot[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let checked = u32_at(36) == crc32fast::hash(&slot[..36]) || planted::is(PlantedBug::SkipCheckpointCrc);
    let whole = slot.starts_with(MAGIC) && u32_at(8) == VERSION && checked;
    whole.then(|| (u64_at(12), Mark { position: u64_at(20), checked_from: u64_at(28) }))
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;

    use super::*;

    const FIRST: Mark = Mark { position: 7, checked_from: 3 };
    const SECOND: Mark = Mark { position: 9, checked_from: 3 };

    #[test]
    fn the_newest_whole_slot_counts() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        let (mut checkpoints, none) = Checkpoints::open(&disk, dir).unwrap();
        assert_eq!(none, None);
        checkpoints.write(FIRST).unwrap();
        checkpoints.write(SECOND).unwrap();
        assert_eq!(Checkpoints::open(&disk, dir).unwrap().1, Some(SECOND));
        let file = disk.open(&dir.join("checkpoint.gantry"), false).unwrap();
        file.write_at(&[1], SLOTS_AT[0] + 25).unwrap();
        let (mut checkpoints, mark) = Checkpoints::open(&disk, dir).unwrap();
        assert_eq!(mark, Some(FIRST), "the second went to the first place and is torn now");
        checkpoints.write(SECOND).unwrap();
        assert_eq!(Checkpoints::open(&disk, dir).unwrap().1, Some(SECOND));
    }

    #[test]
    fn rocketmq_reads_its_fields_where_it_expects_them() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        let (checkpoints, _) = Checkpoints::open(&disk, dir).unwrap();
        checkpoints
            .write_rocketmq(RocketMark { log_ms: 1, queues_ms: 2, index_ms: 5, flushed: 3, confirmed: 4 })
            .unwrap();
        let bytes = gantry_base::disk::read_whole(&disk, &dir.join("checkpoint"), 1 << 20).unwrap();
        assert_eq!(bytes.len(), 4096);
        let longs: Vec<u8> = (0..5).map(|field| bytes[field * 8 + 7]).collect();
        assert_eq!(longs, [1, 2, 5, 3, 4]);
        assert_eq!(checkpoints.rocketmq_index_ms().unwrap(), 5);
    }
}
