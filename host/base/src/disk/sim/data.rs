//! The bytes of one file: what a reader sees now, and what the platter has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{BLOCK_LEN, SplitMix64};

/// Earlier contents of a sector that are remembered, the platter's included.
const VERSIONS_MAX: usize = 4;

/// Contents of blocks by number; shared with forks of the disk until one of them writes.
pub(super) type Blocks = BTreeMap<u64, Arc<[u8]>>;

/// A sector whose page differs, or may differ, from the platter.
#[derive(Clone)]
struct Behind {
    /// Oldest first; the first is on the platter.
    versions: Vec<Box<[u8]>>,
    /// Whether a sync would write it. Clean and behind is what a failed sync leaves.
    dirty: bool,
    /// It changed by a shorter length and not by a write: it becomes durable with a length only.
    freed: bool,
}

#[derive(Clone)]
pub(super) struct Data {
    sector_len: u64,
    len: u64,
    durable_len: u64,
    blocks: Blocks,
    allocated: BTreeSet<u64>,
    behind: BTreeMap<u64, Behind>,
    /// Blocks that a sync or a power loss has settled: they hold on the platter what was written to them.
    settled: BTreeSet<u64>,
    /// What the device holds in blocks that this file may be given: of a file removed before, or of its own cut end.
    stale: Blocks,
}

impl Data {
    pub(super) fn new(sector_len: u64, stale: Blocks) -> Self {
        Data {
            sector_len,
            len: 0,
            durable_len: 0,
            blocks: BTreeMap::new(),
            allocated: BTreeSet::new(),
            behind: BTreeMap::new(),
            settled: BTreeSet::new(),
            stale,
        }
    }

    /// What the device still holds once the file is removed.
    pub(super) fn into_stale(self) -> Blocks {
        let mut stale = self.stale;
        stale.extend(self.blocks);
        stale
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Blocks that count against the capacity.
    pub(super) fn blocks(&self) -> u64 {
        self.allocated.len() as u64
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let count = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        for (block, within, part) in pieces(offset, count) {
            match self.blocks.get(&block) {
                Some(bytes) => buf[part].copy_from_slice(&bytes[within]),
                None => buf[part].fill(0),
            }
        }
        count
    }

    /// How many blocks of the range have no space yet.
    pub(super) fn missing_blocks(&self, offset: u64, len: u64) -> u64 {
        blocks_of(offset, len).filter(|block| !self.allocated.contains(block)).count() as u64
    }

    /// Takes blocks for the range as far as `free` allows; returns how many bytes from `offset` have space.
    pub(super) fn reserve(&mut self, offset: u64, len: u64, mut free: u64) -> u64 {
        for block in blocks_of(offset, len) {
            if !self.allocated.contains(&block) {
                if free == 0 {
                    return (block * BLOCK_LEN).saturating_sub(offset);
                }
                free -= 1;
                self.allocated.insert(block);
            }
        }
        len
    }

    /// The same for blocks that are given before anything is written to them: the file system knows them as unwritten, and they
    /// read as zeros until their data is there, whatever the device holds.
    pub(super) fn allocate(&mut self, offset: u64, len: u64, free: u64) {
        for block in blocks_of(offset, len).filter(|block| !self.allocated.contains(block)) {
            self.stale.remove(&block);
        }
        self.reserve(offset, len, free);
        self.grow(offset + len);
    }

    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        if buf.is_empty() {
            return;
        }
        self.remember(offset..offset + buf.len() as u64, false);
        for (block, within, part) in pieces(offset, buf.len()) {
            self.allocated.insert(block);
            self.block(block)[within].copy_from_slice(&buf[part]);
        }
        self.grow(offset + buf.len() as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            // Only what was ever written needs remembering; the rest of a sparse file is zeros either way.
            let written: Vec<u64> = self.blocks.range(len / BLOCK_LEN..).map(|(block, _)| *block).collect();
            for block in written {
                let start = (block * BLOCK_LEN).max(len);
                // The rest of a block that stays is zeroed by a write like any other; whole blocks are given back.
                self.remember(start..(block + 1) * BLOCK_LEN, start == block * BLOCK_LEN);
                if start > block * BLOCK_LEN {
                    self.block(block)[(start - block * BLOCK_LEN) as usize..].fill(0);
                } else if let Some(bytes) = self.blocks.remove(&block) {
                    self.stale.insert(block, bytes);
                }
            }
            self.allocated.split_off(&len.div_ceil(BLOCK_LEN));
            self.settled.split_off(&len.div_ceil(BLOCK_LEN));
        }
        self.len = len;
    }

    /// Like fdatasync: what was written is durable, and the length with what it cut off if it differs from the durable one.
    /// A file that shrank and grew back needs no new length, so the bytes in between may come back.
    pub(super) fn sync(&mut self) {
        let new_len = self.len != self.durable_len;
        self.behind.retain(|_, behind| !behind.dirty || (behind.freed && !new_len));
        self.durable_len = self.len;
        self.settled = self.blocks.keys().copied().collect();
    }

    pub(super) fn fail_sync(&mut self, rng: &mut SplitMix64) {
        self.behind.retain(|_, behind| {
            let written = behind.dirty && rng.coin();
            behind.dirty = false;
            behind.versions.truncate(1);
            !written
        });
        if rng.coin() {
            self.durable_len = self.len;
        }
    }

    pub(super) fn power_loss(&mut self, rng: &mut SplitMix64, kept_per_mille: u64, show_stale: bool) {
        if show_stale {
            self.show_stale(rng, kept_per_mille);
        }
        for (sector, behind) in std::mem::take(&mut self.behind) {
            if behind.dirty && rng.below(1000) < kept_per_mille {
                continue;
            }
            let states = if behind.dirty { behind.versions.len() as u64 } else { 1 };
            let version = &behind.versions[rng.below(states) as usize];
            let start = sector * self.sector_len;
            let within = (start % BLOCK_LEN) as usize;
            self.block(start / BLOCK_LEN)[within..within + version.len()].copy_from_slice(version);
        }
        let kept = if rng.below(1000) < kept_per_mille { self.len } else { self.durable_len };
        self.len = kept;
        self.durable_len = kept;
        // What lies behind the end is never read again as old bytes.
        let cut: Vec<u64> = self.blocks.range(kept / BLOCK_LEN..).map(|(block, _)| *block).collect();
        for block in cut {
            let start = (block * BLOCK_LEN).max(kept);
            self.block(block)[(start - block * BLOCK_LEN) as usize..].fill(0);
        }
        self.settled = self.blocks.keys().copied().collect();
    }

    /// The file system had given these blocks to the file and the data had not followed: they show what was there before.
    fn show_stale(&mut self, rng: &mut SplitMix64, kept_per_mille: u64) {
        let fresh: Vec<u64> = self.blocks.keys().filter(|block| !self.settled.contains(block)).copied().collect();
        for block in fresh {
            let Some(stale) = self.stale.get(&block).cloned().filter(|_| rng.coin()) else { continue };
            for within in (0..BLOCK_LEN).step_by(self.sector_len as usize) {
                if rng.below(1000) >= kept_per_mille {
                    self.behind.remove(&((block * BLOCK_LEN + within) / self.sector_len));
                    let range = within as usize..(within + self.sector_len) as usize;
                    self.block(block)[range.clone()].copy_from_slice(&stale[range]);
                }
            }
        }
    }

    /// Keeps the present contents of the sectors of a range before they change, by a shorter length or by a write.
    fn remember(&mut self, range: Range<u64>, freed: bool) {
        for sector in range.start / self.sector_len..range.end.div_ceil(self.sector_len) {
            let start = sector * self.sector_len;
            let within = (start % BLOCK_LEN) as usize;
            let now = match self.blocks.get(&(start / BLOCK_LEN)) {
                Some(block) => block[within..within + self.sector_len as usize].into(),
                None => vec![0; self.sector_len as usize].into(),
            };
            let behind = self.behind.entry(sector).or_insert(Behind { versions: Vec::new(), dirty: true, freed });
            behind.dirty = true;
            behind.freed = freed;
            if behind.versions.len() < VERSIONS_MAX {
                behind.versions.push(now);
            }
        }
    }

    fn block(&mut self, block: u64) -> &mut [u8] {
        Arc::make_mut(self.blocks.entry(block).or_insert_with(|| [0; BLOCK_LEN as usize].into()))
    }
}

fn blocks_of(offset: u64, len: u64) -> Range<u64> {
    offset / BLOCK_LEN..if len == 0 { offset / BLOCK_LEN } else { (offset + len).div_ceil(BLOCK_LEN) }
}

/// Splits a range into blocks: which block, where in it, where in the caller's buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK_LEN) as usize;
        let count = (BLOCK_LEN as usize - within).min(len - done);
        let part = done..done + count;
        done += count;
        Some((at / BLOCK_LEN, within..within + count, part))
    })
}
