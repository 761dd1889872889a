//! The bytes of one file: what a reader sees now, and what the platter has.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{BLOCK_LEN, SplitMix64};

/// Earlier contents of a sector that are remembered, the platter's included.
const VERSIONS_MAX: usize = 4;

/// A sector whose page differs, or may differ, from the platter.
struct Behind {
    /// Oldest first; the first is on the platter.
    versions: Vec<Vec<u8>>,
    /// Whether a sync would write it. Clean and behind is what a failed sync leaves.
    dirty: bool,
}

pub(super) struct Data {
    sector_len: u64,
    len: u64,
    durable_len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
    allocated: BTreeSet<u64>,
    behind: BTreeMap<u64, Behind>,
}

impl Data {
    pub(super) fn new(sector_len: u64) -> Self {
        Data {
            sector_len,
            len: 0,
            durable_len: 0,
            blocks: BTreeMap::new(),
            allocated: BTreeSet::new(),
            behind: BTreeMap::new(),
        }
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

    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        if buf.is_empty() {
            return;
        }
        self.remember(offset..offset + buf.len() as u64);
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
                self.remember(start..(block + 1) * BLOCK_LEN);
                self.block(block)[(start - block * BLOCK_LEN) as usize..].fill(0);
            }
            self.allocated.split_off(&len.div_ceil(BLOCK_LEN));
        }
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        self.behind.retain(|_, behind| !behind.dirty);
        self.durable_len = self.len;
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

    pub(super) fn power_loss(&mut self, rng: &mut SplitMix64, kept_per_mille: u64) {
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
    }

    /// Keeps the present contents of the sectors of a range before they change.
    fn remember(&mut self, range: Range<u64>) {
        for sector in range.start / self.sector_len..range.end.div_ceil(self.sector_len) {
            let start = sector * self.sector_len;
            let within = (start % BLOCK_LEN) as usize;
            let now = match self.blocks.get(&(start / BLOCK_LEN)) {
                Some(block) => block[within..within + self.sector_len as usize].to_vec(),
                None => vec![0; self.sector_len as usize],
            };
            let behind = self.behind.entry(sector).or_insert(Behind { versions: Vec::new(), dirty: true });
            behind.dirty = true;
            if behind.versions.len() < VERSIONS_MAX {
                behind.versions.push(now);
            }
        }
    }

    fn block(&mut self, block: u64) -> &mut [u8] {
        self.blocks.entry(block).or_insert_with(|| vec![0; BLOCK_LEN as usize].into())
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
