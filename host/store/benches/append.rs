//! What an append, its dispatch and a recovery cost per message. `cargo bench -p gantry-store`.
//!
//! Bodies of 128 bytes with 100 bytes of properties, 64 an append, on the real disk (`GANTRY_BENCH_DIR`, default the
//! temporary folder). Asynchronous flush and stepped, so that each figure is one thread's work and nothing else's; the time
//! on the processor is printed beside the elapsed one, because a shared machine or a slow disk shows in the latter only.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::disk::RealDisk;
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_protocol::record::{RecordDraft, RecordView, encode};
use gantry_store::*;

const BATCH: usize = 64;
const BODY: &[u8] = &[b'x'; 128];
const CLIENT: &[u8] = b"UNIQ_KEY\x01AC1100011A2B18B4AAC2A1B2C3D40000\x02TAGS\x01TagA\x02WAIT\x01true\x02";
const BROKER: &[u8] = b"MSG_REGION\x01DefaultRegion\x02TRACE_ON\x01true\x02";

fn main() {
    // Under `cargo test` a short run keeps it from rotting.
    let messages = if std::env::args().any(|arg| arg == "--bench") { 4_000_000 } else { 20_000 };
    codec(messages);
    let dir = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(dir).unwrap();
    store(folder.path(), messages);
    println!();
    follow(&folder.path().join("threads"), messages);
}

/// Wall clock and this thread's time on the processor (Linux; elsewhere 0).
struct Watch(Instant, u64);

impl Watch {
    fn start() -> Self {
        Watch(Instant::now(), on_cpu_ns())
    }

    fn report(&self, what: &str, messages: usize) {
        let (elapsed, cpu) = (self.0.elapsed().as_nanos() as f64, (on_cpu_ns() - self.1) as f64);
        let [elapsed, cpu] = [elapsed, cpu].map(|ns| ns / messages as f64);
        println!("{what:<40} {elapsed:>8.1} ns/msg elapsed {cpu:>8.1} on cpu {:>12.0} msg/s", 1e9 / elapsed);
    }
}

fn on_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn codec(messages: usize) {
    let mut out = Vec::new();
    let draft = RecordDraft {
        topic: "bench",
        queue_id: 1,
        flag: 0,
        queue_offset: QueueOffset(1),
        physical_offset: PhysicalOffset(1),
        sys_flag: 0,
        born_ms: 1,
        born_host: ([127, 0, 0, 1], 1).into(),
        store_ms: 1,
        store_host: ([127, 0, 0, 1], 2).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: BODY,
        properties: &[CLIENT, BROKER],
    };
    let watch = Watch::start();
    for n in 0..messages {
        if n % BATCH == 0 {
            out.clear();
        }
        encode(&draft, &mut out).unwrap();
    }
    watch.report("encode", messages);
    let watch = Watch::start();
    let mut bytes = 0;
    for _ in 0..messages {
        bytes += RecordView::parse(std::hint::black_box(&out)).unwrap().size();
    }
    watch.report("parse", messages);
    println!("record: {} bytes", bytes / messages);
}

fn append(store: &Store, messages: usize, queues: &[Arc<Queue>]) {
    let properties: [&[u8]; 2] = [CLIENT, BROKER];
    let mut placed = Vec::with_capacity(BATCH);
    for batch in 0..messages / BATCH {
        let drafts: [Draft<'_>; BATCH] = std::array::from_fn(|n| Draft {
            queue: &queues[(batch + n) % queues.len()],
            flag: 0,
            sys_flag: 0,
            born_ms: 1,
            born_host: ([127, 0, 0, 1], 1).into(),
            store_host: ([127, 0, 0, 1], 2).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: BODY,
            properties: &properties,
        });
        placed.clear();
        store.append(&drafts, &mut placed).unwrap();
    }
}

fn open(dir: &Path, background: Background) -> (Store, RecoveryReport) {
    // A nearly full disk is no reason not to measure.
    let retention = RetentionOptions { disk_refuse_percent: 101, ..RetentionOptions::default() };
    let options = Options { flush: Flush::Async { interval_ms: 500 }, background, retention, ..Options::default() };
    Store::open(Arc::new(RealDisk), dir, options, &mut |_| {}).unwrap()
}

fn store(dir: &Path, messages: usize) {
    let (store, _) = open(dir, Background::Stepped);
    let queues: Vec<_> = (0..8).map(|id| store.queue_or_create("bench", id).unwrap()).collect();
    let watch = Watch::start();
    append(&store, messages, &queues);
    watch.report("append, 64 a call, one thread", messages);
    let watch = Watch::start();
    while store.step(Step::Dispatch) {}
    watch.report("dispatch, 8 queues", messages);
    let mut entries = Vec::with_capacity(32);
    let mut bytes = Vec::new();
    let watch = Watch::start();
    let mut offset = QueueOffset(0);
    while offset.0 < queues[0].end().get() {
        entries.clear();
        store.entries(&queues[0], offset, 32, Wait::Never, &mut entries).unwrap();
        for entry in &entries {
            bytes.clear();
            store.read(entry.physical_offset, entry.size as usize, Wait::Never, &mut bytes).unwrap();
        }
        offset = offset.plus(entries.len() as u64);
    }
    watch.report("read one by one, 32 entries a call", messages / 8);
    let watch = Watch::start();
    let mut offset = QueueOffset(0);
    while offset.0 < queues[0].end().get() {
        entries.clear();
        bytes.clear();
        store.entries(&queues[0], offset, 32, Wait::Never, &mut entries).unwrap();
        let mut picked: Vec<_> = (offset.0..).map(QueueOffset).zip(entries.iter().copied()).collect();
        store.read_records(&queues[0], &mut picked, Wait::Never, &mut bytes).unwrap();
        offset = offset.plus(entries.len() as u64);
    }
    watch.report("read 32 a call, 8 queues interleaved", messages / 8);
    let begun = Instant::now();
    store.step(Step::Flush);
    println!("flush of all of it: {:.0?}", begun.elapsed());
    drop((queues, store));
    let (_, found) = open(dir, Background::Stepped);
    println!("recovery without a checkpoint: {} records in {} ms", found.records, found.elapsed_ms);
}

/// As a broker runs it: dispatch follows on its own thread.
fn follow(dir: &Path, messages: usize) {
    let (store, _) = open(dir, Background::Threads);
    let queues: Vec<_> = (0..8).map(|id| store.queue_or_create("bench", id).unwrap()).collect();
    let watch = Watch::start();
    append(&store, messages, &queues);
    watch.report("append, dispatch behind", messages);
    let end = store.appended().get();
    store.dispatched().wait_blocking(end, Duration::from_secs(60)).unwrap();
    watch.report("append and dispatch, caught up", messages);
    let late = store.metrics().segments_made_late.get();
    println!("segments made late: {late}");
    store.shutdown().unwrap();
}
