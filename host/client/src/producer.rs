//! Sends, with the retries of the Java client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use gantry_base::clock::Clock;
use gantry_model::{name::AUTO_CREATE_TOPIC, offset::QueueOffset};
use gantry_protocol::{
    batch::{self, BatchMessage},
    code::{request, response},
    frame::{FrameWriter, OwnedFrame},
};

use crate::{Client, ClientError, Message, Queue, route::DEFAULT_TOPIC_QUEUES};

/// How long a send may take with all its tries; Java's `sendMsgTimeout`.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// Tries of one send; Java's `retryTimesWhenSendFailed` and the first.
const TRIES_MAX: usize = 3;
/// Codes after which another broker may do better.
const RETRIED_CODES: [i32; 8] = [
    response::TOPIC_NOT_EXIST,
    response::SERVICE_NOT_AVAILABLE,
    response::SYSTEM_ERROR,
    response::SYSTEM_BUSY,
    response::NO_PERMISSION,
    204,
    205,
    1500,
];

/// How safe a message is that the broker took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As safe as the broker promises.
    Stored,
    /// Stored, but the disk did not confirm in time.
    FlushDiskTimeout,
    /// Stored, but the replicas did not confirm in time.
    FlushSlaveTimeout,
    /// Stored, but there is no replica.
    SlaveNotAvailable,
}

/// Where a message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendResult {
    /// How safe it is.
    pub status: SendStatus,
    /// `offsetMsgId` of the broker; of a batch several, joined by commas.
    pub message_id: String,
    /// The message's UNIQ_KEY; of a batch that of the first.
    pub unique_key: String,
    /// Its queue.
    pub queue: Queue,
    /// Its place there; of a batch that of the first.
    pub queue_offset: QueueOffset,
    /// Recalls it, see [`Client::recall`], if it is a timed message.
    pub recall_handle: Option<String>,
}

/// Sends messages; clones share the round of queues.
#[derive(Clone)]
pub struct Producer {
    client: Client,
    group: Arc<str>,
    next_queue: Arc<AtomicUsize>,
}

/// A send ready to go to any queue.
struct Envelope<'a> {
    code: i32,
    topic: &'a str,
    properties: &'a str,
    unique_key: &'a str,
    flag: i32,
    body: &'a [u8],
}

impl Producer {
    pub(crate) fn new(client: Client, group: String) -> Self {
        Producer { client, group: group.into(), next_queue: Arc::default() }
    }

    /// Sends to the queues of the topic in turn. A failure is tried again on another broker where there is one; the message
    /// may then be stored twice.
    pub async fn send(&self, message: &Message) -> Result<SendResult, ClientError> {
        let (properties, unique_key) = message.sealed_properties()?;
        self.send_somewhere(&single(message, &properties, &unique_key)).await
    }

    /// Sends to one queue, once.
    pub async fn send_to(&self, queue: &Queue, message: &Message) -> Result<SendResult, ClientError> {
        let (properties, unique_key) = message.sealed_properties()?;
        self.send_once(queue, &single(message, &properties, &unique_key), SEND_TIMEOUT).await
    }

    /// Sends messages of one topic as one batch to one queue. All of it is stored or none.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<SendResult, ClientError> {
        let topic = match messages {
            [first, rest @ ..] if rest.iter().all(|message| message.topic == first.topic) => &first.topic,
            [] => return Err(ClientError::Invalid("the batch is empty".to_owned())),
            _ => return Err(ClientError::Invalid("the messages of a batch must have one topic".to_owned())),
        };
        let (mut body, mut first_key) = (BytesMut::new(), None);
        for message in messages {
            let (properties, key) = message.sealed_properties()?;
            let part = BatchMessage { flag: message.flag, body: &message.body, properties: properties.as_bytes() };
            // Cannot fail: the properties were measured when they were sealed.
            batch::push(&mut body, &part);
            first_key.get_or_insert(key);
        }
        let unique_key = first_key.unwrap_or_default();
        let code = request::SEND_BATCH_MESSAGE;
        self.send_somewhere(&Envelope { code, topic, properties: "", unique_key: &unique_key, flag: 0, body: &body })
            .await
    }

    async fn send_somewhere(&self, envelope: &Envelope<'_>) -> Result<SendResult, ClientError> {
        let deadline = Instant::now() + SEND_TIMEOUT;
        let mut failed: Option<(ClientError, String)> = None;
        for _ in 0..TRIES_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let queue = match self.client.publish_queues(envelope.topic).await {
                Ok(queues) => self.choose(&queues, failed.as_ref().map(|(_, broker)| broker.as_str())),
                // The first failure says more than that there is no other queue.
                Err(error) => return Err(failed.map_or(error, |(first, _)| first)),
            };
            match self.send_once(&queue, envelope, left).await {
                Err(error) if is_retried(&error) => {
                    self.client.doubt_route(envelope.topic);
                    failed = Some((error, queue.broker));
                }
                other => return other,
            }
        }
        match failed {
            Some((error, _)) => Err(error),
            None => Err(ClientError::Invalid("the send timeout is over".to_owned())),
        }
    }

    /// The next queue in turn, on another broker than the one that just failed if there is one.
    fn choose(&self, queues: &[Queue], failed_broker: Option<&str>) -> Queue {
        let turn = || self.next_queue.fetch_add(1, Ordering::Relaxed) % queues.len();
        let elsewhere = |queue: &&Queue| failed_broker != Some(queue.broker.as_str());
        let first = &queues[turn()];
        if elsewhere(&first) {
            return first.clone();
        }
        (1..queues.len()).map(|_| &queues[turn()]).find(elsewhere).unwrap_or(first).clone()
    }

    async fn send_once(
        &self,
        queue: &Queue,
        envelope: &Envelope<'_>,
        timeout: Duration,
    ) -> Result<SendResult, ClientError> {
        let address = self.client.broker_address(&queue.broker)?;
        let write = |ext: &mut FrameWriter<'_, '_>| self.write_fields(ext, queue, envelope);
        let answer = self.client.request(&address, envelope.code, write, envelope.body, timeout).await?;
        read_result(&address, envelope, queue, &answer)
    }

    /// One-letter names: SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE.
    fn write_fields(&self, ext: &mut FrameWriter<'_, '_>, queue: &Queue, envelope: &Envelope<'_>) {
        ext.ext("a", &*self.group)
            .ext("b", envelope.topic)
            .ext("c", AUTO_CREATE_TOPIC)
            .ext("d", DEFAULT_TOPIC_QUEUES)
            .ext("e", queue.id)
            .ext("f", 0)
            .ext("g", Clock::system().now_ms())
            .ext("h", envelope.flag)
            .ext("i", envelope.properties)
            .ext("j", 0)
            .ext("k", false)
            .ext("m", envelope.code == request::SEND_BATCH_MESSAGE);
    }
}

fn single<'a>(message: &'a Message, properties: &'a str, unique_key: &'a str) -> Envelope<'a> {
    Envelope {
        code: request::SEND_MESSAGE_V2,
        topic: &message.topic,
        properties,
        unique_key,
        flag: message.flag,
        body: &message.body,
    }
}

/// Whether another try may succeed where this one failed.
fn is_retried(error: &ClientError) -> bool {
    match error {
        ClientError::Connect(_) | ClientError::Call { .. } => true,
        ClientError::Refused { code, .. } => RETRIED_CODES.contains(code),
        _ => false,
    }
}

fn read_result(
    address: &str,
    envelope: &Envelope<'_>,
    queue: &Queue,
    answer: &OwnedFrame,
) -> Result<SendResult, ClientError> {
    let unreadable = |problem: String| ClientError::answer(address, envelope.code, problem);
    let header = answer.header().map_err(|error| unreadable(error.to_string()))?;
    let status = match header.code {
        response::SUCCESS => SendStatus::Stored,
        response::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        response::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        response::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        code => {
            let remark = header.remark.as_deref().unwrap_or_default().to_owned();
            return Err(ClientError::Refused { address: address.to_owned(), request: envelope.code, code, remark });
        }
    };
    let missing = |field: &str| unreadable(format!("no number in field {field}"));
    Ok(SendResult {
        status,
        message_id: header.ext.get("msgId").unwrap_or_default().into_owned(),
        unique_key: envelope.unique_key.to_owned(),
        queue: Queue { id: header.ext.number("queueId").ok_or_else(|| missing("queueId"))?, ..queue.clone() },
        queue_offset: QueueOffset(header.ext.number("queueOffset").ok_or_else(|| missing("queueOffset"))?),
        recall_handle: header.ext.get("recallHandle").map(|handle| handle.into_owned()),
    })
}
