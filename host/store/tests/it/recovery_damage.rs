//! Damage in the part of the log that a start after a crash reads.

use std::{path::Path, sync::Arc};

use gantry_base::disk::{Disk, sim::Reboot};
use gantry_store::*;

use crate::{
    consumer::{Consumed, PER_QUEUE, World, consume},
    rig::{DIR, LOG, contents, flip, open},
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
    for at in [0, 5, 30, 60, 100] {
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
