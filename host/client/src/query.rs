//! Finding single messages on one broker: by key, or by their place in its log.

use bytes::Bytes;
use gantry_model::offset::PhysicalOffset;
use gantry_protocol::{
    code::{request, response},
    record,
    request::query::{QueryMessage, QueryReply},
};

use crate::{Client, ClientError, Queue, ReceivedMessage};

/// What a query by key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundByKey {
    /// The newest messages that have the key, in the order of the log.
    pub messages: Vec<ReceivedMessage>,
    /// Where the index was: time and place of its last message.
    pub index: QueryReply,
    /// What the broker says beside: why there may be more.
    pub remark: Option<String>,
}

impl Client {
    /// Messages of a topic with a key; `unique` when the key is a message's own id rather than one of its KEYS. None found is
    /// no error.
    pub async fn query(&self, broker: &str, query: &QueryMessage, unique: bool) -> Result<FoundByKey, ClientError> {
        let (address, code) = (self.broker_address(broker)?, request::QUERY_MESSAGE);
        let answer =
            self.request(&address, code, |ext| query.write(unique, ext), b"", self.0.options.call_timeout).await?;
        let header = answer.header().map_err(|error| ClientError::answer(&address, code, error))?;
        let remark = header.remark.as_deref().map(str::to_owned);
        match header.code {
            response::SUCCESS | response::QUERY_NOT_FOUND => {
                let messages = received(broker, &answer.body());
                let messages = messages.map_err(|error| ClientError::answer(&address, code, error))?;
                Ok(FoundByKey { messages, index: QueryReply::parse(&header), remark })
            }
            refused => {
                Err(ClientError::Refused { address, request: code, code: refused, remark: remark.unwrap_or_default() })
            }
        }
    }

    /// The message that begins at this place of a broker's log.
    pub async fn view(&self, broker: &str, offset: PhysicalOffset) -> Result<ReceivedMessage, ClientError> {
        let (address, code) = (self.broker_address(broker)?, request::VIEW_MESSAGE_BY_ID);
        let answer = self.ask(&address, code, |ext| _ = ext.ext("offset", offset.to_wire()), b"").await?;
        let messages = received(broker, &answer.body());
        let mut messages = messages.map_err(|error| ClientError::answer(&address, code, error))?;
        messages.pop().ok_or_else(|| ClientError::answer(&address, code, "no message in the answer"))
    }
}

fn received(broker: &str, body: &Bytes) -> Result<Vec<ReceivedMessage>, record::RecordError> {
    let message = |record: record::RecordView<'_>| {
        let queue = Queue { topic: record.topic().to_owned(), broker: broker.to_owned(), id: record.queue_id() };
        ReceivedMessage::new(&queue, &record, body)
    };
    record::records(body).map(|record| record.map(message)).collect()
}
