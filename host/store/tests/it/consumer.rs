//! A small store with known contents, and a consumer that reads it as pulls do.

use std::sync::Arc;

use gantry_base::disk::sim::{Reboot, SimDisk};
use gantry_model::offset::QueueOffset;
use gantry_protocol::record::records;
use gantry_store::*;

use crate::rig::{flush_and_dispatch, options, put, try_open};

pub(crate) const QUEUE_FILES: [&str; 2] =
    ["consumequeue/alpha/0/00000000000000000000", "consumequeue/beta/1/00000000000000000000"];
pub(crate) const PER_QUEUE: u64 = 5;
const QUEUES: [(&str, u32); 3] = [("alpha", 0), ("beta", 0), ("beta", 1)];

pub(crate) struct Sent {
    queue: (&'static str, u32),
    pub(crate) queue_offset: u64,
    pub(crate) position: u64,
    pub(crate) size: u64,
    body: Vec<u8>,
}

impl Sent {
    pub(crate) fn queue(&self) -> (&'static str, u32) {
        self.queue
    }
}

/// Topic and number of a queue, and the bodies that were sent to it.
pub(crate) type Expected = ((String, u32), Vec<Vec<u8>>);

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) options: Options,
    store: Option<Store>,
    pub(crate) queues: Vec<Arc<Queue>>,
    pub(crate) sent: Vec<Sent>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, options())
    }

    /// With so many entries in each consume queue file.
    pub(crate) fn with_queue_files_of(queue_file_entries: u32) -> Self {
        Self::with(1, Options { queue_file_entries, ..options() })
    }

    /// With so many entries in each index file.
    pub(crate) fn with_index_files_of(index_file_entries: u32) -> Self {
        Self::with(1, Options { index_file_entries, index_file_slots: 8, ..options() })
    }

    fn with(seed: u64, options: Options) -> Self {
        let disk = SimDisk::new(seed);
        let options = Options { segment_size_bytes: 16 << 10, ..options };
        let mut world = World { disk, options, store: None, queues: Vec::new(), sent: Vec::new() };
        world.open().unwrap();
        for n in 0..PER_QUEUE * QUEUES.len() as u64 {
            let (queue, name) = (&world.queues[n as usize % QUEUES.len()], QUEUES[n as usize % QUEUES.len()]);
            let body = format!("message {n} {}", "x".repeat(n as usize * 7 % 40)).into_bytes();
            let Placed { physical_offset, queue_offset, size, .. } =
                put(world.store(), queue, &body, &[b"TAGS\x01tag\x02"]);
            let (position, queue_offset) = (physical_offset.0, queue_offset.0);
            world.sent.push(Sent { queue: name, queue_offset, position, size: size.into(), body });
        }
        world
    }

    fn open(&mut self) -> Result<RecoveryReport, OpenError> {
        let (store, report) = try_open(&self.disk, self.options.clone())?;
        self.queues = QUEUES.iter().map(|(topic, id)| store.queue_or_create(topic, *id).unwrap()).collect();
        self.store = Some(store);
        Ok(report)
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Flushed, dispatched and checkpointed.
    pub(crate) fn settled(self) -> Self {
        flush_and_dispatch(self.store());
        self.store().step(Step::Checkpoint);
        self
    }

    /// Shut down and opened again, or rebooted; the error of the open, if there is one.
    pub(crate) fn try_restarted(mut self, reboot: Option<Reboot>) -> Result<(Self, RecoveryReport), OpenError> {
        self.queues.clear();
        let store = self.store.take().unwrap();
        if reboot.is_none() {
            store.shutdown().unwrap();
        }
        drop(store);
        self.disk.reboot(reboot.unwrap_or(Reboot::Kill));
        let report = self.open()?;
        Ok((self, report))
    }

    pub(crate) fn restarted(self, reboot: Option<Reboot>) -> Self {
        self.try_restarted(reboot).unwrap().0
    }

    /// Appends one more message, which `sent` does not know.
    pub(crate) fn append(&self, queue: &Arc<Queue>, body: &[u8]) {
        put(self.store(), queue, body, &[]);
    }

    /// The same with the body as its key.
    pub(crate) fn append_keyed(&self, queue: &Arc<Queue>, key: &[u8]) {
        put(self.store(), queue, key, &[&[b"KEYS\x01", key, b"\x02"].concat()]);
    }

    /// Bodies that were sent, by queue.
    pub(crate) fn all_expected(&self) -> Vec<Expected> {
        let one = |queue: &Arc<Queue>| ((queue.topic().to_owned(), queue.id()), self.expected(queue));
        self.queues.iter().map(one).collect()
    }

    /// Bodies that were sent to the queue, by offset.
    pub(crate) fn expected(&self, queue: &Queue) -> Vec<Vec<u8>> {
        let of_queue = self.sent.iter().filter(|sent| sent.queue == (queue.topic(), queue.id()));
        of_queue.map(|sent| sent.body.clone()).collect()
    }
}

/// What a consumer got, and what stopped it.
pub(crate) struct Consumed {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) damaged: Option<Box<Damaged>>,
}

/// Reads the queue from its beginning, three entries at a time; before a damaged message it takes what lies before it.
pub(crate) fn consume(store: &Store, queue: &Arc<Queue>) -> Consumed {
    let (mut messages, mut next) = (Vec::new(), queue.min_offset());
    while next.0 < queue.end().get() {
        let mut entries = Vec::new();
        match store.entries(queue, next, 3, Wait::Allowed, &mut entries) {
            Ok(_) => assert!(!entries.is_empty(), "a queue has entries up to its end"),
            Err(ReadError::Damaged(damaged)) => return Consumed { messages, damaged: Some(damaged) },
            Err(error) => panic!("{error}"),
        }
        let count = entries.len() as u64;
        let mut picked: Vec<_> = (next.0..).map(QueueOffset).zip(entries).collect();
        let mut bytes = Vec::new();
        let damaged = match store.read_records(queue, &mut picked, Wait::Allowed, &mut bytes) {
            Ok(Read::Done) => None,
            Ok(Read::WouldBlock) => panic!("it may wait"),
            Err(ReadError::Damaged(found)) => {
                picked.retain(|(offset, _)| *offset < found.queue_offset);
                let read = store.read_records(queue, &mut picked, Wait::Allowed, &mut bytes);
                assert_eq!(read.unwrap(), Read::Done, "what lies before is whole");
                Some(found)
            }
            Err(error) => panic!("{error}"),
        };
        let found: Vec<_> = records(&bytes).map(|record| record.unwrap().body().to_vec()).collect();
        assert_eq!(found.len(), if bytes.is_empty() { 0 } else { picked.len() }, "one record for each picked entry");
        messages.extend(found);
        if damaged.is_some() {
            return Consumed { messages, damaged };
        }
        next = next.plus(count);
    }
    Consumed { messages, damaged: None }
}
