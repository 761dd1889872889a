//! The two checksums of a record.

use gantry_model::properties::{self, NAME_END, VALUE_END};

use super::{CHECKSUM_PROPERTY_LEN, view::RecordView};

/// `__CRC32#` and the name separator: what the last 20 bytes of a checked record begin with.
const PREFIX: &[u8; 9] = b"__CRC32#\x01";
const _: () = assert!(PREFIX.len() + 10 + 1 == CHECKSUM_PROPERTY_LEN && properties::CRC32.len() + 1 == PREFIX.len());

/// Whether a record without the checksum property passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyChecksum {
    /// It was written by Gantry and must have one: without it, its end is torn.
    Required,
    /// It may come from Apache RocketMQ; then only its body is covered.
    Optional,
}

/// A record's bytes are not those that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// The property covers the whole record.
    #[error("checksum of the record is {found:08x}, its {} property says {expected:08x}", properties::CRC32)]
    Record {
        /// Of the bytes as they are.
        found: u32,
        /// As written with the record.
        expected: u32,
    },
    /// The older checksum, of the body alone.
    #[error("checksum of the body is {found:08x}, the record says {expected:08x}")]
    Body {
        /// Of the bytes as they are.
        found: u32,
        /// As written with the record.
        expected: u32,
    },
    /// The property is required and absent.
    #[error("the record does not end in its {} property", properties::CRC32)]
    Missing,
}

/// CRC-32 as RocketMQ stores it: the sign bit cleared.
#[inline]
pub fn body_checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// The property for a checksum: ten digits, lowest first.
#[inline]
pub(super) fn property(checksum: u32) -> [u8; CHECKSUM_PROPERTY_LEN] {
    let mut bytes = [b'0'; CHECKSUM_PROPERTY_LEN];
    bytes[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut rest = checksum;
    for digit in &mut bytes[PREFIX.len()..PREFIX.len() + 10] {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    bytes[CHECKSUM_PROPERTY_LEN - 1] = VALUE_END;
    bytes
}

/// Where an inbound checksum property begins, if there is one; clients echo what they were given.
#[inline]
pub(super) fn find_inbound(properties: &[u8]) -> bool {
    use std::sync::LazyLock;
    static FINDER: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new(PREFIX));
    FINDER.find(properties).is_some_and(|at| at == 0 || properties[at - 1] == VALUE_END)
}

/// The checksum that the last 20 bytes name, if they are a checksum property.
fn trailing(record: &[u8]) -> Option<(u32, &[u8])> {
    let (covered, tail) = record.split_at_checked(record.len().checked_sub(CHECKSUM_PROPERTY_LEN)?)?;
    let digits = tail.strip_prefix(PREFIX)?.strip_suffix(&[VALUE_END])?;
    let mut checksum: u64 = 0;
    for digit in digits.iter().rev() {
        checksum = checksum * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    debug_assert!(digits.len() == 10 && !digits.contains(&NAME_END));
    Some((u32::try_from(checksum).ok()?, covered))
}

impl RecordView<'_> {
    /// Compares the record with its checksum: the one over all bytes when it has it, else that of the body.
    pub fn check_crc(&self, property: PropertyChecksum) -> Result<(), ChecksumError> {
        match trailing(self.bytes()) {
            Some((expected, covered)) => match body_checksum(covered) {
                found if found == expected => Ok(()),
                found => Err(ChecksumError::Record { found, expected }),
            },
            None if property == PropertyChecksum::Required => Err(ChecksumError::Missing),
            None => match body_checksum(self.body()) {
                found if found == self.body_crc() => Ok(()),
                found => Err(ChecksumError::Body { found, expected: self.body_crc() }),
            },
        }
    }
}
