//! Offsets of groups and queues: codes 14, 15, 29, 30, 31, 32.

use super::{RequestError, int, int_opt, text};
use crate::header::Header;

/// QUERY_CONSUMER_OFFSET (14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryConsumerOffset {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
    /// Whether a group without an offset may begin at 0; absent means it may.
    pub set_zero_if_not_found: Option<bool>,
}

impl QueryConsumerOffset {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(QueryConsumerOffset {
            group: text(header, "consumerGroup")?.into_owned(),
            topic: text(header, "topic")?.into_owned(),
            queue_id: int(header, "queueId")?,
            set_zero_if_not_found: header.ext.flag("setZeroIfNotFound"),
        })
    }
}

/// UPDATE_CONSUMER_OFFSET (15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateConsumerOffset {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Queue; negative when absent.
    pub queue_id: i32,
    /// Next offset to consume; negative when absent.
    pub commit_offset: i64,
}

impl UpdateConsumerOffset {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(UpdateConsumerOffset {
            group: text(header, "consumerGroup")?.into_owned(),
            topic: text(header, "topic")?.into_owned(),
            queue_id: int_opt(header, "queueId")?.unwrap_or(-1),
            commit_offset: int_opt(header, "commitOffset")?.unwrap_or(-1),
        })
    }
}

/// GET_MAX_OFFSET (30), GET_MIN_OFFSET (31), GET_EARLIEST_MSG_STORETIME (32): a question about one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRequest {
    /// Topic.
    pub topic: String,
    /// Queue.
    pub queue_id: i32,
}

impl QueueRequest {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(QueueRequest { topic: text(header, "topic")?.into_owned(), queue_id: int(header, "queueId")? })
    }
}

/// SEARCH_OFFSET_BY_TIMESTAMP (29).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchOffset {
    /// The queue.
    pub queue: QueueRequest,
    /// Store time, ms since 1970.
    pub timestamp_ms: i64,
    /// The last message not after the time, instead of the first not before it.
    pub upper: bool,
}

impl SearchOffset {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(SearchOffset {
            queue: QueueRequest::parse(header)?,
            timestamp_ms: int(header, "timestamp")?,
            upper: header.ext.get("boundaryType").is_some_and(|kind| kind.eq_ignore_ascii_case("upper")),
        })
    }
}
