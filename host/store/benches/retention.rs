//! What a pass of retention costs over many queues. `cargo bench -p gantry-store --bench retention [-- QUEUES]`.
//!
//! A fifth of the queues is busy from beginning to end, the others got one message at the beginning and one at the end. Ten
//! segments go in one pass; then in a pass after a restart, when nothing is known about any queue; the last line is a
//! pass that has nothing to do. On the real disk (`GANTRY_BENCH_DIR`, default the temporary folder), with warm caches.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{path::Path, sync::Arc, time::Instant};

use gantry_base::disk::RealDisk;
use gantry_store::*;

const SEGMENTS: u64 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    // Under `cargo test` a short run keeps it from rotting.
    let full = arguments.iter().any(|argument| argument == "--bench");
    let queues = asked.unwrap_or(if full { 200_000 } else { 200 });
    let dir = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(dir).unwrap();
    run(folder.path(), queues);
}

fn options(segment_size_bytes: u64, size_bytes: u64) -> Options {
    Options {
        flush: Flush::Async { interval_ms: 500 },
        segment_size_bytes,
        queue_file_entries: 1_000,
        allocate_ahead_bytes: 1 << 20,
        background: Background::Stepped,
        // A nearly full disk is no reason not to measure.
        retention: RetentionOptions {
            size_bytes,
            age_ms: 0,
            disk_force_percent: 101,
            disk_refuse_percent: 101,
            ..RetentionOptions::default()
        },
        ..Options::default()
    }
}

fn run(dir: &Path, queues: u32) {
    let size = 150 + 91;
    // Two rounds over all and eight over the busy ones.
    let bytes = u64::from(queues) * 2 * size + u64::from(queues / 5) * 8 * size;
    let segment = (bytes / (2 * SEGMENTS + 3)).next_multiple_of(4096).max(16 << 10);
    let store = open(dir, &options(segment, 0));
    let begun = Instant::now();
    fill(&store, queues, 1);
    for _ in 0..8 {
        fill(&store, queues, 5);
    }
    fill(&store, queues, 1);
    settle(&store);
    println!(
        "{queues} queues, {} bytes of log in segments of {segment}: made in {:.1?}",
        store.appended().get(),
        begun.elapsed()
    );
    let end = store.appended().get();
    store.shutdown().unwrap();

    let passes = ["the first pass of a life, 10 segments", "the first pass of another life, 10 segments"];
    for (round, what) in (1..).zip(passes) {
        let keep = end.saturating_sub(round * SEGMENTS * segment).max(segment);
        let store = open(dir, &options(segment, keep));
        let before = store.min_physical_offset().0;
        pass(&store, what);
        println!("    deleted {} segments", (store.min_physical_offset().0 - before) / segment);
        pass(&store, "a pass with nothing to do");
        store.shutdown().unwrap();
    }
}

fn pass(store: &Store, what: &str) {
    let begun = Instant::now();
    store.step(Step::Retain);
    println!("{what:<48} {:>10.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

fn open(dir: &Path, options: &Options) -> Store {
    Store::open(Arc::new(RealDisk), dir, options.clone(), &mut |_| {}).unwrap().0
}

/// A message into every `step`th queue.
fn fill(store: &Store, queues: u32, step: u32) {
    let ids: Vec<u32> = (0..queues).step_by(step as usize).collect();
    for chunk in ids.chunks(256) {
        let queues: Vec<_> =
            chunk.iter().map(|id| store.queue_or_create(&format!("topic-{}", id / 100), id % 100).unwrap()).collect();
        let drafts: Vec<_> = queues
            .iter()
            .map(|queue| Draft {
                queue,
                flag: 0,
                sys_flag: 0,
                born_ms: 1,
                born_host: ([10, 0, 0, 1], 4000).into(),
                store_host: ([10, 0, 0, 2], 10911).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &[b'x'; 110],
                properties: &[],
            })
            .collect();
        store.append(&drafts, &mut Vec::new()).unwrap();
    }
    settle(store);
}

fn settle(store: &Store) {
    store.step(Step::Flush);
    while store.step(Step::Dispatch) {}
    store.step(Step::Checkpoint);
}
