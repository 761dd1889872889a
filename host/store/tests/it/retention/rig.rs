//! A stepped store on a simulated disk, and what was put into it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk,
        sim::{Reboot, SimDisk},
    },
};
use gantry_model::offset::QueueOffset;
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::*;

use crate::rig::{draft, flush_and_dispatch};

pub(crate) const SEGMENT: u64 = 2048;

/// Small segments and queue files, no retention by itself.
pub(crate) fn options() -> Options {
    Options {
        segment_size_bytes: SEGMENT,
        allocate_ahead_bytes: 1024,
        record_size_max_bytes: 1500,
        ..crate::rig::options()
    }
}

pub(crate) fn with(retention: RetentionOptions) -> Options {
    Options { retention, ..options() }
}

/// Neither age nor size.
pub(crate) fn never() -> RetentionOptions {
    RetentionOptions { age_ms: 0, size_bytes: 0, ..RetentionOptions::default() }
}

type Append = fn(&Store, &[Draft<'_>], &mut Vec<Placed>) -> Result<(), AppendError>;
/// Where a message was put, by topic, queue and offset.
type Places = BTreeMap<(String, u32, u64), (Placed, Vec<u8>)>;

pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    /// What the store is given: the disk, or something that watches it.
    pub(crate) watched: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    /// A crash takes the file with the queues' ends along.
    pub(crate) lose_heads: bool,
    placed: Places,
}

fn open(disk: &Arc<dyn Disk>, options: &Options) -> Result<Store, String> {
    let opened = Store::open(disk.clone(), Path::new(super::DIR), options.clone(), &mut |_| {});
    opened.map(|(store, _)| store).map_err(|error| format!("the store does not open: {error}"))
}

impl Rig {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let disk = SimDisk::with_sector_len(seed, 64);
        Rig::watched(disk.clone(), Arc::new(disk), options)
    }

    pub(crate) fn watched(disk: SimDisk, watched: Arc<dyn Disk>, options: Options) -> Self {
        let clock = options.clock.clone();
        let store = open(&watched, &options).unwrap();
        Rig { disk, watched, options, clock, store, lose_heads: false, placed: Places::new() }
    }

    /// Another life: after an orderly end, or after a crash.
    pub(crate) fn reopen(&mut self, reboot: Option<Reboot>) -> Result<(), String> {
        match reboot {
            None => self.store.shutdown().map_err(|error| error.to_string())?,
            Some(reboot) => {
                self.disk.crash();
                self.disk.reboot(reboot);
                if self.lose_heads {
                    // There may be none yet.
                    let _ = self.disk.remove_file(&Path::new(super::DIR).join("queueHeads.gantry"));
                }
            }
        }
        self.store = open(&self.watched, &self.options)?;
        Ok(())
    }

    fn append_with(&mut self, queue: &Arc<Queue>, body: &[u8], append: Append) -> Result<(), AppendError> {
        let mut placed = Vec::new();
        append(&self.store, &[draft(queue, body, &[])], &mut placed)?;
        let key = (queue.topic().to_owned(), queue.id(), placed[0].queue_offset.0);
        self.placed.insert(key, (placed[0], body.to_vec()));
        Ok(())
    }

    pub(crate) fn append(&mut self, queue: &Arc<Queue>, body: &[u8]) -> Result<(), AppendError> {
        self.append_with(queue, body, Store::append)
    }

    pub(crate) fn append_own(&mut self, queue: &Arc<Queue>, body: &[u8]) -> Result<(), AppendError> {
        self.append_with(queue, body, Store::append_own)
    }

    /// So many messages into each of the topic's queues.
    pub(crate) fn fill(&mut self, topic: &str, queues: u32, count: u64) {
        for number in 0..count {
            for id in 0..queues {
                let queue = self.store.queue_or_create(topic, id).unwrap();
                let body = format!("{topic} {id} {number} {}", "x".repeat(number as usize % 40));
                self.append(&queue, body.as_bytes()).unwrap();
            }
        }
    }

    pub(crate) fn forget(&mut self, topic: &str) {
        self.placed.retain(|(name, ..), _| name != topic);
    }

    /// Flushed, dispatched, checkpointed.
    pub(crate) fn settle(&self) {
        flush_and_dispatch(&self.store);
        self.store.step(Step::Checkpoint);
    }

    pub(crate) fn retain_all(&self) {
        while self.store.step(Step::Retain) {}
        // A look at the disk that is left.
        self.store.step(Step::Retain);
    }

    /// Whether the store holds everything from its minimum on, which is at most `min_max`, and nothing that it should not.
    pub(crate) fn check(&self, min_max: u64) -> Result<(), String> {
        let min = self.store.min_physical_offset().0;
        if min > min_max {
            return Err(format!("the log begins at {min}, nothing from {min_max} on was to go"));
        }
        let mut ends = BTreeMap::new();
        for ((topic, id, offset), (place, body)) in &self.placed {
            let (end, first) = ends.entry((topic.as_str(), *id)).or_insert((0, None));
            *end = (*end).max(offset + 1);
            if place.physical_offset.0 < min {
                continue;
            }
            first.get_or_insert(*offset);
            let queue = self.store.queue(topic, *id).ok_or_else(|| format!("{topic}/{id} is lost"))?;
            let found = read(&self.store, &queue, *offset)?;
            let view = RecordView::parse(&found).map_err(|error| format!("{topic}/{id}/{offset}: {error}"))?;
            view.check_crc(PropertyChecksum::Required).map_err(|error| format!("{topic}/{id}/{offset}: {error}"))?;
            if view.body() != body || view.physical_offset() != place.physical_offset {
                return Err(format!("{topic}/{id}/{offset} is another message: {view:?}"));
            }
        }
        for ((topic, id), (end, first)) in ends {
            let queue = self.store.queue(topic, id).ok_or_else(|| format!("{topic}/{id} is lost"))?;
            let expected = (first.unwrap_or(end), end, end);
            let found = (queue.min_offset().0, queue.end().get(), queue.next_offset().0);
            if found != expected {
                return Err(format!("{topic}/{id} has minimum, end and next {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }
}

pub(crate) fn read(store: &Store, queue: &Queue, offset: u64) -> Result<Vec<u8>, String> {
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    let text = |error: ReadError| format!("{queue:?} {offset}: {error}");
    queue.entries_unchecked(QueueOffset(offset), 1, Wait::Allowed, &mut entries).map_err(text)?;
    let entry = entries.first().ok_or_else(|| format!("{queue:?} has no entry at {offset}"))?;
    store.read(entry.physical_offset, entry.size as usize, Wait::Allowed, &mut bytes).map_err(text)?;
    Ok(bytes)
}
