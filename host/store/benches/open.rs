//! How long a store takes to open after a dirty stop, with many queues or with a long log, and what it costs.
//!
//! ```text
//! cargo bench -p gantry-store --bench open
//! GANTRY_QUEUES=200000     queues, 100 a topic, each with one message before the last checkpoint
//! GANTRY_TAIL=1000         messages behind the checkpoint, to as many queues in turn
//! GANTRY_LOG_MIB=0         this much of log before the checkpoint, in messages of 1 MiB
//! GANTRY_ROUNDS=3          openings that are timed, each after a dirty stop
//! GANTRY_BENCH_DIR=/tmp    where the store is made
//! ```
//!
//! Before each opening the page cache is dropped (`/proc/sys/vm/drop_caches`) if the system allows it; else it says so.
//! The descriptor limit is the process's own: `ulimit -n 20000` before it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{path::Path, sync::Arc, time::Instant};

use gantry_base::disk::RealDisk;
use gantry_store::*;

const QUEUES_PER_TOPIC: u64 = 100;
const LARGE: usize = 1 << 20;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // Under `cargo test` a short run keeps it from rotting.
    let bench = std::env::args().any(|arg| arg == "--bench");
    let (queues, rounds) =
        if bench { (setting("GANTRY_QUEUES", 200_000), setting("GANTRY_ROUNDS", 3)) } else { (300, 1) };
    let (tail, log_mib) = (setting("GANTRY_TAIL", 1_000), setting("GANTRY_LOG_MIB", 0));
    let dir = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(dir).unwrap();
    let path = folder.path();

    let (store, _, _) = open(path);
    let base = anonymous_kib();
    let begun = Instant::now();
    let body = vec![b'x'; LARGE];
    for _ in 0..log_mib {
        append(&store, 0, &body);
    }
    for queue in 0..queues {
        append(&store, queue, &[b'x'; 128]);
    }
    dispatch(&store);
    println!(
        "{queues} queues, {log_mib} MiB of large messages: appended and dispatched in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    assert!(store.step(Step::Checkpoint));
    println!("checkpoint {:.1} s; log ends at {}", begun.elapsed().as_secs_f64(), store.appended().get());
    println!("RssAnon {} KiB with the queues, {} KiB before", anonymous_kib(), base);
    append_tail(&store, queues, tail);
    drop(store);
    println!("consume queues take {} KiB on disk", disk_kib(&path.join("consumequeue")));

    let mut times = Vec::new();
    for _ in 0..rounds {
        let cold = drop_caches();
        let before = (anonymous_kib(), read_bytes());
        let (store, report, seconds) = open(path);
        println!(
            "open {seconds:.2} s ({}): {} queues, clean {}, {} records from {} to {}, heads {}, {} descriptors, RssAnon \
             {} KiB more, {} KiB read from the disk",
            if cold { "cold" } else { "warm: the cache could not be dropped" },
            report.queues,
            report.clean,
            report.records,
            report.from,
            report.end,
            report.heads_unused.as_deref().unwrap_or("used"),
            std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            anonymous_kib() as i64 - before.0 as i64,
            (read_bytes() - before.1) / 1024,
        );
        times.push(seconds);
        append_tail(&store, queues, tail);
    }
    times.sort_by(f64::total_cmp);
    println!("median of {rounds}: {:.2} s", times[times.len() / 2]);
}

fn open(path: &Path) -> (Store, RecoveryReport, f64) {
    let options = Options {
        flush: Flush::Async { interval_ms: 500 },
        background: Background::Stepped,
        index_enabled: false,
        // A nearly full disk is no reason not to measure.
        retention: RetentionOptions { disk_refuse_percent: 101, ..RetentionOptions::default() },
        ..Options::default()
    };
    let begun = Instant::now();
    let (store, report) = Store::open(Arc::new(RealDisk), path, options, &mut |_| {}).unwrap();
    (store, report, begun.elapsed().as_secs_f64())
}

fn append(store: &Store, queue: u64, body: &[u8]) {
    let topic = format!("topic-{}", queue / QUEUES_PER_TOPIC);
    let queue = store.queue_or_create(&topic, (queue % QUEUES_PER_TOPIC) as u32).unwrap();
    let draft = Draft {
        queue: &queue,
        flag: 0,
        sys_flag: 0,
        born_ms: 1,
        born_host: ([10, 0, 0, 1], 4000).into(),
        store_host: ([10, 0, 0, 2], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[b"TAGS\x01t\x02"],
    };
    store.append(&[draft], &mut Vec::new()).unwrap();
}

fn dispatch(store: &Store) {
    while store.step(Step::Dispatch) {}
}

/// What a dirty stop leaves behind the checkpoint: appended, dispatched, neither synced.
fn append_tail(store: &Store, queues: u64, tail: u64) {
    for number in 0..tail {
        append(store, number * 7919 % queues, &[b'y'; 128]);
    }
    dispatch(store);
}

fn drop_caches() -> bool {
    let synced = std::process::Command::new("sync").status().is_ok();
    synced && std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn anonymous_kib() -> u64 {
    number_in("/proc/self/status", "RssAnon:")
}

fn read_bytes() -> u64 {
    number_in("/proc/self/io", "read_bytes:")
}

fn number_in(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn disk_kib(path: &Path) -> u64 {
    let shown = std::process::Command::new("du").args(["-sk"]).arg(path).output();
    let text = shown.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
