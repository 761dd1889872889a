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
