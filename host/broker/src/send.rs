//! SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320): the hottest path.
//!
//! All sends that one read of a connection yielded become one append, so that a pipelining producer pays for one write and,
//! under synchronous flush, one wait. The order of checks and their codes are RocketMQ's (`SendMessageProcessor`).

mod traits;

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::BytesMut;
use gantry_model::{
    delay::DelayLevel,
    name::{self, RETRY_PREFIX, SCHEDULE_TOPIC},
    properties,
};
use gantry_protocol::{
    batch,
    code::response,
    frame::{FRAME_BYTES_MAX, Frame, FrameWriter},
    message_id::MessageId,
    request::send::{SendReply, SendRequest},
};
use gantry_remoting::{Peer, Replies};
use gantry_store::{AppendError, Draft, Flush, Placed, Queue};
use tokio::time::Instant;

use self::traits::{Traits, first_key};
use crate::{
    broker::Broker,
    consumer_offsets::JOURNAL_TOPIC,
    metrics::{Answers, MessageKind, Tally},
    reply::{Refusal, ReplyTo},
    select::{Place, Ticket},
    timer::{PROGRESS_TOPIC, PROPERTIES_RESERVE},
    topics::{Topic, Topics},
    unique_key,
};

/// What the store adds behind the properties: its checksum.
const CHECKSUM_PROPERTY_LEN: usize = 20;

/// About as many bytes has the answer to a send.
const ANSWER_LEN: usize = 384;

/// One send that passed every check; its messages are `items[first..first + count]`.
struct Accepted<'a> {
    to: ReplyTo,
    queue_id: u32,
    /// To be told where the messages of an order were stored.
    ticket: Option<Ticket>,
    unique_key: Cow<'a, str>,
    /// What recalls it, if it is timed.
    recall_handle: Option<String>,
    waits: bool,
    first: usize,
    count: usize,
}

/// One message to be stored.
struct Item<'a> {
    topic: &'a Topic,
    kind: MessageKind,
    /// How long it is to wait in the timers.
    ahead_ms: Option<u64>,
    queue: &'a Arc<Queue>,
    request: &'a SendRequest<'a>,
    flag: i32,
    body: &'a [u8],
    properties: Cow<'a, [u8]>,
    /// Properties that this broker adds for this message alone.
    added: Vec<u8>,
}

/// Serves a run of sends: decode, check, append once, answer (at once, or when the disk has them).
pub(crate) fn serve(broker: &Arc<Broker>, peer: &Peer, frames: &[Frame<'_>], replies: &mut Replies) {
    if let Err(refusal) = broker.flow.admit_sends(&broker.store, replies.arrived(), frames.len()) {
        broker.sends.failed(frames.len());
        for frame in frames {
            refuse(broker, ReplyTo::of(frame), replies, &refusal);
        }
        return;
    }
    let mut decoded: Vec<(ReplyTo, SendRequest<'_>, &[u8])> = Vec::with_capacity(frames.len());
    for frame in frames {
        let to = ReplyTo::of(frame);
        let known = decoded.last().map(|(_, request, _)| &*request.topic);
        let request = SendRequest::parse(&frame.header).map_err(Refusal::from);
        match request.and_then(|request| broker.redirect(request, known)) {
            Ok(request) => decoded.push((to, request, frame.body)),
            Err(refusal) => refuse(broker, to, replies, &refusal),
        }
    }

    let topics = broker.topics.snapshot();
    let mut items = Vec::with_capacity(decoded.len());
    let mut accepted = Vec::with_capacity(decoded.len());
    let mut last: Option<&Topic> = None;
    for (to, request, body) in &decoded {
        // Sends of one connection mostly go to one topic.
        let topic = last.filter(|topic| topic.config.topic_name == request.topic);
        last = topic.or_else(|| topics.get(&*request.topic).map(|topic| &**topic));
        let topic = last.ok_or_else(|| Refusal::no_topic(&request.topic));
        match topic.and_then(|topic| accept(broker, &topics, topic, *to, request, body, &mut items)) {
            Ok(send) => accepted.push(send),
            Err(refusal) => refuse(broker, *to, replies, &refusal),
        }
    }
    if items.is_empty() {
        return;
    }

    let (born_host, store_host) = (peer.address(), broker.options.advertised);
    let parts: Vec<[&[u8]; 3]> =
        items.iter().map(|item| [&*item.properties, &item.added[..], &broker.stamp[..]]).collect();
    let drafts: Vec<Draft<'_>> = items
        .iter()
        .zip(&parts)
        .map(|(item, properties)| Draft {
            queue: item.queue,
            flag: item.flag,
            sys_flag: item.request.sys_flag,
            born_ms: item.request.born_ms,
            born_host,
            store_host,
            reconsume_times: item.request.reconsume_times,
            prepared_transaction_offset: 0,
            body: item.body,
            properties,
        })
        .collect();
    let mut placed = Vec::with_capacity(drafts.len());
    if let Err(error) = broker.store.append(&drafts, &mut placed) {
        let refusal = append_refusal(&error);
        if refusal.code == response::SERVICE_NOT_AVAILABLE {
            broker.sends.failed(accepted.len());
        }
        for send in &accepted {
            refuse(broker, send.to, replies, &refusal);
        }
        return;
    }
    count(broker, &items, &placed);

    // What waits for the disk is written down now as well: when the disk has it, nothing is left to do but to send.
    let sync = broker.options.flush == Flush::Sync;
    let (mut held, mut waiting) = (BytesMut::with_capacity(if sync { accepted.len() * ANSWER_LEN } else { 0 }), 0);
    let (mut now, mut later) = (Answers::default(), Answers::default());
    for send in &mut accepted {
        let places = &placed[send.first..send.first + send.count];
        if let (Some(ticket), Some(last)) = (send.ticket.take(), places.last()) {
            ticket.stored(last.queue_offset.0);
        }
        if sync && send.waits && !send.to.oneway {
            waiting += 1;
            send.confirm(broker, places, &mut held);
            later.add(send.to);
        } else {
            if !send.to.oneway {
                send.confirm(broker, places, replies.now());
            }
            now.add(send.to);
        }
    }
    let arrived = replies.arrived();
    broker.sends.served(accepted.len() - waiting, arrived);
    now.went_out(&broker.calls, response::SUCCESS, arrived);
    if let (1.., Some(last)) = (waiting, placed.last()) {
        let in_flight = InFlight::new(broker.clone(), waiting);
        replies.later(waiting, answer_when_flushed(in_flight, held, last.end, later, arrived));
    }
}

/// Sends that wait for the disk; counted until this is dropped, because their connection may end first.
struct InFlight {
    broker: Arc<Broker>,
    sends: usize,
}

impl InFlight {
    fn new(broker: Arc<Broker>, sends: usize) -> Self {
        broker.sends.in_flight(sends as i64);
        InFlight { broker, sends }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.broker.sends.in_flight(-(self.sends as i64));
    }
}

fn refuse(broker: &Broker, to: ReplyTo, replies: &mut Replies, refusal: &Refusal) {
    broker.answered(to, replies.arrived(), refusal.code);
    to.refuse(replies.now(), refusal);
}

/// Counts what was stored.
fn count(broker: &Broker, items: &[Item<'_>], placed: &[Placed]) {
    broker.metrics.messages_in.add(placed.len() as u64);
    let mut tally = Tally::default();
    for (item, place) in items.iter().zip(placed) {
        if item.topic.counts_as_sent {
            tally.add(&item.topic.traffic, item.kind, place.size);
        } else if let Some(group) = item.topic.config.topic_name.strip_prefix(name::DLQ_PREFIX) {
            let origin = properties::find_str(&item.properties, properties::RETRY_TOPIC).unwrap_or_default();
            broker.metrics.dead_letters.count(group, origin);
        }
        if let Some(ahead_ms) = item.ahead_ms {
            item.topic.traffic.timer_enqueued(ahead_ms / 1_000);
        }
    }
    tally.flush();
}

/// Lets go of `confirmed`, the answers of stored sends, once they are flushed; else says that this is not certain.
async fn answer_when_flushed(
    in_flight: InFlight,
    confirmed: BytesMut,
    end: u64,
    answers: Answers,
    arrived: Instant,
) -> BytesMut {
    let InFlight { broker, sends } = &in_flight;
    let limit = Duration::from_millis(broker.options.flush_timeout_ms);
    let flushed = tokio::time::timeout(limit, broker.store.flushed().reached(end)).await;
    match flushed {
        Ok(Ok(())) => broker.sends.served(*sends, arrived),
        _ => broker.sends.failed(*sends),
    }
    let (code, out) = match flushed {
        Ok(Ok(())) => (response::SUCCESS, confirmed),
        Err(_) => {
            let remark =
                "stored, but the disk did not confirm it within flush_timeout_ms; it may be lost by a power failure";
            (response::FLUSH_DISK_TIMEOUT, restated(&confirmed, response::FLUSH_DISK_TIMEOUT, remark))
        }
        Ok(Err(_)) => {
            let code = response::SERVICE_NOT_AVAILABLE;
            (code, restated(&confirmed, code, &broker.log_stopped()))
        }
    };
    answers.went_out(&broker.calls, code, arrived);
    out
}

/// The same answers with another code and a remark. Rare, so they are read back from their frames.
fn restated(mut confirmed: &[u8], code: i32, remark: &str) -> BytesMut {
    let mut out = BytesMut::with_capacity(2 * confirmed.len());
    while let Ok(Some((frame, len))) = Frame::parse(confirmed, FRAME_BYTES_MAX) {
        let fields = |writer: &mut FrameWriter<'_, '_>| {
            frame.header.ext.for_each(|name, value| {
                writer.ext(name, &*value);
            });
        };
        ReplyTo::of(&frame).write(&mut out, code, Some(remark), fields, b"");
        confirmed = &confirmed[len..];
    }
    out
}

impl Broker {
    /// Points a send at the topic where it belongs and makes that topic when it is unknown and may be made.
    /// `known` is a topic that exists.
    fn redirect<'a>(&self, mut request: SendRequest<'a>, known: Option<&str>) -> Result<SendRequest<'a>, Refusal> {
        if let Some(group) = request.topic.strip_prefix(RETRY_PREFIX) {
            // A consumer whose send-back failed sends the message itself.
            let config = self.groups.get(group).ok_or_else(|| Refusal::no_group(group))?;
            let limit = request.max_reconsume_times.unwrap_or(config.retry_max_times);
            let in_order = self.queue_locks.any_held(group, self.options.clock.now_ms());
            if request.reconsume_times > limit || (in_order && request.reconsume_times > 0) {
                request.topic = Cow::Owned(name::dlq_topic(group));
                request.queue_id = 0;
            }
        }
        let topic = &*request.topic;
        if known != Some(topic) && !self.topics.snapshot().contains_key(topic) {
            // Rare, and it waits for the disk: other connections of this worker move on meanwhile.
            tokio::task::block_in_place(|| {
                match topic.starts_with(RETRY_PREFIX) || topic.starts_with(name::DLQ_PREFIX) {
                    true => self.topics.get_or_create_internal(topic, 1),
                    false => {
                        refuse_unsendable(topic)?;
                        let queues = u32::try_from(request.default_topic_queue_nums).unwrap_or(0);
                        self.topics.get_or_create(topic, &request.default_topic, queues)
                    }
                }
            })?;
        }
        Ok(request)
    }
}

fn refuse_unsendable(topic: &str) -> Result<(), Refusal> {
    name::check_topic(topic)?;
    if name::is_unsendable_topic(topic) || matches!(topic, JOURNAL_TOPIC | PROGRESS_TOPIC) {
        return Err(Refusal::new(response::NO_PERMISSION, format!("sending to topic[{topic}] is forbidden")));
    }
    Ok(())
}

/// Checks one send and adds its messages to `items`.
fn accept<'a>(
    broker: &'a Broker,
    topics: &'a Topics,
    topic: &'a Topic,
    to: ReplyTo,
    request: &'a SendRequest<'a>,
    body: &'a [u8],
    items: &mut Vec<Item<'a>>,
) -> Result<Accepted<'a>, Refusal> {
    // Topics that exist have legal names; only the reserved ones are left to check.
    if name::is_unsendable_topic(&request.topic) {
        refuse_unsendable(&request.topic)?;
    }
    let named = u32::try_from(request.queue_id).ok();
    if let Some(queue_id) = named
        && topic.queue(request.queue_id).is_none()
    {
        return Err(no_queue(topic, queue_id));
    }
    if body.is_empty() || body.len() > broker.options.message_bytes_max {
        let remark =
            format!("the body has {} bytes, allowed are 1 to {}", body.len(), broker.options.message_bytes_max);
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    let first = items.len();
    let traits = Traits::of(request.properties.as_bytes())?;
    let key = || traits.sharding_key.or_else(|| if request.is_batch { first_key(body) } else { None });
    let Place { queue_id, ticket } = topic.place(&broker.select, named, key, body.len());
    let queue = topic.queue(queue_id as i32).ok_or_else(|| no_queue(topic, queue_id))?;
    if request.is_batch {
        accept_batch(broker, topic, request, &traits, queue, body, items).inspect_err(|_| items.truncate(first))?;
        let unique_key = traits.unique_key.map_or(Cow::Borrowed(""), Cow::Borrowed);
        let count = items.len() - first;
        return Ok(Accepted {
            to,
            queue_id,
            ticket,
            unique_key,
            recall_handle: None,
            waits: traits.waits,
            first,
            count,
        });
    }
    let mut added = Vec::new();
    let unique_key = match traits.unique_key {
        Some(key) => Cow::Borrowed(key),
        None => {
            let key = unique_key::generate(&broker.options);
            properties::push(&mut added, properties::UNIQ_KEY, &key);
            Cow::Owned(key)
        }
    };
    let delay = traits.delay.filter(|_| !request.topic.starts_with(name::DLQ_PREFIX));
    let timed = traits.timer.resolve(&broker.options)?;
    let queue = match (delay, timed) {
        (None, None) => queue,
        (Some(level), _) => {
            properties::push(&mut added, properties::REAL_TOPIC, &request.topic);
            properties::push(&mut added, properties::REAL_QID, &queue_id.to_string());
            schedule_queue(topics, level)?
        }
        (None, Some(timed)) => {
            timed.push_properties(&request.topic, queue_id, &mut added);
            broker.timers.queue()
        }
    };
    let recall_handle = timed
        .filter(|_| delay.is_none() && !request.topic.starts_with(RETRY_PREFIX))
        .map(|timed| timed.handle(&broker.options, &request.topic, &unique_key));
    let item = Item {
        topic,
        kind: if delay.is_some() || timed.is_some() { MessageKind::Delay } else { traits.kind() },
        ahead_ms: timed
            .filter(|_| delay.is_none())
            .map(|timed| timed.due_ms.saturating_sub(broker.options.clock.now_ms())),
        queue,
        request,
        flag: request.flag,
        body,
        properties: traits.clean(request.properties.as_bytes()),
        added,
    };
    check_properties(broker, &item, if timed.is_some() { PROPERTIES_RESERVE } else { 0 })?;
    items.push(item);
    // What waits elsewhere first has no place in the order yet.
    let ticket = ticket.filter(|_| delay.is_none() && timed.is_none());
    Ok(Accepted { to, queue_id, ticket, unique_key, recall_handle, waits: traits.waits, first, count: 1 })
}

fn no_queue(topic: &Topic, queue_id: u32) -> Refusal {
    let (name, queues) = (&topic.config.topic_name, topic.queues.len());
    let remark = format!("request queueId[{queue_id}] is illegal, topic[{name}] has {queues} queues");
    Refusal::new(response::INVALID_PARAMETER, remark)
}

fn accept_batch<'a>(
    broker: &Broker,
    topic: &'a Topic,
    request: &'a SendRequest<'a>,
    outer: &Traits<'_>,
    queue: &'a Arc<Queue>,
    body: &'a [u8],
    items: &mut Vec<Item<'a>>,
) -> Result<(), Refusal> {
    let illegal = |remark: &str| Err(Refusal::new(response::MESSAGE_ILLEGAL, remark.to_owned()));
    if request.topic.starts_with(RETRY_PREFIX) || outer.delay.is_some() || outer.timer.is_some() {
        return illegal("a batch can be neither delayed nor timed nor sent to a retry topic");
    }
    let first = items.len();
    for message in batch::messages(body) {
        let message = message.map_err(|error| Refusal::new(response::MESSAGE_ILLEGAL, error.to_string()))?;
        let traits = Traits::of(message.properties)?;
        if traits.delay.is_some() || traits.timer.is_some() {
            return illegal("a batch cannot hold delayed or timed messages");
        }
        let mut added = Vec::new();
        if traits.unique_key.is_none() {
            properties::push(&mut added, properties::UNIQ_KEY, &unique_key::generate(&broker.options));
        }
        let properties = traits.clean(message.properties);
        let (kind, ahead_ms) = (traits.kind(), None);
        let item =
            Item { topic, kind, ahead_ms, queue, request, flag: message.flag, body: message.body, properties, added };
        check_properties(broker, &item, 0)?;
        items.push(item);
    }
    if items.len() == first {
        return illegal("the batch is empty");
    }
    Ok(())
}

/// `reserve` = bytes that are added later.
fn check_properties(broker: &Broker, item: &Item<'_>, reserve: usize) -> Result<(), Refusal> {
    let len = item.properties.len() + item.added.len() + broker.stamp.len() + CHECKSUM_PROPERTY_LEN + reserve;
    if len > properties::PROPERTIES_LEN_MAX {
        let remark = format!(
            "the properties take {len} bytes with the broker's own, at most {} fit",
            properties::PROPERTIES_LEN_MAX
        );
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    Ok(())
}

/// The queue of the schedule topic where a delayed message waits.
pub(crate) fn schedule_queue(topics: &Topics, level: DelayLevel) -> Result<&Arc<Queue>, Refusal> {
    let schedule: Option<&Arc<Topic>> = topics.get(SCHEDULE_TOPIC);
    schedule.and_then(|topic| topic.queue(level.queue_id() as i32)).ok_or_else(|| Refusal::no_topic(SCHEDULE_TOPIC))
}

impl Accepted<'_> {
    /// Writes the answer SEND_OK.
    fn confirm(&self, broker: &Broker, places: &[Placed], out: &mut BytesMut) {
        let id = |place: &Placed| MessageId::new(broker.options.advertised, place.physical_offset);
        let (one, many);
        // offsetMsgId, or several joined by commas for a batch.
        let message_id = match places {
            [place] => {
                one = id(place);
                one.as_str()
            }
            places => {
                many = places.iter().map(|place| id(place).to_string()).collect::<Vec<_>>().join(",");
                &many
            }
        };
        let reply = SendReply {
            message_id,
            queue_id: self.queue_id,
            queue_offset: places.first().map_or(0, |place| place.queue_offset.to_wire()),
            transaction_id: (!self.unique_key.is_empty()).then_some(&*self.unique_key),
            recall_handle: self.recall_handle.as_deref(),
            region: &broker.options.region,
            trace_on: true,
        };
        reply.encode(out, self.to.codec, self.to.opaque, response::SUCCESS, None);
    }
}

/// The code and sentence for a failed append. Nothing of it is stored.
pub(crate) fn append_refusal(error: &AppendError) -> Refusal {
    let code = match error {
        AppendError::TooLarge { .. } | AppendError::Unencodable(_) => response::MESSAGE_ILLEGAL,
        AppendError::QueueGone { .. } => response::TOPIC_NOT_EXIST,
        _ => response::SERVICE_NOT_AVAILABLE,
    };
    Refusal::new(code, error.to_string())
}
