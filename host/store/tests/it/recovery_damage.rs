//! Damage in the part of the log that a start after a crash reads.

use std::{path::Path, sync::Arc};

use gantry_base::disk::{
    Disk,
    sim::{Reboot, SimDisk},
};
use gantry_store::*;

use crate::{
    consumer::{Consumed, PER_QUEUE, World, consume},
    rig::{DIR, LOG, contents, flip, open, options, put, settle, try_open},
};

/// Appended and flushed, not dispatched: all of it is read again.
fn flushed() -> World {
    let world = World::new(1);
    world.store().step(Step::Flush);
    world
}

#[test]
fn damage_in_what_was_flushed_stops_the_start_until_it_is_given_up() {
    let victim = 4;
    let size = flushed().sent[victim].size;
    // The last two lie in the checksum of the whole record, which that of the body knows nothing of.
    for at in [0, 5, 30, 60, 100, size - 15, size - 2] {
        let world = flushed();
        let (position, offset, of) = {
            let sent = &world.sent[victim];
            (sent.position, sent.queue_offset, sent.queue())
        };
        let before = world.sent.iter().map(|sent| sent.position + sent.size).max().unwrap();
        flip(&world.disk, LOG, position + at, 4);
        let (disk, options, expected) = (world.disk.clone(), world.options.clone(), world.all_expected());
        let Err(OpenError::Damaged { position: found, flushed, records, .. }) =
            world.try_restarted(Some(Reboot::Kill)).map(drop)
        else {
            panic!("byte {at}: what was acknowledged is not cut");
        };
        assert_eq!(
            (found, flushed, records),
            (position, before, expected.iter().map(|(_, all)| all.len() as u64).sum::<u64>() - 5)
        );
        let skipped = skip_stopped(Arc::new(disk.clone()), Path::new(DIR), position).unwrap();
        assert!(matches!(skipped, Skip::Skipped(_)));
        let (store, report) = open(&disk, options);
        assert_eq!((report.end, report.records_behind), (before, 0));
        for ((topic, id), mut all) in expected {
            let queue = store.queue(&topic, id).unwrap();
            if (topic.as_str(), id) == of {
                all.remove(offset as usize);
            }
            let Consumed { messages, damaged } = consume(&store, &queue);
            assert!(damaged.is_none(), "byte {at}: {damaged:?}");
            assert_eq!(messages, all, "byte {at} {topic}/{id}");
            assert_eq!(queue.next_offset().0, PER_QUEUE);
        }
        assert!(store.metrics().skipped_reads.get() > 0, "what was given up is counted");
    }
}

#[test]
fn what_was_given_up_is_served_when_it_reads_well_again() {
    let world = flushed();
    let position = world.sent[4].position;
    flip(&world.disk, LOG, position + 60, 4);
    let (disk, options, expected) = (world.disk.clone(), world.options.clone(), world.all_expected());
    assert!(world.try_restarted(Some(Reboot::Kill)).is_err());
    skip_stopped(Arc::new(disk.clone()), Path::new(DIR), position).unwrap();
    let (store, _) = open(&disk, options);
    flip(&disk, LOG, position + 60, 4);
    for ((topic, id), all) in expected {
        let queue = store.queue(&topic, id).unwrap();
        assert_eq!(consume(&store, &queue).messages, all);
    }
}

#[test]
fn whole_records_behind_what_was_never_flushed_are_kept_beside_the_log() {
    let world = World::new(1);
    let position = world.sent[4].position;
    let end = world.sent.iter().map(|sent| sent.position + sent.size).max().unwrap();
    flip(&world.disk, LOG, position + 60, 4);
    let bytes = contents(&world.disk, LOG);
    let behind = world.sent.len() as u64 - 5;
    let (world, report) = world.try_restarted(Some(Reboot::Kill)).unwrap();
    assert_eq!((report.end, report.records_behind), (position, behind));
    let kept = contents(&world.disk, report.kept.unwrap());
    assert_eq!(kept, bytes[position as usize..end as usize]);
}

#[test]
fn no_more_than_eight_pieces_are_kept() {
    let mut world = World::new(1);
    for life in 0..12 {
        let queue = world.queues[0].clone();
        world.append(&queue, b"it stays, and the next life begins further on");
        let position = world.store().appended().get();
        for n in 0..3 {
            world.append(&queue, format!("life {life} {n}").as_bytes());
        }
        flip(&world.disk, LOG, position + 40, 4);
        let (next, report) = world.try_restarted(Some(Reboot::Kill)).unwrap();
        assert!(report.kept.is_some() && report.records_behind == 2, "{report:?}");
        world = next;
    }
    let names = world.disk.list(Path::new(DIR)).unwrap();
    assert_eq!(names.iter().filter(|entry| entry.name.starts_with("cut-")).count(), 8);
}

/// Stopped in order, with records in several segments. Gives the positions of all records and where the log ends.
fn stopped_with_segments(disk: &SimDisk) -> (Vec<u64>, u64) {
    let (store, _) = open(disk, options());
    let queue = store.queue_or_create("t", 0).unwrap();
    let body = |n: u32| format!("message {n} {}", "x".repeat(300)).into_bytes();
    let positions = (0..60).map(|n| put(&store, &queue, &body(n), &[]).physical_offset.0).collect();
    let end = store.appended().get();
    settle(&store);
    store.shutdown().unwrap();
    (positions, end)
}

fn remove_queues(disk: &SimDisk) {
    disk.remove_dir_all(&Path::new(DIR).join("consumequeue")).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
}

/// Names and contents of the log's files, up to the last byte that is not zero.
fn log_files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let trimmed = |name: &str| {
        let mut bytes = contents(disk, format!("commitlog/{name}"));
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        (name.to_owned(), bytes)
    };
    let listed = disk.list(&Path::new(DIR).join("commitlog")).unwrap();
    listed.iter().map(|entry| trimmed(&entry.name)).filter(|(_, bytes)| !bytes.is_empty()).collect()
}

#[test]
fn a_rebuild_of_queues_does_not_cut_a_damaged_log_that_was_stopped_in_order() {
    // The first record, one in the middle, and the very last.
    for victim in [0, 7, 30, 59] {
        for crash in [false, true] {
            let disk = SimDisk::new(1);
            let (positions, end) = stopped_with_segments(&disk);
            let position = positions[victim];
            flip(&disk, &format!("commitlog/{:020}", position / 8192 * 8192), position % 8192 + 100, 4);
            let before = log_files(&disk);
            assert!(before.len() > 2, "several segments");
            remove_queues(&disk);
            if crash {
                // While the first try was under way; it says less of how the last life ended.
                disk.crash_at(disk.operations() + 12);
                assert!(try_open(&disk, options()).is_err());
                disk.reboot(Reboot::PowerLoss);
            }
            for try_number in 0..3 {
                let Err(OpenError::Damaged { position: found, flushed, records, .. }) =
                    try_open(&disk, options()).map(drop)
                else {
                    panic!("try {try_number}: what was flushed is not cut");
                };
                assert_eq!((found, flushed, records), (position, end, 59 - victim as u64));
                assert!(log_files(&disk) == before, "try {try_number}: nothing was changed");
            }
            skip_stopped(Arc::new(disk.clone()), Path::new(DIR), position).unwrap();
            let (store, report) = open(&disk, options());
            assert_eq!((report.end, report.cut), (end, vec![]));
            let consumed = consume(&store, &store.queue("t", 0).unwrap());
            assert_eq!((consumed.messages.len(), consumed.damaged.is_none()), (59, true));
        }
    }
}

#[test]
fn segments_stay_when_the_checkpoint_is_lost_too() {
    for reboot in [None, Some(Reboot::Kill)] {
        let disk = SimDisk::new(1);
        let (positions, _) = stopped_with_segments(&disk);
        if let Some(reboot) = reboot {
            drop(open(&disk, options()));
            disk.reboot(reboot);
        }
        flip(&disk, LOG, positions[3] + 100, 4);
        let before = log_files(&disk);
        remove_queues(&disk);
        disk.remove_file(&Path::new(DIR).join("checkpoint.gantry")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        for _ in 0..2 {
            let opened = try_open(&disk, options()).map(drop);
            assert!(
                matches!(opened, Err(OpenError::Damaged { position, .. }) if position == positions[3]),
                "{opened:?}"
            );
            assert!(log_files(&disk) == before, "nothing was changed");
        }
        skip_stopped(Arc::new(disk.clone()), Path::new(DIR), positions[3]).unwrap();
        let (store, report) = open(&disk, options());
        assert_eq!((report.records, report.cut), (59, vec![]));
        assert_eq!(consume(&store, &store.queue("t", 0).unwrap()).messages.len(), 59);
    }
}
