//! More queues than files may be open: what is written, read and synced does not depend on which of them are.

use gantry_base::disk::sim::{Fault, Operation, Reboot, SimDisk};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

use crate::rig::{self, check_told, flush_and_dispatch, open, put_telling};

/// Files that a store has open beside those of queues: two of checkpoints, the lock, and the segments of the log.
const OTHER_FILES_MAX: usize = 12;

fn options() -> Options {
    Options { segment_size_bytes: 64 << 10, queue_file_entries: 4, queue_files_open_max: 3, ..rig::options() }
}

fn name(id: u32) -> String {
    format!("topic-{}", id % 7)
}

/// Appends one message to each of the queues and dispatches them.
fn append_to_each(store: &Store, queues: u32) {
    (0..queues).for_each(|id| put_telling(store, &name(id), id));
    flush_and_dispatch(store);
}

/// Sees that each of the queues holds this many entries, which lead to its records.
fn check(store: &Store, queues: u32, each: u64) {
    (0..queues).for_each(|id| check_told(store, &name(id), id, each));
}

#[test]
fn many_queues_are_served_with_few_descriptors() {
    let disk = SimDisk::new(3);
    let (store, _) = open(&disk, options());
    for round in 1..=6 {
        append_to_each(&store, 60);
        assert!(disk.open_files() <= 3 + OTHER_FILES_MAX, "{} files are open", disk.open_files());
        check(&store, 60, round);
    }
    let metrics = store.metrics();
    assert!(metrics.queue_files_closed.get() > 600 && metrics.queue_files_opened.get() > 600);
}

#[test]
fn files_closed_before_their_sync_are_synced_by_the_checkpoint() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk, options());
        append_to_each(&store, 40);
        append_to_each(&store, 40);
        assert!(store.step(Step::Checkpoint));
        drop(store);
        disk.reboot(Reboot::PowerLoss);
        let (store, report) = open(&disk, options());
        assert_eq!((report.records, report.queues_rebuilt), (0, false), "all of it lies before the checkpoint");
        check(&store, 40, 2);
    }
}

#[test]
fn a_read_that_may_not_wait_does_not_open_files() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, options());
    append_to_each(&store, 10);
    // Dispatch writes the queue met last first, so its file is the one closed again.
    let queue = store.queue("topic-2", 9).unwrap();
    disk.fail(Fault { times: 1, ..Fault::once(Operation::Open) });
    let mut entries = Vec::new();
    assert_eq!(queue.entries_unchecked(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::WouldBlock);
    assert!(!disk.faults_spent(), "it asked the disk for a name");
    disk.clear_faults();
    queue.entries_unchecked(QueueOffset(0), 9, Wait::Allowed, &mut entries).unwrap();
    assert_eq!(entries.len(), 1);
    entries.clear();
    assert_eq!(queue.entries_unchecked(QueueOffset(0), 9, Wait::Never, &mut entries).unwrap(), Read::Done);
    assert_eq!(entries.len(), 1, "now it is open");
}

#[test]
fn the_files_of_a_deleted_topic_are_closed_and_not_those_of_its_successor() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk, Options { queue_files_open_max: 1_000, ..options() });
    append_to_each(&store, 14);
    let (before, old) = (disk.open_files(), store.queue("topic-3", 3).unwrap());
    store.delete_topic("topic-3").unwrap();
    assert_eq!(disk.open_files(), before - 2, "queues 3 and 10");
    append_to_each(&store, 14);
    let mut entries = Vec::new();
    old.entries_unchecked(QueueOffset(0), 9, Wait::Allowed, &mut entries).unwrap();
    assert_eq!(entries, [], "the new topic's entries are not its");
    assert_eq!(store.queue("topic-3", 3).unwrap().end().get(), 1);
}
