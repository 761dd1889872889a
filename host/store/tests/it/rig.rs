//! What the tests set up: a small store on a simulated disk and messages in it; and what is read of both.

use std::{path::Path, sync::Arc, time::Duration};

use gantry_base::{
    clock::Clock,
    disk::{Disk, DiskFile, read_whole, sim::SimDisk},
};
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::*;

pub(crate) const DIR: &str = "/store";
/// The first file of the log.
pub(crate) const LOG: &str = "commitlog/00000000000000000000";
/// Where the clock of a test stands: 2023-11-14 22:13:20 UTC.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
/// How long anything may take before a test fails; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Small files, no threads, a clock that is set by hand. Tests replace what they are about.
pub(crate) fn options() -> Options {
    Options {
        segment_size_bytes: 8192,
        queue_file_entries: 16,
        allocate_ahead_bytes: 4096,
        background: Background::Stepped,
        clock: Clock::manual(NOW_MS),
        // The disk that the tests run on may be nearly full.
        retention: RetentionOptions { disk_refuse_percent: 101, ..RetentionOptions::default() },
        ..Options::default()
    }
}

pub(crate) fn try_open(disk: &SimDisk, options: Options) -> Result<(Store, RecoveryReport), OpenError> {
    Store::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| {})
}

pub(crate) fn open(disk: &SimDisk, options: Options) -> (Store, RecoveryReport) {
    try_open(disk, options).unwrap()
}

/// A message with a flag that is not the default.
pub(crate) fn draft<'a>(queue: &'a Arc<Queue>, body: &'a [u8], properties: &'a [&'a [u8]]) -> Draft<'a> {
    Draft {
        queue,
        flag: 7,
        sys_flag: 0,
        born_ms: 1,
        born_host: ([10, 0, 0, 1], 4000).into(),
        store_host: ([10, 0, 0, 2], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Appends one message.
pub(crate) fn put(store: &Store, queue: &Arc<Queue>, body: &[u8], properties: &[&[u8]]) -> Placed {
    let mut placed = Vec::new();
    store.append(&[draft(queue, body, properties)], &mut placed).unwrap();
    placed[0]
}

/// Appends messages with properties, all at once.
pub(crate) fn append(store: &Store, queue: &Arc<Queue>, bodies: &[&[u8]]) -> Result<Vec<Placed>, AppendError> {
    let properties: [&[u8]; 2] = [b"TAGS\x01t\x02", b"CLUSTER\x01c\x02"];
    let drafts: Vec<_> = bodies.iter().map(|body| draft(queue, body, &properties)).collect();
    let mut placed = Vec::new();
    store.append(&drafts, &mut placed)?;
    assert_eq!(placed.len(), bodies.len());
    Ok(placed)
}

/// Bodies that differ, also in length.
pub(crate) fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("message {n} {}", "x".repeat(n % 300)).into_bytes()).collect()
}

pub(crate) fn append_numbered(store: &Store, queue: &Arc<Queue>, count: usize) -> Vec<Vec<u8>> {
    let numbered = numbered(count);
    for body in &numbered {
        append(store, queue, &[body]).unwrap();
    }
    numbered
}

/// Appends a message that tells its queue's number and its own: what [`check_told`] looks for.
pub(crate) fn put_telling(store: &Store, topic: &str, id: u32) {
    let queue = store.queue_or_create(topic, id).unwrap();
    put(store, &queue, &telling(id, queue.next_offset().0), &[]);
}

/// Sees that the queue holds so many messages, all of them its own and in order.
pub(crate) fn check_told(store: &Store, topic: &str, id: u32, count: u64) {
    let queue = store.queue(topic, id).unwrap();
    let told: Vec<_> = (0..count).map(|offset| telling(id, offset)).collect();
    assert_eq!(bodies(store, &queue), told, "{queue:?}");
}

fn telling(id: u32, offset: u64) -> Vec<u8> {
    format!("{id}/{offset}").into_bytes()
}

pub(crate) fn flush_and_dispatch(store: &Store) {
    store.step(Step::Flush);
    while store.step(Step::Dispatch) {}
}

/// The same for a store that can do it to the end.
pub(crate) fn settle(store: &Store) {
    flush_and_dispatch(store);
    assert_eq!(store.dispatched().get(), store.appended().get());
}

/// Entries of a queue, read as a pull reads them.
pub(crate) fn entries(queue: &Queue) -> Vec<QueueEntry> {
    let mut entries = Vec::new();
    let min = queue.min_offset();
    while entries.len() as u64 + min.0 < queue.end().get() {
        let from = min.plus(entries.len() as u64);
        assert_eq!(queue.entries_unchecked(from, 1000, Wait::Allowed, &mut entries).unwrap(), Read::Done);
        assert!(min.plus(entries.len() as u64) > from, "a queue has entries up to its end");
    }
    entries
}

/// Bodies of a queue, read as a pull reads them.
pub(crate) fn bodies(store: &Store, queue: &Queue) -> Vec<Vec<u8>> {
    let body = |entry: &QueueEntry| {
        let mut bytes = Vec::new();
        let read = store.read(entry.physical_offset, entry.size as usize, Wait::Allowed, &mut bytes);
        assert_eq!(read.unwrap(), Read::Done);
        let record = RecordView::parse(&bytes).unwrap();
        record.check_crc(PropertyChecksum::Required).unwrap();
        assert_eq!((record.topic(), record.queue_id()), (queue.topic(), queue.id()));
        record.body().to_vec()
    };
    entries(queue).iter().map(body).collect()
}

/// A file that the store has, by its name within the store.
pub(crate) fn file(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.open(&Path::new(DIR).join(name), false).unwrap()
}

/// All bytes of a file, by its path or its name within the store.
pub(crate) fn contents(disk: &SimDisk, name: impl AsRef<Path>) -> Vec<u8> {
    read_whole(disk, &Path::new(DIR).join(name), 1 << 20).unwrap()
}

/// Flips one bit of a file of the store.
pub(crate) fn flip(disk: &SimDisk, name: &str, at: u64, bit: u32) {
    let (file, mut byte) = (file(disk, name), [0]);
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}
