//! What the store must, may and must never hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gantry_base::disk::sim::Reboot;
use gantry_model::offset::QueueOffset;
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::*;

/// What is known of a message, by its number.
#[derive(Debug, Clone)]
struct Message {
    topic: String,
    queue_id: u32,
    body: Vec<u8>,
    fate: Fate,
    /// Where it was put, when the store said so.
    placed: Option<Placed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Must,
    /// Must, as long as the power stays on: recovery has not made it durable yet.
    Cached,
    May,
    Never,
}

type Queues = BTreeMap<(String, u32), Vec<u64>>;

/// What is known of all messages of a run.
pub struct Oracle {
    flush: Flush,
    messages: Vec<Message>,
    /// Not acknowledged yet; only these can become so.
    open: Vec<usize>,
    /// Topics of which either all is there or all is deleted.
    doubtful: BTreeSet<String>,
}

impl Oracle {
    /// Knows nothing yet.
    pub fn new(flush: Flush) -> Self {
        Oracle { flush, messages: Vec::new(), open: Vec::new(), doubtful: BTreeSet::new() }
    }

    /// A body that names its message.
    pub fn new_body(&mut self, len: usize) -> Vec<u8> {
        let number = self.messages.len();
        let mut body = format!("{number:08} ").into_bytes();
        body.extend((0..len).map(|at| b'a' + ((at + number) % 26) as u8));
        let message =
            Message { topic: String::new(), queue_id: 0, body: body.clone(), fate: Fate::Never, placed: None };
        self.messages.push(message);
        body
    }

    /// Messages known to be durable.
    pub fn acknowledged(&self) -> u64 {
        self.messages.iter().filter(|message| message.fate == Fate::Must).count() as u64
    }

    fn noted(&mut self, messages: &[(Arc<Queue>, Vec<u8>)], fate: Fate) -> Vec<usize> {
        let note = |(queue, body): &(Arc<Queue>, Vec<u8>)| {
            let number = number(body).expect("a body begins with its number") as usize;
            let message = &mut self.messages[number];
            (message.topic, message.queue_id, message.fate) = (queue.topic().to_owned(), queue.id(), fate);
            number
        };
        messages.iter().map(note).collect()
    }

    /// The store took them.
    pub fn appended(&mut self, messages: &[(Arc<Queue>, Vec<u8>)], placed: &[Placed]) {
        assert_eq!(messages.len(), placed.len());
        for (number, place) in self.noted(messages, Fate::May).into_iter().zip(placed) {
            self.messages[number].placed = Some(*place);
            self.open.push(number);
        }
    }

    /// The log stopped in it: they may be there after a restart.
    pub fn append_failed(&mut self, messages: &[(Arc<Queue>, Vec<u8>)]) {
        self.noted(messages, Fate::May);
    }

    /// They were refused: they must not be there.
    pub fn append_refused(&mut self, messages: &[(Arc<Queue>, Vec<u8>)]) {
        self.noted(messages, Fate::Never);
    }

    /// Notes what `flushed` covers now: that is what a broker acknowledges.
    pub fn acknowledge(&mut self, store: &Store) {
        let flushed = store.flushed().get();
        self.open.retain(|number| {
            let message = &mut self.messages[*number];
            let covered = message.placed.is_some_and(|place| place.end <= flushed);
            if covered && message.fate == Fate::May {
                message.fate = Fate::Must;
            }
            !covered
        });
    }

    /// Reads what consumers may see. Under synchronous flush nothing seen may ever vanish.
    pub fn deliver(&mut self, store: &Store) -> Result<(), String> {
        let queues = read_all(store)?;
        if self.flush == Flush::Sync {
            for number in queues.values().flatten() {
                let message = &mut self.messages[*number as usize];
                if message.fate == Fate::May {
                    message.fate = Fate::Must;
                }
            }
        }
        Ok(())
    }

    /// The topic was deleted: none of its messages is there.
    pub fn deleted(&mut self, topic: &str) {
        self.doubtful.remove(topic);
        for message in self.messages.iter_mut().filter(|message| message.topic == topic) {
            message.fate = Fate::Never;
        }
    }

    /// The deletion failed: all messages of the topic are there, or none.
    pub fn maybe_deleted(&mut self, topic: &str) {
        self.doubtful.insert(topic.to_owned());
    }

    /// `None`: it was shut down in order.
    pub fn life_ended(&mut self, store: &Store, reboot: Option<Reboot>) {
        self.acknowledge(store);
        if reboot != Some(Reboot::PowerLoss) {
            // The page cache is still there, and with it everything that was appended.
            for number in self.open.drain(..) {
                let message = &mut self.messages[number];
                if message.fate == Fate::May {
                    message.fate = Fate::Cached;
                }
            }
        }
        self.open.clear();
    }

    /// Recovery crashed.
    pub fn life_without_store(&mut self, reboot: Reboot) {
        for message in self.messages.iter_mut().filter(|_| reboot == Reboot::PowerLoss) {
            if message.fate == Fate::Cached {
                message.fate = Fate::May;
            }
        }
    }

    /// Compares all that the store holds with what is known, and takes what it holds as durable from now on.
    pub fn judge(&mut self, store: &Store) -> Result<(), String> {
        let queues = read_all(store)?;
        let mut found = BTreeMap::new();
        for ((topic, queue_id), numbers) in &queues {
            for (offset, number) in numbers.iter().enumerate() {
                let place = (topic.clone(), *queue_id, offset as u64);
                if let Some(other) = found.insert(*number, place.clone()) {
                    return Err(format!("message {number} is there twice: {other:?} and {place:?}"));
                }
            }
        }
        for topic in std::mem::take(&mut self.doubtful) {
            let gone = !queues.iter().any(|((name, _), numbers)| *name == topic && !numbers.is_empty());
            if gone {
                self.deleted(&topic);
            }
        }
        for (number, message) in self.messages.iter_mut().enumerate() {
            let there = found.get(&(number as u64));
            match (message.fate, there) {
                (Fate::Must | Fate::Cached, None) => {
                    return Err(format!("acknowledged message {number} is lost: {message:?}"));
                }
                (Fate::Never, Some(place)) => return Err(format!("message {number} should not be there: {place:?}")),
                (Fate::May, None) => message.fate = Fate::Never,
                (Fate::Never, None) => {}
                (Fate::Must | Fate::Cached | Fate::May, Some((topic, queue_id, offset))) => {
                    if (&message.topic, message.queue_id) != (topic, *queue_id) {
                        return Err(format!("message {number} is in {topic}/{queue_id}: {message:?}"));
                    }
                    if message.placed.is_some_and(|place| place.queue_offset.0 != *offset) {
                        return Err(format!("message {number} moved to queue offset {offset}: {message:?}"));
                    }
                    message.fate = Fate::Must;
                }
            }
        }
        self.judge_bodies(store)
    }

    /// Every body is the one that was sent, and every queue goes on where its entries end.
    fn judge_bodies(&self, store: &Store) -> Result<(), String> {
        for ((topic, queue_id), numbers) in read_all(store)? {
            let queue = store.queue(&topic, queue_id).ok_or("a queue vanished while it was looked at")?;
            if queue.next_offset().0 != numbers.len() as u64 {
                return Err(format!(
                    "{topic}/{queue_id} has {} entries and goes on at {:?}",
                    numbers.len(),
                    queue.next_offset()
                ));
            }
            for (offset, number) in numbers.iter().enumerate() {
                let bytes = record(store, &queue, offset as u64)?;
                let view = RecordView::parse(&bytes).map_err(|error| error.to_string())?;
                if view.body() != self.messages[*number as usize].body {
                    return Err(format!("message {number} has another body"));
                }
            }
        }
        Ok(())
    }
}

/// The numbers of all messages by queue, in order; every record checked.
fn read_all(store: &Store) -> Result<Queues, String> {
    let mut queues = Queues::new();
    for topic in store.topics() {
        for queue_id in 0..super::QUEUES as u32 {
            let Some(queue) = store.queue(&topic, queue_id) else { continue };
            let mut numbers = Vec::new();
            for offset in super::offsets(&queue) {
                let bytes = record(store, &queue, offset)?;
                let view =
                    RecordView::parse(&bytes).map_err(|error| format!("{topic}/{queue_id}/{offset}: {error}"))?;
                let here =
                    (view.topic(), view.queue_id(), view.queue_offset()) == (&*topic, queue_id, QueueOffset(offset));
                let checked = view.check_crc(PropertyChecksum::Required);
                if !here || checked.is_err() {
                    return Err(format!("{topic}/{queue_id}/{offset} holds {view:?}, checksum {checked:?}"));
                }
                numbers.push(
                    number(view.body())
                        .ok_or_else(|| format!("{topic}/{queue_id}/{offset} has a body that nobody sent"))?,
                );
            }
            queues.insert((topic.to_string(), queue_id), numbers);
        }
    }
    Ok(queues)
}

/// Which message a body names.
fn number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body.get(..8)?).ok()?.parse().ok()
}

pub(super) fn record(store: &Store, queue: &Queue, offset: u64) -> Result<Vec<u8>, String> {
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    let text = |error: ReadError| error.to_string();
    queue.entries_unchecked(QueueOffset(offset), 1, Wait::Allowed, &mut entries).map_err(text)?;
    let entry = entries.first().ok_or_else(|| format!("{queue:?} has no entry at {offset}"))?;
    store.read(entry.physical_offset, entry.size as usize, Wait::Allowed, &mut bytes).map_err(text)?;
    Ok(bytes)
}
