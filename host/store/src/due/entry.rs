//! One entry of the due index, and how entries lie in a block.

use gantry_model::offset::PhysicalOffset;

/// Bytes of an entry.
const ENTRY_LEN: usize = 28;
/// Bytes of a block: the unit of reading, writing and checking.
pub(super) const BLOCK_LEN: usize = 4096;
/// Bytes before the entries of a block.
const HEAD_LEN: usize = 8;
/// Entries of a full block.
pub(super) const BLOCK_ENTRIES: usize = (BLOCK_LEN - HEAD_LEN) / ENTRY_LEN;
/// Latest due time that an entry can hold, ms since 1970: over two million years.
pub const DUE_MS_MAX: u64 = (1 << 56) - 1;

const _: () = assert!(HEAD_LEN + BLOCK_ENTRIES * ENTRY_LEN == BLOCK_LEN);

/// The order in which entries fall due: by time, then as they came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueKey {
    /// When, ms since 1970; at most [`DUE_MS_MAX`].
    pub due_ms: u64,
    /// The record's place in its queue.
    pub queue_offset: u64,
}

/// What falls due. The index keeps it and does not interpret it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DueKind {
    /// A message to be delivered.
    Deliver,
    /// The recall of one.
    Recall,
}

/// A record and when it falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueEntry {
    /// When, and its place in its queue.
    pub key: DueKey,
    /// What it is.
    pub kind: DueKind,
    /// Where the record lies in the log.
    pub physical_offset: PhysicalOffset,
    /// Bytes of the record.
    pub size: u32,
}

impl DueEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        let kind = u64::from(self.kind == DueKind::Recall) << 56;
        out.extend_from_slice(&(self.key.due_ms.min(DUE_MS_MAX) | kind).to_be_bytes());
        out.extend_from_slice(&self.key.queue_offset.to_be_bytes());
        out.extend_from_slice(&self.physical_offset.0.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
    }

    fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let due = u64_at(0);
        let kind = match due >> 56 {
            0 => DueKind::Deliver,
            1 => DueKind::Recall,
            _ => return None,
        };
        Some(DueEntry {
            key: DueKey { due_ms: due & DUE_MS_MAX, queue_offset: u64_at(8) },
            kind,
            physical_offset: PhysicalOffset(u64_at(16)),
            size: bytes[24..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)),
        })
    }
}

/// The checksum begins with which block of which run it is, so that a block in another's place is noticed.
fn checksum(run: u64, block: u64, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&run.to_be_bytes());
    hasher.update(&block.to_be_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// Appends one block with at most [`BLOCK_ENTRIES`] entries.
pub(super) fn encode_block(run: u64, block: u64, entries: &[DueEntry], out: &mut Vec<u8>) {
    debug_assert!(entries.len() <= BLOCK_ENTRIES);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    entries.iter().for_each(|entry| entry.encode(out));
    out.resize(start + BLOCK_LEN, 0);
    let sum = checksum(run, block, &out[start + 4..]);
    out[start..start + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Appends the entries of a block to `out`; `None`, and nothing appended, when it is not the block that was written.
pub(super) fn decode_block(run: u64, block: u64, bytes: &[u8], out: &mut Vec<DueEntry>) -> Option<()> {
    let bytes: &[u8; BLOCK_LEN] = bytes.try_into().ok()?;
    let u32_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    if u32_at(0) != checksum(run, block, &bytes[4..]) {
        return None;
    }
    let (entries, _) = bytes[HEAD_LEN..].as_chunks::<ENTRY_LEN>();
    let entries = entries.get(..u32_at(4) as usize)?;
    let before = out.len();
    out.extend(entries.iter().map_while(DueEntry::decode));
    if out.len() - before != entries.len() {
        out.truncate(before);
        return None;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<DueEntry>> {
        let entry = (0..=DUE_MS_MAX, any::<(u64, u64, u32, bool)>()).prop_map(|(due_ms, (nth, at, size, recall))| {
            let kind = if recall { DueKind::Recall } else { DueKind::Deliver };
            let key = DueKey { due_ms, queue_offset: nth };
            DueEntry { key, kind, physical_offset: PhysicalOffset(at), size }
        });
        proptest::collection::vec(entry, 0..=BLOCK_ENTRIES)
    }

    proptest! {
        #[test]
        fn a_block_reads_back(entries in entries(), run in any::<u64>(), block in any::<u64>()) {
            let mut bytes = Vec::new();
            encode_block(run, block, &entries, &mut bytes);
            prop_assert_eq!(bytes.len(), BLOCK_LEN);
            let mut found = Vec::new();
            prop_assert_eq!(decode_block(run, block, &bytes, &mut found), Some(()));
            prop_assert_eq!(found, entries);
        }

        #[test]
        fn a_flipped_bit_or_another_place_is_noticed(entries in entries(), bit in 0..BLOCK_LEN * 8, run in any::<u64>()) {
            let mut bytes = Vec::new();
            encode_block(run, 3, &entries, &mut bytes);
            let mut found = Vec::new();
            prop_assert_eq!(decode_block(run, 4, &bytes, &mut found), None);
            prop_assert_eq!(decode_block(run ^ 1, 3, &bytes, &mut found), None);
            prop_assert_eq!(decode_block(run, 3, &bytes[..BLOCK_LEN - 1], &mut found), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode_block(run, 3, &bytes, &mut found), None);
            prop_assert!(found.is_empty());
        }

        #[test]
        fn bytes_with_a_right_checksum_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), BLOCK_LEN)) {
            let sum = checksum(1, 2, &bytes[4..]);
            bytes[..4].copy_from_slice(&sum.to_be_bytes());
            let mut found = Vec::new();
            let _ = decode_block(1, 2, &bytes, &mut found);
            prop_assert!(found.len() <= BLOCK_ENTRIES);
        }
    }

    #[test]
    fn the_layout_is_this() {
        let key = DueKey { due_ms: 0x0102_0304_0506, queue_offset: 7 };
        let entry = DueEntry { key, kind: DueKind::Recall, physical_offset: PhysicalOffset(8), size: 9 };
        let mut bytes = Vec::new();
        encode_block(5, 6, &[entry], &mut bytes);
        let expected = [
            0, 0, 0, 1, // entries
            1, 0, 1, 2, 3, 4, 5, 6, // kind, due time
            0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 9, 0,
        ];
        assert_eq!(bytes[4..4 + expected.len()], expected);
    }
}
