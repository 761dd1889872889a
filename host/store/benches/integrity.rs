//! What it costs to check every record that is read, and how fast a log is checked. `cargo bench -p gantry-store --bench integrity`.
//!
//! Records lie in the page cache, 32 a read as a pull takes them, 4 queues interleaved. The check alone is measured on bytes
//! in memory; the share is of the time that reading through [`Store::read_records`] takes, the check included.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{hint::black_box, path::Path, sync::Arc, time::Instant};

use gantry_base::disk::RealDisk;
use gantry_model::offset::QueueOffset;
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::*;

const QUEUES: usize = 4;
const PULL: usize = 32;
const PROPERTIES: &[u8] = b"UNIQ_KEY\x01AC1100011A2B18B4AAC2A1B2C3D40000\x02TAGS\x01TagA\x02WAIT\x01true\x02";

fn main() {
    // Under `cargo test` a short run keeps it from rotting.
    let total_bytes = if std::env::args().any(|arg| arg == "--bench") { 256 << 20 } else { 1 << 20 };
    let dir = std::env::var_os("GANTRY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    println!("{:>6} {:>10} {:>12} {:>12} {:>8} {:>10}", "body", "record", "read ns", "check ns", "share", "check GB/s");
    for body in [128, 1024, 4096] {
        let folder = tempfile::tempdir_in(&dir).unwrap();
        reads(folder.path(), body, total_bytes);
    }
}

fn reads(dir: &Path, body_len: usize, total_bytes: usize) {
    // A benchmark is not for a disk that is nearly full to refuse.
    let retention = RetentionOptions { disk_refuse_percent: 101, ..RetentionOptions::default() };
    let (flush, background) = (Flush::Async { interval_ms: 500 }, Background::Stepped);
    let options = Options { flush, background, retention, index_enabled: false, ..Options::default() };
    let (store, _) = Store::open(Arc::new(RealDisk), dir, options, &mut |_| {}).unwrap();
    let queues: Vec<_> = (0..QUEUES as u32).map(|id| store.queue_or_create("bench", id).unwrap()).collect();
    let body = vec![b'x'; body_len];
    let messages = total_bytes / (body_len + 200);
    let mut placed = Vec::new();
    for first in (0..messages).step_by(64) {
        let drafts: [Draft<'_>; 64] = std::array::from_fn(|n| Draft {
            queue: &queues[(first + n) % QUEUES],
            flag: 0,
            sys_flag: 0,
            born_ms: 1,
            born_host: ([127, 0, 0, 1], 1).into(),
            store_host: ([127, 0, 0, 1], 2).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: &[PROPERTIES],
        });
        placed.clear();
        store.append(&drafts, &mut placed).unwrap();
    }
    while store.step(Step::Dispatch) {}
    let (mut entries, mut picked, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut read_all = || {
        let (mut records, mut read_ns, mut check_ns, mut len) = (0u64, 0, 0, 0);
        for queue in &queues {
            let mut offset = QueueOffset(0);
            while offset.0 < queue.end().get() {
                let begun = Instant::now();
                entries.clear();
                picked.clear();
                bytes.clear();
                store.entries(queue, offset, PULL, Wait::Never, &mut entries).unwrap();
                picked.extend((offset.0..).map(QueueOffset).zip(entries.iter().copied()));
                let read = store.read_records(queue, &mut picked, Wait::Never, &mut bytes).unwrap();
                assert_eq!(read, Read::Done);
                read_ns += begun.elapsed().as_nanos();
                let begun = Instant::now();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let record = RecordView::parse(rest).unwrap();
                    record.check_crc(PropertyChecksum::Required).unwrap();
                    rest = &rest[record.size()..];
                    records += 1;
                }
                check_ns += begun.elapsed().as_nanos();
                len += bytes.len();
                black_box(&bytes);
                offset = offset.plus(entries.len() as u64);
            }
        }
        (records as f64, read_ns as f64, check_ns as f64, len as f64)
    };
    read_all();
    let rounds: Vec<_> = (0..3).map(|_| read_all()).collect();
    let best = |of: fn(&(f64, f64, f64, f64)) -> f64| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
    let (records, len) = (rounds[0].0, rounds[0].3);
    let (read_ns, check_ns) = (best(|round| round.1), best(|round| round.2));
    println!(
        "{body_len:>6} {:>10.0} {:>12.1} {:>12.1} {:>7.1}% {:>10.2}",
        len / records,
        read_ns / records,
        check_ns / records,
        100.0 * check_ns / read_ns,
        len / check_ns
    );
    // Unthrottled: a step is a piece of a pass.
    let begun = Instant::now();
    while store.step(Step::Scrub) {}
    let scrubbed = store.scrub_status();
    let scrub_s = begun.elapsed().as_secs_f64();
    assert!(store.damages().is_empty() && scrubbed.end == store.appended().get());
    store.shutdown().unwrap();
    let begun = Instant::now();
    let report = inspect::check(Arc::new(RealDisk), dir, false, &mut |_| {}).unwrap();
    let check_s = begun.elapsed().as_secs_f64();
    assert_eq!(report.problems, []);
    let log_gb = report.end as f64 / 1e9;
    println!(
        "       pass of the scrub {:.2} GB/s of log, `store check` {:.2} GB/s of log ({log_gb:.2} GB, {} records)",
        log_gb / scrub_s,
        log_gb / check_s,
        report.records
    );
}
