//! Trouble with the disk: what is refused, what stops for good, and what a start finds after a crash amid it.

use gantry_base::disk::sim::{Fault, Operation, Reboot, SimDisk};
use gantry_store::*;

use crate::rig::{
    LOG, PATIENCE, append, append_numbered, bodies, file, flush_and_dispatch, numbered, open, options, settle, try_open,
};

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
        flush_and_dispatch(&store);
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
    queue.end().wait_blocking(1, PATIENCE).unwrap();
    disk.fail(Fault { path_contains: "commitlog".into(), ..Fault::once(Operation::Sync) });
    append(&store, &queue, &[b"doubtful"]).unwrap();
    let told = store.flushed().wait_blocking(placed[0].end + 1, PATIENCE);
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
    let torn = placed[0].physical_offset.0;
    file(&disk, LOG).write_at(b"!", torn + 89).unwrap();
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
        let opened = try_open(&disk, options());
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
