//! SEND_MESSAGE (10, long field names), SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320), both with one-letter names.
//! Source: RocketMQ `SendMessageRequestHeader`, `SendMessageRequestHeaderV2`.

use std::borrow::Cow;

use bytes::BytesMut;

use super::{RequestError, number};
use crate::{
    code::request,
    frame::{Codec, FrameWriter},
    header::{Head, Header, Value},
};

/// One send, borrowed from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendRequest<'a> {
    /// Producer group; not checked on a send.
    pub producer_group: Cow<'a, str>,
    /// Topic.
    pub topic: Cow<'a, str>,
    /// Template for an unknown topic, usually TBW102.
    pub default_topic: Cow<'a, str>,
    /// Queues wanted for a topic that is made.
    pub default_topic_queue_nums: i32,
    /// Queue; below 0 the broker chooses.
    pub queue_id: i32,
    /// Bits of [`gantry_model::sys_flag`].
    pub sys_flag: i32,
    /// When the client made it, ms since 1970.
    pub born_ms: i64,
    /// The application's own flag.
    pub flag: i32,
    /// Encoded properties, see [`gantry_model::properties`].
    pub properties: Cow<'a, str>,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
    /// Kept for unit clients.
    pub unit_mode: bool,
    /// Limit of retries that the client asks for.
    pub max_reconsume_times: Option<i32>,
    /// Whether the body is a batch, whatever the code: C++ sends batches as 310.
    pub is_batch: bool,
}

impl<'a> SendRequest<'a> {
    /// Reads the fields in one pass.
    pub fn parse(header: &Header<'a>) -> Result<Self, RequestError> {
        let mut fields = Fields::default();
        let mut outcome = Ok(());
        let letter_of = if header.code == request::SEND_MESSAGE { letter_of_long } else { letter_of_short };
        header.ext.visit(|name, value| {
            if let Err(error) = fields.set(letter_of(name), value) {
                outcome = Err(error);
            }
        });
        outcome?;
        fields.finish(header.code == request::SEND_BATCH_MESSAGE)
    }
}

fn letter_of_short(name: &[u8]) -> u8 {
    match name {
        [letter] => *letter,
        _ => 0,
    }
}

fn letter_of_long(name: &[u8]) -> u8 {
    match name {
        b"producerGroup" => b'a',
        b"topic" => b'b',
        b"defaultTopic" => b'c',
        b"defaultTopicQueueNums" => b'd',
        b"queueId" => b'e',
        b"sysFlag" => b'f',
        b"bornTimestamp" => b'g',
        b"flag" => b'h',
        b"properties" => b'i',
        b"reconsumeTimes" => b'j',
        b"unitMode" => b'k',
        b"maxReconsumeTimes" => b'l',
        b"batch" => b'm',
        _ => 0,
    }
}

#[derive(Default)]
struct Fields<'a> {
    producer_group: Option<Cow<'a, str>>,
    topic: Option<Cow<'a, str>>,
    default_topic: Option<Cow<'a, str>>,
    default_topic_queue_nums: Option<i32>,
    queue_id: Option<i32>,
    sys_flag: Option<i32>,
    born_ms: Option<i64>,
    flag: Option<i32>,
    properties: Option<Cow<'a, str>>,
    reconsume_times: Option<i32>,
    unit_mode: bool,
    max_reconsume_times: Option<i32>,
    is_batch: bool,
}

impl<'a> Fields<'a> {
    fn set(&mut self, letter: u8, value: Value<'a>) -> Result<(), RequestError> {
        match letter {
            b'a' => self.producer_group = Some(value.text()),
            b'b' => self.topic = Some(value.text()),
            b'c' => self.default_topic = Some(value.text()),
            b'd' => self.default_topic_queue_nums = Some(number("defaultTopicQueueNums", value)?),
            b'e' => self.queue_id = Some(number("queueId", value)?),
            b'f' => self.sys_flag = Some(number("sysFlag", value)?),
            b'g' => self.born_ms = Some(number("bornTimestamp", value)?),
            b'h' => self.flag = Some(number("flag", value)?),
            b'i' => self.properties = Some(value.text()),
            b'j' => self.reconsume_times = Some(number("reconsumeTimes", value)?),
            b'k' => self.unit_mode = value.is_true(),
            b'l' => self.max_reconsume_times = Some(number("maxReconsumeTimes", value)?),
            b'm' => self.is_batch = value.is_true(),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, batch_code: bool) -> Result<SendRequest<'a>, RequestError> {
        let missing = |field| RequestError::Missing { field };
        Ok(SendRequest {
            producer_group: self.producer_group.ok_or(missing("producerGroup"))?,
            topic: self.topic.ok_or(missing("topic"))?,
            default_topic: self.default_topic.ok_or(missing("defaultTopic"))?,
            default_topic_queue_nums: self.default_topic_queue_nums.ok_or(missing("defaultTopicQueueNums"))?,
            queue_id: self.queue_id.ok_or(missing("queueId"))?,
            sys_flag: self.sys_flag.ok_or(missing("sysFlag"))?,
            born_ms: self.born_ms.ok_or(missing("bornTimestamp"))?,
            flag: self.flag.ok_or(missing("flag"))?,
            properties: self.properties.unwrap_or_default(),
            reconsume_times: self.reconsume_times.unwrap_or(0),
            unit_mode: self.unit_mode,
            max_reconsume_times: self.max_reconsume_times,
            is_batch: self.is_batch || batch_code,
        })
    }
}

/// The answer to a send that is stored (codes 0, 10, 11, 12). All of it must be there: Java reads MSG_REGION unasked.
#[derive(Debug, Clone, Copy)]
pub struct SendReply<'a> {
    /// offsetMsgId, several joined by commas for a batch.
    pub message_id: &'a str,
    /// Queue that holds it.
    pub queue_id: u32,
    /// Place in the queue; the first of a batch.
    pub queue_offset: i64,
    /// The UNIQ_KEY.
    pub transaction_id: Option<&'a str>,
    /// Region of the broker.
    pub region: &'a str,
    /// Whether tracing is on.
    pub trace_on: bool,
}

impl SendReply<'_> {
    /// Appends the answer's frame.
    pub fn encode(&self, out: &mut BytesMut, codec: Codec, opaque: i32, code: i32, remark: Option<&str>) {
        let head = Head::response(code, opaque, remark);
        let mut writer = FrameWriter::new(out, codec, &head);
        writer
            .ext("MSG_REGION", self.region)
            .ext("TRACE_ON", self.trace_on)
            .ext("msgId", self.message_id)
            .ext("queueId", self.queue_id)
            .ext("queueOffset", self.queue_offset)
            .ext_opt("transactionId", self.transaction_id);
        writer.finish(b"");
    }
}
