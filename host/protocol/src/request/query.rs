//! Finding single messages: QUERY_MESSAGE (12) by key, VIEW_MESSAGE_BY_ID (33) by place. Source: RocketMQ
//! `QueryMessageRequestHeader`, `QueryMessageResponseHeader`, `ViewMessageRequestHeader`, `MixAll.UNIQUE_MSG_QUERY_FLAG`.

use super::{RequestError, int, is_true, text};
use crate::{frame::FrameWriter, header::Header};

/// Says that the key is a message's UNIQ_KEY.
const UNIQUE_FIELD: &str = "_UNIQUE_KEY_QUERY";
/// What a broker gives at most then, whatever `maxNum` says. Source: RocketMQ `defaultQueryMaxNum`.
const UNIQUE_MESSAGES_MAX: i32 = 32;

/// QUERY_MESSAGE (12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMessage {
    /// Topic.
    pub topic: String,
    /// A message's UNIQ_KEY, or one word of its KEYS.
    pub key: String,
    /// Most messages wanted.
    pub messages_max: i32,
    /// Earliest store time, ms since 1970.
    pub begin_ms: i64,
    /// Latest store time, included.
    pub end_ms: i64,
}

impl QueryMessage {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let asked = int(header, "maxNum")?;
        Ok(QueryMessage {
            topic: text(header, "topic")?.into_owned(),
            key: text(header, "key")?.into_owned(),
            messages_max: if is_true(header, UNIQUE_FIELD) { UNIQUE_MESSAGES_MAX } else { asked },
            begin_ms: int(header, "beginTimestamp")?,
            end_ms: int(header, "endTimestamp")?,
        })
    }

    /// Writes the fields; `unique` when the key is a UNIQ_KEY.
    pub fn write(&self, unique: bool, writer: &mut FrameWriter<'_, '_>) {
        writer
            .ext(UNIQUE_FIELD, unique)
            .ext("beginTimestamp", self.begin_ms)
            .ext("endTimestamp", self.end_ms)
            .ext("key", self.key.as_str())
            .ext("maxNum", self.messages_max)
            .ext("topic", self.topic.as_str());
    }
}

/// The fields of the answer to a [`QueryMessage`]; its body is whole records, back to back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryReply {
    /// Store time of the last message in the index, ms since 1970.
    pub last_update_ms: i64,
    /// Its physical offset.
    pub last_update_offset: i64,
}

impl QueryReply {
    /// Writes the fields.
    pub fn write(&self, writer: &mut FrameWriter<'_, '_>) {
        writer
            .ext("indexLastUpdatePhyoffset", self.last_update_offset)
            .ext("indexLastUpdateTimestamp", self.last_update_ms);
    }

    /// Reads the fields of an answer; absent ones are 0.
    pub fn parse(header: &Header<'_>) -> Self {
        let number = |field| header.ext.number(field).unwrap_or(0);
        QueryReply {
            last_update_ms: number("indexLastUpdateTimestamp"),
            last_update_offset: number("indexLastUpdatePhyoffset"),
        }
    }
}

/// VIEW_MESSAGE_BY_ID (33): the message at a place that its offsetMsgId names. Clients may send the topic too; it says nothing
/// that the place does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewMessage {
    /// Physical offset.
    pub offset: i64,
}

impl ViewMessage {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(ViewMessage { offset: int(header, "offset")? })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        code::{request, response},
        frame::{Codec, FRAME_BYTES_MAX, Frame},
        header::Head,
    };

    /// A frame around a header in JSON, lengths counted here.
    fn framed(header: &str) -> Vec<u8> {
        let len = header.len() as u32;
        [&(len + 4).to_be_bytes()[..], &len.to_be_bytes()[..], header.as_bytes()].concat()
    }

    fn parsed<T>(bytes: &[u8], parse: impl Fn(&Header<'_>) -> T) -> T {
        let (frame, len) = Frame::parse(bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        parse(&frame.header)
    }

    /// What `MQAdminImpl.queryMessage` of the Java client 5.3 sends.
    #[test]
    fn a_query_as_java_sends_it() {
        let sent = |unique: &str| {
            framed(&format!(
                "{{\"code\":12,\"extFields\":{{\"topic\":\"orders\",\"_UNIQUE_KEY_QUERY\":\"{unique}\",\"maxNum\":\"64\",\
                 \"beginTimestamp\":\"0\",\"endTimestamp\":\"9223372036854775807\",\"key\":\"id 7\"}},\"flag\":0,\
                 \"language\":\"JAVA\",\"opaque\":3,\"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}}"
            ))
        };
        let query = QueryMessage {
            topic: "orders".into(),
            key: "id 7".into(),
            messages_max: 64,
            begin_ms: 0,
            end_ms: i64::MAX,
        };
        assert_eq!(parsed(&sent("false"), QueryMessage::parse), Ok(query.clone()));
        let by_id = QueryMessage { messages_max: 32, ..query };
        assert_eq!(parsed(&sent("true"), QueryMessage::parse), Ok(by_id), "whatever it asks for");
    }

    #[test]
    fn a_query_without_its_key_or_with_words_for_numbers_is_refused() {
        for ext in [
            "\"topic\":\"t\",\"maxNum\":\"1\",\"beginTimestamp\":\"0\",\"endTimestamp\":\"1\"",
            "\"topic\":\"t\",\"key\":\"k\",\"maxNum\":\"many\",\"beginTimestamp\":\"0\",\"endTimestamp\":\"1\"",
            "\"topic\":\"t\",\"key\":\"k\",\"maxNum\":\"1\",\"beginTimestamp\":\"0\"",
        ] {
            let bytes = framed(&format!("{{\"code\":12,\"extFields\":{{{ext}}},\"opaque\":1}}"));
            assert!(parsed(&bytes, QueryMessage::parse).is_err(), "{ext}");
        }
    }

    #[test]
    fn golden_answer() {
        let mut out = BytesMut::new();
        let head = Head::response(response::SUCCESS, 3, None);
        let mut writer = FrameWriter::new(&mut out, Codec::Binary, &head);
        QueryReply { last_update_ms: 1_700_000_000_000, last_update_offset: 4096 }.write(&mut writer);
        writer.finish(b"records");
        #[rustfmt::skip]
        let ext = [
            &[0, 24][..], b"indexLastUpdatePhyoffset", &[0, 0, 0, 4], b"4096",
            &[0, 24], b"indexLastUpdateTimestamp", &[0, 0, 0, 13], b"1700000000000",
        ].concat();
        // Code, language, version, opaque, flag, remark and the ext fields with their lengths: 21 bytes and the fields.
        let header_len = 21 + ext.len() as u32;
        assert_eq!(out[..4], (4 + header_len + 7).to_be_bytes());
        assert_eq!(out[4..8], (header_len | 1 << 24).to_be_bytes());
        assert_eq!(out[8..10], [0, 0], "SUCCESS");
        assert_eq!(out[13..21], [0, 0, 0, 3, 0, 0, 0, 1], "opaque 3, a response");
        assert_eq!(out[29..], [&ext[..], b"records"].concat());
        let back = parsed(&out, QueryReply::parse);
        assert_eq!((back.last_update_ms, back.last_update_offset), (1_700_000_000_000, 4096));
    }

    #[test]
    fn a_view_names_a_place() {
        let sent = "{\"code\":33,\"extFields\":{\"offset\":\"1178\",\"topic\":\"orders\"},\"opaque\":9}";
        assert_eq!(parsed(&framed(sent), ViewMessage::parse), Ok(ViewMessage { offset: 1178 }));
        let number = |header: &Header<'_>| header.code;
        assert_eq!(parsed(&framed(sent), number), request::VIEW_MESSAGE_BY_ID);
    }
}
