//! SEND frames made once and patched per message: a benchmark client that encodes headers would measure itself.

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use gantry_model::properties;
use gantry_protocol::{
    code::request,
    frame::{Codec, FrameWriter},
    header::Head,
};

use super::{
    stamp::{STAMP_LEN, Stamp, Stamper},
    timers::DueWindow,
};

/// Opaques have ten digits, so that a JSON header keeps its length.
const OPAQUE_BASE: i32 = 1_000_000_000;
/// Opaques count up to this and begin again; a power of two far beyond any window.
const OPAQUE_SPAN: u64 = 1 << 29;
const BORN_PLACEHOLDER: &str = "1700000000000";
const DUE_PLACEHOLDER: &str = "1700000000001";
const KEY_PLACEHOLDER: &str = "GANTRYBENCHUNIQUE000000000000000";
const KEY_PATCHED: usize = 16;

/// What all messages of one producer have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Encoding of the header.
    pub(crate) codec: Codec,
    /// Topic to send to.
    pub(crate) topic: String,
    /// Bytes of one message's body.
    pub(crate) size: usize,
    /// Messages in a frame; above 1 the frame is a SEND_BATCH_MESSAGE.
    pub(crate) batch: usize,
    /// When messages fall due, if they are timed. Their stamps carry the due time as the time of sending.
    pub(crate) due: Option<DueWindow>,
}

/// One ready frame for one queue.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    frame: Vec<u8>,
    stamper: Stamper,
    codec: Codec,
    opaque_at: usize,
    born_at: usize,
    due_at: Option<usize>,
    /// Per message of the frame: its stamp, and the part of its UNIQ_KEY that differs.
    messages: Vec<Spots>,
}

#[derive(Debug, Clone, Copy)]
struct Spots {
    stamp_at: usize,
    key_at: usize,
}

/// The opaque of a producer's `number`th frame.
pub(crate) fn opaque(number: u64) -> i32 {
    OPAQUE_BASE + (number % OPAQUE_SPAN) as i32
}

/// The number of the frame, modulo the span of opaques, or `None` for an opaque that was never sent.
pub(crate) fn number(opaque: i32) -> Option<u64> {
    u64::try_from(i64::from(opaque) - i64::from(OPAQUE_BASE)).ok().filter(|number| *number < OPAQUE_SPAN)
}

impl Template {
    /// Makes the frame that sends to `queue_id`.
    pub(crate) fn new(shape: &Shape, queue_id: u32) -> Result<Template> {
        ensure!(
            shape.size >= STAMP_LEN,
            "a benchmark message has at least {STAMP_LEN} bytes, --size is {}",
            shape.size
        );
        let mut payload = vec![0; shape.size];
        let stamper = Stamper::new(&mut payload);
        let mut unique = Vec::new();
        properties::push(&mut unique, properties::UNIQ_KEY, KEY_PLACEHOLDER);
        properties::push(&mut unique, properties::WAIT, "true");
        if shape.due.is_some() {
            properties::push(&mut unique, properties::TIMER_DELIVER_MS, DUE_PLACEHOLDER);
        }
        let batched = shape.batch > 1;
        let body = if batched { batch_body(&payload, &unique, shape.batch) } else { payload };

        let code = if batched { request::SEND_BATCH_MESSAGE } else { request::SEND_MESSAGE_V2 };
        let head = Head::request(code, OPAQUE_BASE);
        let mut frame = BytesMut::new();
        let mut writer = FrameWriter::new(&mut frame, shape.codec, &head);
        writer.ext("a", "GANTRY_BENCH").ext("b", shape.topic.as_str()).ext("c", "TBW102").ext("d", 4);
        writer.ext("e", queue_id).ext("f", 0).ext("g", BORN_PLACEHOLDER).ext("h", 0);
        let header_properties = if batched { "WAIT\u{1}true\u{2}" } else { std::str::from_utf8(&unique)? };
        writer.ext("i", header_properties).ext("j", 0).ext("k", false).ext("m", batched);
        writer.finish(&body);

        let body_at = frame.len() - body.len();
        let header = &frame[..body_at];
        let find = |needle: &str| memchr::memmem::find(header, needle.as_bytes()).context("placeholder in the header");
        let opaque_at = match shape.codec {
            Codec::Binary => 8 + 5,
            Codec::Json => find("\"opaque\":")? + "\"opaque\":".len(),
        };
        let born_at = find(BORN_PLACEHOLDER)?;
        let due_at = shape.due.map(|_| find(DUE_PLACEHOLDER)).transpose()?;
        let key_tail = KEY_PLACEHOLDER.len() - KEY_PATCHED;
        let messages = if batched {
            let one = body.len() / shape.batch;
            let stamp_in_one = 20 + shape.size - STAMP_LEN;
            let key_in_one = one - unique.len() + properties::UNIQ_KEY.len() + 1 + key_tail;
            let starts = (0..shape.batch).map(|index| body_at + index * one);
            starts.map(|at| Spots { stamp_at: at + stamp_in_one, key_at: at + key_in_one }).collect()
        } else {
            vec![Spots { stamp_at: frame.len() - STAMP_LEN, key_at: find(KEY_PLACEHOLDER)? + key_tail }]
        };
        Ok(Template { frame: frame.to_vec(), stamper, codec: shape.codec, opaque_at, born_at, due_at, messages })
    }

    /// Appends a frame. `first` is the stamp of its first message, the others follow in sequence; `key` is unique for the
    /// first message among all messages of the run, and so are the `batch - 1` numbers after it.
    pub(crate) fn append(&self, out: &mut Vec<u8>, opaque: i32, born: &[u8; 13], key: u64, first: Stamp) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        match self.codec {
            Codec::Binary => frame[self.opaque_at..self.opaque_at + 4].copy_from_slice(&opaque.to_be_bytes()),
            Codec::Json => decimal(&mut frame[self.opaque_at..self.opaque_at + 10], opaque as u64),
        }
        frame[self.born_at..self.born_at + 13].copy_from_slice(born);
        if let Some(at) = self.due_at {
            decimal(&mut frame[at..at + 13], first.sent_ns / 1_000_000);
        }
        for (index, spots) in self.messages.iter().enumerate() {
            hexadecimal(&mut frame[spots.key_at..spots.key_at + KEY_PATCHED], key + index as u64);
            if let Some(tail) = frame[spots.stamp_at..].first_chunk_mut() {
                self.stamper.write(tail, Stamp { sequence: first.sequence + index as u64, ..first });
            }
        }
    }
}

/// `batch` equal messages in the body format of SEND_BATCH_MESSAGE.
fn batch_body(payload: &[u8], properties: &[u8], batch: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..batch {
        let size = 22 + payload.len() + properties.len();
        body.put_i32(size as i32);
        body.put_i32(0);
        body.put_i32(0);
        body.put_i32(0);
        body.put_i32(payload.len() as i32);
        body.put_slice(payload);
        body.put_i16(properties.len() as i16);
        body.put_slice(properties);
    }
    body
}

/// Milliseconds since 1970 as the 13 digits that they have until the year 2286.
pub(crate) fn born_digits(now_ms: u64) -> [u8; 13] {
    let mut digits = [0; 13];
    decimal(&mut digits, now_ms);
    digits
}

fn decimal(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn hexadecimal(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789ABCDEF"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use gantry_protocol::frame::{FRAME_BYTES_MAX, Frame};

    use super::*;
    use crate::bench::stamp;

    #[test]
    fn a_patched_frame_is_what_the_codec_would_write() {
        for (codec, batch) in [(Codec::Binary, 1), (Codec::Json, 1), (Codec::Binary, 3), (Codec::Json, 3)] {
            let due = (batch == 1).then_some(DueWindow { from_ms: 0, len_ms: 1, messages: 1 });
            let shape = Shape { codec, topic: "bench".into(), size: 100, batch, due };
            let template = Template::new(&shape, 2).unwrap();
            let stamp = Stamp { producer: 9, sequence: 41, sent_ns: 1_900_000_000_777_000_000 };
            let mut out = vec![0xEE];
            template.append(&mut out, opaque(77), &born_digits(1_800_000_000_123), 0xABC, stamp);
            assert_eq!(out.len(), 1 + template.frame.len());
            let (frame, _) = Frame::parse(&out[1..], FRAME_BYTES_MAX).unwrap().unwrap();
            assert_eq!(number(frame.header.opaque), Some(77));
            assert_eq!(frame.header.ext.number("g"), Some(1_800_000_000_123_u64));
            assert_eq!(frame.header.ext.number("e"), Some(2));
            let one = frame.body.len() / batch;
            for index in 0..batch {
                let message = &frame.body[index * one..][..one];
                let (payload, keys) = if batch == 1 {
                    (message, frame.header.ext.get("i").unwrap().into_owned())
                } else {
                    (&message[20..120], String::from_utf8_lossy(&message[122..]).into_owned())
                };
                let expected = Stamp { sequence: 41 + index as u64, ..stamp };
                assert_eq!(stamp::read(payload), Some(expected), "{codec:?} {index} of {batch}");
                assert!(keys.contains(&format!("GANTRYBENCHUNIQU{:016X}", 0xABC + index)), "{keys}");
                assert_eq!(keys.contains("TIMER_DELIVER_MS\u{1}1900000000777\u{2}"), due.is_some(), "{keys}");
            }
        }
    }

    #[test]
    fn opaques_wrap_and_strangers_are_noticed() {
        assert_eq!(number(opaque(OPAQUE_SPAN + 3)), Some(3));
        assert_eq!(number(5), None);
        assert_eq!(number(-1), None);
    }
}
