//! The stored message: what lies in the commit log, what a pull answer carries, what replicas copy. The same bytes in all
//! three places, so that a message is encoded once in its life.
//!
//! ```text
//!  0  i32 size of the whole record      36  i32 sysFlag                    (i32 n, n bytes) body
//!  4  i32 magic: V1, V2 or blank        40  i64 born, ms                   (u8 or i16 n, n bytes) topic, by magic
//!  8  i32 CRC-32 of the body, no sign   48  born host: IP (4 | 16), i32 port
//! 12  i32 queue id                      ..  i64 stored, ms                 (i16 n, n bytes) properties
//! 16  i32 flag                          ..  store host: IP (4 | 16), i32 port
//! 20  i64 queue offset                  ..  i32 reconsume times
//! 28  i64 physical offset               ..  i64 prepared transaction offset
//! ```
//!
//! Every record that Gantry writes ends in the property `__CRC32#`: ten decimal digits, lowest first, of the CRC-32 over all
//! bytes before it. The body's own checksum misses a flipped queue offset or a torn property; this one does not.
//!
//! A segment of the log ends in a *blank* of at least 8 bytes: `i32` bytes left in the file, the blank magic, then
//! undefined bytes. Source: RocketMQ `MessageExtEncoder`, `MessageDecoder`, `CommitLog`, `MessageVersion`.

mod checksum;
mod draft;
mod reencode;
#[cfg(test)]
mod tests;
mod view;

pub use checksum::{ChecksumError, PropertyChecksum, body_checksum};
pub use draft::{EncodeError, RecordDraft, encode};
pub use reencode::reencode_with_property;
pub use view::{RecordError, RecordView, Records, records};

/// Magic of a record whose topic length is one byte: every topic up to 127 bytes.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record whose topic length is two bytes. Go and C++ clients cannot read it, so it is used for longer topics only.
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the blank that ends a segment.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;
/// Longest topic of a V1 record, in bytes: readers take its length as a signed byte.
pub const V1_TOPIC_LEN_MAX: usize = 127;
/// Bytes of a record besides body, topic and properties: V1 magic and IPv4 hosts. The smallest record.
pub const OVERHEAD_V1: usize = 91;
/// Bytes of a blank that mean anything; whoever fills a segment leaves at least this much room.
pub const BLANK_LEN: usize = 8;
/// Bytes of the checksum property; they count against the property limit of 32767.
pub const CHECKSUM_PROPERTY_LEN: usize = 20;

/// What begins at a place of the log, judged by its first 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// A record of `size` bytes (at least the smallest record), not yet checked.
    Record {
        /// Bytes of the record.
        size: usize,
    },
    /// The rest of the segment, `size` bytes, holds nothing.
    Blank {
        /// Bytes to the end of the segment.
        size: usize,
    },
    /// Neither: zeros where nothing was written yet, or garbage.
    Nothing {
        /// The bytes where the magic should be.
        magic: u32,
        /// The bytes where the size should be.
        size: i32,
    },
    /// Fewer than 8 bytes were given.
    Short,
}

/// Looks at the first 8 bytes.
#[inline]
pub fn peek(bytes: &[u8]) -> Peek {
    let Some((&head, _)) = bytes.split_first_chunk::<8>() else { return Peek::Short };
    let [s0, s1, s2, s3, m0, m1, m2, m3] = head;
    let size = i32::from_be_bytes([s0, s1, s2, s3]);
    let magic = u32::from_be_bytes([m0, m1, m2, m3]);
    match magic {
        MAGIC_V1 | MAGIC_V2 if size >= OVERHEAD_V1 as i32 => Peek::Record { size: size as usize },
        MAGIC_BLANK if size >= BLANK_LEN as i32 => Peek::Blank { size: size as usize },
        _ => Peek::Nothing { magic, size },
    }
}

/// The 8 bytes that end a segment with `remaining` bytes left, themselves included.
pub fn blank(remaining: u32) -> [u8; BLANK_LEN] {
    debug_assert!(remaining as usize >= BLANK_LEN);
    let mut bytes = [0; BLANK_LEN];
    bytes[..4].copy_from_slice(&remaining.to_be_bytes());
    bytes[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
    bytes
}
