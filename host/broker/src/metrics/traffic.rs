//! What goes through one topic. It lies in the topic itself, which a send holds anyway, so that counting takes no look-up.

use std::sync::{Arc, OnceLock};

use gantry_base::metric::{Counter, Family, Histogram, Sink, Unit};
use gantry_model::{
    name::{DLQ_PREFIX, RETRY_PREFIX, is_system_topic},
    topic::TopicConfig,
};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;

use super::{is_system, truth};

static MESSAGES_IN: Family = Family::counter("rocketmq_messages_in_total", "Messages stored for producers.");
static THROUGHPUT_IN: Family =
    Family::counter("rocketmq_throughput_in_total", "Bytes of the records of messages stored for producers.");
static MESSAGE_SIZE: Family =
    Family::histogram("rocketmq_message_size", "Bytes of each record stored for a producer, properties included.");
static MESSAGES_OUT: Family = Family::counter("rocketmq_messages_out_total", "Messages delivered to consumers.");
static THROUGHPUT_OUT: Family =
    Family::counter("rocketmq_throughput_out_total", "Bytes of the records of messages delivered to consumers.");
static TIMER_ENQUEUED: Family =
    Family::counter("rocketmq_timer_enqueue_total", "Messages with a delivery time of their own that were taken in.");
static TIMER_DEQUEUED: Family =
    Family::counter("rocketmq_timer_dequeue_total", "Messages with a delivery time of their own that were delivered.");
static DELAYS: Family =
    Family::histogram("rocketmq_delay_message_latency", "How far ahead the delivery times lie that producers ask for.")
        .counted_in(Unit::Seconds);

/// Bytes. Source: RocketMQ `BrokerMetricsManager`.
const SIZE_BOUNDS: &[u64] = &[1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20];
/// Seconds. Source: RocketMQ `DefaultStoreMetricsManager`.
const DELAY_BOUNDS: &[u64] = &[60, 600, 3_600, 43_200, 86_400, 259_200];

/// What RocketMQ calls the type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    Normal,
    /// It has a sharding key.
    Fifo,
    /// It has a delay level or a delivery time.
    Delay,
}

impl MessageKind {
    const ALL: [MessageKind; 3] = [MessageKind::Normal, MessageKind::Fifo, MessageKind::Delay];

    fn name(self) -> &'static str {
        match self {
            MessageKind::Normal => "normal",
            MessageKind::Fifo => "fifo",
            MessageKind::Delay => "delay",
        }
    }
}

/// The counters of one topic. They go on when its settings change, and begin anew when it is deleted and made again.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Sizes of records by kind; their number and their sum are metrics of their own. Made with the first message: most
    /// topics have one kind, many have none.
    stored: [OnceLock<Box<Histogram>>; 3],
    /// By consumer group; as many as there are groups at most.
    groups: RwLock<FxHashMap<Box<str>, Arc<GroupTraffic>>>,
    timers: OnceLock<Box<TimerTraffic>>,
}

/// What one consumer group takes from one topic.
#[derive(Debug, Default)]
pub(crate) struct GroupTraffic {
    messages: Counter,
    bytes: Counter,
    /// By queue the offset behind what was delivered last.
    pulled: Mutex<FxHashMap<u32, u64>>,
}

#[derive(Debug)]
struct TimerTraffic {
    enqueued: Counter,
    dequeued: Counter,
    delays: Histogram,
}

impl GroupTraffic {
    /// A pull was answered with so much, and the next one begins at `next`.
    pub(crate) fn delivered(&self, queue_id: u32, messages: usize, bytes: usize, next: u64) {
        self.messages.add(messages as u64);
        self.bytes.add(bytes as u64);
        self.pulled.lock().insert(queue_id, next);
    }

    /// Up to where the group was given the queue since the start, in messages.
    pub(crate) fn pulled(&self, queue_id: u32) -> Option<u64> {
        self.pulled.lock().get(&queue_id).copied()
    }
}

impl Traffic {
    /// The group's part of it, made when it is the first time.
    pub(crate) fn group(&self, group: &str) -> Arc<GroupTraffic> {
        match self.known_group(group) {
            Some(known) => known,
            None => self.groups.write().entry(group.into()).or_default().clone(),
        }
    }

    /// The group's part of it, if it has any.
    pub(crate) fn known_group(&self, group: &str) -> Option<Arc<GroupTraffic>> {
        self.groups.read().get(group).cloned()
    }

    /// Forgets groups that are gone.
    pub(crate) fn retain_groups(&self, keep: impl Fn(&str) -> bool) {
        if self.groups.read().keys().any(|group| !keep(group)) {
            self.groups.write().retain(|group, _| keep(group));
        }
    }

    /// A message was taken in that is to be delivered so many seconds later.
    pub(crate) fn timer_enqueued(&self, ahead_s: u64) {
        let timers = self.timers();
        timers.enqueued.add(1);
        timers.delays.record(ahead_s);
    }

    /// A message of the timers was delivered.
    pub(crate) fn timer_dequeued(&self) {
        self.timers().dequeued.add(1);
    }

    fn timers(&self) -> &TimerTraffic {
        self.timers.get_or_init(|| {
            let (enqueued, dequeued) = (Counter::default(), Counter::default());
            Box::new(TimerTraffic { enqueued, dequeued, delays: Histogram::new(DELAY_BOUNDS) })
        })
    }

    fn stored(&self, kind: MessageKind) -> &Histogram {
        self.stored[kind as usize].get_or_init(|| Box::new(Histogram::new(SIZE_BOUNDS)))
    }

    /// Tells everything of the topic.
    pub(super) fn collect(&self, config: &TopicConfig, out: &mut dyn Sink) {
        let topic = config.topic_name.as_str();
        let system = truth(is_system_topic(topic));
        for kind in MessageKind::ALL {
            let Some(stored) = self.stored[kind as usize].get() else { continue };
            let labels = [("topic", topic), ("message_type", kind.name()), ("is_system", system)];
            let sizes = stored.read();
            out.number(&MESSAGES_IN, &labels, sizes.count() as f64);
            out.number(&THROUGHPUT_IN, &labels, sizes.sum as f64);
            out.distribution(&MESSAGE_SIZE, &labels, &sizes);
        }
        let groups: Vec<_> =
            self.groups.read().iter().map(|(group, traffic)| (group.clone(), traffic.clone())).collect();
        for (group, traffic) in &groups {
            let labels = [("topic", topic), ("consumer_group", group), ("is_system", truth(is_system(topic, group)))];
            out.number(&MESSAGES_OUT, &labels, traffic.messages.get() as f64);
            out.number(&THROUGHPUT_OUT, &labels, traffic.bytes.get() as f64);
        }
        if let Some(timers) = self.timers.get() {
            let labels = [("storage_type", "local"), ("storage_medium", "disk"), ("topic", topic)];
            out.number(&TIMER_ENQUEUED, &labels, timers.enqueued.get() as f64);
            out.number(&TIMER_DEQUEUED, &labels, timers.dequeued.get() as f64);
            out.distribution(&DELAYS, &labels, &timers.delays.read());
        }
    }
}

/// Whether what is sent to the topic counts as coming in: retries and dead letters are messages that came in before.
pub(crate) fn counts_as_sent(topic: &str) -> bool {
    !topic.starts_with(RETRY_PREFIX) && !topic.starts_with(DLQ_PREFIX)
}

/// Adds up the messages of a batch, so that neighbours that are alike cost one addition.
#[derive(Default)]
pub(crate) struct Tally<'a> {
    of: Option<(&'a Traffic, MessageKind, usize)>,
    count: u64,
    bytes: u64,
}

impl<'a> Tally<'a> {
    /// Notes a stored record.
    pub(crate) fn add(&mut self, traffic: &'a Traffic, kind: MessageKind, size: u32) {
        let class = traffic.stored(kind).class(size.into());
        let alike = self.of.is_some_and(|(known, of_kind, of_class)| {
            std::ptr::eq(known, traffic) && (of_kind, of_class) == (kind, class)
        });
        if !alike {
            self.flush();
            self.of = Some((traffic, kind, class));
        }
        self.count += 1;
        self.bytes += u64::from(size);
    }

    /// Puts what was added up where it belongs. Call it once more at the end.
    pub(crate) fn flush(&mut self) {
        if let Some((traffic, kind, class)) = self.of.take() {
            traffic.stored(kind).record_class(class, self.count, self.bytes);
        }
        (self.count, self.bytes) = (0, 0);
    }
}
