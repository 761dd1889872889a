//! What the index costs a message at dispatch, and what it takes to open and to ask. `cargo bench -p gantry-store --bench index`.
//!
//! Records of 128 bytes of body with a unique id, with or without a second key, on the real disk (`GANTRY_BENCH_DIR`, default
//! the temporary folder). Stepped, so each figure is one thread's work; the time on the processor is printed beside.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::disk::RealDisk;
use gantry_store::*;

const BATCH: usize = 64;
const BODY: &[u8] = &[b'x'; 128];

fn main() {
    // Under `cargo test` a short run keeps it from rotting.
    let messages = if std::env::args().any(|arg| arg == "--bench") { 1_000_000 } else { 10_000 };
    let dir = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    for (index, keys, what) in
        [(false, 1, "off, id"), (true, 1, "on, id"), (false, 2, "off, id and key"), (true, 2, "on, id and key")]
    {
        let folder = tempfile::tempdir_in(&dir).unwrap();
        dispatch(folder.path(), index, keys, what, messages);
    }
}

fn open(dir: &Path, index_enabled: bool) -> (Store, Duration) {
    let flush = Flush::Async { interval_ms: 500 };
    let options = Options { flush, index_enabled, background: Background::Stepped, ..Options::default() };
    let begun = Instant::now();
    let (store, _) = Store::open(Arc::new(RealDisk), dir, options, &mut |_| {}).unwrap();
    (store, begun.elapsed())
}

fn properties(number: usize, keys: usize) -> String {
    let id = format!("UNIQ_KEY\x01AC1100011A2B18B4AAC2A1B2{number:08X}\x02TAGS\x01TagA\x02WAIT\x01true\x02");
    let key = if keys > 1 { format!("KEYS\x01order-{number}\x02") } else { String::new() };
    format!("{id}{key}MSG_REGION\x01DefaultRegion\x02TRACE_ON\x01true\x02CLUSTER\x01DefaultCluster\x02")
}

fn append(store: &Store, messages: usize, keys: usize) {
    let queues: Vec<_> = (0..8).map(|id| store.queue_or_create("bench", id).unwrap()).collect();
    let mut placed = Vec::new();
    for first in (0..messages).step_by(BATCH) {
        let properties: Vec<String> = (first..first + BATCH).map(|number| properties(number, keys)).collect();
        let properties: Vec<[&[u8]; 1]> = properties.iter().map(|properties| [properties.as_bytes()]).collect();
        let drafts: Vec<_> = properties
            .iter()
            .enumerate()
            .map(|(n, properties)| Draft {
                queue: &queues[n % queues.len()],
                flag: 0,
                sys_flag: 0,
                born_ms: 1,
                born_host: ([127, 0, 0, 1], 1).into(),
                store_host: ([127, 0, 0, 1], 2).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: BODY,
                properties,
            })
            .collect();
        placed.clear();
        // As the owner, who is not turned away where the disk is nearly full.
        store.append_own(&drafts, &mut placed).unwrap();
    }
}

fn dispatch(dir: &Path, index: bool, keys: usize, what: &str, messages: usize) {
    let (store, _) = open(dir, index);
    // The first file is made by the thread that catches up, once.
    append(&store, BATCH, keys);
    while store.step(Step::Dispatch) {}
    while store.step(Step::Index) {}
    let idle = resident_kib();
    append(&store, messages, keys);
    let (begun, cpu) = (Instant::now(), on_cpu_ns());
    while store.step(Step::Dispatch) {}
    let (elapsed, cpu) = (begun.elapsed().as_nanos() as f64, (on_cpu_ns() - cpu) as f64);
    let (elapsed, cpu) = (elapsed / messages as f64, cpu / messages as f64);
    println!("dispatch, index {what:<16} {elapsed:>7.1} ns/msg elapsed {cpu:>7.1} on cpu");
    if !index {
        return;
    }
    assert_eq!(store.index_state(), IndexState::Level);
    let memory = store.index_memory_bytes() >> 10;
    println!("  slots in memory {memory} KiB; anonymous memory {idle} KiB before, {} KiB after", resident_kib());
    let begun = Instant::now();
    let mut asked = 0;
    for number in (0..messages).step_by(messages / 1000) {
        let key = format!("AC1100011A2B18B4AAC2A1B2{number:08X}");
        let query = KeyQuery { topic: "bench", key: &key, begin_ms: 0, end_ms: i64::MAX, limit: 32 };
        assert!(store.query(&query).unwrap().count >= 1);
        asked += 1;
    }
    println!("  query by id {:.1} us", begun.elapsed().as_micros() as f64 / f64::from(asked));
    store.step(Step::Flush);
    let begun = Instant::now();
    store.step(Step::Checkpoint);
    println!("  checkpoint {:?}", begun.elapsed());
    drop(store);
    let (store, opened) = open(dir, index);
    println!("  opened after a crash in {opened:?}; index {:?}", store.index_state());
    let begun = Instant::now();
    store.shutdown().unwrap();
    println!("  clean end in {:?}, slots in memory {} KiB", begun.elapsed(), store.index_memory_bytes() >> 10);
    drop(store);
    println!("  opened after a clean end in {:?}", open(dir, index).1);
}

fn on_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Anonymous memory of this process.
fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
