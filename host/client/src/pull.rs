//! One pull of one queue.

use std::time::Duration;

use bytes::Bytes;
use gantry_model::{offset::QueueOffset, subscription::Subscription, sys_flag};
use gantry_protocol::{
    code::{request, response},
    record::{self, RecordError, Records},
    request::pull::PullAnswer,
};

use crate::{Client, ClientError, Queue, ReceivedMessage};

/// Time that a pull may take beyond the time that the broker may hold it; Java's difference of 30 s and 15 s is generous.
const PULL_SLACK: Duration = Duration::from_secs(5);

/// What to pull.
#[derive(Debug, Clone)]
pub struct Pull<'a> {
    /// Consumer group, by which the broker finds filters.
    pub group: &'a str,
    /// The queue.
    pub queue: &'a Queue,
    /// Where to begin.
    pub offset: QueueOffset,
    /// Most messages wanted; the broker has a limit of its own.
    pub messages_max: u32,
    /// How long the broker may hold the request until something arrives; zero = it answers at once.
    pub suspend: Duration,
    /// Which messages; sent with each pull, so that no heartbeat is needed before.
    pub subscription: &'a Subscription,
    /// Offset of the group to be stored with it.
    pub commit: Option<QueueOffset>,
}

/// How a pull came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// There are messages.
    Found,
    /// The queue ends here.
    NothingNew,
    /// Messages were looked at and none matched; go on at the next offset.
    NothingMatched,
    /// The offset lies outside the queue; the next offset lies inside.
    OffsetMoved,
}

/// The answer to a pull.
#[derive(Debug, Clone)]
pub struct PullResult {
    /// How it came out.
    pub status: PullStatus,
    /// Where to pull next.
    pub next_offset: QueueOffset,
    /// First offset of the queue.
    pub min_offset: QueueOffset,
    /// One past its last.
    pub max_offset: QueueOffset,
    /// Plugin version that judged the range, as `name@hash`.
    pub filter: Option<String>,
    /// Whole records, one after the other.
    pub body: Bytes,
}

impl PullResult {
    /// The records, read in place. The broker selects by the tag's hash only: compare the tag where it matters.
    pub fn records(&self) -> Records<'_> {
        record::records(&self.body)
    }

    /// The messages, each with its own handle on the bytes.
    pub fn messages(&self, queue: &Queue) -> Result<Vec<ReceivedMessage>, RecordError> {
        self.records().map(|record| record.map(|record| ReceivedMessage::new(queue, &record, &self.body))).collect()
    }
}

impl Client {
    /// Pulls from the broker that holds the queue.
    pub async fn pull(&self, pull: &Pull<'_>) -> Result<PullResult, ClientError> {
        let address = self.broker_address(&pull.queue.broker)?;
        self.pull_from(&address, pull).await
    }

    /// Pulls from the broker at `address`.
    pub async fn pull_from(&self, address: &str, pull: &Pull<'_>) -> Result<PullResult, ClientError> {
        let mut flags = sys_flag::PULL_SUBSCRIPTION;
        if pull.commit.is_some() {
            flags |= sys_flag::PULL_COMMIT_OFFSET;
        }
        if !pull.suspend.is_zero() {
            flags |= sys_flag::PULL_SUSPEND;
        }
        let code = request::PULL_MESSAGE;
        let timeout = pull.suspend + PULL_SLACK.max(self.0.options.call_timeout);
        let write = |ext: &mut gantry_protocol::frame::FrameWriter<'_, '_>| {
            ext.ext("commitOffset", pull.commit.unwrap_or_default().to_wire())
                .ext("consumerGroup", pull.group)
                .ext_opt("expressionType", pull.subscription.expression_type.as_ref())
                .ext("maxMsgNums", pull.messages_max)
                .ext("queueId", pull.queue.id)
                .ext("queueOffset", pull.offset.to_wire())
                .ext("subVersion", pull.subscription.sub_version)
                .ext("subscription", &pull.subscription.sub_string)
                .ext("suspendTimeoutMillis", pull.suspend.as_millis() as u64)
                .ext("sysFlag", flags)
                .ext("topic", &pull.queue.topic);
        };
        let answer = self.request(address, code, write, b"", timeout).await?;
        let header = answer.header().map_err(|error| ClientError::answer(address, code, error))?;
        let status = match header.code {
            response::SUCCESS => PullStatus::Found,
            response::PULL_NOT_FOUND => PullStatus::NothingNew,
            response::PULL_RETRY_IMMEDIATELY => PullStatus::NothingMatched,
            response::PULL_OFFSET_MOVED => PullStatus::OffsetMoved,
            refused => {
                let remark = header.remark.as_deref().unwrap_or_default().to_owned();
                return Err(ClientError::Refused { address: address.to_owned(), request: code, code: refused, remark });
            }
        };
        let fields = PullAnswer::parse(&header).map_err(|error| ClientError::answer(address, code, error))?;
        let offset = |value| QueueOffset::from_wire(value).unwrap_or_default();
        Ok(PullResult {
            status,
            next_offset: offset(fields.next_begin_offset),
            min_offset: offset(fields.min_offset),
            max_offset: offset(fields.max_offset),
            filter: fields.filter,
            body: answer.body(),
        })
    }
}
