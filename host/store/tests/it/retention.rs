//! Retention: what goes, what stays, what a reader and a crash see of it.

mod rig;
mod story;

use std::path::{Path, PathBuf};

use gantry_base::disk::{
    Disk,
    sim::{Fault, Operation, Reboot, SimDisk},
};
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_store::*;

use self::{
    rig::{Rig, SEGMENT, options, with},
    story::{crash_story, hold_story, order_story},
};
use crate::rig::NOW_MS;

const DIR: &str = "/data/store";

fn names(disk: &SimDisk, folder: &str) -> Vec<u64> {
    let listed = disk.list(&PathBuf::from(DIR).join(folder)).unwrap();
    listed.iter().map(|entry| entry.name.parse().unwrap()).collect()
}

#[test]
fn what_is_over_the_size_goes_with_all_that_points_to_it() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: 3 * SEGMENT, ..rig::never() }));
    rig.fill("drained", 4, 6);
    rig.fill("busy", 2, 400);
    rig.settle();
    let end = rig.store.appended().get();
    let before = names(&rig.disk, "commitlog").len() as u64;
    assert!(end > 12 * SEGMENT);
    rig.retain_all();
    rig.check(end).unwrap();

    let min = rig.store.min_physical_offset().0;
    assert!(end - min <= 3 * SEGMENT && end - min > 2 * SEGMENT && min.is_multiple_of(SEGMENT), "{min} {end}");
    assert_eq!(names(&rig.disk, "commitlog")[0], min);
    assert_eq!(rig.store.expiring().get(), min);
    let metrics = rig.store.metrics();
    assert_eq!(metrics.segments_deleted.get() * SEGMENT, min);
    assert_eq!(metrics.deleted_bytes.get(), min);
    assert!(names(&rig.disk, "commitlog").len() as u64 <= before - min / SEGMENT + 1);

    let drained = rig.store.queue("drained", 0).unwrap();
    assert_eq!((drained.min_offset(), drained.end().get()), (QueueOffset(6), 6), "empty, and it goes on where it was");
    assert_eq!(names(&rig.disk, "consumequeue/drained/0").len(), 1, "the last file says so");
    let busy = rig.store.queue("busy", 0).unwrap();
    let files = names(&rig.disk, "consumequeue/busy/0");
    assert!(
        files[0] <= busy.min_offset().0 * 20 && busy.min_offset().0 * 20 < files[0] + 16 * 20,
        "{files:?} {busy:?}"
    );
    let mut entries = Vec::new();
    let below = busy.entries_unchecked(QueueOffset(0), 1, Wait::Allowed, &mut entries);
    assert!(matches!(below, Err(ReadError::TooSmall { min, .. }) if min == busy.min_offset()));
    let gone = rig.store.read(PhysicalOffset(0), 100, Wait::Allowed, &mut Vec::new());
    assert!(matches!(gone, Err(ReadError::Outside { min: now, .. }) if now == min));
    assert_eq!(rig.store.record(PhysicalOffset(0), Wait::Allowed).unwrap(), None);

    // The same after a restart, and offsets go on.
    rig.reopen(None).unwrap();
    rig.check(min).unwrap();
    rig.fill("drained", 4, 1);
    rig.settle();
    let drained = rig.store.queue("drained", 0).unwrap();
    assert_eq!((drained.min_offset(), drained.end().get()), (QueueOffset(6), 7));
    rig.check(min).unwrap();
}

#[test]
fn what_is_old_goes_at_the_hour_and_a_reader_goes_on_reading() {
    let hour_ms = 3_600_000;
    let retention = RetentionOptions { age_ms: 10 * hour_ms, hours: vec![4], ..RetentionOptions::default() };
    let mut rig = Rig::new(1, with(retention));
    rig.clock.set(NOW_MS);
    rig.fill("t", 1, 60);
    rig.clock.set(NOW_MS + 5 * hour_ms);
    rig.fill("t", 1, 60);
    rig.settle();
    // 22:13 UTC and six hours: 4:13, when nothing is ten hours old.
    rig.clock.set(NOW_MS + 6 * hour_ms);
    assert!(!rig.store.step(Step::Retain));
    // 14:13 of the day after: the older half is old, but it is not the hour.
    rig.clock.set(NOW_MS + 16 * hour_ms);
    assert!(!rig.store.step(Step::Retain));
    rig.clock.set(NOW_MS + 30 * hour_ms);
    assert!(rig.store.step(Step::Retain));
    rig.retain_all();
    let min = rig.store.min_physical_offset().0;
    assert!(min > 0 && min.is_multiple_of(SEGMENT));
    rig.check(min).unwrap();
    assert!(rig.store.queue("t", 0).unwrap().min_offset().0 > 60, "all but the segment that is written is old now");
}

#[test]
fn a_disk_in_need_refuses_senders_deletes_by_force_and_takes_them_again() {
    let mut rig = Rig::new(1, with(rig::never()));
    rig.fill("t", 1, 150);
    rig.settle();
    let used = rig.disk.used_bytes();
    rig.disk.set_capacity(Some(used * 100 / 91));
    assert!(!rig.store.step(Step::Prepare) || rig.store.health() == Health::Healthy);
    // The pass looks first, then deletes; the look of the next one lets senders in.
    assert!(rig.store.step(Step::Retain));
    let status = rig.store.retention();
    let reason = status.refusing.unwrap();
    assert!(reason.contains("disk_refuse_percent = 90") && reason.contains(DIR), "{reason}");
    assert_eq!(rig.store.metrics().disk_used_percent.get(), 92);
    let queue = rig.store.queue("t", 0).unwrap();
    let refused = rig.append(&queue, b"one more");
    assert!(matches!(&refused, Err(AppendError::Pressure(why)) if *why == reason), "{refused:?}");
    assert_eq!(rig.store.metrics().refused_pressure.get(), 1);
    assert_eq!(rig.store.health(), Health::Healthy);
    rig.append_own(&queue, b"what makes space goes on").unwrap();
    let min = rig.store.min_physical_offset().0;
    assert!(min > 0);
    rig.settle();
    rig.check(min).unwrap();
    rig.retain_all();
    assert_eq!(rig.store.retention().refusing, None);
    rig.append(&queue, b"taken again").unwrap();
    let long = [b'x'; 1600];
    assert!(matches!(rig.append(&queue, &long), Err(AppendError::TooLarge { limit: 1500, .. })));
    rig.append_own(&queue, &long).unwrap();
    let no_segment_holds = rig.append_own(&queue, &[b'x'; SEGMENT as usize]);
    assert!(matches!(no_segment_holds, Err(AppendError::TooLarge { .. })), "{no_segment_holds:?}");
    let space = rig.store.retention().space.unwrap();
    assert!(space.used_percent() < 85, "{space:?}");
}

#[test]
fn a_disk_that_does_not_say_keeps_nobody_out() {
    let mut rig = Rig::new(1, with(rig::never()));
    rig.fill("t", 1, 150);
    rig.disk.set_capacity(Some(rig.disk.used_bytes()));
    rig.disk.fail(Fault { times: u64::MAX, ..Fault::once(Operation::Space) });
    assert!(!rig.store.step(Step::Retain));
    let status = rig.store.retention();
    assert_eq!((status.refusing, status.space, status.min), (None, None, 0));
    assert_eq!(rig.store.metrics().disk_used_percent.get(), -1);
}

#[test]
fn nothing_that_is_held_goes_and_the_holder_is_told() {
    hold_story(&options()).unwrap();
}

#[test]
fn nothing_is_announced_before_it_is_dispatched() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: SEGMENT, ..rig::never() }));
    rig.fill("t", 1, 60);
    rig.settle();
    let dispatched = rig.store.dispatched().get();
    rig.fill("t", 1, 60);
    rig.store.step(Step::Flush);
    rig.retain_all();
    let announced = rig.store.expiring().get();
    assert!(announced > 0 && announced <= dispatched, "{announced}, dispatched up to {dispatched}");
    assert!(rig.store.retention().held_by.is_some(), "it is looked again soon");
    rig.settle();
    rig.retain_all();
    assert!(rig.store.min_physical_offset().0 > announced);
    rig.check(rig.store.expiring().get()).unwrap();
}

#[test]
fn a_segment_that_begins_with_a_damaged_record_goes_with_the_others() {
    let retention = RetentionOptions { age_ms: 1000, hours: vec![], ..RetentionOptions::default() };
    let mut rig = Rig::new(1, with(retention));
    rig.fill("t", 1, 120);
    rig.settle();
    let segments = names(&rig.disk, "commitlog");
    let bad = PathBuf::from(DIR).join(format!("commitlog/{:020}", segments[1]));
    rig.disk.open(&bad, false).unwrap().write_at(&[0x55; 64], 0).unwrap();
    rig.clock.set(NOW_MS + 10_000);
    rig.retain_all();
    let written = rig.store.appended().get() / SEGMENT * SEGMENT;
    assert!(rig.store.min_physical_offset().0 == written && written > 2 * SEGMENT, "all but what is written goes");
}

#[test]
fn damage_is_forgotten_with_its_part_of_the_log() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: SEGMENT, ..rig::never() }));
    rig.fill("t", 1, 60);
    rig.settle();
    let log = PathBuf::from(DIR).join("commitlog");
    let segments = names(&rig.disk, "commitlog");
    let last = segments.iter().rev().find(|base| **base < rig.store.appended().get()).unwrap();
    for base in [segments[0], *last] {
        rig.disk.open(&log.join(format!("{base:020}")), false).unwrap().write_at(&[0x55; 64], 0).unwrap();
    }
    while rig.store.step(Step::Scrub) {}
    let known = || rig.store.damages().iter().map(|damage| damage.position).collect::<Vec<_>>();
    assert_eq!(known(), [0, *last]);
    rig.retain_all();
    assert!(rig.store.min_physical_offset().0 > 0);
    assert_eq!(known(), [*last]);
}

#[test]
fn a_queue_file_that_cannot_be_read_keeps_nothing_else() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: SEGMENT, ..rig::never() }));
    rig.fill("bad", 1, 60);
    rig.fill("good", 1, 60);
    rig.settle();
    let unreadable =
        Fault { path_contains: "consumequeue/bad/0".into(), times: u64::MAX, ..Fault::once(Operation::Read) };
    rig.disk.fail(unreadable);
    rig.retain_all();
    let min = rig.store.min_physical_offset().0;
    assert!(min > 60 * 100, "{min}");
    assert!(rig.store.queue("good", 0).unwrap().min_offset().0 > 0);
    assert_eq!(rig.store.queue("bad", 0).unwrap().min_offset().0, 0);
    // Read well again, it is trimmed when more goes.
    rig.disk.clear_faults();
    rig.fill("good", 1, 60);
    rig.settle();
    rig.retain_all();
    rig.check(rig.store.min_physical_offset().0).unwrap();
}

#[test]
fn minimums_move_before_segments_go() {
    order_story(&options()).unwrap();
}

#[test]
fn a_segment_that_cannot_be_removed_is_tried_again_and_nothing_is_lost() {
    for operation in [Operation::Remove, Operation::SyncDir] {
        let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: 2 * SEGMENT, ..rig::never() }));
        rig.fill("t", 2, 200);
        rig.settle();
        rig.disk.fail(Fault { after: 1, ..Fault::once(operation) });
        assert!(!rig.store.step(Step::Retain));
        assert_eq!(rig.store.health(), Health::Healthy, "what cannot be deleted does not stop the log");
        let announced = rig.store.expiring().get();
        rig.check(announced).unwrap();
        rig.retain_all();
        rig.check(rig.store.min_physical_offset().0).unwrap();
        assert_eq!(names(&rig.disk, "commitlog")[0], rig.store.min_physical_offset().0);
    }
}

#[test]
fn queues_whose_files_are_gone_are_built_from_what_the_log_still_has() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: 3 * SEGMENT, ..rig::never() }));
    rig.fill("t", 2, 300);
    rig.settle();
    rig.retain_all();
    let min = rig.store.min_physical_offset().0;
    rig.store.shutdown().unwrap();
    rig.disk.remove_dir_all(Path::new("/data/store/consumequeue")).unwrap();
    rig.disk.sync_dir(Path::new("/data/store")).unwrap();
    rig.reopen(None).unwrap();
    rig.check(min).unwrap();
    // And once more over what was built, filler included.
    rig.reopen(Some(Reboot::PowerLoss)).unwrap();
    rig.check(min).unwrap();

    // Files of one queue lost.
    rig.store.shutdown().unwrap();
    rig.disk.remove_dir_all(Path::new("/data/store/consumequeue/t/1")).unwrap();
    rig.disk.sync_dir(Path::new("/data/store/consumequeue/t")).unwrap();
    rig.reopen(None).unwrap();
    rig.fill("t", 2, 3);
    rig.settle();
    rig.reopen(None).unwrap();
}

#[test]
fn deletions_of_topics_are_forgotten_with_their_records() {
    let mut rig = Rig::new(1, with(RetentionOptions { size_bytes: 2 * SEGMENT, ..rig::never() }));
    rig.fill("dead", 2, 20);
    rig.settle();
    rig.store.delete_topic("dead").unwrap();
    rig.forget("dead");
    let file = Path::new("/data/store/deletedTopics.json");
    let remembered = |disk: &SimDisk| {
        let bytes = gantry_base::durable::read(disk, file, 1 << 20).unwrap();
        String::from_utf8(bytes.unwrap_or_default()).unwrap().contains("dead")
    };
    rig.fill("t", 2, 2);
    rig.settle();
    rig.retain_all();
    assert!(remembered(&rig.disk), "its records are still in the log");
    rig.fill("t", 2, 200);
    rig.settle();
    rig.retain_all();
    assert!(!remembered(&rig.disk));
    rig.reopen(Some(Reboot::Kill)).unwrap();
    rig.check(rig.store.min_physical_offset().0).unwrap();
    assert!(rig.store.queue("dead", 0).is_none());
}

#[test]
fn a_crash_at_every_call_of_a_pass_is_survived() {
    for seed in 0..2 {
        crash_story(seed, &options(), false).unwrap();
        crash_story(seed, &options(), true).unwrap();
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn every_planted_bug_of_retention_is_noticed() {
    let crashes = || (0..3).try_for_each(|seed| crash_story(seed, &options(), true));
    for (bug, noticed) in [
        (PlantedBug::IgnoreHold, with_planted(PlantedBug::IgnoreHold, || hold_story(&options()))),
        (PlantedBug::DeleteBeforeMinimum, with_planted(PlantedBug::DeleteBeforeMinimum, || order_story(&options()))),
        (PlantedBug::RemoveLastQueueFile, with_planted(PlantedBug::RemoveLastQueueFile, crashes)),
    ] {
        let violation = noticed.expect_err(&format!("{bug:?} was not noticed"));
        println!("{bug:?}: {}", violation.lines().next().unwrap_or_default());
    }
}
