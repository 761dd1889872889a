//! The bytes of an index file, big-endian, as RocketMQ has them:
//!
//! ```text
//! header, 40 bytes                               slot, 4 bytes, at 40 + 4 s
//!  0  i64 store time of the first entry, ms       i32 number of its newest entry, 0 = none
//!  8  i64 store time of the last entry, ms
//! 16  i64 physical offset of the first entry     entry, 20 bytes, at 40 + 4 slots + 20 n
//! 24  i64 physical offset of the last entry        0  i32 hash of `topic#key`
//! 32  i32 slots in use                             4  i64 physical offset of the record
//! 36  i32 number of the next entry, from 1        12  i32 seconds between the header's first time and its store time
//!                                                 16  i32 number of the entry before it in its slot, 0 = none
//! ```
//!
//! An entry belongs to slot `hash % slots`. Entry 0 is never used. Source: RocketMQ `IndexFile`, `IndexHeader`.

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 40;
/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 20;
const SLOT_LEN: u64 = 4;

/// How many slots and entries each file has; a directory keeps the shape it was made with, in its files' length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) slots: u32,
    /// Numbers from 1 to below it are entries.
    pub(crate) entries: u32,
}

impl Shape {
    pub(crate) fn file_len(self) -> u64 {
        self.entry_at(self.entries)
    }

    pub(crate) fn slot_of(self, hash: u32) -> u32 {
        hash % self.slots
    }

    pub(crate) fn slot_at(self, slot: u32) -> u64 {
        HEADER_LEN as u64 + SLOT_LEN * u64::from(slot)
    }

    pub(crate) fn entry_at(self, number: u32) -> u64 {
        self.slot_at(self.slots) + ENTRY_LEN as u64 * u64::from(number)
    }
}

/// The header. Times in ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) begin_offset: u64,
    pub(crate) end_offset: u64,
    pub(crate) slots_used: u32,
    /// Number of the next entry; 1 in an empty file.
    pub(crate) next: u32,
}

impl Header {
    /// Of a file that follows one which ended there and then. Source: RocketMQ `IndexFile`'s constructor.
    pub(crate) fn following(end_ms: u64, end_offset: u64) -> Self {
        Header { begin_ms: end_ms, end_ms, begin_offset: end_offset, end_offset, slots_used: 0, next: 1 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next <= 1
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let longs = [self.begin_ms, self.end_ms, self.begin_offset, self.end_offset];
        for (at, long) in longs.iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&long.to_be_bytes());
        }
        bytes[32..36].copy_from_slice(&self.slots_used.to_be_bytes());
        bytes[36..].copy_from_slice(&self.next.to_be_bytes());
        bytes
    }

    /// `None` for bytes that no store writes into a file of this shape. A file of zeros is an empty one.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], shape: Shape) -> Option<Self> {
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let int = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let header = Header {
            begin_ms: long(0),
            end_ms: long(8),
            begin_offset: long(16),
            end_offset: long(24),
            slots_used: int(32),
            next: int(36).max(1),
        };
        let signed = [header.begin_ms, header.end_ms, header.begin_offset, header.end_offset];
        let good = signed.iter().all(|long| *long <= i64::MAX as u64)
            && header.begin_offset <= header.end_offset
            && header.next <= shape.entries;
        good.then_some(header)
    }
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u32,
    pub(crate) offset: u64,
    /// Seconds since the header's first time.
    pub(crate) seconds: u32,
    /// The entry before it in its slot, 0 = none.
    pub(crate) previous: u32,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; ENTRY_LEN]) -> Self {
        let [h0, h1, h2, h3, o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, p0, p1, p2, p3] = *bytes;
        Entry {
            hash: u32::from_be_bytes([h0, h1, h2, h3]),
            offset: u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            seconds: u32::from_be_bytes([s0, s1, s2, s3]),
            previous: u32::from_be_bytes([p0, p1, p2, p3]),
        }
    }
}

/// Seconds that an entry notes for a store time, by the header's first time. Source: RocketMQ `IndexFile.putKey`.
pub(crate) fn seconds_since(begin_ms: u64, store_ms: u64) -> u32 {
    (store_ms.saturating_sub(begin_ms) / 1000).min(i32::MAX as u64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROCKETMQ: Shape = Shape { slots: 5_000_000, entries: 20_000_000 };

    #[test]
    fn a_file_has_rocketmqs_length() {
        assert_eq!(ROCKETMQ.file_len(), 420_000_040);
        assert_eq!(ROCKETMQ.slot_at(0), 40);
        assert_eq!(ROCKETMQ.entry_at(1), 20_000_060);
    }

    #[test]
    fn golden_header() {
        let header = Header {
            begin_ms: 1_700_000_000_000,
            end_ms: 1_700_000_001_500,
            begin_offset: 300,
            end_offset: 4_294_967_296,
            slots_used: 2,
            next: 4,
        };
        let bytes = [
            0, 0, 0x01, 0x8B, 0xCF, 0xE5, 0x68, 0, 0, 0, 0x01, 0x8B, 0xCF, 0xE5, 0x6D, 0xDC, 0, 0, 0, 0, 0, 0, 0x01,
            0x2C, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4,
        ];
        assert_eq!(header.encode(), bytes);
        assert_eq!(Header::decode(&bytes, ROCKETMQ), Some(header));
    }

    #[test]
    fn zeros_are_an_empty_file_and_garbage_is_none() {
        assert!(Header::decode(&[0; HEADER_LEN], ROCKETMQ).unwrap().is_empty());
        assert_eq!(Header::decode(&[0xFF; HEADER_LEN], ROCKETMQ), None);
        let over = Header { next: 11, ..Header::following(0, 0) };
        assert_eq!(Header::decode(&over.encode(), Shape { slots: 1, entries: 10 }), None);
    }

    #[test]
    fn golden_entry() {
        let entry = Entry { hash: 0x7FFF_FFFE, offset: 4711, seconds: 3601, previous: 9 };
        let bytes = [0x7F, 0xFF, 0xFF, 0xFE, 0, 0, 0, 0, 0, 0, 0x12, 0x67, 0, 0, 0x0E, 0x11, 0, 0, 0, 9];
        assert_eq!(entry.encode(), bytes);
        assert_eq!(Entry::decode(&bytes), entry);
    }

    #[test]
    fn seconds_are_clamped() {
        assert_eq!(seconds_since(1000, 999), 0);
        assert_eq!(seconds_since(1000, 3999), 2);
        assert_eq!(seconds_since(0, u64::MAX), i32::MAX as u32);
    }
}
