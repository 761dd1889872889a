//! How far consumer groups are behind: in messages, and in the age of the oldest message that waits for them.
//!
//! Counting needs offsets alone. An age needs the store time of one message for each queue with a backlog, which may lie on
//! the disk: so this is for a thread that may block, remembers what it read while offsets stand still, and reads no more
//! than [`READS_MAX`] a look, oldest groups by name first; the ages of the others are left out of that look.

use std::{collections::BTreeSet, sync::Arc};

use gantry_base::metric::{Counter, Family, Sink, Unit};
use gantry_model::{
    name::{self, RETRY_PREFIX},
    offset::QueueOffset,
};
use gantry_store::Queue;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{is_system, truth};
use crate::{broker::Broker, topics::Topic};

static LAG_MESSAGES: Family = Family::gauge(
    "rocketmq_consumer_lag_messages",
    "Messages that the group has not confirmed: those in flight and those ready.",
);
static LAG_LATENCY: Family =
    Family::gauge("rocketmq_consumer_lag_latency", "Age of the oldest message that the group has not confirmed.")
        .counted_in(Unit::Milliseconds);
static IN_FLIGHT: Family =
    Family::gauge("rocketmq_consumer_inflight_messages", "Messages delivered to the group and not confirmed.");
static QUEUEING_LATENCY: Family = Family::gauge(
    "rocketmq_consumer_queueing_latency",
    "Age of the oldest message that was not delivered to the group yet.",
)
.counted_in(Unit::Milliseconds);
static READY: Family = Family::gauge("rocketmq_consumer_ready_messages", "Messages not delivered to the group yet.");
static AGES_LEFT_OUT: Family = Family::counter(
    "gantry_consumer_lag_ages_left_out_total",
    "Ages of lags that were not told, because many store times had to be read at once or one could not be read.",
);

/// Store times that one look reads from the log.
const READS_MAX: usize = 2_000;
/// A store time that could not be read is tried again after so long: finding out what is wrong with a record takes many reads.
const UNREADABLE_RETRY_MS: u64 = 30_000;

/// What is remembered from one look to the next.
#[derive(Default)]
pub(crate) struct LagAges {
    memory: Mutex<Memory>,
    left_out: Counter,
}

#[derive(Default)]
struct Memory {
    store_ms: FxHashMap<Place, StoreTime>,
    /// The group and topic at which reads ran out.
    next: Pair,
}

/// A message: topic, queue, queue offset.
type Place = (Arc<str>, u32, u64);

/// What is known of a message.
#[derive(Clone, Copy)]
enum StoreTime {
    /// ms since 1970.
    Known(u64),
    /// Not to be asked for before this time, ms since 1970.
    Unreadable { until_ms: u64 },
}

/// Group and topic.
type Pair = (String, String);

/// One look.
struct Look<'a> {
    broker: &'a Broker,
    now_ms: u64,
    before: FxHashMap<Place, StoreTime>,
    known: FxHashMap<Place, StoreTime>,
    reads_left: usize,
}

/// What a group has before it in one topic.
#[derive(Default)]
struct Lag {
    messages: u64,
    in_flight: u64,
    ready: u64,
    /// Store times of the oldest message not confirmed, and of the oldest not delivered.
    unconfirmed: Oldest,
    undelivered: Oldest,
}

#[derive(Default)]
struct Oldest {
    /// `None`: there is none.
    store_ms: Option<u64>,
    /// One of them was not read: nothing can be said.
    left_out: bool,
}

impl Broker {
    /// Tells the lag of every group that consumes or has consumed.
    pub(super) fn collect_lags(&self, out: &mut dyn Sink) {
        let wanted = [&LAG_MESSAGES, &LAG_LATENCY, &IN_FLIGHT, &QUEUEING_LATENCY, &READY];
        if wanted.into_iter().all(|family| !out.wants(family)) {
            return;
        }
        let wants_ages = out.wants(&LAG_LATENCY) || out.wants(&QUEUEING_LATENCY);
        let mut memory = self.lag_ages.memory.lock();
        let mut look = Look {
            broker: self,
            now_ms: self.options.clock.now_ms(),
            before: std::mem::take(&mut memory.store_ms),
            known: FxHashMap::default(),
            reads_left: if wants_ages { READS_MAX } else { 0 },
        };
        let pairs = self.consumed();
        let first = std::mem::take(&mut memory.next);
        for pair in pairs.range::<Pair, _>(&first..).chain(pairs.range::<Pair, _>(..&first)) {
            let (group, topic_name) = pair;
            let topic = self.topics.get(topic_name).filter(|_| self.groups.get(group).is_some());
            let Some(topic) = topic.filter(|topic| topic.config.perm.readable()) else { continue };
            let lag = look.lag(group, &topic);
            if look.reads_left == 0 && memory.next.0.is_empty() {
                memory.next.clone_from(pair);
            }
            let retry = topic_name.starts_with(RETRY_PREFIX);
            let labels = [
                ("consumer_group", &**group),
                ("topic", &**topic_name),
                ("is_retry", truth(retry)),
                ("is_system", truth(is_system(topic_name, group))),
            ];
            out.number(&LAG_MESSAGES, &labels, lag.messages as f64);
            out.number(&IN_FLIGHT, &labels, lag.in_flight as f64);
            out.number(&READY, &labels, lag.ready as f64);
            for (family, oldest) in [(&LAG_LATENCY, &lag.unconfirmed), (&QUEUEING_LATENCY, &lag.undelivered)] {
                if oldest.left_out {
                    self.lag_ages.left_out.add(u64::from(wants_ages));
                    continue;
                }
                let age_ms = oldest.store_ms.map_or(0, |store_ms| look.now_ms.saturating_sub(store_ms));
                out.number(family, &labels, age_ms as f64);
            }
        }
        memory.store_ms = look.known;
        out.counter(&AGES_LEFT_OUT, &self.lag_ages.left_out);
    }

    /// Groups with the topics that they confirmed messages of, or subscribe to now; sorted.
    fn consumed(&self) -> BTreeSet<Pair> {
        let mut pairs: BTreeSet<Pair> = self.clients.subscriptions().into_iter().collect();
        for key in self.offsets.keys().iter() {
            if let Some((topic, group)) = key.rsplit_once('@') {
                pairs.insert((group.to_owned(), topic.to_owned()));
            }
        }
        // Of all retry topics a group has to do with its own.
        pairs.retain(|(group, topic)| !topic.starts_with(RETRY_PREFIX) || *topic == name::retry_topic(group));
        pairs
    }
}

impl Look<'_> {
    fn lag(&mut self, group: &str, topic: &Topic) -> Lag {
        let mut lag = Lag::default();
        let confirmed = self.broker.offsets.by_queue(&topic.config.topic_name, group);
        let traffic = topic.traffic.known_group(group);
        let readable = topic.queues.iter().take(topic.config.read_queue_nums as usize);
        for queue in readable {
            let end = queue.end().get();
            let min = queue.min_offset().0;
            // A queue of which nothing was confirmed has no lag, as in RocketMQ: where the group begins is the client's choice.
            let Some(confirmed) = confirmed.get(&queue.id()) else { continue };
            let confirmed = (*confirmed).clamp(min, end.max(min));
            let pulled = traffic.as_ref().and_then(|traffic| traffic.pulled(queue.id()));
            // What was pulled before the last start, or before a reset, is not known: it counts as ready.
            let pulled = pulled.unwrap_or(confirmed).clamp(confirmed, end.max(confirmed));
            lag.messages += end.saturating_sub(confirmed);
            lag.in_flight += pulled - confirmed;
            lag.ready += end.saturating_sub(pulled);
            if confirmed < end {
                lag.unconfirmed.note(self.store_ms(queue, confirmed));
            }
            if pulled < end {
                lag.undelivered.note(self.store_ms(queue, pulled));
            }
        }
        lag
    }

    /// Store time of a message, remembered or read.
    fn store_ms(&mut self, queue: &Queue, offset: u64) -> Option<u64> {
        let place = (queue.topic_arc().clone(), queue.id(), offset);
        let remembered = self.known.get(&place).or_else(|| self.before.get(&place)).copied();
        let found = match remembered {
            Some(StoreTime::Unreadable { until_ms }) if until_ms <= self.now_ms => None,
            remembered => remembered,
        };
        let found = match found {
            Some(found) => found,
            None => {
                self.reads_left = self.reads_left.checked_sub(1)?;
                match self.broker.store.store_time_of(queue, QueueOffset(offset)) {
                    Ok(Some(store_ms)) => StoreTime::Known(store_ms),
                    _ => StoreTime::Unreadable { until_ms: self.now_ms + UNREADABLE_RETRY_MS },
                }
            }
        };
        self.known.insert(place, found);
        match found {
            StoreTime::Known(store_ms) => Some(store_ms),
            StoreTime::Unreadable { .. } => None,
        }
    }
}

impl Oldest {
    fn note(&mut self, store_ms: Option<u64>) {
        match store_ms {
            Some(store_ms) => self.store_ms = Some(self.store_ms.map_or(store_ms, |known| known.min(store_ms))),
            None => self.left_out = true,
        }
    }
}
