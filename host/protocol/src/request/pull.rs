//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361). Source: RocketMQ `PullMessageRequestHeader`, `PullMessageResponseHeader`.

use bytes::{BufMut, BytesMut};

use super::{RequestError, int, int_opt, text};
use crate::{
    frame::{Codec, FrameWriter},
    header::{Head, Header, HeaderError},
};

/// Name of the extField that says which plugin version judged an answer, as `name@hash`. Clients ignore it.
pub const FILTER_FIELD: &str = "gantryFilter";

/// Room that the head of an answer usually takes, in bytes.
const HEAD_LEN: usize = 512;

/// One pull. It owns its text, because it may wait for minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
    /// Where to begin.
    pub queue_offset: i64,
    /// Most messages wanted.
    pub max_messages: i32,
    /// Bits `PULL_*` of [`gantry_model::sys_flag`].
    pub sys_flag: i32,
    /// The group's offset, valid with `PULL_COMMIT_OFFSET`.
    pub commit_offset: i64,
    /// How long the broker may hold it, with `PULL_SUSPEND`.
    pub suspend_timeout_ms: i64,
    /// Version of the subscription that the client believes to have told.
    pub sub_version: i64,
    /// Expression, valid with `PULL_SUBSCRIPTION`.
    pub subscription: Option<String>,
    /// "TAG" or "SQL92"; absent means TAG.
    pub expression_type: Option<String>,
    /// Most bytes wanted.
    pub max_bytes: Option<i32>,
}

impl PullRequest {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let owned = |field| header.ext.get(field).map(|value| value.into_owned());
        Ok(PullRequest {
            group: text(header, "consumerGroup")?.into_owned(),
            topic: text(header, "topic")?.into_owned(),
            queue_id: int(header, "queueId")?,
            queue_offset: int(header, "queueOffset")?,
            max_messages: int(header, "maxMsgNums")?,
            sys_flag: int(header, "sysFlag")?,
            commit_offset: int_opt(header, "commitOffset")?.unwrap_or(0),
            suspend_timeout_ms: int_opt(header, "suspendTimeoutMillis")?.unwrap_or(0),
            sub_version: int_opt(header, "subVersion")?.unwrap_or(0),
            subscription: owned("subscription"),
            expression_type: owned("expressionType").filter(|kind| !kind.is_empty()),
            max_bytes: int_opt(header, "maxMsgBytes")?,
        })
    }
}

impl PullRequest {
    /// Adds the fields to a request.
    pub fn write(&self, writer: &mut FrameWriter<'_, '_>) {
        writer
            .ext("commitOffset", self.commit_offset)
            .ext("consumerGroup", &self.group)
            .ext_opt("expressionType", self.expression_type.as_ref())
            .ext_opt("maxMsgBytes", self.max_bytes)
            .ext("maxMsgNums", self.max_messages)
            .ext("queueId", self.queue_id)
            .ext("queueOffset", self.queue_offset)
            .ext("subVersion", self.sub_version)
            .ext_opt("subscription", self.subscription.as_ref())
            .ext("suspendTimeoutMillis", self.suspend_timeout_ms)
            .ext("sysFlag", self.sys_flag)
            .ext("topic", &self.topic);
    }
}

/// The header of a pull's answer. The four numbers are there on every status: Java unboxes them unasked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullReply<'a> {
    /// Broker id to pull from next.
    pub suggest_broker_id: i64,
    /// Where to pull next.
    pub next_begin_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// One past its last.
    pub max_offset: i64,
    /// Plugin version that judged the range, see [`FILTER_FIELD`].
    pub filter: Option<&'a str>,
}

impl PullReply<'_> {
    /// Appends the answer's frame; `body` is whole records, concatenated.
    pub fn encode(&self, out: &mut BytesMut, codec: Codec, opaque: i32, code: i32, remark: Option<&str>, body: &[u8]) {
        out.reserve(body.len() + HEAD_LEN);
        self.encode_head(out, codec, opaque, code, remark, body.len()).put_slice(body);
    }

    /// Appends the answer's frame without its body; exactly `body_len` bytes must follow in the buffer that is returned.
    pub fn encode_head<'o>(
        &self,
        out: &'o mut BytesMut,
        codec: Codec,
        opaque: i32,
        code: i32,
        remark: Option<&str>,
        body_len: usize,
    ) -> &'o mut BytesMut {
        let head = Head::response(code, opaque, remark);
        let mut writer = FrameWriter::new(out, codec, &head);
        writer
            .ext_opt(FILTER_FIELD, self.filter)
            .ext("maxOffset", self.max_offset)
            .ext("minOffset", self.min_offset)
            .ext("nextBeginOffset", self.next_begin_offset)
            .ext("suggestWhichBrokerId", self.suggest_broker_id);
        writer.finish_head(body_len)
    }
}

/// The same, read by a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullAnswer {
    /// Where to pull next.
    pub next_begin_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// One past its last.
    pub max_offset: i64,
    /// Plugin version that judged the range.
    pub filter: Option<String>,
}

impl PullAnswer {
    /// Reads the fields of an answer; absent numbers are 0.
    pub fn parse(header: &Header<'_>) -> Result<Self, HeaderError> {
        let number = |field| header.ext.number(field).unwrap_or(0);
        Ok(PullAnswer {
            next_begin_offset: number("nextBeginOffset"),
            min_offset: number("minOffset"),
            max_offset: number("maxOffset"),
            filter: header.ext.get(FILTER_FIELD).map(|label| label.into_owned()),
        })
    }
}
