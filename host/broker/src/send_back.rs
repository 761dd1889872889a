//! CONSUMER_SEND_MSG_BACK (36): a consumer could not handle a message; deliver it again later, or give it up.
//!
//! RocketMQ answers before the copy is on disk. Here the answer waits as a send does: the consumer commits past the original
//! once it is answered, and a lost copy would then be a lost message.

use std::{sync::Arc, time::Duration};

use gantry_base::watermark::Closed;
use gantry_model::{
    delay::DelayLevel,
    name::{dlq_topic, retry_topic},
    offset::PhysicalOffset,
    properties,
};
use gantry_protocol::{code::response, message_id::MessageId, record::RecordView, request::send_back::SendBackRequest};
use gantry_store::{Flush, Health, Placed, Wait};
use tokio::time::Instant;

use crate::{broker::Broker, message::Outgoing, reply::Refusal, send};

/// Level of the first retry when the consumer leaves the delay to the broker: 10 s.
const FIRST_RETRY_LEVEL: i64 = 3;

/// Carries out one send-back; `Ok` = the copy is stored as durably as the broker promises.
pub(crate) async fn send_back(broker: Arc<Broker>, request: SendBackRequest, arrived: Instant) -> Result<(), Refusal> {
    broker.flow.admit_sends(&broker.store, arrived, 1)?;
    let worker = broker.clone();
    match broker.run_blocking(arrived, move || copy(&worker, &request)).await?? {
        Some(placed) => broker.wait_durable(placed.end).await,
        None => Ok(()),
    }
}

fn copy(broker: &Broker, request: &SendBackRequest) -> Result<Option<Placed>, Refusal> {
    let group = broker.groups.get(&request.group).ok_or_else(|| Refusal::no_group(&request.group))?;
    if group.retry_queue_nums <= 0 {
        return Ok(None);
    }
    let gone = |reason: String| {
        let remark = format!("look message by offset failed, {}: {reason}", request.offset);
        Refusal::new(response::SYSTEM_ERROR, remark)
    };
    let offset = PhysicalOffset::from_wire(request.offset).ok_or_else(|| gone("it is negative".to_owned()))?;
    let bytes = broker
        .store
        .record(offset, Wait::Allowed)
        .map_err(|error| gone(error.to_string()))?
        .ok_or_else(|| gone("no message begins there".to_owned()))?;
    let record = RecordView::parse(&bytes).map_err(|error| gone(error.to_string()))?;
    let message = record.message();

    let mut again = Outgoing::again(&message, broker.options.advertised, |name| {
        matches!(name, "DELAY" | "WAIT" | "REAL_TOPIC" | "REAL_QID")
    });
    if message.property(properties::RETRY_TOPIC).is_none() {
        again.set_property(properties::RETRY_TOPIC, message.topic);
    }
    if message.property(properties::ORIGIN_MESSAGE_ID).is_none() {
        let own = MessageId::new(record.store_host(), offset);
        let origin = request.origin_message_id.as_deref().filter(|id| !id.is_empty());
        again.set_property(properties::ORIGIN_MESSAGE_ID, origin.unwrap_or(own.as_str()));
    }
    again.reconsume_times = message.reconsume_times.saturating_add(1);

    let limit = request.max_reconsume_times.unwrap_or(group.retry_max_times);
    if message.reconsume_times >= limit || request.delay_level < 0 {
        let topic = broker.topics.get_or_create_internal(&dlq_topic(&request.group), 1)?;
        let queue = topic.queue(0).ok_or_else(|| Refusal::no_topic(&topic.config.topic_name))?;
        let placed = again.append(&broker.store, queue).map_err(|error| send::append_refusal(&error))?;
        let origin = message.property(properties::RETRY_TOPIC).unwrap_or(message.topic);
        broker.metrics.dead_letters.count(&request.group, origin);
        return Ok(Some(placed));
    }
    let retry_name = retry_topic(&request.group);
    let topic = broker.topics.get_or_create_internal(&retry_name, group.retry_queue_nums as u32)?;
    let level = match request.delay_level {
        0 => FIRST_RETRY_LEVEL + i64::from(message.reconsume_times.max(0)),
        asked => i64::from(asked),
    };
    if let Some(level) = DelayLevel::clamped(level) {
        again.set_property(properties::DELAY, &level.number().to_string());
        again.set_property(properties::REAL_TOPIC, &retry_name);
        again.set_property(properties::REAL_QID, &topic.next_write_queue().to_string());
        let topics = broker.topics.snapshot();
        let queue = send::schedule_queue(&topics, level)?;
        return again.append(&broker.store, queue).map(Some).map_err(|error| send::append_refusal(&error));
    }
    Ok(None)
}

impl Broker {
    /// Why a message that was waited for is not acknowledged.
    pub(crate) fn log_stopped(&self) -> String {
        let reason = match self.store.health() {
            Health::Failed(reason) => reason,
            Health::Healthy => "the broker shuts down".into(),
        };
        format!("the log stopped before the message was flushed, it may or may not be stored: {reason}")
    }

    /// Waits until the log is as durable up to `end` as this broker promises for a send.
    pub(crate) async fn wait_durable(&self, end: u64) -> Result<(), Refusal> {
        let limit = Duration::from_millis(self.options.flush_timeout_ms);
        match tokio::time::timeout(limit, self.durable(end)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refusal::new(response::SERVICE_NOT_AVAILABLE, self.log_stopped())),
            Err(_) => Err(Refusal::new(
                response::SYSTEM_ERROR,
                "the disk did not confirm the message within flush_timeout_ms",
            )),
        }
    }

    /// Waits, however long, until the log is as durable up to `end` as the broker promises.
    pub(crate) async fn durable(&self, end: u64) -> Result<(), Closed> {
        match self.options.flush {
            Flush::Sync => self.store.flushed().reached(end).await.map(drop),
            Flush::Async { .. } => Ok(()),
        }
    }
}
