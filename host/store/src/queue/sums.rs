//! Checksums of a queue's entries, by blocks.
//!
//! Record and entry vouch for each other, but an entry that a tag filter passes over leads to no record that is read: a bit
//! that flips in its tag would keep the message from its consumer in silence. So every block of entries has a checksum. It grows as
//! dispatch writes and is saved with the queue's [head](crate::heads); whoever reads entries reads whole blocks and compares.
//! Of entries that another program wrote, or whose heads were lost, there is none, and only the look for damage compares them.

use std::ops::Range;

use super::ENTRY_LEN;

/// Entries of a block; the last one of a file may have fewer.
pub(crate) const BLOCK_ENTRIES: u64 = 128;

/// Which entries make a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) entries_per_file: u64,
}

impl Blocks {
    /// Number of the block that holds an entry.
    pub(crate) fn of(self, slot: u64) -> u64 {
        let per_file = self.entries_per_file.div_ceil(BLOCK_ENTRIES);
        slot / self.entries_per_file * per_file + slot % self.entries_per_file / BLOCK_ENTRIES
    }

    /// The entries of a block, all of one file.
    pub(crate) fn entries(self, block: u64) -> Range<u64> {
        let per_file = self.entries_per_file.div_ceil(BLOCK_ENTRIES);
        let file = block / per_file * self.entries_per_file;
        let start = block % per_file * BLOCK_ENTRIES;
        file + start..file + (start + BLOCK_ENTRIES).min(self.entries_per_file)
    }
}

/// A queue's checksums: of blocks without a gap, and of the part of the next one that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Number of the block that `full` begins with.
    pub(crate) first: u64,
    /// CRC-32 of each full block; 0 = not known.
    pub(crate) full: Vec<u32>,
    /// `None`: the block that is being written began before its checksums were counted.
    pub(crate) tail: Option<Tail>,
}

/// The block that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// One past its last entry.
    pub(crate) end: u64,
    /// CRC-32 of its entries so far.
    pub(crate) sum: u32,
}

impl Sums {
    /// Of a queue that has `end` entries of which nothing is known.
    pub(crate) fn unknown(blocks: Blocks, end: u64) -> Self {
        let block = blocks.of(end);
        let begins = blocks.entries(block).start == end;
        Sums {
            first: if begins { block } else { block + 1 },
            full: Vec::new(),
            tail: begins.then_some(Tail { end, sum: 0 }),
        }
    }

    /// Entries were written from `slot` on.
    pub(crate) fn note_written(&mut self, blocks: Blocks, mut slot: u64, mut entries: &[u8]) {
        while !entries.is_empty() {
            let block = blocks.of(slot);
            let range = blocks.entries(block);
            let count = ((entries.len() / ENTRY_LEN) as u64).min(range.end - slot);
            let (now, rest) = entries.split_at(count as usize * ENTRY_LEN);
            if slot == range.start && self.tail.is_none_or(|tail| tail.end != slot) {
                *self = Sums { first: block, full: Vec::new(), tail: Some(Tail { end: slot, sum: 0 }) };
            }
            match &mut self.tail {
                Some(tail) if tail.end == slot => {
                    let before = (slot - range.start) * ENTRY_LEN as u64;
                    tail.sum = extend(tail.sum, before, now);
                    tail.end += count;
                    if tail.end == range.end {
                        self.full.push(std::mem::take(&mut tail.sum));
                    }
                }
                // Not where it went on: what is known of this block is of no use any more.
                _ => *self = Sums { first: block + 1, full: Vec::new(), tail: None },
            }
            slot += count;
            entries = rest;
        }
    }

    /// One past the last entry that the checksum of a block covers, and the checksum.
    pub(crate) fn of(&self, blocks: Blocks, block: u64) -> Option<Tail> {
        let index = usize::try_from(block.checked_sub(self.first)?).ok()?;
        let range = blocks.entries(block);
        match self.full.get(index) {
            Some(0) => None,
            Some(sum) => Some(Tail { end: range.end, sum: *sum }),
            None => self.tail.filter(|tail| (range.start + 1..=range.end).contains(&tail.end)),
        }
    }

    /// The block holds now what no checksum was counted of.
    pub(crate) fn forget(&mut self, blocks: Blocks, block: u64) {
        let full = block.checked_sub(self.first).and_then(|index| self.full.get_mut(index as usize));
        match full {
            Some(sum) => *sum = 0,
            None if self.tail.is_some_and(|tail| blocks.of(tail.end) == block) => self.tail = None,
            None => {}
        }
    }

    /// Entries before `slot` are gone.
    pub(crate) fn drop_before(&mut self, blocks: Blocks, slot: u64) {
        let gone = blocks.of(slot).saturating_sub(self.first).min(self.full.len() as u64);
        self.full.drain(..gone as usize);
        self.first += gone;
    }

    /// What came behind block `saved`.
    pub(crate) fn since(&self, saved: u64) -> Sums {
        let from = saved.clamp(self.first, self.next());
        Sums { first: from, full: self.full[(from - self.first) as usize..].to_vec(), tail: self.tail }
    }

    /// Number of the first block that is not full.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.full.len() as u64
    }

    /// Goes on with what was saved later.
    pub(crate) fn continue_with(&mut self, later: Sums) {
        if later.first == self.next() && !self.full.is_empty() {
            self.full.extend(later.full);
            self.tail = later.tail;
        } else {
            *self = later;
        }
    }
}

/// Whether the bytes are the entries that the checksum is of.
pub(crate) fn fits(sum: u32, entries: &[u8]) -> bool {
    crc32fast::hash(entries) == sum
}

fn extend(sum: u32, len: u64, more: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial_len(sum, len);
    hasher.update(more);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SplitMix64;

    use super::*;

    fn entries(count: u64, rng: &mut SplitMix64) -> Vec<u8> {
        (0..count as usize * ENTRY_LEN).map(|_| rng.below(256) as u8).collect()
    }

    #[test]
    fn blocks_lie_in_one_file_each() {
        for per_file in [1, 3, 127, 128, 129, 300_000] {
            let blocks = Blocks { entries_per_file: per_file };
            let mut slot = 0;
            for block in 0..200 {
                let range = blocks.entries(block);
                assert_eq!(range.start, slot, "{per_file}: no gap");
                assert!(
                    range.end - range.start <= BLOCK_ENTRIES && range.start / per_file == (range.end - 1) / per_file
                );
                assert!(range.clone().all(|slot| blocks.of(slot) == block));
                slot = range.end;
            }
        }
    }

    /// However it is written, every block that is known has the checksum of what was written.
    #[test]
    fn checksums_do_not_depend_on_how_it_was_written() {
        for seed in 0..60 {
            let mut rng = SplitMix64::new(seed);
            let blocks = Blocks { entries_per_file: [1, 100, 128, 300][(seed % 4) as usize] };
            let whole = entries(1000, &mut rng);
            let begun = if seed % 3 == 0 { rng.below(500) } else { 0 };
            let mut sums = Sums::unknown(blocks, begun);
            let (mut saved, mut upto) = (sums.clone(), sums.next());
            let mut slot = begun;
            while slot < 1000 {
                let count = (1 + rng.below(200)).min(1000 - slot);
                sums.note_written(blocks, slot, &whole[slot as usize * ENTRY_LEN..][..count as usize * ENTRY_LEN]);
                slot += count;
                if rng.coin() {
                    saved.continue_with(sums.since(upto));
                    upto = sums.next();
                    assert_eq!((saved.next(), saved.tail), (sums.next(), sums.tail));
                }
            }
            for (known, was_saved) in [(&sums, false), (&saved, true)] {
                for block in 0..blocks.of(slot) {
                    let range = blocks.entries(block);
                    let bytes = &whole[range.start as usize * ENTRY_LEN..range.end as usize * ENTRY_LEN];
                    match known.of(blocks, block) {
                        Some(tail) if tail.end == range.end => assert!(fits(tail.sum, bytes), "{seed} {block}"),
                        _ => assert!(range.start < begun || was_saved, "{seed}: {block} has none"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_block_has_its_own() {
        let (blocks, mut rng) = (Blocks { entries_per_file: 300 }, SplitMix64::new(1));
        let bytes = entries(40, &mut rng);
        let mut sums = Sums::unknown(blocks, 0);
        assert_eq!(sums.of(blocks, 0), None, "nothing is written");
        sums.note_written(blocks, 0, &bytes);
        assert_eq!(sums.of(blocks, 0).map(|tail| (tail.end, fits(tail.sum, &bytes))), Some((40, true)));
        assert_eq!(sums.of(blocks, 1), None);
        sums.forget(blocks, 0);
        assert_eq!(sums.of(blocks, 0), None);
        sums.note_written(blocks, 40, &bytes);
        assert_eq!((sums.of(blocks, 0), sums.next()), (None, 1), "it began before");
    }

    #[test]
    fn what_is_gone_or_forgotten_is_not_known() {
        let (blocks, mut rng) = (Blocks { entries_per_file: 1280 }, SplitMix64::new(1));
        let mut sums = Sums::unknown(blocks, 0);
        sums.note_written(blocks, 0, &entries(1280, &mut rng));
        assert_eq!((sums.full.len(), sums.next()), (10, 10));
        sums.drop_before(blocks, 300);
        assert_eq!((sums.first, sums.next()), (2, 10));
        sums.forget(blocks, 4);
        assert!(sums.of(blocks, 1).is_none() && sums.of(blocks, 4).is_none() && sums.of(blocks, 5).is_some());
        // Written anew somewhere before: only what follows is known.
        sums.note_written(blocks, 3 * 128 + 5, &entries(128, &mut rng));
        assert_eq!((sums.first, sums.full.len()), (4, 0));
    }
}
