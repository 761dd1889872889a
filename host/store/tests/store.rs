//! What a broker sees of the store: append, flush, dispatch, read, delete, restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, sync::Arc, time::Duration};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk, RealDisk,
        sim::{Fault, Operation, Reboot, SimDisk},
    },
};
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    sys_flag,
};
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::*;

const DIR: &str = "/store";
const LONG: Duration = Duration::from_secs(30);

fn options() -> Options {
    Options {
        segment_size_bytes: 8192,
        queue_file_entries: 16,
        allocate_ahead_bytes: 4096,
        background: Background::Stepped,
        clock: Clock::manual(1_700_000_000_000),
        // The disk that the tests run on may be nearly full.
        retention: RetentionOptions { disk_refuse_percent: 101, ..RetentionOptions::default() },
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> (Store, RecoveryReport) {
    Store::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| {}).unwrap()
}

fn draft<'a>(queue: &'a Arc<Queue>, body: &'a [u8], properties: &'a [&'a [u8]]) -> Draft<'a> {
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

fn append(store: &Store, queue: &Arc<Queue>, bodies: &[&[u8]]) -> Result<Vec<Placed>, AppendError> {
    let properties: [&[u8]; 2] = [b"TAGS\x01t\x02", b"CLUSTER\x01c\x02"];
    let drafts: Vec<_> = bodies.iter().map(|body| draft(queue, body, &properties)).collect();
    let mut placed = Vec::new();
    store.append(&drafts, &mut placed)?;
    assert_eq!(placed.len(), bodies.len());
    Ok(placed)
}

/// Flushes and dispatches all.
fn settle(store: &Store) {
    store.step(Step::Flush);
    while store.step(Step::Dispatch) {}
    assert_eq!(store.dispatched().get(), store.appended().get());
}

/// Bodies of a queue, read as a pull reads them.
fn bodies(store: &Store, queue: &Queue) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    let min = queue.min_offset();
    while entries.len() as u64 + min.0 < queue.end().get() {
        let from = min.plus(entries.len() as u64);
        assert_eq!(queue.entries(from, 1000, Wait::Allowed, &mut entries).unwrap(), Read::Done);
    }
    let body = |entry: &QueueEntry| {
        let mut bytes = Vec::new();
        let read = store.read(entry.physical_offset, entry.size as usize, Wait::Allowed, &mut bytes);
        assert_eq!(read.unwrap(), Read::Done);
        let record = RecordView::parse(&bytes).unwrap();
        record.check_crc(PropertyChecksum::Required).unwrap();
        assert_eq!((record.topic(), record.queue_id()), (queue.topic(), queue.id()));
        record.body().to_vec()
    };
    entries.iter().map(body).collect()
}

fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("message {n} {}", "x".repeat(n % 300)).into_bytes()).collect()
}

fn append_numbered(store: &Store, queue: &Arc<Queue>, count: usize) -> Vec<Vec<u8>> {
    let numbered = numbered(count);
    for body in &numbered {
        append(store, queue, &[body]).unwrap();
    }
    numbered
}

#[test]
fn a_message_is_appended_flushed_dispatched_and_read() {
    let (store, _) = open(&SimDisk::new(1), Options { background: Background::Threads, ..options() });
    let queue = store.queue_or_create("orders", 3).unwrap();
    assert_eq!((queue.end().get(), queue.min_offset(), queue.next_offset()), (0, QueueOffset(0), QueueOffset(0)));
    let placed = append(&store, &queue, &[b"one", b"two"]).unwrap();
    assert_eq!(placed[0].physical_offset, PhysicalOffset(0));
    assert_eq!(placed[1].physical_offset, PhysicalOffset(placed[0].size.into()));
    assert_eq!([placed[0].queue_offset, placed[1].queue_offset], [QueueOffset(0), QueueOffset(1)]);
    assert_eq!(placed[0].end, placed[1].physical_offset.0 + u64::from(placed[1].size));
    store.flushed().wait_blocking(placed[1].end, LONG).unwrap();
    queue.end().wait_blocking(2, LONG).unwrap();

    let mut entries = Vec::new();
    assert_eq!(queue.entries(QueueOffset(0), 10, Wait::Allowed, &mut entries).unwrap(), Read::Done);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].physical_offset, placed[1].physical_offset);
    assert_eq!(entries[1].tag_code, i64::from(b't'));
    let mut both = Vec::new();
    let read = store.read(PhysicalOffset(0), placed[1].end as usize, Wait::Allowed, &mut both);
    assert_eq!(read.unwrap(), Read::Done, "neighbours in one read");
    let second = RecordView::parse(&both[placed[0].size as usize..]).unwrap();
    assert_eq!((second.flag(), second.body(), second.store_ms()), (7, &b"two"[..], 1_700_000_000_000));
    assert_eq!(store.record(placed[1].physical_offset, Wait::Allowed).unwrap().as_deref(), Some(second.bytes()));
    assert_eq!(store.record(PhysicalOffset(1), Wait::Allowed).unwrap(), None);
    assert_eq!(store.record(PhysicalOffset(u64::MAX), Wait::Allowed).unwrap(), None);
    store.shutdown().unwrap();
    assert!(store.appended().is_closed() && queue.end().is_closed());
    assert!(matches!(append(&store, &queue, &[b"late"]), Err(AppendError::Closed)));
}

#[test]
fn a_store_on_the_real_disk_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut expected = Vec::new();
    for life in 0..3u8 {
        let options = Options { background: Background::Threads, ..options() };
        let (store, report) = Store::open(real.clone(), folder.path(), options.clone(), &mut |_| {}).unwrap();
        assert!(report.clean && report.cut.is_empty() && report.records == 0, "{report:?}");
        let second = Store::open(real.clone(), folder.path(), options, &mut |_| {});
        assert!(matches!(second, Err(OpenError::InUse { .. })));
        let queue = store.queue_or_create("t", 0).unwrap();
        let begin = expected.len() as u64;
        assert_eq!((queue.end().get(), queue.next_offset().0), (begin, begin));
        for body in numbered(100) {
            let body = [&[life][..], &body].concat();
            append(&store, &queue, &[&body]).unwrap();
            expected.push(body);
        }
        queue.end().wait_blocking(begin + 100, LONG).unwrap();
        assert_eq!(bodies(&store, &queue), expected);
        store.shutdown().unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["checkpoint", "checkpoint.gantry", "commitlog", "consumequeue", "lock"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing in {names:?}");
    }
    assert!(!names.contains(&"abort".to_owned()));
    let first = folder.path().join("consumequeue/t/0/00000000000000000320");
    assert_eq!(std::fs::metadata(first).unwrap().len(), 320, "the second file of 16 entries");
}

#[test]
fn records_never_span_segments_and_a_blank_ends_each() {
    let (store, _) = open(&SimDisk::new(1), options());
    let queue = store.queue_or_create("t", 0).unwrap();
    let body: &[u8] = &[1; 1000];
    // One append over three segments.
    let placed = append(&store, &queue, &[body; 20]).unwrap();
    for place in &placed {
        let (first, last) = (place.physical_offset.0, place.physical_offset.0 + u64::from(place.size) - 1);
        assert_eq!(first / 8192, last / 8192);
    }
    let rolled = placed.windows(2).find(|pair| pair[1].physical_offset.0 / 8192 > pair[0].physical_offset.0 / 8192);
    let [before, after] = rolled.unwrap() else { unreachable!() };
    assert_eq!(after.physical_offset.0 % 8192, 0);
    let end = before.physical_offset.0 + u64::from(before.size);
    let mut blank = Vec::new();
    store.read(PhysicalOffset(end), 8, Wait::Allowed, &mut blank).unwrap();
    assert_eq!(blank, gantry_protocol::record::blank((8192 - end) as u32));
    let across = store.read(PhysicalOffset(end), 8192, Wait::Allowed, &mut blank);
    assert!(matches!(across, Err(ReadError::Outside { .. })) && blank.len() == 8);
    settle(&store);
    assert_eq!(bodies(&store, &queue), vec![body.to_vec(); 20]);
}

#[test]
fn records_of_one_queue_are_read_together() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queues: Vec<_> = (0..3).map(|id| store.queue_or_create("t", id).unwrap()).collect();
    for body in numbered(90) {
        queues.iter().for_each(|queue| drop(append(&store, queue, &[&body]).unwrap()));
    }
    settle(&store);
    let mut entries = Vec::new();
    queues[1].entries(QueueOffset(0), 90, Wait::Allowed, &mut entries).unwrap();
    let mut picked: Vec<_> = (0..).map(QueueOffset).zip(entries).collect();
    let mut together = b"before".to_vec();
    assert_eq!(store.read_records(&queues[1], &mut picked, Wait::Allowed, &mut together).unwrap(), Read::Done);
    let records = gantry_protocol::record::records(&together[6..]);
    let found: Vec<_> =
        records.map(|record| record.unwrap()).map(|record| (record.queue_id(), record.body())).collect();
    let expected = numbered(90);
    assert_eq!(found, expected.iter().map(|body| (1, &body[..])).collect::<Vec<_>>());
    let (len, right) = (together.len(), picked[40].1);
    picked[40].1.physical_offset = PhysicalOffset(u64::MAX / 2);
    assert_eq!(store.read_records(&queues[1], &mut picked, Wait::Never, &mut together).unwrap(), Read::WouldBlock);
    assert_eq!(together.len(), len, "a wrong entry is looked into where waiting is allowed");
    assert_eq!(store.read_records(&queues[1], &mut picked, Wait::Allowed, &mut together).unwrap(), Read::Done);
    assert_eq!((picked[40].1, together.len() - len), (right, len - 6), "the log knows better");
    disk.set_cold_reads(900);
    let len = together.len();
    assert_eq!(store.read_records(&queues[1], &mut picked, Wait::Never, &mut together).unwrap(), Read::WouldBlock);
    assert_eq!(together.len(), len, "a refused read adds nothing");
}

#[test]
fn synchronous_flush_delivers_nothing_that_is_not_on_disk() {
    for (flush, seen_before_flush) in [(Flush::Sync, 0), (Flush::Async { interval_ms: 500 }, 1)] {
        let (store, _) = open(&SimDisk::new(1), Options { flush, ..options() });
        let queue = store.queue_or_create("t", 0).unwrap();
        append(&store, &queue, &[b"x"]).unwrap();
        while store.step(Step::Dispatch) {}
        assert_eq!(queue.end().get(), seen_before_flush);
        settle(&store);
        assert_eq!(queue.end().get(), 1);
    }
}

#[test]
fn what_does_not_fit_is_refused_whole() {
    let (store, _) = open(&SimDisk::new(1), options());
    let queue = store.queue_or_create("t", 0).unwrap();
    let refused = append(&store, &queue, &[b"small", &[0; 9000]]);
    assert!(matches!(refused, Err(AppendError::TooLarge { limit: 8184, .. })), "{refused:?}");
    let long = vec![b'x'; 32_768];
    let mut placed = Vec::new();
    let refused = store.append(&[draft(&queue, b"x", &[&long])], &mut placed);
    assert!(matches!(refused, Err(AppendError::Unencodable(_))) && placed.is_empty());
    assert_eq!((store.appended().get(), queue.next_offset().0), (0, 0));
    for bad in ["a/b", "..", "", "a.b"] {
        assert!(matches!(store.queue_or_create(bad, 0), Err(QueueError::Name(_))), "{bad}");
    }
    assert!(matches!(store.queue_or_create("t", u32::MAX), Err(QueueError::QueueId { .. })));
}

#[test]
fn prepared_and_rolled_back_records_are_in_the_log_only() {
    let (store, _) = open(&SimDisk::new(1), options());
    let queue = store.queue_or_create("t", 0).unwrap();
    let mut placed = Vec::new();
    let flags = [0, sys_flag::TRANSACTION_PREPARED, sys_flag::TRANSACTION_ROLLBACK, sys_flag::TRANSACTION_COMMIT];
    let drafts: Vec<_> = flags.iter().map(|flags| Draft { sys_flag: *flags, ..draft(&queue, b"x", &[]) }).collect();
    store.append(&drafts, &mut placed).unwrap();
    assert_eq!(placed.iter().map(|place| place.queue_offset.0).collect::<Vec<_>>(), [0, 0, 0, 1]);
    settle(&store);
    assert_eq!(queue.end().get(), 2);
}

#[test]
fn delayed_messages_carry_their_time_of_delivery() {
    let (store, _) = open(&SimDisk::new(1), options());
    let queue = store.queue_or_create(gantry_model::name::SCHEDULE_TOPIC, 2).unwrap();
    let properties: [&[u8]; 1] = [b"TAGS\x01a\x02DELAY\x013\x02"];
    store.append(&[draft(&queue, b"x", &properties)], &mut Vec::new()).unwrap();
    settle(&store);
    let mut entries = Vec::new();
    queue.entries(QueueOffset(0), 1, Wait::Allowed, &mut entries).unwrap();
    assert_eq!(entries[0].tag_code, 1_700_000_000_000 + 10_000);
}

#[test]
fn offsets_are_found_by_store_time() {
    let clock = Clock::manual(0);
    let (store, _) = open(&SimDisk::new(1), Options { clock: clock.clone(), ..options() });
    let queue = store.queue_or_create("t", 0).unwrap();
    let find = |time_ms, boundary| store.offset_by_time(&queue, time_ms, boundary).unwrap().0;
    assert_eq!((find(5, Boundary::Lower), find(5, Boundary::Upper)), (0, 0), "an empty queue");
    for time_ms in [10, 20, 20, 20, 30] {
        clock.set(time_ms);
        append(&store, &queue, &[b"x"]).unwrap();
    }
    settle(&store);
    for (time_ms, lower, upper) in [
        (0, 0, 0),
        (10, 0, 0),
        (11, 1, 0),
        (20, 1, 3),
        (25, 4, 3),
        (30, 4, 4),
        (31, 5, 4),
        (-1, 0, 0),
        (i64::MAX, 5, 4),
    ] {
        assert_eq!((find(time_ms, Boundary::Lower), find(time_ms, Boundary::Upper)), (lower, upper), "{time_ms}");
    }
    assert_eq!(store.store_time_of(&queue, QueueOffset(4)).unwrap(), Some(30));
    assert_eq!(store.store_time_of(&queue, QueueOffset(5)).unwrap(), None);
    clock.set(1);
    let after_a_clock_step = append(&store, &queue, &[b"x"]).unwrap();
    assert_eq!(after_a_clock_step[0].store_ms, 30, "store times never fall");
}

#[test]
fn a_deleted_topic_stays_deleted_and_its_name_begins_anew() {
    for reboot in [None, Some(Reboot::Kill), Some(Reboot::PowerLoss)] {
        let disk = SimDisk::new(5);
        let (mut store, _) = open(&disk, options());
        let queue = store.queue_or_create("t", 0).unwrap();
        let other = store.queue_or_create("other", 0).unwrap();
        append_numbered(&store, &queue, 30);
        settle(&store);
        append_numbered(&store, &queue, 5);
        let kept = append_numbered(&store, &other, 5);
        store.delete_topic("t").unwrap();
        assert!(matches!(append(&store, &queue, &[b"x"]), Err(AppendError::QueueGone { .. })));
        assert!(queue.end().is_closed() && store.queue("t", 0).is_none());
        let anew = store.queue_or_create("t", 0).unwrap();
        append(&store, &anew, &[b"new"]).unwrap();
        settle(&store);
        let reopen = |store: &mut Store| {
            match reboot {
                None => store.shutdown().unwrap(),
                Some(reboot) => disk.reboot(reboot),
            }
            *store = open(&disk, options()).0;
        };
        for _ in 0..2 {
            let queue = store.queue_or_create("t", 0).unwrap();
            assert_eq!(bodies(&store, &queue), [b"new"], "{reboot:?}");
            assert_eq!(bodies(&store, &store.queue("other", 0).unwrap()), kept);
            assert_eq!(store.topics().iter().map(|topic| &**topic).collect::<Vec<_>>(), ["other", "t"]);
            reopen(&mut store);
        }
        store.delete_topic("t").unwrap();
        store.delete_topic("t").unwrap();
        store.delete_topic("never there").unwrap();
        reopen(&mut store);
        assert!(store.queue("t", 0).is_none());
    }
}

#[test]
fn lost_consume_queues_are_rebuilt_from_the_log() {
    for lost in ["/store/consumequeue", "/store/consumequeue/t"] {
        let disk = SimDisk::new(1);
        let (store, _) = open(&disk, options());
        let (queue, other) = (store.queue_or_create("t", 0).unwrap(), store.queue_or_create("u", 1).unwrap());
        let mut expected = append_numbered(&store, &queue, 40);
        append_numbered(&store, &other, 40);
        store.shutdown().unwrap();
        disk.remove_dir_all(Path::new(lost)).unwrap();
        let (store, report) = open(&disk, options());
        let queue = store.queue_or_create("t", 0).unwrap();
        if lost.ends_with('t') {
            // One topic alone is missed when its next message comes to recovery.
            assert_eq!(queue.end().get(), 0);
            drop(store);
            continue;
        }
        assert!(report.queues_rebuilt);
        assert_eq!(bodies(&store, &queue), expected);
        expected.push(b"next".to_vec());
        append(&store, &queue, &[b"next"]).unwrap();
        settle(&store);
        assert_eq!(bodies(&store, &queue), expected);
        assert_eq!(bodies(&store, &store.queue("u", 1).unwrap()).len(), 40);
    }
}

#[test]
fn a_full_disk_refuses_appends_and_lets_them_in_again() {
    for capacity in (2..40).map(|blocks| blocks * 4096) {
        let disk = SimDisk::new(capacity);
        let (store, _) = open(&disk, options());
        let queue = store.queue_or_create("t", 0).unwrap();
        disk.set_capacity(Some(capacity));
        let mut accepted = Vec::new();
        let mut refused = 0;
        for body in numbered(300) {
            match append(&store, &queue, &[&body, &body]) {
                Ok(_) => accepted.extend([body.clone(), body]),
                Err(AppendError::Full(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            store.step(Step::Prepare);
        }
        assert!(refused > 0 && store.metrics().refused_full.get() == refused);
        assert_eq!(store.health(), Health::Healthy);
        store.step(Step::Flush);
        while store.step(Step::Dispatch) {}
        disk.set_capacity(None);
        accepted.push(b"space".to_vec());
        append(&store, &queue, &[b"space"]).unwrap();
        settle(&store);
        assert_eq!(bodies(&store, &queue), accepted);
        drop(store);
        disk.reboot(Reboot::PowerLoss);
        let (store, _) = open(&disk, options());
        assert_eq!(bodies(&store, &store.queue("t", 0).unwrap()), accepted);
    }
}

#[test]
fn a_failed_sync_stops_the_log_for_good() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, Options { background: Background::Threads, ..options() });
    let queue = store.queue_or_create("t", 0).unwrap();
    let placed = append(&store, &queue, &[b"safe"]).unwrap();
    queue.end().wait_blocking(1, LONG).unwrap();
    disk.fail(Fault { path_contains: "commitlog".into(), ..Fault::once(Operation::Sync) });
    append(&store, &queue, &[b"doubtful"]).unwrap();
    let told = store.flushed().wait_blocking(placed[0].end + 1, LONG);
    assert!(told.is_err(), "who waits is told");
    let Health::Failed(reason) = store.health() else { panic!("healthy") };
    assert!(reason.contains("cannot sync /store/commitlog/00000000000000000000"), "{reason}");
    assert!(matches!(append(&store, &queue, &[b"no"]), Err(AppendError::Failed(_))));
    assert_eq!(store.flushed().get(), placed[0].end);
    assert_eq!(bodies(&store, &queue), [b"safe"], "reads go on");
    store.shutdown().unwrap();
    let (_, report) = open(&disk, options());
    assert!(!report.clean, "the next start recovers");
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    append(&store, &queue, &[b"one"]).unwrap();
    settle(&store);
    // Not flushed, so not acknowledged.
    let placed = append(&store, &queue, &[b"two", b"three"]).unwrap();
    drop(store);
    disk.reboot(Reboot::Kill);
    let log = disk.open(Path::new("/store/commitlog/00000000000000000000"), false).unwrap();
    let torn = placed[0].physical_offset.0;
    log.write_at(b"!", torn + 89).unwrap();
    let (store, report) = open(&disk, options());
    let [cut] = &report.cut[..] else { panic!("{report:?}") };
    assert_eq!((cut.position, cut.bytes), (torn, placed[0].end - torn));
    assert!(cut.reason.contains("checksum"), "{}", cut.reason);
    let queue = store.queue("t", 0).unwrap();
    assert_eq!(bodies(&store, &queue), [b"one"]);
    // A record as long as the cut one must not make the one behind it rise again.
    append(&store, &queue, &[b"TWO"]).unwrap();
    settle(&store);
    drop(store);
    disk.reboot(Reboot::PowerLoss);
    let (store, _) = open(&disk, options());
    assert_eq!(bodies(&store, &store.queue("t", 0).unwrap()), [b"one", b"TWO"]);
}

#[test]
fn files_of_another_size_and_missing_files_stop_the_start() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    append_numbered(&store, &queue, 100);
    store.shutdown().unwrap();
    let refused = |options: Options| {
        let error = Store::open(Arc::new(disk.clone()), Path::new(DIR), options, &mut |_| {}).unwrap_err();
        assert!(matches!(error, OpenError::Layout { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(Options { segment_size_bytes: 4096, ..options() }).contains("segment_size_bytes"));
    assert!(
        refused(Options { segment_size_bytes: 16_384, ..options() })
            .contains("has 8192 bytes, expected files of 16384")
    );
    disk.remove_file(Path::new("/store/commitlog/00000000000000008192")).unwrap();
    assert!(refused(options()).contains("00000000000000016384: begins at 16384"));
    let bad = Options { segment_size_bytes: 1, ..options() };
    assert!(matches!(Store::open(Arc::new(disk), Path::new(DIR), bad, &mut |_| {}), Err(OpenError::Options(_))));
}

#[test]
fn reads_that_must_not_wait_say_so() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    let placed = append(&store, &queue, &[b"x"]).unwrap();
    settle(&store);
    disk.set_cold_reads(1000);
    let mut entries = Vec::new();
    assert_eq!(queue.entries(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::WouldBlock);
    let mut bytes = Vec::new();
    let read = store.read(PhysicalOffset(0), placed[0].size as usize, Wait::Never, &mut bytes).unwrap();
    assert!(read == Read::WouldBlock && bytes.is_empty() && entries.is_empty());
    disk.set_cold_reads(0);
    assert_eq!(queue.entries(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::Done);
    assert_eq!(queue.entries(QueueOffset(1), 9, Wait::Never, &mut entries).unwrap(), Read::Done);
    assert_eq!(entries.len(), 1);
}

#[test]
fn appenders_of_all_threads_share_the_log() {
    const THREADS: usize = 4;
    const EACH: usize = 200;
    let (store, _) = open(&SimDisk::new(1), Options { background: Background::Threads, ..options() });
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let own = store.queue_or_create("own", thread as u32).unwrap();
                let shared = store.queue_or_create("shared", 0).unwrap();
                for body in numbered(EACH) {
                    append(store, &own, &[&body]).unwrap();
                    let end = append(store, &shared, &[&body]).unwrap()[0].end;
                    store.flushed().wait_blocking(end, LONG).unwrap();
                }
            });
        }
    });
    store.dispatched().wait_blocking(store.appended().get(), LONG).unwrap();
    for thread in 0..THREADS {
        assert_eq!(bodies(&store, &store.queue("own", thread as u32).unwrap()), numbered(EACH));
    }
    assert_eq!(bodies(&store, &store.queue("shared", 0).unwrap()).len(), THREADS * EACH);
    assert!(store.metrics().flushes.get() <= (THREADS * EACH) as u64 * 2);
    store.shutdown().unwrap();
}

#[test]
fn a_checkpoint_waits_for_a_piece_that_is_dispatched_in_part() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let options = Options { flush: Flush::Async { interval_ms: 500 }, ..options() };
        let (store, _) = open(&disk, options.clone());
        let (no_space, first) = (store.queue_or_create("u", 0).unwrap(), store.queue_or_create("t", 0).unwrap());
        append(&store, &no_space, &[b"one"]).unwrap();
        append(&store, &first, &[b"two"]).unwrap();
        let full = Fault { path_contains: "consumequeue/u".into(), errno: 28, ..Fault::once(Operation::Create) };
        disk.fail(full);
        assert!(!store.step(Step::Dispatch));
        assert_eq!((first.end().get(), no_space.end().get(), store.dispatched().get()), (1, 0, 0), "half a piece");
        store.step(Step::Checkpoint);
        disk.reboot(Reboot::PowerLoss);
        let (store, report) = open(&disk, options);
        // Both records are there, or the power loss took them; no queue counts more than the log has.
        let ends: u64 = ["t", "u"].iter().filter_map(|topic| store.queue(topic, 0)).map(|q| q.end().get()).sum();
        assert_eq!(ends, report.records, "seed {seed}");
    }
}

#[test]
fn an_end_without_space_for_the_checkpoint_is_no_clean_one() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    append(&store, &queue, &[b"one"]).unwrap();
    settle(&store);
    let full = Fault { path_contains: "queueHeads".into(), errno: 28, ..Fault::once(Operation::Write) };
    disk.fail(full);
    store.shutdown().unwrap();
    let (store, report) = open(&disk, options());
    assert_eq!((report.clean, report.taken_over), (false, false), "it is Gantry's own store still");
    assert_eq!(bodies(&store, &store.queue("t", 0).unwrap()), [b"one"]);
}

#[test]
fn a_crash_in_the_first_start_leaves_no_sign_of_another_program() {
    for operation in 1..60 {
        let disk = SimDisk::with_sector_len(operation, 16);
        disk.crash_at(operation);
        let opened = Store::open(Arc::new(disk.clone()), Path::new(DIR), options(), &mut |_| {});
        if opened.is_ok() {
            assert!(operation > 10);
            break;
        }
        disk.reboot(Reboot::Kill);
        let (store, _) = open(&disk, options());
        let queue = store.queue_or_create("t", 0).unwrap();
        append(&store, &queue, &[b"one"]).unwrap();
        store.step(Step::Flush);
        disk.reboot(Reboot::PowerLoss);
        let (store, report) = open(&disk, options());
        assert_eq!((report.clean, report.taken_over), (false, false), "crashed at call {operation}");
        assert_eq!(bodies(&store, &store.queue("t", 0).unwrap()), [b"one"]);
    }
}

#[test]
fn a_topic_whose_deletion_has_begun_stays_hidden() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    append_numbered(&store, &queue, 3);
    settle(&store);
    let full = Fault { path_contains: "deletedTopics".into(), errno: 28, ..Fault::once(Operation::Write) };
    disk.fail(Fault { after: 1, ..full.clone() });
    assert!(matches!(store.delete_topic("t"), Err(DeleteError::Disk { begun: true, .. })), "recorded, not finished");
    append(&store, &store.queue_or_create("other", 0).unwrap(), &[b"x"]).unwrap();
    disk.clear_faults();
    disk.fail(full);
    assert!(matches!(store.delete_topic("t"), Err(DeleteError::Disk { begun: true, .. })), "begun before");
    assert!(store.queue("t", 0).is_none() && append(&store, &queue, &[b"x"]).is_err());
    store.delete_topic("t").unwrap();
    let anew = store.queue_or_create("t", 0).unwrap();
    append(&store, &anew, &[b"new"]).unwrap();
    settle(&store);
    assert_eq!(bodies(&store, &anew), [b"new"]);
}

#[test]
fn a_failed_sync_of_the_file_system_stops_the_index_too() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, Options { queue_syncs_max: 0, ..options() });
    let queue = store.queue_or_create("t", 0).unwrap();
    append(&store, &queue, &[b"one"]).unwrap();
    settle(&store);
    disk.fail(Fault { path_contains: "consumequeue".into(), ..Fault::once(Operation::Sync) });
    store.step(Step::Checkpoint);
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(matches!(store.index_state(), IndexState::Stopped { .. }), "its pages may be lost as well");
}
