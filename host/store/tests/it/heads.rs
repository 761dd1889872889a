//! The file of queue heads: used when it is right, passed over when it is anything else, and never believed wrongly.

use std::path::Path;

use gantry_base::disk::{
    Disk,
    sim::{Fault, Operation, Reboot, SimDisk},
};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

use crate::rig::{self, check_told, contents, entries, flush_and_dispatch, put, put_telling};

const HEADS: &str = "/store/queueHeads.gantry";
const QUEUES: u32 = 5;

fn options() -> Options {
    Options { segment_size_bytes: 64 << 10, queue_file_entries: 4, index_enabled: false, ..rig::options() }
}

fn open(disk: &SimDisk) -> (Store, RecoveryReport) {
    rig::open(disk, options())
}

fn name(id: u32) -> String {
    format!("topic-{}", id % 2)
}

/// Appends one message to the queue, flushes and dispatches it.
fn append(store: &Store, id: u32) {
    put_telling(store, &name(id), id);
    flush_and_dispatch(store);
}

/// Sees that every queue has so many messages, all of them its own and in order.
fn check(store: &Store, each: &[u64; QUEUES as usize]) {
    for (id, count) in (0..).zip(each) {
        let queue = store.queue(&name(id), id).unwrap();
        assert_eq!((queue.end().get(), queue.next_offset()), (*count, QueueOffset(*count)), "{queue:?}");
        check_told(store, &name(id), id, *count);
    }
}

/// A store that was killed: a snapshot and two frames of changes, and a message behind the last checkpoint.
fn killed() -> (SimDisk, [u64; QUEUES as usize]) {
    let disk = SimDisk::new(7);
    let (store, _) = open(&disk);
    (0..QUEUES).for_each(|id| append(&store, id));
    assert!(store.step(Step::Checkpoint));
    for _ in 0..7 {
        append(&store, 1);
    }
    assert!(store.step(Step::Checkpoint));
    append(&store, 2);
    assert!(store.step(Step::Checkpoint));
    append(&store, 3);
    drop(store);
    disk.reboot(Reboot::Kill);
    (disk, [1, 8, 2, 2, 1])
}

fn put_heads(disk: &SimDisk, bytes: &[u8]) {
    let file = disk.open(Path::new(HEADS), true).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
}

#[test]
fn only_queues_behind_the_checkpoint_are_touched() {
    let (disk, each) = killed();
    // No file of any other queue may be read, cut or synced.
    for id in [0, 1, 2, 4] {
        let path_contains = format!("consumequeue/{}/{id}", name(id));
        for operation in [Operation::Read, Operation::SetLen, Operation::Sync] {
            disk.fail(Fault { path_contains: path_contains.clone(), ..Fault::once(operation) });
        }
    }
    let (store, report) = open(&disk);
    assert_eq!((report.heads_unused, report.records, report.queues), (None, 1, 5));
    disk.clear_faults();
    check(&store, &each);
}

#[test]
fn no_flipped_bit_is_believed() {
    let (_, each) = killed();
    let whole = contents(&killed().0, HEADS);
    let mut unused = 0;
    for at in 0..whole.len() {
        let (disk, _) = killed();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        put_heads(&disk, &bytes);
        let (store, report) = open(&disk);
        check(&store, &each);
        unused += usize::from(report.heads_unused.is_some());
    }
    // Every byte belongs to a frame that the checkpoint needs.
    assert_eq!(unused, whole.len());
}

#[test]
fn a_file_that_ends_early_is_not_believed() {
    let (_, each) = killed();
    let whole = contents(&killed().0, HEADS);
    for len in (0..whole.len()).step_by(3) {
        let (disk, _) = killed();
        put_heads(&disk, &whole[..len]);
        let (store, report) = open(&disk);
        assert!(report.heads_unused.is_some(), "{len} of {} bytes", whole.len());
        check(&store, &each);
    }
}

#[test]
fn what_follows_the_frames_is_passed_over() {
    let (disk, each) = killed();
    let mut bytes = contents(&disk, HEADS);
    // Half of a frame, as a crash leaves it, and a frame of another place.
    bytes.extend_from_within(..50);
    put_heads(&disk, &bytes);
    let (store, report) = open(&disk);
    assert_eq!(report.heads_unused, None);
    check(&store, &each);
    append(&store, 4);
    assert!(store.step(Step::Checkpoint));
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.heads_unused, report.records), (None, 0));
    check(&store, &[1, 8, 2, 2, 2]);
}

#[test]
fn an_older_file_is_not_used() {
    let (disk, mut each) = killed();
    let old = contents(&disk, HEADS);
    let (store, _) = open(&disk);
    append(&store, 4);
    each[4] += 1;
    assert!(store.step(Step::Checkpoint));
    drop(store);
    put_heads(&disk, &old);
    let (store, report) = open(&disk);
    let reason = report.heads_unused.unwrap();
    assert!(reason.contains("the checkpoint is at"), "{reason}");
    check(&store, &each);
}

#[test]
fn without_the_file_queues_are_found_in_their_folders_and_it_is_made_anew() {
    let (disk, each) = killed();
    disk.remove_file(Path::new(HEADS)).unwrap();
    let (store, report) = open(&disk);
    assert_eq!(report.heads_unused.as_deref(), Some("there is no queueHeads.gantry"));
    check(&store, &each);
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!(report.heads_unused, None);
    check(&store, &each);
}

#[test]
fn a_folder_removed_by_hand_counts_more_than_the_file() {
    let (disk, each) = killed();
    disk.remove_dir_all(Path::new("/store/consumequeue")).unwrap();
    let (store, report) = open(&disk);
    assert!(report.queues_rebuilt && report.heads_unused.is_some());
    check(&store, &each);
    drop(store);
    disk.remove_dir_all(Path::new("/store/consumequeue/topic-0")).unwrap();
    let (store, report) = open(&disk);
    let reason = report.heads_unused.unwrap();
    assert!(reason.contains("topic-0"), "{reason}");
    assert_eq!(store.queue("topic-1", 1).unwrap().end().get(), 8);
}

#[test]
fn a_deleted_topic_does_not_come_back_and_its_successor_does() {
    let (disk, _) = killed();
    let (store, _) = open(&disk);
    store.delete_topic("topic-0").unwrap();
    // Killed before any checkpoint: the file still knows the old queues.
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!(report.heads_unused, None);
    assert!(store.queue("topic-0", 0).is_none());
    append(&store, 0);
    assert!(store.step(Step::Checkpoint));
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.heads_unused, report.records), (None, 0));
    assert_eq!(store.queue("topic-0", 0).unwrap().end().get(), 1);
    assert!(store.queue("topic-0", 2).is_none());
    assert_eq!(store.queue("topic-1", 1).unwrap().end().get(), 8);
}

#[test]
fn a_full_disk_keeps_the_checkpoint_and_stops_nothing() {
    let (disk, mut each) = killed();
    let (store, before) = open(&disk);
    let fault = Fault { path_contains: "queueHeads".into(), times: 2, errno: 28, ..Fault::once(Operation::Write) };
    disk.fail(fault);
    append(&store, 0);
    each[0] += 1;
    assert!(store.step(Step::Checkpoint), "it is not a failure");
    append(&store, 0);
    each[0] += 1;
    store.step(Step::Checkpoint);
    assert!(disk.faults_spent() && store.health() == Health::Healthy);
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.from, report.records), (before.end, 2));
    check(&store, &each);
    append(&store, 0);
    each[0] += 1;
    assert!(store.step(Step::Checkpoint));
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((report.heads_unused, report.records), (None, 0));
    check(&store, &each);
}

#[test]
fn heads_never_pass_what_a_power_loss_leaves_of_the_log() {
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let options = Options { flush: Flush::Async { interval_ms: 500 }, ..options() };
        let (store, _) = rig::open(&disk, options.clone());
        for id in 0..QUEUES {
            let queue = store.queue_or_create(&name(id), id).unwrap();
            put(&store, &queue, b"never flushed by the flusher", &[]);
            while store.step(Step::Dispatch) {}
            if id == 2 {
                assert!(store.step(Step::Checkpoint));
            }
        }
        drop(store);
        disk.reboot(Reboot::PowerLoss);
        let (store, report) = rig::open(&disk, options);
        assert_eq!(report.heads_unused, None, "seed {seed}");
        for id in 0..QUEUES {
            let queue = store.queue_or_create(&name(id), id).unwrap();
            let end = queue.end().get();
            assert!(end == 1 || id > 2, "seed {seed}: what lies before a checkpoint is there");
            assert_eq!(entries(&queue).len() as u64, end, "seed {seed}");
        }
    }
}
