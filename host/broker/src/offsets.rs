//! Requests about offsets: the group's own (14, 15) and the queue's (29, 30, 31, 32).

use std::sync::Arc;

use gantry_model::{offset::QueueOffset, topic::QUEUES_MAX};
use gantry_protocol::{
    code::response,
    request::offset::{QueryConsumerOffset, QueueRequest, SearchOffset, UpdateConsumerOffset},
};
use gantry_store::{Boundary, Queue};

use crate::{broker::Broker, reply::Refusal};

impl Broker {
    /// The group's offset. A group that never committed gets 0 while the queue still holds its first message, as in
    /// RocketMQ, so that a new group reads everything; else QUERY_NOT_FOUND, and the client applies consumeFromWhere.
    pub(crate) fn query_consumer_offset(&self, request: &QueryConsumerOffset) -> Result<QueueOffset, Refusal> {
        let queue_id = u32::try_from(request.queue_id).unwrap_or(u32::MAX);
        if let Some(offset) = self.offsets.get(&request.topic, &request.group, queue_id) {
            return Ok(offset);
        }
        let not_found = || {
            let remark = "Not found, do not set to zero, maybe this group boot first";
            Refusal::new(response::QUERY_NOT_FOUND, remark)
        };
        if request.set_zero_if_not_found == Some(false) {
            return Err(not_found());
        }
        match self.topics.get(&request.topic).and_then(|topic| topic.queue(request.queue_id).cloned()) {
            Some(queue)
                if queue.min_offset() == QueueOffset(0) && queue.end().get() > 0 && self.first_is_recent(&queue) =>
            {
                Ok(QueueOffset(0))
            }
            _ => Err(not_found()),
        }
    }

    /// RocketMQ asks whether the first message is still in memory (within 40 % of RAM of the log's end). The distance in
    /// the log stands for it here, with a fixed bound, so that the answer does not depend on the machine.
    fn first_is_recent(&self, queue: &Queue) -> bool {
        const RECENT_BYTES: u64 = 8 * 1024 * 1024 * 1024;
        queue
            .first_physical_offset()
            .is_some_and(|first| self.store.appended().get().saturating_sub(first.0) < RECENT_BYTES)
    }

    /// Stores what the group says, smaller values included.
    pub(crate) fn update_consumer_offset(&self, request: &UpdateConsumerOffset) -> Result<(), Refusal> {
        if self.groups.get(&request.group).is_none() {
            return Err(Refusal::no_group(&request.group));
        }
        if self.topics.get(&request.topic).is_none() {
            return Err(Refusal::no_topic(&request.topic));
        }
        let illegal = |what| Refusal::new(response::INVALID_PARAMETER, format!("{what} must not be negative"));
        let queue_id = u32::try_from(request.queue_id).map_err(|_| illegal("queueId"))?;
        if queue_id >= QUEUES_MAX {
            let remark = format!("queueId[{queue_id}] is illegal, a topic has at most {QUEUES_MAX} queues");
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        }
        let offset = QueueOffset::from_wire(request.commit_offset).ok_or_else(|| illegal("commitOffset"))?;
        self.offsets.commit(&request.topic, &request.group, queue_id, offset);
        Ok(())
    }

    pub(crate) fn max_offset(&self, request: &QueueRequest) -> i64 {
        self.queue_of(request).map_or(0, |queue| queue.end().get() as i64)
    }

    pub(crate) fn min_offset(&self, request: &QueueRequest) -> i64 {
        self.queue_of(request).map_or(0, |queue| queue.min_offset().to_wire())
    }

    /// Store time of the queue's first message, -1 when it has none. Reads the log.
    pub(crate) fn earliest_store_time(&self, request: &QueueRequest) -> Result<i64, Refusal> {
        let Some(queue) = self.queue_of(request) else { return Ok(-1) };
        loop {
            let first = queue.min_offset();
            match self.store.store_time_of(&queue, first).map_err(read_failed)? {
                Some(time_ms) => return Ok(time_ms as i64),
                // It was deleted meanwhile, and another is the first.
                None if queue.min_offset() > first => {}
                None => return Ok(-1),
            }
        }
    }

    /// The offset of a time. Reads the log by bisection.
    pub(crate) fn search_offset(&self, request: &SearchOffset) -> Result<i64, Refusal> {
        let Some(queue) = self.queue_of(&request.queue) else { return Ok(0) };
        let boundary = if request.upper { Boundary::Upper } else { Boundary::Lower };
        let offset = self.store.offset_by_time(&queue, request.timestamp_ms, boundary).map_err(read_failed)?;
        Ok(offset.to_wire())
    }

    fn queue_of(&self, request: &QueueRequest) -> Option<Arc<Queue>> {
        self.topics.get(&request.topic)?.queue(request.queue_id).cloned()
    }
}

fn read_failed(error: gantry_store::ReadError) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, error.to_string())
}
