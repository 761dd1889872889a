//! A run: a file of entries in the order of their keys, written once and never changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::{Disk, DiskFile};

use super::{
    DueError,
    entry::{BLOCK_ENTRIES, BLOCK_LEN, DueEntry, DueKey, decode_block, encode_block},
};
use crate::error::{DiskError, SYNC, While};

/// Blocks that one read takes, and one write.
const PIECE_BLOCKS: u64 = 16;

/// What is known of a run without opening it; the manifest has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunMeta {
    /// Its number, which names the file. Never used twice.
    pub(super) number: u64,
    pub(super) entries: u64,
    /// Greatest key.
    pub(super) last: DueKey,
    /// Least and greatest queue offset.
    pub(super) offsets: (u64, u64),
}

impl RunMeta {
    pub(super) fn blocks(&self) -> u64 {
        self.entries.div_ceil(BLOCK_ENTRIES as u64)
    }
}

pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.due"))
}

/// Number of the run in a file of this name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".due").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// An open run.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) meta: RunMeta,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Run {
    pub(super) fn open(disk: &dyn Disk, dir: &Path, meta: RunMeta) -> Result<Self, DueError> {
        let path = path_of(dir, meta.number);
        let file = disk.open(&path, false).doing("open", &path)?;
        let run = Run { meta, path, file };
        let (found, expected) = (run.file.len().doing("look at", &run.path)?, meta.blocks() * BLOCK_LEN as u64);
        match found == expected {
            true => Ok(run),
            false => Err(run.damaged(format!("it has {found} bytes, expected are {expected}"))),
        }
    }

    fn damaged(&self, problem: String) -> DueError {
        DueError::Damaged { file: self.path.clone(), problem }
    }

    /// Appends the entries of `count` blocks from `first` on.
    fn read(&self, first: u64, count: u64, out: &mut Vec<DueEntry>) -> Result<(), DueError> {
        let mut bytes = vec![0; count as usize * BLOCK_LEN];
        let found = self.file.read_at(&mut bytes, first * BLOCK_LEN as u64).doing("read", &self.path)?;
        if found != bytes.len() {
            return Err(self.damaged(format!("block {first} and later ones are missing")));
        }
        for (block, bytes) in (first..).zip(bytes.chunks(BLOCK_LEN)) {
            decode_block(self.meta.number, block, bytes, out)
                .ok_or_else(|| self.damaged(format!("the checksum of block {block} is wrong")))?;
        }
        Ok(())
    }
}

/// Reads a run in order.
pub(super) struct Cursor {
    pub(super) run: Run,
    /// Block behind those in `buffer`.
    next_block: u64,
    buffer: Vec<DueEntry>,
    /// The current entry in `buffer`.
    at: usize,
}

impl Cursor {
    /// Stands before the first entry with a key of at least `from`.
    pub(super) fn seek(run: Run, from: DueKey) -> Result<Self, DueError> {
        let (mut low, mut high) = (0, run.meta.blocks());
        let mut block = Vec::with_capacity(BLOCK_ENTRIES);
        // The last block whose first key is below `from`: the wanted entry is in it or begins the next one.
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            block.clear();
            run.read(middle, 1, &mut block)?;
            match block.first() {
                Some(first) if first.key < from => low = middle,
                _ => high = middle,
            }
        }
        let mut cursor = Cursor { run, next_block: low, buffer: Vec::new(), at: 0 };
        while cursor.peek()?.is_some_and(|entry| entry.key < from) {
            cursor.at += 1;
        }
        Ok(cursor)
    }

    pub(super) fn peek(&mut self) -> Result<Option<DueEntry>, DueError> {
        if self.at == self.buffer.len() {
            let left = self.run.meta.blocks() - self.next_block;
            if left == 0 {
                return Ok(None);
            }
            self.buffer.clear();
            self.at = 0;
            let count = left.min(PIECE_BLOCKS);
            self.run.read(self.next_block, count, &mut self.buffer)?;
            self.next_block += count;
        }
        Ok(self.buffer.get(self.at).copied())
    }

    /// Moves on behind the entry that [`peek`](Self::peek) gave.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1).min(self.buffer.len());
    }

    /// Entries from here on.
    pub(super) fn left(&self) -> u64 {
        let read = self.next_block * BLOCK_ENTRIES as u64;
        let unread = self.run.meta.entries.saturating_sub(read);
        unread + (self.buffer.len() - self.at) as u64
    }
}

/// Writes a run, entry after entry.
pub(super) struct Writer {
    meta: RunMeta,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    block: Vec<DueEntry>,
    piece: Vec<u8>,
    blocks: u64,
    written: u64,
}

impl Writer {
    pub(super) fn create(disk: &dyn Disk, dir: &Path, number: u64) -> Result<Self, DiskError> {
        let path = path_of(dir, number);
        let file = disk.open(&path, true).doing("create", &path)?;
        let meta = RunMeta { number, entries: 0, last: DueKey::default(), offsets: (u64::MAX, 0) };
        Ok(Writer { meta, path, file, block: Vec::new(), piece: Vec::new(), blocks: 0, written: 0 })
    }

    /// Adds an entry with a greater key than all before.
    pub(super) fn push(&mut self, entry: DueEntry) -> Result<(), DiskError> {
        debug_assert!(self.meta.entries == 0 || self.meta.last < entry.key);
        let (least, greatest) = self.meta.offsets;
        let nth = entry.key.queue_offset;
        self.meta.offsets = (least.min(nth), greatest.max(nth));
        self.meta.last = entry.key;
        self.meta.entries += 1;
        self.block.push(entry);
        if self.block.len() == BLOCK_ENTRIES { self.end_block() } else { Ok(()) }
    }

    /// Key of the last entry.
    pub(super) fn last(&self) -> Option<DueKey> {
        (self.meta.entries > 0).then_some(self.meta.last)
    }

    fn end_block(&mut self) -> Result<(), DiskError> {
        encode_block(self.meta.number, self.blocks, &self.block, &mut self.piece);
        self.blocks += 1;
        self.block.clear();
        if self.piece.len() >= PIECE_BLOCKS as usize * BLOCK_LEN { self.write_piece() } else { Ok(()) }
    }

    fn write_piece(&mut self) -> Result<(), DiskError> {
        self.file.write_at(&self.piece, self.written).doing("write", &self.path)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Makes the contents durable; the name is with the folder's next sync. `None`: nothing was pushed, the file is empty.
    pub(super) fn finish(mut self) -> Result<Option<Run>, DiskError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.write_piece()?;
        if self.meta.entries == 0 {
            return Ok(None);
        }
        self.file.sync().doing(SYNC, &self.path)?;
        Ok(Some(Run { meta: self.meta, path: self.path, file: self.file }))
    }
}
