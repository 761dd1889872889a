//! How far the newest index file may be believed: `index.gantry`, beside the folder `index`.
//!
//! RocketMQ's header has no checksum and no word on which slots are written; this file has. Two places of 512 bytes at 0 and
//! 4096 are written in turn, so that a torn write leaves the other one. A place, big-endian:
//!
//! ```text
//!  0  8 bytes "GANTRYIX"                                28  u64 name of the newest file, as a number
//!  8  u32 version, 1                                    36  u32 applied: slots on disk know all entries below it
//! 12  u64 sequence                                      40  the header of that file, 40 bytes; entries below its
//! 20  u64 covered: records before it have their keys        `next` are on disk
//!     in the index                                      80  u32 CRC-32 of the bytes before
//! ```

use std::{path::PathBuf, sync::Arc};

use gantry_base::disk::{Disk, DiskFile};

use super::format::{HEADER_LEN, Header, Shape};
use crate::error::{DiskError, SYNC, While};

const MAGIC: &[u8; 8] = b"GANTRYIX";
const VERSION: u32 = 1;
const PLACE_LEN: usize = 84;
const PLACES_AT: [u64; 2] = [0, 4096];

/// What is known to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexMark {
    /// Name of the newest file.
    pub(crate) file: u64,
    /// Records before this physical offset have all their keys in the index.
    pub(crate) covered: u64,
    /// The slots on disk know every entry below this number; from it to the header's `next` they may or may not.
    pub(crate) applied: u32,
    /// As the file's header should be.
    pub(crate) header: Header,
}

pub(crate) struct Marks {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    sequence: u64,
}

impl Marks {
    /// Opens the file, making it; its name is durable after a sync of the folder. Gives the newest whole mark.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, shape: Shape) -> Result<(Self, Option<IndexMark>), DiskError> {
        let file = disk.open(&path, true).doing("open", &path)?;
        let mut newest: Option<(u64, IndexMark)> = None;
        for at in PLACES_AT {
            let mut place = [0; PLACE_LEN];
            let whole = file.read_at(&mut place, at).doing("read", &path)? == PLACE_LEN;
            let found = decode(&place, shape).filter(|_| whole);
            newest = match (newest, found) {
                (Some(one), Some(other)) => Some(if one.0 >= other.0 { one } else { other }),
                (one, other) => one.or(other),
            };
        }
        if newest.is_none() {
            // Both places' blocks now, so that a mark never needs space.
            for at in PLACES_AT {
                file.write_at(&[0; PLACE_LEN], at).doing("write", &path)?;
            }
            file.sync().doing(SYNC, &path)?;
        }
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        Ok((Marks { file, path, sequence }, newest.map(|(_, mark)| mark)))
    }

    /// Makes `mark` the newest, durably.
    pub(crate) fn write(&mut self, mark: IndexMark) -> Result<(), DiskError> {
        let sequence = self.sequence + 1;
        let at = PLACES_AT[(sequence % 2) as usize];
        self.file.write_at(&encode(sequence, mark), at).doing("write", &self.path)?;
        self.file.sync().doing(SYNC, &self.path)?;
        self.sequence = sequence;
        Ok(())
    }
}

fn encode(sequence: u64, mark: IndexMark) -> [u8; PLACE_LEN] {
    let mut place = [0; PLACE_LEN];
    place[..8].copy_from_slice(MAGIC);
    place[8..12].copy_from_slice(&VERSION.to_be_bytes());
    place[12..20].copy_from_slice(&sequence.to_be_bytes());
    place[20..28].copy_from_slice(&mark.covered.to_be_bytes());
    place[28..36].copy_from_slice(&mark.file.to_be_bytes());
    place[36..40].copy_from_slice(&mark.applied.to_be_bytes());
    place[40..80].copy_from_slice(&mark.header.encode());
    let checksum = crc32fast::hash(&place[..80]);
    place[80..].copy_from_slice(&checksum.to_be_bytes());
    place
}

fn decode(place: &[u8; PLACE_LEN], shape: Shape) -> Option<(u64, IndexMark)> {
    let long = |at: usize| place[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let int = |at: usize| place[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    if !place.starts_with(MAGIC) || int(8) != VERSION || int(80) != crc32fast::hash(&place[..80]) {
        return None;
    }
    let header = Header::decode(place[40..].first_chunk::<HEADER_LEN>()?, shape)?;
    let mark = IndexMark { covered: long(20), file: long(28), applied: int(36), header };
    (1..=header.next).contains(&mark.applied).then_some((long(12), mark))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gantry_base::disk::sim::SimDisk;

    use super::*;

    const SHAPE: Shape = Shape { slots: 8, entries: 100 };

    fn mark(next: u32) -> IndexMark {
        let header = Header { begin_ms: 1, end_ms: 2, begin_offset: 3, end_offset: 4, slots_used: 5, next };
        IndexMark { file: 20_260_101_000_000_000, covered: 9, applied: 1, header }
    }

    fn open(disk: &SimDisk) -> (Marks, Option<IndexMark>) {
        Marks::open(disk, Path::new("/index.gantry").into(), SHAPE).unwrap()
    }

    #[test]
    fn the_newest_whole_mark_counts() {
        let disk = SimDisk::new(1);
        let (mut marks, none) = open(&disk);
        assert_eq!(none, None);
        marks.write(mark(7)).unwrap();
        marks.write(mark(8)).unwrap();
        assert_eq!(open(&disk).1, Some(mark(8)));
        disk.open(Path::new("/index.gantry"), false).unwrap().write_at(&[9], PLACES_AT[0] + 50).unwrap();
        let (mut marks, found) = open(&disk);
        assert_eq!(found, Some(mark(7)), "the second lay in the first place");
        marks.write(mark(8)).unwrap();
        assert_eq!(open(&disk).1, Some(mark(8)));
    }

    #[test]
    fn a_mark_of_another_shape_is_none() {
        let disk = SimDisk::new(1);
        open(&disk).0.write(mark(50)).unwrap();
        let smaller = Shape { slots: 8, entries: 49 };
        assert_eq!(Marks::open(&disk, Path::new("/index.gantry").into(), smaller).unwrap().1, None);
    }
}
