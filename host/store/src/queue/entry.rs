//! One consume queue entry: where the nth message of a queue lies in the commit log.
//!
//! 20 bytes, big-endian: `i64` physical offset, `i32` size of the record, `i64` tag code. Entry n begins at byte 20 n,
//! counted across the queue's files. Files are sparse at full length, so a size of 0 means that nothing was written:
//! decoding has no error. Source: RocketMQ `ConsumeQueue`.

use gantry_model::offset::PhysicalOffset;

/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 20;

/// An entry of a consume queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueEntry {
    /// Where the record lies.
    pub physical_offset: PhysicalOffset,
    /// Bytes of the record.
    pub size: u32,
    /// Hash of the tag, 0 without one; in the schedule topic the time of delivery, ms since 1970.
    pub tag_code: i64,
}

impl QueueEntry {
    /// Tag code of an entry that stands for a message which could not be read when the entry was made. No tag has it, no
    /// time of delivery, and no unit of RocketMQ's extension (those are negative). It says nothing about the message: whoever
    /// chooses by tag must look at the record.
    pub const TAG_UNKNOWN: i64 = i64::MAX;

    pub(crate) fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..8].copy_from_slice(&self.physical_offset.to_wire().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tag_code.to_be_bytes());
        bytes
    }

    /// `None` for an entry that was not written, or not by a store.
    pub(crate) fn decode(bytes: &[u8; ENTRY_LEN]) -> Option<Self> {
        let [o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, tag @ ..] = *bytes;
        let size = i32::from_be_bytes([s0, s1, s2, s3]);
        let physical_offset = PhysicalOffset::from_wire(i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]))?;
        (size > 0).then(|| QueueEntry { physical_offset, size: size as u32, tag_code: i64::from_be_bytes(tag) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_entry() {
        let entry = QueueEntry { physical_offset: PhysicalOffset(1024), size: 157, tag_code: 2_598_919 };
        let bytes = [0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 157, 0, 0, 0, 0, 0, 0x27, 0xA8, 0x07];
        assert_eq!(entry.encode(), bytes);
        assert_eq!(QueueEntry::decode(&bytes), Some(entry));
        let negative = QueueEntry { tag_code: -5, ..entry };
        assert_eq!(QueueEntry::decode(&negative.encode()), Some(negative));
    }

    #[test]
    fn zeros_and_garbage_are_no_entry() {
        assert_eq!(QueueEntry::decode(&[0; ENTRY_LEN]), None);
        assert_eq!(QueueEntry::decode(&[0xFF; ENTRY_LEN]), None);
    }
}
