//! The answer to a send. A broker writes one for every message, so it is laid out by hand.

use bytes::{BufMut, BytesMut};
use gantry_model::version::SERVER_VERSION;

use crate::{
    frame::{Codec, ExtValue, FrameWriter},
    header::{FLAG_RESPONSE, Head, Header, Language},
    request::{RequestError, int, text},
};

/// Bytes of an answer beside its texts.
const FIXED_LEN: usize = 320;

/// The answer to a send that is stored (codes 0, 10, 11, 12). All of it must be there: Java reads MSG_REGION unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendReply<'a> {
    /// offsetMsgId, several joined by commas for a batch.
    pub message_id: &'a str,
    /// Queue that holds it.
    pub queue_id: u32,
    /// Place in the queue; the first of a batch.
    pub queue_offset: i64,
    /// The UNIQ_KEY.
    pub transaction_id: Option<&'a str>,
    /// Recalls the message, if it is timed.
    pub recall_handle: Option<&'a str>,
    /// Region of the broker.
    pub region: &'a str,
    /// Whether tracing is on.
    pub trace_on: bool,
}

impl SendReply<'_> {
    /// Appends the answer's frame.
    pub fn encode(&self, out: &mut BytesMut, codec: Codec, opaque: i32, code: i32, remark: Option<&str>) {
        match (codec, remark) {
            (Codec::Json, None) => self.encode_json(out, opaque, code),
            (Codec::Binary, None) => self.encode_binary(out, opaque, code),
            _ => self.encode_any(out, codec, opaque, code, remark),
        }
    }

    /// The same bytes as [`encode_any`](Self::encode_any), with what never changes between two values written as one piece.
    fn encode_json(&self, out: &mut BytesMut, opaque: i32, code: i32) {
        let start = out.len();
        let transaction_id = self.transaction_id.unwrap_or_default();
        let recall_handle = self.recall_handle.unwrap_or_default();
        out.reserve(FIXED_LEN + self.message_id.len() + self.region.len() + transaction_id.len() + recall_handle.len());
        out.put_slice(b"\0\0\0\0\0\0\0\0{\"code\":");
        put_int(out, code);
        out.put_slice(b",\"extFields\":{\"MSG_REGION\":\"");
        self.region.write(out, Codec::Json);
        out.put_slice(match self.trace_on {
            true => b"\",\"TRACE_ON\":\"true\",\"msgId\":\"",
            false => b"\",\"TRACE_ON\":\"false\",\"msgId\":\"",
        });
        self.message_id.write(out, Codec::Json);
        out.put_slice(b"\",\"queueId\":\"");
        put_int(out, self.queue_id);
        out.put_slice(b"\",\"queueOffset\":\"");
        put_int(out, self.queue_offset);
        if let Some(transaction_id) = self.transaction_id {
            out.put_slice(b"\",\"transactionId\":\"");
            transaction_id.write(out, Codec::Json);
        }
        if let Some(recall_handle) = self.recall_handle {
            out.put_slice(b"\",\"recallHandle\":\"");
            recall_handle.write(out, Codec::Json);
        }
        out.put_slice(b"\"},\"flag\":1,\"language\":\"JAVA\",\"opaque\":");
        put_int(out, opaque);
        out.put_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
        put_int(out, SERVER_VERSION);
        out.put_u8(b'}');
        let header_len = (out.len() - start - 8) as u32;
        out[start..start + 4].copy_from_slice(&(header_len + 4).to_be_bytes());
        // The encoding's byte, 0 for JSON, is the first of these four.
        out[start + 4..start + 8].copy_from_slice(&header_len.to_be_bytes());
    }

    /// The same for the binary header.
    fn encode_binary(&self, out: &mut BytesMut, opaque: i32, code: i32) {
        let start = out.len();
        let transaction_id = self.transaction_id.unwrap_or_default();
        let recall_handle = self.recall_handle.map_or(0, str::len);
        out.reserve(FIXED_LEN + self.message_id.len() + self.region.len() + transaction_id.len() + recall_handle);
        // Lengths of the frame, the header and extFields are filled in at the end; there is no remark.
        let mut head = [0; 29];
        head[8..10].copy_from_slice(&(code as i16).to_be_bytes());
        head[10] = Language::Java.number();
        head[11..13].copy_from_slice(&(SERVER_VERSION as i16).to_be_bytes());
        head[13..17].copy_from_slice(&opaque.to_be_bytes());
        head[17..21].copy_from_slice(&FLAG_RESPONSE.to_be_bytes());
        out.put_slice(&head);
        put_pair(out, b"\0\x0aMSG_REGION", self.region.as_bytes());
        out.put_slice(match self.trace_on {
            true => b"\0\x08TRACE_ON\0\0\0\x04true",
            false => b"\0\x08TRACE_ON\0\0\0\x05false",
        });
        put_pair(out, b"\0\x05msgId", self.message_id.as_bytes());
        put_pair(out, b"\0\x07queueId", itoa::Buffer::new().format(self.queue_id).as_bytes());
        put_pair(out, b"\0\x0bqueueOffset", itoa::Buffer::new().format(self.queue_offset).as_bytes());
        if self.transaction_id.is_some() {
            put_pair(out, b"\0\x0dtransactionId", transaction_id.as_bytes());
        }
        if let Some(recall_handle) = self.recall_handle {
            put_pair(out, b"\0\x0crecallHandle", recall_handle.as_bytes());
        }
        let len = out.len() - start;
        let frame = &mut out[start..];
        frame[0..4].copy_from_slice(&(len as u32 - 4).to_be_bytes());
        // The encoding's byte, 1 for binary, is the first of these four.
        frame[4..8].copy_from_slice(&(1 << 24 | (len as u32 - 8)).to_be_bytes());
        frame[25..29].copy_from_slice(&(len as u32 - 29).to_be_bytes());
    }

    fn encode_any(&self, out: &mut BytesMut, codec: Codec, opaque: i32, code: i32, remark: Option<&str>) {
        let head = Head::response(code, opaque, remark);
        let mut writer = FrameWriter::new(out, codec, &head);
        writer
            .ext("MSG_REGION", self.region)
            .ext("TRACE_ON", self.trace_on)
            .ext("msgId", self.message_id)
            .ext("queueId", self.queue_id)
            .ext("queueOffset", self.queue_offset)
            .ext_opt("transactionId", self.transaction_id)
            .ext_opt("recallHandle", self.recall_handle);
        writer.finish(b"");
    }
}

/// One pair of a binary header; `name` with its length before it.
#[inline]
fn put_pair(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.put_slice(name);
    out.put_slice(&(value.len() as u32).to_be_bytes());
    out.put_slice(value);
}

fn put_int(out: &mut BytesMut, value: impl itoa::Integer) {
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The same, read by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendAnswer {
    /// offsetMsgId, several joined by commas for a batch.
    pub message_id: String,
    /// Queue that holds it.
    pub queue_id: u32,
    /// Place in the queue; the first of a batch.
    pub queue_offset: i64,
    /// The UNIQ_KEY.
    pub transaction_id: Option<String>,
    /// Recalls the message, if it is timed.
    pub recall_handle: Option<String>,
}

impl SendAnswer {
    /// Reads the fields of an answer with one of the codes that mean "stored".
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(SendAnswer {
            message_id: text(header, "msgId")?.into_owned(),
            queue_id: int(header, "queueId")?,
            queue_offset: int(header, "queueOffset")?,
            transaction_id: header.ext.get("transactionId").map(|id| id.into_owned()),
            recall_handle: header.ext.get("recallHandle").map(|handle| handle.into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{FRAME_BYTES_MAX, Frame};

    proptest! {
        #[test]
        fn an_answer_is_read_back_and_laid_out_as_any_frame(
            texts in [".*", ".{0,9}", "[0-9A-F]{32}"],
            (with_transaction, with_handle, trace_on) in any::<(bool, bool, bool)>(),
            (queue_id, queue_offset, opaque) in any::<(u32, i64, i32)>(),
            code in 0..13,
            remark in proptest::option::of(".*"),
        ) {
            let reply = SendReply {
                message_id: &texts[2],
                queue_id,
                queue_offset,
                transaction_id: with_transaction.then_some(&*texts[0]),
                recall_handle: with_handle.then_some(&*texts[2]),
                region: &texts[1],
                trace_on,
            };
            for codec in [Codec::Json, Codec::Binary] {
                let (mut out, mut general) = (BytesMut::from(&b"before"[..]), BytesMut::from(&b"before"[..]));
                reply.encode(&mut out, codec, opaque, code, remark.as_deref());
                reply.encode_any(&mut general, codec, opaque, code, remark.as_deref());
                prop_assert_eq!(&out, &general);
                let (frame, len) = Frame::parse(&out[6..], FRAME_BYTES_MAX).unwrap().unwrap();
                prop_assert_eq!(len, out.len() - 6);
                prop_assert_eq!((frame.header.code, frame.header.opaque, frame.header.is_response()), (code, opaque, true));
                prop_assert_eq!(frame.header.ext.get("MSG_REGION").unwrap(), &*texts[1]);
                prop_assert_eq!(frame.header.ext.flag("TRACE_ON"), Some(trace_on));
                let answer = SendAnswer::parse(&frame.header).unwrap();
                prop_assert_eq!(&answer.message_id, &texts[2]);
                prop_assert_eq!((answer.queue_id, answer.queue_offset), (queue_id, queue_offset));
                prop_assert_eq!(answer.transaction_id.as_deref(), reply.transaction_id);
                prop_assert_eq!(answer.recall_handle.as_deref(), reply.recall_handle);
            }
        }
    }
}
