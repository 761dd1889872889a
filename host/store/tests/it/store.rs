//! What a broker sees of the store: append, flush, dispatch, read, delete, restart.

use std::{path::Path, sync::Arc};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk, RealDisk,
        sim::{Reboot, SimDisk},
    },
};
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    sys_flag,
};
use gantry_protocol::record::RecordView;
use gantry_store::*;

use crate::rig::{NOW_MS, PATIENCE, append, append_numbered, bodies, draft, numbered, open, options, settle, try_open};

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
    store.flushed().wait_blocking(placed[1].end, PATIENCE).unwrap();
    queue.end().wait_blocking(2, PATIENCE).unwrap();

    let mut entries = Vec::new();
    assert_eq!(queue.entries_unchecked(QueueOffset(0), 10, Wait::Allowed, &mut entries).unwrap(), Read::Done);
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].physical_offset, placed[1].physical_offset);
    assert_eq!(entries[1].tag_code, i64::from(b't'));
    let mut both = Vec::new();
    let read = store.read(PhysicalOffset(0), placed[1].end as usize, Wait::Allowed, &mut both);
    assert_eq!(read.unwrap(), Read::Done, "neighbours in one read");
    let second = RecordView::parse(&both[placed[0].size as usize..]).unwrap();
    assert_eq!((second.flag(), second.body(), second.store_ms()), (7, &b"two"[..], NOW_MS as i64));
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
        queue.end().wait_blocking(begin + 100, PATIENCE).unwrap();
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
    queues[1].entries_unchecked(QueueOffset(0), 90, Wait::Allowed, &mut entries).unwrap();
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
    queue.entries_unchecked(QueueOffset(0), 1, Wait::Allowed, &mut entries).unwrap();
    assert_eq!(entries[0].tag_code, NOW_MS as i64 + 10_000);
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
fn files_of_another_size_and_missing_files_stop_the_start() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    append_numbered(&store, &queue, 100);
    store.shutdown().unwrap();
    let refused = |options: Options| {
        let error = try_open(&disk, options).unwrap_err();
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
    assert!(matches!(try_open(&disk, bad), Err(OpenError::Options(_))));
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
    assert_eq!(queue.entries_unchecked(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::WouldBlock);
    let mut bytes = Vec::new();
    let read = store.read(PhysicalOffset(0), placed[0].size as usize, Wait::Never, &mut bytes).unwrap();
    assert!(read == Read::WouldBlock && bytes.is_empty() && entries.is_empty());
    disk.set_cold_reads(0);
    assert_eq!(queue.entries_unchecked(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::Done);
    assert_eq!(queue.entries_unchecked(QueueOffset(1), 9, Wait::Never, &mut entries).unwrap(), Read::Done);
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
                    store.flushed().wait_blocking(end, PATIENCE).unwrap();
                }
            });
        }
    });
    store.dispatched().wait_blocking(store.appended().get(), PATIENCE).unwrap();
    for thread in 0..THREADS {
        assert_eq!(bodies(&store, &store.queue("own", thread as u32).unwrap()), numbered(EACH));
    }
    assert_eq!(bodies(&store, &store.queue("shared", 0).unwrap()).len(), THREADS * EACH);
    assert!(store.metrics().flushes.get() <= (THREADS * EACH) as u64 * 2);
    store.shutdown().unwrap();
}
