//! Delayed messages: one follower a level, because within a level messages fall due in the order in which they came.
//!
//! A message waits in `SCHEDULE_TOPIC_XXXX`; its queue entry's tag code is the delivery time. When due it is appended to its
//! real topic, and only then the level's offset moves on, so a crash in between delivers it twice and never not at all.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc, time::Duration};

use gantry_base::disk::Disk;
use gantry_model::{
    delay::{DelayLevel, LEVELS_MS},
    name::SCHEDULE_TOPIC,
    offset::QueueOffset,
    version::DataVersion,
};
use gantry_protocol::record::RecordView;
use gantry_store::{Queue, QueueEntry, Wait};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::Broker,
    message::Outgoing,
    topics::{read_json, write_json},
    waiting::destination,
};

/// Due messages that are delivered together.
const BATCH_MAX: usize = 256;
/// How often moved offsets are saved; a crash delivers what fell due since then once more.
pub(crate) const SAVE_EVERY_MS: u64 = 1_000;
/// Pause after a delivery that failed (disk full, log stopped).
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `delayOffset.json`, RocketMQ's shape: next offset by level.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DelayFile {
    data_version: DataVersion,
    offset_table: BTreeMap<u8, u64>,
}

/// How far each level has been delivered.
pub(crate) struct Delivered {
    state: Mutex<(DelayFile, bool)>,
    disk: Arc<dyn Disk>,
    file: PathBuf,
}

impl Delivered {
    pub(crate) fn open(disk: Arc<dyn Disk>, data: &std::path::Path) -> io::Result<Self> {
        let file = data.join("config").join("delayOffset.json");
        let found = read_json(&*disk, &file)?.unwrap_or_default();
        Ok(Delivered { state: Mutex::new((found, false)), disk, file })
    }

    pub(crate) fn get(&self, level: DelayLevel) -> QueueOffset {
        QueueOffset(self.state.lock().0.offset_table.get(&level.number()).copied().unwrap_or(0))
    }

    fn set(&self, level: DelayLevel, offset: QueueOffset) {
        let mut state = self.state.lock();
        state.0.offset_table.insert(level.number(), offset.0);
        state.1 = true;
    }

    /// Saves what moved. Blocks on the disk.
    pub(crate) fn save(&self, now_ms: u64) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            if !state.1 {
                return Ok(());
            }
            state.1 = false;
            state.0.data_version.bump(now_ms);
            state.0.clone()
        };
        write_json(&*self.disk, &self.file, &file).inspect_err(|_| self.state.lock().1 = true)
    }
}

/// Delivers one level until cancelled.
pub(crate) async fn follow(broker: Arc<Broker>, level: DelayLevel, cancel: CancellationToken) {
    let Some(queue) = broker.topics.get(SCHEDULE_TOPIC).and_then(|topic| topic.queue(level.queue_id() as i32).cloned())
    else {
        return;
    };
    let mut next = broker.delivered.get(level).max(queue.min_offset());
    let mut failing = false;
    loop {
        let step = async {
            if queue.end().reached(next.0 + 1).await.is_err() {
                return std::future::pending().await;
            }
            wait_until_due(&broker, &queue, level, next).await
        };
        let due = tokio::select! {
            () = cancel.cancelled() => return,
            due = step => due,
        };
        let (worker, from) = (broker.clone(), queue.clone());
        let delivered = match due {
            Ok(()) => tokio::task::spawn_blocking(move || deliver_due(&worker, &from, level, next)).await,
            Err(error) => Ok(Err(error)),
        };
        match delivered {
            Ok(Ok((after, end))) => {
                failing = false;
                // Without a limit: they are appended, and must not be once more.
                let durable = tokio::select! {
                    () = cancel.cancelled() => return,
                    durable = broker.durable(end) => durable,
                };
                if durable.is_ok() {
                    next = after;
                    broker.delivered.set(level, next);
                }
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(level = level.number(), queue_offset = %next, %error, "delayed messages wait: delivery failed and is tried again every second");
                }
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
            // The runtime shuts down.
            Err(stopped) if stopped.is_cancelled() => return,
            Err(panic) => {
                tracing::error!(
                    level = level.number(), queue_offset = %next, %panic,
                    "the delivery of delayed messages failed within and is tried again"
                );
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
        }
    }
}

async fn wait_until_due(
    broker: &Arc<Broker>,
    queue: &Arc<Queue>,
    level: DelayLevel,
    next: QueueOffset,
) -> io::Result<()> {
    let (broker_too, from) = (broker.clone(), queue.clone());
    let entry = tokio::task::spawn_blocking(move || entries(&broker_too, &from, next, 1).map(|found| found[0]));
    let entry = entry.await.map_err(io::Error::other)??;
    let now_ms = broker.options.clock.now_ms();
    let wait_ms = due_ms(&entry, level, now_ms).saturating_sub(now_ms);
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    Ok(())
}

/// When an entry falls due. A time further off than the level's delay cannot be right (the clock went back): due now.
fn due_ms(entry: &QueueEntry, level: DelayLevel, now_ms: u64) -> u64 {
    let due = entry.tag_code.max(0) as u64;
    if due > now_ms + level.delay_ms() { now_ms } else { due }
}

/// Entries of a level's queue, at least one: there must be one at `from`.
pub(crate) fn entries(broker: &Broker, queue: &Queue, from: QueueOffset, max: usize) -> io::Result<Vec<QueueEntry>> {
    let mut entries = Vec::with_capacity(max);
    broker.store.entries(queue, from, max, Wait::Allowed, &mut entries).map_err(io::Error::other)?;
    if entries.is_empty() {
        let (topic, id) = (queue.topic(), queue.id());
        return Err(io::Error::other(format!(
            "queue {topic}/{id} has no entry {from} where its end says there is one"
        )));
    }
    Ok(entries)
}

/// Delivers what is due from `next` on; the offset behind it, and the log position that must be durable first.
fn deliver_due(
    broker: &Broker,
    queue: &Arc<Queue>,
    level: DelayLevel,
    next: QueueOffset,
) -> io::Result<(QueueOffset, u64)> {
    let (mut after, mut end) = (next, 0);
    let now_ms = broker.options.clock.now_ms();
    let mut bytes = Vec::new();
    for entry in entries(broker, queue, next, BATCH_MAX)? {
        if due_ms(&entry, level, now_ms) > now_ms {
            break;
        }
        match deliver(broker, queue, after, entry, &mut bytes) {
            Ok(delivered) => end = delivered.unwrap_or(end),
            // The offset moves over what is delivered before it; then the level stops here and says why.
            Err(_) if after > next => break,
            Err(error) => return Err(error),
        }
        after = after.plus(1);
    }
    Ok((after, end))
}

/// Appends one due message to its real queue; where its copy ends. `None`: it has nowhere to go, or an operator gave it
/// up.
fn deliver(
    broker: &Broker,
    from: &Queue,
    offset: QueueOffset,
    entry: QueueEntry,
    bytes: &mut Vec<u8>,
) -> io::Result<Option<u64>> {
    bytes.clear();
    broker.store.read_records(from, &mut vec![(offset, entry)], Wait::Allowed, bytes).map_err(io::Error::other)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let record = RecordView::parse(bytes).map_err(io::Error::other)?;
    let message = record.message();
    let found = destination(&broker.topics, &message).map_err(|refusal| io::Error::other(refusal.to_string()))?;
    let Some(queue) = found else { return Ok(None) };
    let again = Outgoing::again(&message, broker.options.advertised, |name| {
        matches!(name, "DELAY" | "REAL_TOPIC" | "REAL_QID")
    });
    again.append_own(&broker.store, &queue).map(|placed| Some(placed.end)).map_err(io::Error::other)
}

/// Messages of a level that were not delivered yet.
pub(crate) fn waiting(broker: &Broker, level: DelayLevel) -> u64 {
    let topic = broker.topics.get(SCHEDULE_TOPIC);
    let queue = topic.as_ref().and_then(|topic| topic.queue(level.queue_id() as i32));
    queue.map_or(0, |queue| queue.end().get().saturating_sub(broker.delivered.get(level).max(queue.min_offset()).0))
}

/// All levels.
pub(crate) fn levels() -> impl Iterator<Item = DelayLevel> {
    (1..=LEVELS_MS.len() as i64).filter_map(DelayLevel::clamped)
}

#[cfg(test)]
mod tests;
