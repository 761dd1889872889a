//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): read a queue from an offset, through the subscription and the bound
//! plugin; at the end of the queue wait for more until the client's deadline.
//!
//! A waiting pull follows the queue's end itself: there is no table of held requests and no sweep. A message that the filter
//! refuses wakes it too, but it goes on waiting and remembers how far it looked.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use gantry_filter::{Selector, sql::SqlFilter};
use gantry_model::{
    name::RETRY_PREFIX,
    offset::QueueOffset,
    subscription::{Subscription, TYPE_TAG},
    sys_flag,
};
use gantry_plugin::Binding;
use gantry_protocol::{
    body::heartbeat::MessageModel,
    code::{request, response},
    request::pull::{PullReply, PullRequest},
};
use gantry_store::{Queue, ReadError, Wait};
use tokio::time::Instant;

use crate::{
    broker::Broker,
    clients::Subscribed,
    metrics::{GroupTraffic, Manner},
    reply::{Refusal, ReplyTo},
    scan::{Scan, ScanError, Stop},
};

/// How long a pull whose filter cannot decide waits before it asks again, unless the filter changes first.
const HOLD_RETRY: Duration = Duration::from_millis(500);

/// What a pull reads from, once its checks have passed.
pub(crate) struct Source {
    pub(crate) queue: Arc<Queue>,
    subscription: Arc<Subscription>,
    /// The subscription's expression, if it is one of SQL92 that decides here.
    sql: Option<Arc<SqlFilter>>,
    /// Topic and group whose filters decide; `None` where none may (retry topics).
    filtered: Option<(String, String)>,
    pub(crate) messages_max: usize,
    /// Where what is delivered is counted.
    pub(crate) traffic: Arc<GroupTraffic>,
}

/// Serves one pull from its checks to its answer.
pub(crate) async fn pull(broker: Arc<Broker>, to: ReplyTo, request: PullRequest, arrived: Instant) -> BytesMut {
    let mut out = BytesMut::new();
    let source = match broker.pull_source(to.request, &request) {
        Ok(source) => Arc::new(source),
        Err(refusal) => {
            broker.answered(to, arrived, refusal.code);
            PullReply::default().encode(&mut out, to.codec, to.opaque, refusal.code, Some(&refusal.remark), b"");
            return out;
        }
    };
    if request.sys_flag & sys_flag::PULL_COMMIT_OFFSET != 0
        && let Some(offset) = QueueOffset::from_wire(request.commit_offset)
    {
        broker.offsets.commit(&request.topic, &request.group, request.queue_id as u32, offset);
    }
    match read_or_wait(&broker, &source, &request, arrived).await {
        Ok(answer) => {
            let manner = match (to.oneway, answer.waited) {
                (true, _) => Manner::Oneway,
                (false, true) => Manner::LongPolling,
                (false, false) => Manner::Plain,
            };
            broker.calls.answered(to.request, answer.code, manner, arrived.elapsed(), 1);
            return answer.encode(&broker, &source, to);
        }
        Err(refusal) => {
            broker.answered(to, arrived, refusal.code);
            let reply = PullReply { next_begin_offset: request.queue_offset, ..range_of(&source.queue) };
            reply.encode(&mut out, to.codec, to.opaque, refusal.code, Some(&refusal.remark), b"");
        }
    }
    out
}

/// Reads until something is found, the range ends the pull, or the client's patience does.
async fn read_or_wait(
    broker: &Arc<Broker>,
    source: &Arc<Source>,
    request: &PullRequest,
    arrived: Instant,
) -> Result<Answer, Refusal> {
    let queue = &source.queue;
    let (min, end) = (queue.min_offset(), QueueOffset(queue.end().get()));
    let mut from = match QueueOffset::from_wire(request.queue_offset) {
        Some(QueueOffset(0)) if end == QueueOffset(0) => QueueOffset(0),
        _ if end == QueueOffset(0) => return Ok(Answer::moved(end, "NO_MESSAGE_IN_QUEUE")),
        Some(asked) if asked > end => return Ok(Answer::moved(end, "OFFSET_OVERFLOW_BADLY")),
        Some(asked) if asked >= min => asked,
        _ => return Ok(Answer::moved(min, "OFFSET_TOO_SMALL")),
    };
    let begun = from;
    let may_wait = request.sys_flag & sys_flag::PULL_SUSPEND != 0;
    let patience = Duration::from_millis((request.suspend_timeout_ms.max(0) as u64).min(broker.options.suspend_max_ms));
    let deadline = Instant::now() + if may_wait { patience } else { Duration::ZERO };
    let mut parked = None;
    let mut judged_by = None;
    let mut since = arrived;
    loop {
        // Taken before the look, so that a swap or an arrival during it is not missed.
        let generation = broker.plugins.generation().get();
        let scan = match scan(broker, source, from, since).await {
            Ok(scan) => scan,
            Err(ScanError::Store(ReadError::TooSmall { .. })) => {
                // It was there a moment ago: retention took its segment meanwhile, and the minimum has moved before.
                let next = Scan::nothing(from.max(queue.min_offset()));
                return Ok(retry("MESSAGE_WAS_REMOVING", next, parked.is_some()));
            }
            Err(ScanError::Refused(refusal)) => return Err(refusal),
            Err(error) => return Err(Refusal::new(response::SYSTEM_ERROR, error.to_string())),
        };
        if from > begun && scan.filter != judged_by {
            // One version judges one answer: what this look found is left to the next pull.
            let mut skipped = Scan::nothing(from);
            skipped.filter = judged_by;
            return Ok(retry("NO_MATCHED_MESSAGE", skipped, parked.is_some()));
        }
        judged_by.clone_from(&scan.filter);
        from = scan.next;
        if scan.messages > 0 {
            return Ok(Answer { code: response::SUCCESS, remark: "FOUND", scan, waited: parked.is_some() });
        }
        if scan.stop == Stop::Limit {
            return Ok(retry("NO_MATCHED_MESSAGE", scan, parked.is_some()));
        }
        if may_wait && parked.is_none() {
            parked = broker.parked.clone().try_acquire_owned().inspect_err(|_| broker.flow.not_parked()).ok();
        }
        let news = async {
            match (&parked, scan.stop) {
                // Not allowed to wait, or too many wait already.
                (None, _) => false,
                (Some(_), Stop::Held) => {
                    let changed = broker.plugins.generation().reached(generation + 1);
                    let retry = deadline.min(Instant::now() + HOLD_RETRY);
                    tokio::time::timeout_at(retry, changed).await.is_ok() || retry < deadline
                }
                (Some(_), _) => {
                    matches!(tokio::time::timeout_at(deadline, queue.end().reached(from.0 + 1)).await, Ok(Ok(())))
                }
            }
        };
        let news = broker.stopping.run_until_cancelled(news).await.unwrap_or(false);
        since = Instant::now();
        if !news {
            let waited = parked.is_some();
            let remark = match (scan.stop, from > begun) {
                // The client moves on over what was looked at and refused.
                (_, true) => return Ok(retry("NO_MATCHED_MESSAGE", scan, waited)),
                (Stop::Held, false) => "HELD_BY_FILTER",
                (_, false) if from.0 == 0 => "NO_MESSAGE_IN_QUEUE",
                (_, false) => "OFFSET_OVERFLOW_ONE",
            };
            return Ok(Answer { code: response::PULL_NOT_FOUND, remark, scan, waited });
        }
    }
}

/// Looks once; on the worker when everything is in memory and the filter is quick, else on a bounded pool, for which it waits
/// in line from `since` on.
async fn scan(
    broker: &Arc<Broker>,
    source: &Arc<Source>,
    from: QueueOffset,
    since: Instant,
) -> Result<Scan, ScanError> {
    // Looked up for every look: a filter bound or unbound while the pull waits counts from then on.
    let bound = source.filtered.as_ref().and_then(|(topic, group)| broker.plugins.binding(topic, group));
    let selector = source.selector(broker, bound.clone());
    if !selector.wants_blocking() {
        match crate::scan::scan(&broker.store, &broker.options, source, selector, from, Wait::Never) {
            Err(ScanError::WouldBlock) => {}
            done => return done,
        }
    }
    let (worker, source) = (broker.clone(), source.clone());
    let blocking = move || {
        let selector = source.selector(&worker, bound);
        crate::scan::scan(&worker.store, &worker.options, &source, selector, from, Wait::Allowed)
    };
    broker.run_blocking(since, blocking).await.map_err(ScanError::Refused)?
}

impl Source {
    /// Subscription, functions and bound filter as they are now.
    fn selector(&self, broker: &Broker, bound: Option<Arc<Binding>>) -> Selector {
        let (Some(sql), Some((topic, group))) = (&self.sql, &self.filtered) else {
            return Selector::new(self.subscription.clone(), bound);
        };
        Selector::sql(sql.clone(), &|plugin, argument| broker.function(topic, group, plugin, argument), bound)
    }
}

impl Broker {
    /// The checks of a pull, in RocketMQ's order.
    fn pull_source(&self, code: i32, pull: &PullRequest) -> Result<Source, Refusal> {
        let forbidden = |remark: String| Refusal::new(response::NO_PERMISSION, remark);
        let group = match self.groups.get(&pull.group) {
            Some(group) => group,
            None => tokio::task::block_in_place(|| self.groups.get_or_create(&pull.group))?,
        };
        if !group.consume_enable {
            return Err(forbidden(format!("subscription group no permission, {}", pull.group)));
        }
        let topic = self.topics.get(&pull.topic).ok_or_else(|| Refusal::no_topic(&pull.topic))?;
        if !topic.config.perm.readable() {
            return Err(forbidden(format!("the topic[{}] pulling message is forbidden", pull.topic)));
        }
        let readable = pull.queue_id >= 0 && (pull.queue_id as u32) < topic.config.read_queue_nums;
        let Some(queue) = topic.queue(pull.queue_id).filter(|_| readable) else {
            let remark = format!(
                "queueId[{}] is illegal, topic[{}] has {} read queues",
                pull.queue_id, pull.topic, topic.config.read_queue_nums
            );
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        };
        let (subscription, sql) = self.pull_subscription(code, pull, group.consume_broadcast_enable)?;
        // Retried messages were judged when they were first delivered.
        let exempt = pull.topic.starts_with(RETRY_PREFIX);
        let filtered = (!exempt).then(|| (pull.topic.clone(), pull.group.clone()));
        let messages_max = usize::try_from(pull.max_messages).unwrap_or(0).clamp(1, self.options.pull_messages_max);
        let traffic = topic.traffic.group(&pull.group);
        Ok(Source { queue: queue.clone(), subscription, sql, filtered, messages_max, traffic })
    }

    /// The subscription that counts for a pull: the one that it carries, else the one of the group's heartbeats. With its
    /// compiled expression if it is one of SQL92.
    fn pull_subscription(
        &self,
        code: i32,
        pull: &PullRequest,
        may_broadcast: bool,
    ) -> Result<(Arc<Subscription>, Option<Arc<SqlFilter>>), Refusal> {
        let (subscription, compiled, bad_expression) = if pull.sys_flag & sys_flag::PULL_SUBSCRIPTION != 0 {
            let expression = pull.subscription.as_deref().unwrap_or("*");
            let kind = pull.expression_type.clone().unwrap_or_else(|| TYPE_TAG.to_owned());
            let subscription = if kind == TYPE_TAG {
                Subscription::from_tags(&pull.topic, expression)
            } else {
                let (topic, sub_string) = (pull.topic.clone(), expression.to_owned());
                Subscription { expression_type: Some(kind), topic, sub_string, ..Subscription::default() }
            };
            (Arc::new(subscription), None, response::SUBSCRIPTION_PARSE_FAILED)
        } else {
            let missing = || {
                let remark = format!("the consumer's group {} has no subscription of topic {}", pull.group, pull.topic);
                Refusal::new(response::SUBSCRIPTION_NOT_EXIST, remark)
            };
            let Subscribed::To(told, model) = self.clients.subscription(&pull.group, &pull.topic) else {
                return Err(missing());
            };
            if model == MessageModel::Broadcasting && !may_broadcast {
                let remark = format!("the consumer group[{}] can not consume by broadcast way", pull.group);
                return Err(Refusal::new(response::NO_PERMISSION, remark));
            }
            if code == request::PULL_MESSAGE && told.subscription.sub_version < pull.sub_version {
                let remark = "the consumer's subscription not latest".to_owned();
                return Err(Refusal::new(response::SUBSCRIPTION_NOT_LATEST, remark));
            }
            (told.subscription, Some(told.sql), response::FILTER_DATA_NOT_EXIST)
        };
        if subscription.is_tag() {
            return Ok((subscription, None));
        }
        let compiled =
            compiled.unwrap_or_else(|| self.sql.requested(&pull.group, &pull.topic, &subscription.sub_string));
        let sql = self.compiled(&compiled, &pull.group, &subscription, bad_expression)?;
        Ok((subscription, Some(sql)))
    }
}

/// What a pull is answered with.
struct Answer {
    code: i32,
    remark: &'static str,
    scan: Scan,
    /// Whether the pull was held for news.
    waited: bool,
}

/// The client is to ask again at once, from where was looked to.
fn retry(remark: &'static str, scan: Scan, waited: bool) -> Answer {
    Answer { code: response::PULL_RETRY_IMMEDIATELY, remark, scan, waited }
}

impl Answer {
    fn moved(to: QueueOffset, remark: &'static str) -> Self {
        Answer { code: response::PULL_OFFSET_MOVED, remark, scan: Scan::nothing(to), waited: false }
    }

    fn encode(self, broker: &Broker, source: &Source, to: ReplyTo) -> BytesMut {
        let queue = &*source.queue;
        broker.metrics.messages_out.add(self.scan.messages as u64);
        source.traffic.delivered(queue.id(), self.scan.messages, self.scan.records_len(), self.scan.next.0);
        let reply = PullReply {
            next_begin_offset: self.scan.next.to_wire(),
            filter: self.scan.filter.as_deref(),
            ..range_of(queue)
        };
        let remark = self.scan.held_because.as_deref().unwrap_or(self.remark);
        let mut head = BytesMut::new();
        reply.encode_head(&mut head, to.codec, to.opaque, self.code, Some(remark), self.scan.records_len());
        self.scan.answer(head)
    }
}

fn range_of(queue: &Queue) -> PullReply<'static> {
    PullReply { min_offset: queue.min_offset().to_wire(), max_offset: queue.end().get() as i64, ..PullReply::default() }
}
