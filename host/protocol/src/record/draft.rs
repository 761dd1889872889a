//! Writing a record.

use std::net::{IpAddr, SocketAddr};

use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    properties::{self, PROPERTIES_LEN_MAX, VALUE_END},
    sys_flag,
};

use super::{
    CHECKSUM_PROPERTY_LEN, MAGIC_V1, MAGIC_V2, V1_TOPIC_LEN_MAX,
    checksum::{body_checksum, find_inbound, property},
};

/// Everything that a record is made of, borrowed. Offsets and store time are known only once its place is.
#[derive(Debug, Clone, Copy)]
pub struct RecordDraft<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Queue of the topic, at most `i32::MAX`.
    pub queue_id: u32,
    /// The application's flag.
    pub flag: i32,
    /// Place in the queue.
    pub queue_offset: QueueOffset,
    /// Where the record will lie.
    pub physical_offset: PhysicalOffset,
    /// Bits of [`sys_flag`]; the two host bits are set from the hosts.
    pub sys_flag: i32,
    /// When the client made it, ms since 1970.
    pub born_ms: i64,
    /// The producer's address.
    pub born_host: SocketAddr,
    /// When it is stored, ms since 1970.
    pub store_ms: i64,
    /// This broker's address.
    pub store_host: SocketAddr,
    /// How often it was sent back before.
    pub reconsume_times: i32,
    /// Offset of the half message that it is committed from, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as it is to be stored.
    pub body: &'a [u8],
    /// Encoded properties in pieces, each a sequence of pairs (a missing last terminator is added), so that what the
    /// client sent and what the broker adds need not be joined first. The checksum property is written by [`encode`].
    pub properties: &'a [&'a [u8]],
}

/// The parts do not fit the format. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Topic empty or over 32767 bytes.
    #[error("the topic has {found} bytes, 1 to 32767 fit a record")]
    Topic {
        /// Its length.
        found: usize,
    },
    /// Properties too long.
    #[error("the properties have {found} bytes, at most {} fit a record (its checksum property takes {CHECKSUM_PROPERTY_LEN} more)", PROPERTIES_LEN_MAX - CHECKSUM_PROPERTY_LEN)]
    Properties {
        /// Their length without the checksum property.
        found: usize,
    },
    /// Body so long that the record's size would not fit its field.
    #[error("the body has {found} bytes, the format ends below 2 GiB")]
    Body {
        /// Its length.
        found: usize,
    },
    /// A queue id above `i32::MAX`.
    #[error("queue id {found} is above 2147483647")]
    QueueId {
        /// The id.
        found: u32,
    },
}

/// Appends the record to `out` and returns its size; on an error `out` is as before.
#[inline]
pub fn encode(draft: &RecordDraft<'_>, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    // Clients echo what a pull gave them, so an inbound checksum is possible; two would confuse a reader. Rare: copy.
    if draft.properties.iter().any(|piece| find_inbound(piece)) {
        let mut clean = Vec::new();
        for piece in draft.properties {
            properties::copy_where(&mut clean, piece, |name| name != properties::CRC32.as_bytes());
        }
        return encode_clean(&RecordDraft { properties: &[&clean], ..*draft }, out);
    }
    encode_clean(draft, out)
}

fn encode_clean(draft: &RecordDraft<'_>, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let topic = draft.topic.as_bytes();
    if topic.is_empty() || topic.len() > i16::MAX as usize {
        return Err(EncodeError::Topic { found: topic.len() });
    }
    let properties_len: usize = draft.properties.iter().map(|piece| piece.len() + usize::from(lacks_end(piece))).sum();
    if properties_len + CHECKSUM_PROPERTY_LEN > PROPERTIES_LEN_MAX {
        return Err(EncodeError::Properties { found: properties_len });
    }
    let queue_id = i32::try_from(draft.queue_id).map_err(|_| EncodeError::QueueId { found: draft.queue_id })?;
    let long_topic = topic.len() > V1_TOPIC_LEN_MAX;
    let (born_ip, store_ip) = (draft.born_host.ip().to_canonical(), draft.store_host.ip().to_canonical());
    let flags = draft.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6)
        | if born_ip.is_ipv6() { sys_flag::BORN_HOST_V6 } else { 0 }
        | if store_ip.is_ipv6() { sys_flag::STORE_HOST_V6 } else { 0 };
    let (born_len, store_len) = super::view::host_lens(flags);
    let fixed = 48 + born_len + 8 + store_len + 4 + 8 + 4;
    let variable = 1 + usize::from(long_topic) + topic.len() + 2 + properties_len + CHECKSUM_PROPERTY_LEN;
    let size = (draft.body.len().checked_add(fixed + variable))
        .filter(|size| *size <= i32::MAX as usize)
        .ok_or(EncodeError::Body { found: draft.body.len() })?;

    // The fixed part is laid out on the stack: one append with one capacity check instead of fifteen.
    let mut head = [0u8; 112];
    head[0..4].copy_from_slice(&(size as u32).to_be_bytes());
    head[4..8].copy_from_slice(&(if long_topic { MAGIC_V2 } else { MAGIC_V1 }).to_be_bytes());
    head[8..12].copy_from_slice(&body_checksum(draft.body).to_be_bytes());
    head[12..16].copy_from_slice(&queue_id.to_be_bytes());
    head[16..20].copy_from_slice(&draft.flag.to_be_bytes());
    head[20..28].copy_from_slice(&draft.queue_offset.to_wire().to_be_bytes());
    head[28..36].copy_from_slice(&draft.physical_offset.to_wire().to_be_bytes());
    head[36..40].copy_from_slice(&flags.to_be_bytes());
    head[40..48].copy_from_slice(&draft.born_ms.to_be_bytes());
    let mut at = put_host(&mut head, 48, born_ip, draft.born_host.port());
    at = put(&mut head, at, &draft.store_ms.to_be_bytes());
    at = put_host(&mut head, at, store_ip, draft.store_host.port());
    at = put(&mut head, at, &draft.reconsume_times.to_be_bytes());
    at = put(&mut head, at, &draft.prepared_transaction_offset.to_be_bytes());
    at = put(&mut head, at, &(draft.body.len() as u32).to_be_bytes());
    debug_assert_eq!(at, fixed);

    let start = out.len();
    out.reserve(size);
    out.extend_from_slice(&head[..at]);
    out.extend_from_slice(draft.body);
    if long_topic {
        out.extend_from_slice(&(topic.len() as u16).to_be_bytes());
    } else {
        out.push(topic.len() as u8);
    }
    out.extend_from_slice(topic);
    out.extend_from_slice(&((properties_len + CHECKSUM_PROPERTY_LEN) as u16).to_be_bytes());
    for piece in draft.properties {
        out.extend_from_slice(piece);
        if lacks_end(piece) {
            out.push(VALUE_END);
        }
    }
    let checksum = body_checksum(&out[start..]);
    out.extend_from_slice(&property(checksum));
    debug_assert_eq!(out.len() - start, size);
    Ok(size)
}

fn lacks_end(piece: &[u8]) -> bool {
    piece.last().is_some_and(|last| *last != VALUE_END)
}

#[inline]
fn put<const N: usize>(head: &mut [u8; 112], at: usize, bytes: &[u8; N]) -> usize {
    head[at..at + N].copy_from_slice(bytes);
    at + N
}

fn put_host(head: &mut [u8; 112], at: usize, ip: IpAddr, port: u16) -> usize {
    let at = match ip {
        IpAddr::V4(ip) => put(head, at, &ip.octets()),
        IpAddr::V6(ip) => put(head, at, &ip.octets()),
    };
    put(head, at, &u32::from(port).to_be_bytes())
}
