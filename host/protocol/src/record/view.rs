//! Reading a record in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    sys_flag,
};

use super::{MAGIC_BLANK, MAGIC_V1, MAGIC_V2};

/// Why bytes are not a record. Nothing about them may be believed then, their size neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record says it has, or fewer than the smallest.
    #[error("a record of {needed} bytes is cut off after {found}")]
    Truncated {
        /// Bytes that the record takes.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not a record at all.
    #[error("{found:08x} is not the magic of a record")]
    Magic {
        /// Bytes 4 to 7.
        found: u32,
    },
    /// The end of a segment, not a record.
    #[error("the segment ends here")]
    Blank,
    /// A length inside points outside, or the lengths do not add up to the size.
    #[error("the {field} of a record of {size} bytes would end at byte {end}")]
    Length {
        /// Which part.
        field: &'static str,
        /// Where it would end.
        end: usize,
        /// Size of the record.
        size: usize,
    },
    /// A field that is never negative is.
    #[error("{field} is {found}, it is never negative")]
    Negative {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: i64,
    },
    /// The topic is not UTF-8.
    #[error("the topic is not UTF-8")]
    Topic,
}

/// One record, borrowed; fields are decoded when asked for.
///
/// Invariant: every length was checked against the bytes, offsets and queue id are not negative.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    body_at: u32,
    topic_at: u32,
    properties_at: u32,
}

impl<'a> RecordView<'a> {
    /// Reads the record that `bytes` begin with; more may follow it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let found = bytes.len();
        let truncated = |needed: usize| RecordError::Truncated { needed, found };
        let Some(head) = bytes.first_chunk::<48>() else { return Err(truncated(super::OVERHEAD_V1)) };
        let topic_prefix = match u32_at(head, 4) {
            MAGIC_V1 => 1,
            MAGIC_V2 => 2,
            MAGIC_BLANK => return Err(RecordError::Blank),
            found => return Err(RecordError::Magic { found }),
        };
        let size = i32_at(head, 0);
        let size = usize::try_from(size).map_err(|_| negative("size", i64::from(size)))?;
        let bytes = bytes.get(..size).ok_or_else(|| truncated(size))?;
        let overflow = |field: &'static str, end: usize| RecordError::Length { field, end, size };

        for (field, value) in [
            ("queue id", i64::from(i32_at(head, 12))),
            ("queue offset", i64_at(head, 20)),
            ("physical offset", i64_at(head, 28)),
        ] {
            if value < 0 {
                return Err(negative(field, value));
            }
        }
        let (born_len, store_len) = host_lens(i32_at(head, 36));
        let body_at = 48 + born_len + 8 + store_len + 4 + 8 + 4;
        let body_len = read::<4>(bytes, body_at - 4).ok_or_else(|| overflow("body length", body_at))?;
        let body_len = i32::from_be_bytes(body_len);
        let body_end = body_at + usize::try_from(body_len).map_err(|_| negative("body length", body_len.into()))?;

        let topic_at = body_end + topic_prefix;
        let topic_len = match topic_prefix {
            1 => read::<1>(bytes, body_end).map(|[len]| i16::from(len as i8)),
            _ => read::<2>(bytes, body_end).map(i16::from_be_bytes),
        };
        let topic_len = topic_len.ok_or_else(|| overflow("body", topic_at))?;
        let topic_end =
            topic_at + usize::try_from(topic_len).map_err(|_| negative("topic length", topic_len.into()))?;

        let properties_at = topic_end + 2;
        let properties_len = read::<2>(bytes, topic_end).ok_or_else(|| overflow("topic", properties_at))?;
        let properties_len = i16::from_be_bytes(properties_len);
        let end = properties_at
            + usize::try_from(properties_len).map_err(|_| negative("properties length", properties_len.into()))?;
        if end != size {
            return Err(overflow("properties", end));
        }
        let topic = std::str::from_utf8(&bytes[topic_at..topic_end]).map_err(|_| RecordError::Topic)?;
        // All three are at most `size`, which came from an i32.
        let [body_at, topic_at, properties_at] = [body_at, topic_at, properties_at].map(|at| at as u32);
        Ok(RecordView { bytes, topic, body_at, topic_at, properties_at })
    }

    /// The record's own bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the record.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Topic as stored.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Queue of the topic.
    pub fn queue_id(&self) -> u32 {
        u32_at(self.head(), 12)
    }

    /// The application's flag.
    pub fn flag(&self) -> i32 {
        i32_at(self.head(), 16)
    }

    /// Place in the queue; 0 for records that are not dispatched.
    pub fn queue_offset(&self) -> QueueOffset {
        QueueOffset(i64_at(self.head(), 20) as u64)
    }

    /// Place in the commit log; a record that lies elsewhere is a stale one.
    pub fn physical_offset(&self) -> PhysicalOffset {
        PhysicalOffset(i64_at(self.head(), 28) as u64)
    }

    /// Bits of [`sys_flag`].
    pub fn sys_flag(&self) -> i32 {
        i32_at(self.head(), 36)
    }

    /// When the client made it, ms since 1970, by the client's clock.
    pub fn born_ms(&self) -> i64 {
        i64_at(self.head(), 40)
    }

    /// When it was stored, ms since 1970.
    pub fn store_ms(&self) -> i64 {
        let at = 48 + host_lens(self.sys_flag()).0;
        read::<8>(self.bytes, at).map_or(0, i64::from_be_bytes)
    }

    /// The producer's address as the broker saw it.
    pub fn born_host(&self) -> SocketAddr {
        host_at(self.bytes, 48, host_lens(self.sys_flag()).0)
    }

    /// The broker that stored it.
    pub fn store_host(&self) -> SocketAddr {
        let (born_len, store_len) = host_lens(self.sys_flag());
        host_at(self.bytes, 48 + born_len + 8, store_len)
    }

    /// How often it was sent back before.
    pub fn reconsume_times(&self) -> i32 {
        read::<4>(self.bytes, self.body_at as usize - 16).map_or(0, i32::from_be_bytes)
    }

    /// Offset of the half message that it was committed from, else 0.
    pub fn prepared_transaction_offset(&self) -> i64 {
        read::<8>(self.bytes, self.body_at as usize - 12).map_or(0, i64::from_be_bytes)
    }

    /// Body as stored, possibly compressed.
    pub fn body(&self) -> &'a [u8] {
        let topic_prefix = if self.magic() == MAGIC_V2 { 2 } else { 1 };
        &self.bytes[self.body_at as usize..self.topic_at as usize - topic_prefix]
    }

    /// CRC-32 of the body as the record says.
    pub fn body_crc(&self) -> u32 {
        u32_at(self.head(), 8)
    }

    /// Encoded properties, see [`gantry_model::properties`].
    pub fn properties(&self) -> &'a [u8] {
        &self.bytes[self.properties_at as usize..]
    }

    /// [`MAGIC_V1`] or [`MAGIC_V2`].
    pub fn magic(&self) -> u32 {
        u32_at(self.head(), 4)
    }

    /// All fields as filters and plugins see them.
    pub fn message(&self) -> MessageView<'a> {
        MessageView {
            topic: self.topic,
            queue_id: self.queue_id(),
            queue_offset: self.queue_offset(),
            physical_offset: self.physical_offset(),
            sys_flag: self.sys_flag(),
            flag: self.flag(),
            born_ms: self.born_ms(),
            store_ms: self.store_ms(),
            born_host: self.born_host(),
            reconsume_times: self.reconsume_times(),
            prepared_transaction_offset: self.prepared_transaction_offset(),
            body: self.body(),
            properties: self.properties(),
        }
    }

    fn head(&self) -> &'a [u8; 48] {
        // `parse` saw that many; the constant arm keeps this free of a panic path.
        self.bytes.first_chunk().unwrap_or(&[0; 48])
    }
}

/// The records that lie one after another in `bytes`, as in a pull answer; ends after the first error.
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// Iterator of [`records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = RecordView::parse(self.rest);
        self.rest = record.as_ref().map_or(&[], |record| &self.rest[record.size()..]);
        Some(record)
    }
}

fn negative(field: &'static str, found: i64) -> RecordError {
    RecordError::Negative { field, found }
}

/// Bytes of the born and the store host, port included.
pub(super) fn host_lens(flags: i32) -> (usize, usize) {
    let len = |bit: i32| if flags & bit == 0 { 8 } else { 20 };
    (len(sys_flag::BORN_HOST_V6), len(sys_flag::STORE_HOST_V6))
}

fn host_at(bytes: &[u8], at: usize, len: usize) -> SocketAddr {
    let ip = if len == 8 {
        IpAddr::V4(Ipv4Addr::from(read::<4>(bytes, at).unwrap_or_default()))
    } else {
        IpAddr::V6(Ipv6Addr::from(read::<16>(bytes, at).unwrap_or_default()))
    };
    // The field has 32 bits; a port has 16.
    let port = read::<2>(bytes, at + len - 2).map_or(0, u16::from_be_bytes);
    SocketAddr::new(ip, port)
}

#[inline]
fn read<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

#[inline]
fn i32_at(head: &[u8; 48], at: usize) -> i32 {
    i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[inline]
fn u32_at(head: &[u8; 48], at: usize) -> u32 {
    i32_at(head, at) as u32
}

#[inline]
fn i64_at(head: &[u8; 48], at: usize) -> i64 {
    (i64::from(i32_at(head, at)) << 32) | i64::from(u32_at(head, at + 4))
}
