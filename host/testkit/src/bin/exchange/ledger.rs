//! What was acknowledged, at which place, and whether a broker still has it there.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_model::properties;
use gantry_protocol::{
    code::{request, response},
    frame::OwnedFrame,
    record::RecordView,
};
use gantry_testkit::wire::Wire;
use tokio::task::JoinSet;

use crate::PATIENCE;

const TOPICS: [&str; 3] = ["exchange-one", "exchange-two", "exchange-three"];
const QUEUES: u64 = 4;
const TAGS: [&str; 4] = ["red", "green", "blue", ""];
const GROUP: &str = "exchange-group";
const DELAYED_TOPIC: &str = "exchange-delayed";
/// Level 3 is ten seconds.
const DELAY_LEVEL: &str = "3";
const DELAYED_A_LIFE: u64 = 20;
const SENDERS: u64 = 4;
/// Keys that are asked for, of each topic.
const KEYS_ASKED: u64 = 8;
/// Tries of a send that is refused for load.
const TRIES: usize = 50;

/// A queue of a topic.
type Place = (&'static str, u32);

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By queue and offset: the message's number.
    stored: BTreeMap<Place, BTreeMap<u64, u64>>,
    next: u64,
    committed: BTreeMap<Place, u64>,
    /// Delayed messages that must be delivered.
    delayed: Vec<u64>,
    delivered: usize,
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: u64,
    pub(crate) queues: usize,
    pub(crate) by_tag: u64,
    pub(crate) by_key: u64,
    pub(crate) offsets: usize,
}

fn topic_of(number: u64) -> &'static str {
    TOPICS[(number % TOPICS.len() as u64) as usize]
}

fn tag_of(number: u64) -> &'static str {
    TAGS[(number / 7 % TAGS.len() as u64) as usize]
}

fn key_of(number: u64) -> String {
    format!("key-{number}")
}

/// The body of a message: made from its number, so that any change shows.
fn body_of(number: u64) -> Vec<u8> {
    let len = 8 + (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as usize;
    number.to_be_bytes().iter().copied().cycle().enumerate().map(|(at, byte)| byte ^ at as u8).take(len).collect()
}

impl Ledger {
    /// Messages acknowledged so far.
    pub(crate) fn len(&self) -> usize {
        self.stored.values().map(BTreeMap::len).sum()
    }

    /// Delayed messages that came.
    pub(crate) fn delivered(&self) -> usize {
        self.delivered
    }

    /// Sends `count` messages over several connections, to all topics and queues.
    pub(crate) async fn store(&mut self, broker: SocketAddr, count: u64) -> Result<()> {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let numbers: Vec<u64> =
                (self.next..self.next + count).filter(|number| number % SENDERS == sender).collect();
            senders.spawn(async move {
                let mut wire = Wire::connect(broker).await?;
                let mut stored = Vec::new();
                for number in numbers {
                    let queue = (number / 3 % QUEUES) as u32;
                    let extra = [(properties::TAGS, tag_of(number)), (properties::KEYS, &key_of(number))];
                    let offset = send(&mut wire, topic_of(number), queue, number, &extra).await?;
                    stored.push(((topic_of(number), queue), offset, number));
                }
                anyhow::Ok(stored)
            });
        }
        self.next += count;
        for stored in senders.join_all().await {
            for (place, offset, number) in stored? {
                let before = self.stored.entry(place).or_default().insert(offset, number);
                ensure!(before.is_none(), "{place:?} offset {offset} was given to messages {before:?} and {number}");
            }
        }
        Ok(())
    }

    /// Sends messages that fall due later, perhaps when another program has the directory.
    pub(crate) async fn delay(&mut self, broker: SocketAddr) -> Result<()> {
        let mut wire = Wire::connect(broker).await?;
        for _ in 0..DELAYED_A_LIFE {
            let number = self.next;
            send(&mut wire, DELAYED_TOPIC, 0, number, &[(properties::DELAY, DELAY_LEVEL)]).await?;
            self.delayed.push(number);
            self.next += 1;
        }
        Ok(())
    }

    /// Commits offsets of a group in the middle of each queue.
    pub(crate) async fn commit(&mut self, broker: SocketAddr) -> Result<()> {
        let mut wire = Wire::connect(broker).await?;
        for ((topic, queue), messages) in &self.stored {
            let offset = messages.len() as u64 / 2;
            let (queue_id, text) = (queue.to_string(), offset.to_string());
            let fields = [("consumerGroup", GROUP), ("topic", topic), ("queueId", &queue_id), ("commitOffset", &text)];
            let (code, frame) = wire.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"").await?;
            ensure!(code == response::SUCCESS, "a commit was answered {code}: {:?}", frame.header()?.remark);
            self.committed.insert((topic, *queue), offset);
        }
        Ok(())
    }

    /// Reads everything and compares: every message at its place, what a tag selects, what a key finds, where groups are.
    pub(crate) async fn verify(&self, broker: SocketAddr) -> Result<Found> {
        let mut wire = Wire::connect(broker).await?;
        let mut found = Found { queues: self.stored.len(), offsets: self.committed.len(), ..Found::default() };
        for ((topic, queue), expected) in &self.stored {
            let end = end_of(&mut wire, topic, *queue, expected.len() as u64).await?;
            let all = read(&mut wire, topic, *queue, "*", end).await?;
            compare(topic, *queue, expected.iter().map(|(offset, number)| (*offset, *number)), &all)?;
            found.messages += all.len() as u64;
            let tagged = expected.iter().filter(|(_, number)| tag_of(**number) == TAGS[0]);
            let selected = read(&mut wire, topic, *queue, TAGS[0], end).await?;
            compare(topic, *queue, tagged.map(|(offset, number)| (*offset, *number)), &selected)
                .with_context(|| format!("messages with tag {}", TAGS[0]))?;
            found.by_tag += selected.len() as u64;
        }
        for ((topic, queue), offset) in &self.committed {
            let queue_id = queue.to_string();
            let fields = [("consumerGroup", GROUP), ("topic", *topic), ("queueId", &queue_id)];
            let now = u64_field(&mut wire, request::QUERY_CONSUMER_OFFSET, &fields).await?;
            ensure!(now == *offset, "{GROUP} was at {offset} of {topic} queue {queue} and is at {now}");
        }
        found.by_key = self.verify_keys(&mut wire).await?;
        Ok(found)
    }

    /// Asks for messages by key, spread over everything that was stored.
    async fn verify_keys(&self, wire: &mut Wire) -> Result<u64> {
        let mut asked = 0;
        for topic in TOPICS {
            let numbers: Vec<u64> = self
                .stored
                .range((topic, 0)..=(topic, u32::MAX))
                .flat_map(|(_, messages)| messages.values().copied())
                .collect();
            let step = (numbers.len() as u64 / KEYS_ASKED).max(1) as usize;
            for number in numbers.iter().step_by(step) {
                find(wire, topic, *number).await?;
                asked += 1;
            }
        }
        Ok(asked)
    }

    /// Waits for what earlier programs were given to deliver later.
    pub(crate) async fn verify_delayed(&mut self, broker: SocketAddr) -> Result<()> {
        if self.delayed.is_empty() {
            return Ok(());
        }
        let mut wire = Wire::connect(broker).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fields = [("topic", DELAYED_TOPIC), ("queueId", "0")];
            let end = u64_field(&mut wire, request::GET_MAX_OFFSET, &fields).await?;
            let delivered = read(&mut wire, DELAYED_TOPIC, 0, "*", end).await?;
            let mut times: HashMap<u64, usize> = HashMap::new();
            for (offset, number) in &delivered {
                ensure!(self.delayed.contains(number), "{DELAYED_TOPIC} offset {offset} holds message {number}");
                *times.entry(*number).or_default() += 1;
            }
            let missing = self.delayed.iter().filter(|number| !times.contains_key(number)).count();
            if missing == 0 {
                self.delivered = times.len();
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{missing} of {} delayed messages did not come", self.delayed.len());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Where a queue ends, once it ends at `expected` or has had the time to: dispatch follows the log.
async fn end_of(wire: &mut Wire, topic: &str, queue: u32, expected: u64) -> Result<u64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let queue_id = queue.to_string();
        let end = u64_field(wire, request::GET_MAX_OFFSET, &[("topic", topic), ("queueId", &queue_id)]).await?;
        if end == expected {
            return Ok(end);
        }
        ensure!(end < expected && Instant::now() < deadline, "{topic} queue {queue} ends at {end}, not at {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn compare(topic: &str, queue: u32, expected: impl Iterator<Item = (u64, u64)>, found: &[(u64, u64)]) -> Result<()> {
    let expected: Vec<(u64, u64)> = expected.collect();
    let differs = expected.iter().zip(found).find(|(wanted, got)| wanted != got);
    if let Some((wanted, got)) = differs {
        bail!("{topic} queue {queue}: offset and number {wanted:?} were stored, {got:?} is there");
    }
    ensure!(expected.len() == found.len(), "{topic} queue {queue}: {} messages, {} found", expected.len(), found.len());
    Ok(())
}

async fn send(wire: &mut Wire, topic: &str, queue: u32, number: u64, extra: &[(&str, &str)]) -> Result<u64> {
    let mut encoded = Vec::new();
    for (name, value) in extra.iter().filter(|(_, value)| !value.is_empty()) {
        properties::push(&mut encoded, name, value);
    }
    properties::push(&mut encoded, properties::UNIQ_KEY, &format!("{number:032X}"));
    let (encoded, queue) = (String::from_utf8(encoded)?, queue.to_string());
    let fields = [
        ("a", "exchange-producer"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", &queue),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", &encoded),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    for _ in 0..TRIES {
        let (code, frame) = wire.call(request::SEND_MESSAGE_V2, &fields, &body_of(number)).await?;
        match code {
            response::SUCCESS => {
                return frame.header()?.ext.number("queueOffset").context("queueOffset");
            }
            // A broker under load refuses before it stores.
            response::SYSTEM_BUSY => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => bail!("a send to {topic} was answered {code}: {:?}", frame.header()?.remark),
        }
    }
    bail!("a send to {topic} was refused for load {TRIES} times")
}

/// All messages of a queue that `tag` selects: their offsets and numbers, bodies compared.
async fn read(wire: &mut Wire, topic: &str, queue: u32, tag: &str, end: u64) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    let mut next = 0;
    while next < end {
        let (queue_id, offset) = (queue.to_string(), next.to_string());
        let fields = [
            ("consumerGroup", GROUP),
            ("topic", topic),
            ("queueId", &queue_id),
            ("queueOffset", &offset),
            ("maxMsgNums", "32"),
            // The subscription is in the request; nothing is committed, nothing is waited for.
            ("sysFlag", "4"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "0"),
            ("subscription", tag),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        let (code, frame) = wire.call(request::PULL_MESSAGE, &fields, b"").await?;
        let follows: u64 = frame.header()?.ext.number("nextBeginOffset").unwrap_or(next);
        match code {
            response::SUCCESS => {
                for (offset, number, record_tag) in records(&frame)? {
                    // Hashes select; the text is the client's to compare.
                    if tag == "*" || record_tag == tag {
                        found.push((offset, number));
                    }
                }
            }
            response::PULL_RETRY_IMMEDIATELY | response::PULL_OFFSET_MOVED | response::PULL_NOT_FOUND => {}
            _ => bail!("a pull of {topic} queue {queue} at {next} was answered {code}: {:?}", frame.header()?.remark),
        }
        ensure!(
            follows > next,
            "a pull of {topic} queue {queue} at {next} of {end} was answered {code} and goes on at {follows}"
        );
        next = follows;
    }
    Ok(found)
}

fn records(frame: &OwnedFrame) -> Result<Vec<(u64, u64, String)>> {
    let body = frame.body();
    let mut rest = &body[..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let record = RecordView::parse(rest)?;
        let number = record.body().first_chunk().map(|bytes| u64::from_be_bytes(*bytes)).context("a short body")?;
        // The first eight bytes are the number, each with its place mixed in.
        let number = number ^ 0x0001_0203_0405_0607;
        ensure!(
            record.body() == body_of(number),
            "queue offset {}: the body is not that of message {number}",
            record.queue_offset()
        );
        let tag = properties::find_str(record.properties(), properties::TAGS).unwrap_or_default().to_owned();
        found.push((record.queue_offset().0, number, tag));
        rest = &rest[record.size()..];
    }
    Ok(found)
}

/// The message must be among those that its key finds; the index follows the log, so it is asked for some time.
async fn find(wire: &mut Wire, topic: &str, number: u64) -> Result<()> {
    let key = key_of(number);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let (end, deadline) = ((now + 3_600_000).to_string(), Instant::now() + PATIENCE);
    loop {
        let fields =
            [("topic", topic), ("key", &*key), ("maxNum", "32"), ("beginTimestamp", "0"), ("endTimestamp", &end)];
        let (code, frame) = wire.call(request::QUERY_MESSAGE, &fields, b"").await?;
        match code {
            response::SUCCESS if records(&frame)?.iter().any(|(_, found, _)| *found == number) => return Ok(()),
            response::SUCCESS | response::QUERY_NOT_FOUND if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => bail!("key {key} of {topic} was answered {code}: {:?}", frame.header()?.remark),
        }
    }
}

async fn u64_field(wire: &mut Wire, code: i32, fields: &[(&str, &str)]) -> Result<u64> {
    let (answer, frame) = wire.call(code, fields, b"").await?;
    ensure!(
        answer == response::SUCCESS,
        "request {code} {fields:?} was answered {answer}: {:?}",
        frame.header()?.remark
    );
    frame.header()?.ext.number("offset").context("offset")
}
