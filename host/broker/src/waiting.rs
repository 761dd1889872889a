//! Where a message goes that waited in a topic of the broker until its time came.

use std::sync::Arc;

use gantry_model::{
    message::MessageView,
    name::{self, RETRY_PREFIX},
    properties,
};
use gantry_store::Queue;

use crate::{reply::Refusal, topics::TopicTable};

/// The queue that a waiting message names. `None`, said loudly, if that is nowhere any more and the message is to be
/// dropped; an error if it may be somewhere later: a retry topic that is gone is made again, and just now it cannot be.
pub(crate) fn destination(topics: &TopicTable, waiting: &MessageView<'_>) -> Result<Option<Arc<Queue>>, Refusal> {
    let physical_offset = waiting.physical_offset;
    let (topic, queue_id) = (waiting.property(properties::REAL_TOPIC), waiting.property(properties::REAL_QID));
    let (Some(topic), Some(queue_id)) = (topic, queue_id.and_then(|id| id.parse::<i32>().ok())) else {
        tracing::error!(%physical_offset, "a message that waited names no topic and queue to go to; it is dropped");
        return Ok(None);
    };
    let found = match topic.starts_with(RETRY_PREFIX) {
        true if name::check_topic(topic).is_ok() => Some(topics.get_or_create_internal(topic, 1)?),
        true => None,
        false => topics.get(topic),
    };
    let queue = found.as_ref().and_then(|found| found.queue(queue_id).or_else(|| found.queue(0)));
    let queue = queue.filter(|queue| !queue.is_gone()).cloned();
    if queue.is_none() {
        tracing::warn!(%topic, %physical_offset, "a message that waited is for a topic that is gone; it is dropped");
    }
    Ok(queue)
}
