//! `offsetMsgId`, which a SEND answer calls `msgId`: upper-case hex of the broker's IP (4 or 16 bytes), its port (4 bytes)
//! and the record's physical offset (8 bytes). Source: RocketMQ `MessageDecoder.createMessageId`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use gantry_model::offset::PhysicalOffset;

/// Characters of an id with an IPv6 address, the longest.
pub const MESSAGE_ID_LEN_MAX: usize = 56;

/// The two upper-case digits of each byte.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// An id as text, on the stack.
#[derive(Clone, Copy)]
pub struct MessageId {
    text: [u8; MESSAGE_ID_LEN_MAX],
    len: usize,
}

impl MessageId {
    /// The id of the record at `physical_offset` of the broker at `store_host`.
    pub fn new(store_host: SocketAddr, physical_offset: PhysicalOffset) -> Self {
        let mut id = MessageId { text: [0; MESSAGE_ID_LEN_MAX], len: 0 };
        match store_host.ip().to_canonical() {
            IpAddr::V4(ip) => id.push(&ip.octets()),
            IpAddr::V6(ip) => id.push(&ip.octets()),
        }
        id.push(&u32::from(store_host.port()).to_be_bytes());
        id.push(&physical_offset.to_wire().to_be_bytes());
        id
    }

    /// 32 or 56 upper-case hex digits.
    pub fn as_str(&self) -> &str {
        // Only hex digits are ever pushed.
        std::str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }

    fn push<const N: usize>(&mut self, bytes: &[u8; N]) {
        let (pairs, _) = self.text[self.len..].as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = HEX[usize::from(*byte)];
        }
        self.len += 2 * N;
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not an `offsetMsgId`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a message id: 32 or 56 hex digits with a port and an offset in range")]
pub struct MessageIdError {
    /// The text, cut to what an id may have.
    pub found: String,
}

/// The broker address and physical offset of an id, in either case of letters.
pub fn parse(text: &str) -> Result<(SocketAddr, PhysicalOffset), MessageIdError> {
    parts(text).ok_or_else(|| MessageIdError { found: text.chars().take(MESSAGE_ID_LEN_MAX).collect() })
}

fn parts(text: &str) -> Option<(SocketAddr, PhysicalOffset)> {
    let mut bytes = [0u8; MESSAGE_ID_LEN_MAX / 2];
    let bytes = match text.len() {
        32 | 56 => &mut bytes[..text.len() / 2],
        _ => return None,
    };
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |ascii: u8| char::from(ascii).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    let (rest, offset) = bytes.split_last_chunk::<8>()?;
    let (ip, port) = rest.split_last_chunk::<4>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(*ip.first_chunk::<4>()?),
        _ => IpAddr::from(*ip.first_chunk::<16>()?),
    };
    let port = u16::try_from(u32::from_be_bytes(*port)).ok()?;
    Some((SocketAddr::new(ip, port), PhysicalOffset::from_wire(i64::from_be_bytes(*offset))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_ids() {
        for (host, text) in [
            ("192.168.0.10:10911", "C0A8000A00002A9F0000000000000400"),
            ("[2001:db8::1]:10911", "20010DB800000000000000000000000100002A9F0000000000000400"),
        ] {
            let host: SocketAddr = host.parse().unwrap();
            assert_eq!(MessageId::new(host, PhysicalOffset(1024)).as_str(), text);
            assert_eq!(parse(text), Ok((host, PhysicalOffset(1024))));
            assert_eq!(parse(&text.to_lowercase()), Ok((host, PhysicalOffset(1024))));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let negative = format!("C0A8000A00002A9F{}", "F".repeat(16));
        let port = "C0A8000A00012A9F0000000000000400";
        let shifted = format!("é{}", "0".repeat(30));
        for text in ["", "C0A8", &"G".repeat(32), &negative, port, &shifted, &"0".repeat(57)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
