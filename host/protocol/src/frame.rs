//! Frames: length, header, body; reading them in place and writing them.
//!
//! ```text
//! 0  i32  length = bytes after this field = 4 + header + body
//! 4  u8   header encoding: 0 JSON, 1 ROCKETMQ
//! 5  u24  header length
//! 8       header, then body up to `length`
//! ```
//! Source: RocketMQ `RemotingCommand`, `NettyDecoder`. All integers are big-endian.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    header::{Head, Header, HeaderError},
    json,
};

/// Largest frame that a peer may send, in bytes with its length field; RocketMQ's own default.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest header that is parsed. Properties are at most 32 KiB, escaped in JSON at most six times that.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// How the header of a frame is encoded. A reply uses the encoding of its request: C++ clients read JSON only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// One JSON object.
    Json,
    /// Fixed fields and length-prefixed pairs; codes are 16 bits there.
    Binary,
}

/// Why bytes are not a frame. The connection cannot be read any further: frame borders are lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field is over the limit, or negative.
    #[error("the frame announces {found} bytes, allowed are 4 to {limit}")]
    Length {
        /// The length field, read as signed.
        found: i64,
        /// The largest one taken.
        limit: usize,
    },
    /// The header does not fit in the frame, or is over [`HEADER_BYTES_MAX`].
    #[error("the frame's header announces {found} bytes, at most {limit} fit")]
    HeaderLength {
        /// Announced header length.
        found: usize,
        /// What fits.
        limit: usize,
    },
    /// The encoding byte is neither 0 nor 1.
    #[error("the frame's header encoding is {0}, known are 0 (JSON) and 1 (ROCKETMQ)")]
    Encoding(u8),
    /// The header's bytes cannot be parsed.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// One frame, borrowed from the bytes that a socket yielded.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// The parsed header.
    pub header: Header<'a>,
    /// The body, may be empty (RocketMQ does not tell an absent body from an empty one).
    pub body: &'a [u8],
}

/// Length of the first frame in `bytes`, with its length field, as soon as that field is there.
///
/// `Ok(None)` = fewer than 4 bytes. The caller may reserve what is returned: it is at most `limit`.
pub fn frame_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(field) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = i64::from(i32::from_be_bytes(*field));
    match usize::try_from(length) {
        Ok(rest) if rest >= 4 && rest + 4 <= limit => Ok(Some(rest + 4)),
        _ => Err(FrameError::Length { found: length, limit: limit.saturating_sub(4) }),
    }
}

impl<'a> Frame<'a> {
    /// Parses the first frame of `bytes`; with it how many bytes it took. `Ok(None)` = not all there yet.
    pub fn parse(bytes: &'a [u8], limit: usize) -> Result<Option<(Frame<'a>, usize)>, FrameError> {
        let Some(total) = frame_len(bytes, limit)? else { return Ok(None) };
        if bytes.len() < 8 {
            return Ok(None);
        }
        let header_len = usize::from(bytes[5]) << 16 | usize::from(bytes[6]) << 8 | usize::from(bytes[7]);
        let fits = (total - 8).min(HEADER_BYTES_MAX);
        if header_len > fits {
            return Err(FrameError::HeaderLength { found: header_len, limit: fits });
        }
        let codec = match bytes[4] {
            0 => Codec::Json,
            1 => Codec::Binary,
            other => return Err(FrameError::Encoding(other)),
        };
        if bytes.len() < total {
            return Ok(None);
        }
        let (header, body) = bytes[8..total].split_at(header_len);
        Ok(Some((Frame { header: Header::parse(codec, header)?, body }, total)))
    }
}

/// One whole frame that owns its bytes: what a caller gets as the answer to its request.
///
/// Invariant: the bytes parsed as exactly one frame when it was made.
#[derive(Debug, Clone)]
pub struct OwnedFrame {
    bytes: Bytes,
    body_at: usize,
}

impl OwnedFrame {
    /// Takes over `bytes`, which must be exactly one frame; `Ok(None)` when they are not all of it.
    pub fn new(bytes: Bytes, limit: usize) -> Result<Option<OwnedFrame>, FrameError> {
        let body_len = match Frame::parse(&bytes, limit)? {
            Some((frame, total)) if total == bytes.len() => frame.body.len(),
            _ => return Ok(None),
        };
        let body_at = bytes.len() - body_len;
        Ok(Some(OwnedFrame { bytes, body_at }))
    }

    /// The header, parsed again from the bytes.
    pub fn header(&self) -> Result<Header<'_>, HeaderError> {
        let codec = if self.bytes[4] == 0 { Codec::Json } else { Codec::Binary };
        Header::parse(codec, &self.bytes[8..self.body_at])
    }

    /// The body, sharing the frame's bytes.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(self.body_at..)
    }
}

/// Writes one frame into a buffer: the head at once, then extFields one by one, then the body.
///
/// Members of a JSON header are written in alphabetical order without white space, as Java writes them.
#[must_use = "a frame is complete only after `finish`"]
pub struct FrameWriter<'o, 'h> {
    out: &'o mut BytesMut,
    head: &'h Head<'h>,
    codec: Codec,
    start: usize,
    ext_at: usize,
    has_ext: bool,
}

impl<'o, 'h> FrameWriter<'o, 'h> {
    /// Starts a frame at the end of `out`.
    pub fn new(out: &'o mut BytesMut, codec: Codec, head: &'h Head<'h>) -> Self {
        let start = out.len();
        out.reserve(256);
        out.put_bytes(0, 8);
        let mut ext_at = 0;
        match codec {
            Codec::Json => {
                out.put_slice(b"{\"code\":");
                put_int(out, i64::from(head.code));
            }
            Codec::Binary => {
                out.put_i16(head.code as i16);
                out.put_u8(head.language.number());
                out.put_i16(head.version as i16);
                out.put_i32(head.opaque);
                out.put_i32(head.flag);
                let remark = head.remark.unwrap_or_default();
                out.put_i32(remark.len() as i32);
                out.put_slice(remark.as_bytes());
                ext_at = out.len();
                out.put_i32(0);
            }
        }
        FrameWriter { out, head, codec, start, ext_at, has_ext: false }
    }

    /// Adds one extField. Values always travel as strings; `name` must be plain ASCII without quotes.
    pub fn ext(&mut self, name: &str, value: impl ExtValue) -> &mut Self {
        match self.codec {
            Codec::Json => {
                self.out.put_slice(if self.has_ext { b",\"" } else { b",\"extFields\":{\"" });
                self.out.put_slice(name.as_bytes());
                self.out.put_slice(b"\":\"");
                value.write(self.out, Codec::Json);
                self.out.put_u8(b'"');
            }
            Codec::Binary => {
                self.out.put_i16(name.len() as i16);
                self.out.put_slice(name.as_bytes());
                let len_at = self.out.len();
                self.out.put_i32(0);
                value.write(self.out, Codec::Binary);
                patch_i32(self.out, len_at);
            }
        }
        self.has_ext = true;
        self
    }

    /// Adds the extField when there is a value.
    pub fn ext_opt(&mut self, name: &str, value: Option<impl ExtValue>) -> &mut Self {
        if let Some(value) = value {
            self.ext(name, value);
        }
        self
    }

    /// Code of the frame.
    pub fn code(&self) -> i32 {
        self.head.code
    }

    /// Completes the frame with its body.
    pub fn finish(self, body: &[u8]) {
        self.finish_head(body.len()).put_slice(body);
    }

    /// Completes the frame but for its body: the caller must append exactly `body_len` bytes to the buffer that is returned,
    /// so that a body of megabytes is not copied once more than needed.
    pub fn finish_head(mut self, body_len: usize) -> &'o mut BytesMut {
        let header_len = self.end_header();
        let FrameWriter { out, start, codec, .. } = self;
        debug_assert!(header_len < 1 << 24 && body_len < 1 << 30, "the lengths fit their fields");
        let length = (out.len() - start - 4 + body_len) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        let encoding = u32::from(codec == Codec::Binary) << 24;
        out[start + 4..start + 8].copy_from_slice(&(encoding | header_len).to_be_bytes());
        out
    }

    fn end_header(&mut self) -> u32 {
        match self.codec {
            Codec::Json => {
                let (out, head) = (&mut *self.out, self.head);
                out.put_slice(if self.has_ext { b"},\"flag\":" } else { b",\"flag\":" });
                put_int(out, i64::from(head.flag));
                out.put_slice(b",\"language\":\"");
                out.put_slice(head.language.name().as_bytes());
                out.put_slice(b"\",\"opaque\":");
                put_int(out, i64::from(head.opaque));
                if let Some(remark) = head.remark {
                    out.put_slice(b",\"remark\":\"");
                    json::escape_into(out, remark);
                    out.put_u8(b'"');
                }
                out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
                put_int(out, i64::from(head.version));
                out.put_u8(b'}');
            }
            Codec::Binary => patch_i32(self.out, self.ext_at),
        }
        (self.out.len() - self.start - 8) as u32
    }
}

/// Writes the number of bytes after the 4-byte field at `at` into it.
fn patch_i32(out: &mut BytesMut, at: usize) {
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_int(out: &mut BytesMut, value: i64) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A value of an extField: text, number or boolean, always written as text.
pub trait ExtValue {
    /// Appends the text, escaped for a JSON string when `codec` asks for it.
    fn write(&self, out: &mut BytesMut, codec: Codec);
}

impl ExtValue for &str {
    fn write(&self, out: &mut BytesMut, codec: Codec) {
        match codec {
            Codec::Json => json::escape_into(out, self),
            Codec::Binary => out.put_slice(self.as_bytes()),
        }
    }
}

impl ExtValue for &String {
    fn write(&self, out: &mut BytesMut, codec: Codec) {
        self.as_str().write(out, codec);
    }
}

impl ExtValue for bool {
    fn write(&self, out: &mut BytesMut, _: Codec) {
        out.put_slice(if *self { b"true" } else { b"false" });
    }
}

macro_rules! ext_int {
    ($($kind:ty)*) => {$(
        impl ExtValue for $kind {
            fn write(&self, out: &mut BytesMut, _: Codec) {
                out.put_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}
ext_int!(i32 i64 u32 u64 usize);

#[cfg(test)]
#[path = "frame_tests.rs"]
pub(crate) mod tests;
