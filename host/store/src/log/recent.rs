//! Pieces of the log that were read a moment ago.
//!
//! Messages of several queues lie among each other, and consumers of a backlog go through their queues side by side: what one
//! pull leaves out the next one wants. Reading message by message costs a system call and a cold cache line each time; a
//! block read once serves all of them. Only for ranges of which a good share is wanted, and only where nothing is written any
//! more; a lone message and the tail are read directly.
//!
//! Nothing here is trusted: whoever reads compares every record with its checksum, and [forgets](Recent::forget) what did not
//! fit, so that it is read anew. A position of the log means the same bytes for as long as the store is open.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Log;
use crate::{Read, Wait, error::DiskError};

/// Bytes of a block, at most; less where segments are shorter.
const BLOCK_BITS_MAX: u32 = 18;
/// A segment whose length is no multiple of this has no blocks.
const BLOCK_BITS_MIN: u32 = 10;
/// Blocks kept: 16 MiB of 256 KiB each. Beyond it the one that was read first goes.
const BLOCKS_MAX: usize = 64;
/// One byte of so many must be wanted.
const SHARE: u64 = 16;

pub(crate) struct Recent {
    /// `None`: segments have no common block length.
    block_bits: Option<u32>,
    kept: Mutex<Kept>,
}

type Block = Arc<Vec<u8>>;

#[derive(Default)]
struct Kept {
    /// Number of the block in the log, and its bytes.
    blocks: Vec<(u64, Block)>,
    /// The one that goes next.
    oldest: usize,
    /// Memory of one that went, for the next.
    spare: Vec<u8>,
}

impl Recent {
    pub(crate) fn new(segment_size: u64) -> Self {
        let bits = segment_size.trailing_zeros().min(BLOCK_BITS_MAX);
        Recent { block_bits: Some(bits).filter(|bits| *bits >= BLOCK_BITS_MIN), kept: Mutex::default() }
    }

    /// Whether to read `wanted` bytes that lie between `from` and `to` by blocks. Before `settled` nothing changes any more.
    pub(crate) fn is_worth_it(&self, from: u64, to: u64, wanted: u64, settled: u64) -> bool {
        let Some(bits) = self.block_bits else { return false };
        let settled = to <= settled && to.next_multiple_of(1 << bits) <= settled;
        settled && to - from > 1 << (bits - 1) && wanted.saturating_mul(SHARE) >= to - from
    }

    /// Appends `len` bytes from `position` on to `out`.
    pub(crate) fn read(
        &self,
        log: &Log,
        position: u64,
        len: usize,
        wait: Wait,
        out: &mut Vec<u8>,
    ) -> Result<Option<Read>, DiskError> {
        let Some(bits) = self.block_bits else { return Ok(None) };
        let (mut at, end) = (position, position + len as u64);
        while at < end {
            let number = at >> bits;
            let block = match self.kept(number) {
                Some(block) => block,
                None => {
                    let mut bytes = std::mem::take(&mut self.kept.lock().spare);
                    bytes.resize(1 << bits, 0);
                    match log.read(number << bits, &mut bytes, wait)? {
                        Some(Read::Done) => self.keep(number, bytes),
                        other => {
                            self.kept.lock().spare = bytes;
                            return Ok(other);
                        }
                    }
                }
            };
            let within = (at - (number << bits)) as usize;
            let count = ((end - at) as usize).min(block.len() - within);
            out.extend_from_slice(&block[within..within + count]);
            at += count as u64;
        }
        Ok(Some(Read::Done))
    }

    /// Forgets everything: something that was read here is not what it should be.
    pub(crate) fn forget(&self) {
        *self.kept.lock() = Kept::default();
    }

    fn kept(&self, number: u64) -> Option<Block> {
        let kept = self.kept.lock();
        kept.blocks.iter().find(|(found, _)| *found == number).map(|(_, block)| block.clone())
    }

    fn keep(&self, number: u64, bytes: Vec<u8>) -> Block {
        let block = Arc::new(bytes);
        let mut kept = self.kept.lock();
        if kept.blocks.len() < BLOCKS_MAX {
            kept.blocks.push((number, block.clone()));
        } else {
            let oldest = kept.oldest;
            let (_, gone) = std::mem::replace(&mut kept.blocks[oldest], (number, block.clone()));
            kept.oldest = (oldest + 1) % BLOCKS_MAX;
            // Unless somebody reads it still.
            kept.spare = Arc::try_unwrap(gone).unwrap_or_default();
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gantry_base::disk::{
        Disk,
        sim::{Operation, SimDisk, SplitMix64},
    };

    use super::*;
    use crate::log::segment::Segment;

    const SEGMENT: u64 = 64 << 10;

    /// A log of so many segments, each of them one block long.
    fn log(segments: u64) -> (SimDisk, Log, Vec<u8>) {
        let disk = SimDisk::new(1);
        let folder = Path::new("/log");
        disk.create_dir_all(folder).unwrap();
        let mut rng = SplitMix64::new(7);
        let bytes: Vec<u8> = (0..segments * SEGMENT).map(|_| rng.below(256) as u8).collect();
        let made = bytes.chunks(SEGMENT as usize).enumerate().map(|(index, bytes)| {
            let segment = Segment::create(&disk, folder, index as u64 * SEGMENT, SEGMENT).unwrap();
            segment.write(bytes, segment.base).unwrap();
            Arc::new(segment)
        });
        let made = made.collect();
        (disk.clone(), Log::new(Arc::new(disk), folder.into(), SEGMENT, made), bytes)
    }

    #[test]
    fn what_is_read_is_what_lies_there() {
        let (disk, log, bytes) = log(80);
        let mut rng = SplitMix64::new(1);
        for _ in 0..4_000 {
            let len = 1 + rng.below(3_000);
            let at = rng.below(bytes.len() as u64 - len) as usize;
            let mut out = b"before".to_vec();
            let read = log.recent.read(&log, at as u64, len as usize, Wait::Allowed, &mut out).unwrap();
            assert_eq!(read, Some(Read::Done));
            assert!(out[..6] == *b"before" && out[6..] == bytes[at..at + len as usize]);
        }
        assert_eq!(log.recent.kept.lock().blocks.len(), BLOCKS_MAX, "no more are kept, whatever is read");
        let calls = disk.calls(Operation::Read);
        let (number, _) = log.recent.kept.lock().blocks[3].clone();
        let mut out = Vec::new();
        log.recent.read(&log, number * SEGMENT + 5, 100, Wait::Allowed, &mut out).unwrap();
        assert_eq!(disk.calls(Operation::Read), calls, "one that is kept is not read again");
    }

    #[test]
    fn what_was_forgotten_is_read_anew() {
        let (_, log, _) = log(1);
        let read = || {
            let mut out = Vec::new();
            log.recent.read(&log, 100, 4, Wait::Allowed, &mut out).unwrap();
            out
        };
        let before = read();
        log.segment(100).unwrap().write(b"anew", 100).unwrap();
        assert_eq!(read(), before);
        log.recent.forget();
        assert_eq!(read(), b"anew");
    }

    #[test]
    fn a_block_that_is_not_in_memory_is_left_to_who_may_wait() {
        let (disk, log, _) = log(1);
        disk.set_cold_reads(1000);
        let mut out = Vec::new();
        assert_eq!(log.recent.read(&log, 0, 9, Wait::Never, &mut out).unwrap(), Some(Read::WouldBlock));
        assert_eq!(log.recent.read(&log, 0, 9, Wait::Allowed, &mut out).unwrap(), Some(Read::Done));
        assert_eq!(log.recent.read(&log, 9, 9, Wait::Never, &mut out).unwrap(), Some(Read::Done), "it is now");
        assert_eq!(log.recent.read(&log, SEGMENT - 4, 9, Wait::Allowed, &mut out).unwrap(), None, "behind the log");
    }

    #[test]
    fn only_ranges_of_which_a_share_is_wanted_and_nothing_changes() {
        let recent = Recent::new(1 << 30);
        let block = 1 << BLOCK_BITS_MAX;
        assert!(recent.is_worth_it(0, block, block / SHARE, block));
        assert!(!recent.is_worth_it(0, block, block / SHARE - 1, block), "too few of them are wanted");
        assert!(!recent.is_worth_it(0, block, block, block - 1), "its end is being written");
        assert!(!recent.is_worth_it(0, block / 2, block / 2, block), "as good as one read");
        assert!(!Recent::new(1000).is_worth_it(0, block, block, block), "no blocks divide the segments");
    }
}
