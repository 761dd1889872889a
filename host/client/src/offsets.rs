//! Offsets of queues and of groups.

use gantry_model::offset::QueueOffset;
use gantry_protocol::{
    code::{request, response},
    frame::FrameWriter,
};

use crate::{Client, ClientError, Queue, client};

impl Client {
    /// One past the last message of a queue.
    pub async fn max_offset(&self, queue: &Queue) -> Result<QueueOffset, ClientError> {
        self.queue_offset(request::GET_MAX_OFFSET, queue, |_| ()).await
    }

    /// The first message of a queue that is still there.
    pub async fn min_offset(&self, queue: &Queue) -> Result<QueueOffset, ClientError> {
        self.queue_offset(request::GET_MIN_OFFSET, queue, |_| ()).await
    }

    /// The first message of a queue that was stored at or after `timestamp_ms` (ms since 1970).
    pub async fn offset_at(&self, queue: &Queue, timestamp_ms: u64) -> Result<QueueOffset, ClientError> {
        self.queue_offset(request::SEARCH_OFFSET_BY_TIMESTAMP, queue, |ext| _ = ext.ext("timestamp", timestamp_ms))
            .await
    }

    /// Where the group goes on in a queue; `None` when it never committed there.
    pub async fn consumer_offset(&self, group: &str, queue: &Queue) -> Result<Option<QueueOffset>, ClientError> {
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("consumerGroup", group).ext("setZeroIfNotFound", false);
        };
        match self.queue_offset(request::QUERY_CONSUMER_OFFSET, queue, write).await {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if error.refusal() == Some(response::QUERY_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores where the group goes on in a queue.
    pub async fn commit_offset(&self, group: &str, queue: &Queue, offset: QueueOffset) -> Result<(), ClientError> {
        let address = self.broker_address(&queue.broker)?;
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("commitOffset", offset.to_wire())
                .ext("consumerGroup", group)
                .ext("queueId", queue.id)
                .ext("topic", &queue.topic);
        };
        self.ask(&address, request::UPDATE_CONSUMER_OFFSET, write, b"").await.map(drop)
    }

    async fn queue_offset(
        &self,
        code: i32,
        queue: &Queue,
        more: impl FnOnce(&mut FrameWriter<'_, '_>),
    ) -> Result<QueueOffset, ClientError> {
        let address = self.broker_address(&queue.broker)?;
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("queueId", queue.id).ext("topic", &queue.topic);
            more(ext);
        };
        let answer = self.ask(&address, code, write, b"").await?;
        client::number(&address, code, &answer, "offset").map(QueueOffset)
    }
}
