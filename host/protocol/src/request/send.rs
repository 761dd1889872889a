//! SEND_MESSAGE (10, long field names), SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320), both with one-letter names.
//! Source: RocketMQ `SendMessageRequestHeader`, `SendMessageRequestHeaderV2`.

use std::borrow::Cow;

mod reply;

pub use reply::{SendAnswer, SendReply};

use super::{RequestError, needed, needed_number, optional_number};
use crate::{
    code::request,
    frame::FrameWriter,
    header::{Header, Value},
};

/// The long names, in the order of the letters `a` to `m` that stand for them in the later codes.
const FIELDS: [&str; 13] = [
    "producerGroup",
    "topic",
    "defaultTopic",
    "defaultTopicQueueNums",
    "queueId",
    "sysFlag",
    "bornTimestamp",
    "flag",
    "properties",
    "reconsumeTimes",
    "unitMode",
    "maxReconsumeTimes",
    "batch",
];

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
        let mut fields = [None; FIELDS.len()];
        // Two loops, so that the choice is not made for every field.
        if header.code == request::SEND_MESSAGE {
            header.ext.visit(|name, value| {
                if let Some(place) = FIELDS.iter().position(|known| known.as_bytes() == name) {
                    fields[place] = Some(value);
                }
            });
        } else {
            header.ext.visit(|name, value| {
                if let [letter] = name
                    && let Some(field) = fields.get_mut(usize::from(letter.wrapping_sub(b'a')))
                {
                    *field = Some(value);
                }
            });
        }
        SendRequest::from_fields(&fields, header.code == request::SEND_BATCH_MESSAGE)
    }

    /// Adds the fields to a request with the code that the writer was begun with; long names for SEND_MESSAGE.
    pub fn write(&self, writer: &mut FrameWriter<'_, '_>) {
        const LETTERS: [&str; FIELDS.len()] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"];
        let names = if writer.code() == request::SEND_MESSAGE { &FIELDS } else { &LETTERS };
        writer
            .ext(names[0], &*self.producer_group)
            .ext(names[1], &*self.topic)
            .ext(names[2], &*self.default_topic)
            .ext(names[3], self.default_topic_queue_nums)
            .ext(names[4], self.queue_id)
            .ext(names[5], self.sys_flag)
            .ext(names[6], self.born_ms)
            .ext(names[7], self.flag)
            .ext(names[8], &*self.properties)
            .ext(names[9], self.reconsume_times)
            .ext(names[10], self.unit_mode)
            .ext_opt(names[11], self.max_reconsume_times)
            .ext(names[12], self.is_batch);
    }

    fn from_fields(fields: &[Option<Value<'a>>; FIELDS.len()], batch_code: bool) -> Result<Self, RequestError> {
        let text = |at: usize| needed(FIELDS[at], fields[at]).map(Value::text);
        Ok(SendRequest {
            producer_group: text(0)?,
            topic: text(1)?,
            default_topic: text(2)?,
            default_topic_queue_nums: needed_number(FIELDS[3], fields[3])?,
            queue_id: needed_number(FIELDS[4], fields[4])?,
            sys_flag: needed_number(FIELDS[5], fields[5])?,
            born_ms: needed_number(FIELDS[6], fields[6])?,
            flag: needed_number(FIELDS[7], fields[7])?,
            properties: fields[8].map(Value::text).unwrap_or_default(),
            reconsume_times: optional_number(FIELDS[9], fields[9])?.unwrap_or(0),
            unit_mode: fields[10].is_some_and(Value::is_true),
            max_reconsume_times: optional_number(FIELDS[11], fields[11])?,
            is_batch: batch_code || fields[12].is_some_and(Value::is_true),
        })
    }
}

#[cfg(test)]
mod tests;
