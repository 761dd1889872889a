//! Damage that nobody has read yet: the scrub finds it in a running store, the check in a stopped one.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use gantry_base::disk::{
    Disk,
    sim::{Fault, Operation, Reboot, SimDisk},
};
use gantry_store::{
    inspect::{self, CheckReport, Problem, Shown},
    *,
};

use crate::{
    consumer::{Consumed, PER_QUEUE, QUEUE_FILES, World, consume},
    rig::{DIR, LOG, file, flip, open, options, put},
};

/// A whole pass; its steps.
fn pass(world: &World) -> usize {
    let mut steps = 1;
    while world.store().step(Step::Scrub) {
        steps += 1;
        assert!(steps < 10_000, "a pass ends");
    }
    steps
}

fn check(world: &World) -> CheckReport {
    inspect::check(Arc::new(world.disk.clone()), Path::new(DIR), false, &mut |_| {}).unwrap()
}

#[test]
fn a_pass_over_a_whole_store_finds_nothing() {
    let world = World::new(1).settled();
    pass(&world);
    let status = world.store().scrub_status();
    assert_eq!((status.passes, status.running, status.files_corrected), (1, false, 0));
    assert_eq!((status.position, status.end), (world.store().appended().get(), world.store().appended().get()));
    assert!(status.bytes > status.end);
    assert!(world.store().damages().is_empty());
    assert_eq!(world.store().metrics().entries_corrected.get(), 0);
}

#[test]
fn a_pass_finds_damaged_records_and_lets_those_go_that_read_well_again() {
    let world = World::new(1).settled();
    let victims = [&world.sent[2], &world.sent[3], &world.sent[9]];
    victims.iter().for_each(|victim| flip(&world.disk, LOG, victim.position + 70, 2));
    pass(&world);
    let found: Vec<_> = world.store().damages().iter().map(|damage| (damage.position, damage.length)).collect();
    assert_eq!(found, victims.map(|victim| (victim.position, victim.size)));
    assert!(world.store().damages().iter().all(|damage| damage.file == LOG));
    flip(&world.disk, LOG, victims[1].position + 70, 2);
    pass(&world);
    assert_eq!(world.store().damages().len(), 2);
}

#[test]
fn a_head_that_is_gone_hides_no_record_behind_it() {
    let world = World::new(1).settled();
    let victim = &world.sent[4];
    // Size and magic: where the record ended is not known any more.
    file(&world.disk, LOG).write_at(&[0x55; 8], victim.position).unwrap();
    pass(&world);
    let damages = world.store().damages();
    assert_eq!((damages.len(), damages[0].position, damages[0].length), (1, victim.position, victim.size));
}

#[test]
fn what_comes_to_a_place_that_was_given_up_is_not_given_up_with_it() {
    let world = World::new(1).settled();
    let (first, second) = (&world.sent[4], &world.sent[5]);
    flip(&world.disk, LOG, first.position + 70, 2);
    pass(&world);
    assert!(matches!(world.store().skip(first.position), Ok(Skip::Skipped(_))));
    // Where the second begins is not known any more, so the two are one place.
    file(&world.disk, LOG).write_at(&[0x55; 8], second.position).unwrap();
    pass(&world);
    let known = || world.store().damages().iter().map(|damage| (damage.length, damage.skipped)).collect::<Vec<_>>();
    assert_eq!(known(), [(first.size + second.size, false)]);
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == second.queue()).unwrap();
    assert!(consume(world.store(), queue).damaged.is_some(), "nobody gave it up");
    assert!(matches!(world.store().skip(first.position), Ok(Skip::Skipped(_))));
    pass(&world);
    assert_eq!(known(), [(first.size + second.size, true)]);
    assert!(consume(world.store(), queue).damaged.is_none());
}

#[test]
fn tag_codes_of_the_last_file_are_corrected() {
    let world = World::new(1).settled();
    for at in 0..PER_QUEUE * 20 {
        flip(&world.disk, QUEUE_FILES[0], at, 2);
        pass(&world);
        let mut bytes = vec![0; PER_QUEUE as usize * 20];
        file(&world.disk, QUEUE_FILES[0]).read_at(&mut bytes, 0).unwrap();
        let tag = i64::from(b't') * 961 + i64::from(b'a') * 31 + i64::from(b'g');
        let tags: Vec<_> = bytes.chunks(20).map(|entry| i64::from_be_bytes(entry[12..].try_into().unwrap())).collect();
        assert_eq!(tags, [tag; PER_QUEUE as usize], "byte {at}");
    }
    assert_eq!(world.store().metrics().entries_corrected.get(), PER_QUEUE * 20);
}

#[test]
fn a_sealed_file_is_compared_with_its_checksum_and_corrected() {
    let world = World::with_queue_files_of(2).settled();
    pass(&world);
    let report = { check(&world) };
    assert_eq!(report.files_with_checksum, 3 * (PER_QUEUE / 2));
    let world = world.restarted(None);
    flip(&world.disk, "consumequeue/beta/1/00000000000000000040", 33, 2);
    let report = check(&world);
    // Once by its checksum, once by its entry.
    assert_eq!(report.problems_total, 2, "{report:?}");
    pass(&world);
    assert_eq!(world.store().scrub_status().files_corrected, 1);
    assert_eq!(check(&world).problems, []);
    // A sidecar that is lost or damaged is made again.
    flip(&world.disk, "checksums.gantry", 60, 2);
    let world = world.restarted(Some(Reboot::Kill));
    pass(&world);
    assert_eq!(world.store().scrub_status().files_corrected, 0);
    assert_eq!(check(&world).files_with_checksum, 3 * (PER_QUEUE / 2));
    for queue in &world.queues {
        assert!(
            matches!(consume(world.store(), queue), Consumed { damaged: None, messages } if messages == world.expected(queue))
        );
    }
}

#[test]
fn a_check_of_a_whole_store_finds_nothing_and_changes_nothing() {
    let world = World::new(1).settled();
    world.store().shutdown().unwrap();
    let before = world.disk.operations();
    let report = check(&world);
    assert_eq!(world.disk.operations(), before, "it only reads");
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    assert_eq!((report.records, report.records_checked_whole), (world.sent.len() as u64, world.sent.len() as u64));
    assert_eq!((report.entries, report.undispatched, report.queues), (world.sent.len() as u64, 0, 3));
    assert_eq!(
        (report.min, report.end, report.clean),
        (0, world.sent.last().map_or(0, |last| last.position + last.size), true)
    );
}

#[test]
fn a_check_names_every_flip_of_log_and_queues() {
    let world = World::new(1).settled();
    world.store().shutdown().unwrap();
    let end = world.sent.last().map_or(0, |last| last.position + last.size);
    for (name, len) in [(LOG, end), (QUEUE_FILES[0], PER_QUEUE * 20)] {
        for at in 0..len {
            flip(&world.disk, name, at, 2);
            let report = check(&world);
            assert!(report.problems_total > 0, "byte {at} of {name}");
            let named = report.problems.iter().any(|problem| name.starts_with(&problem.file) || problem.file == name);
            assert!(named || problem_of_the_end(&report), "byte {at} of {name}: {:?}", report.problems);
            flip(&world.disk, name, at, 2);
        }
    }
    assert_eq!(check(&world).problems_total, 0);
}

#[test]
fn a_check_goes_on_where_a_file_cannot_be_read() {
    let world = World::with_queue_files_of(2).settled();
    pass(&world);
    file_of_json(&world);
    flip(&world.disk, LOG, world.sent[3].position + 70, 2);
    for (operation, path, named) in [
        (Operation::Read, "consumequeue/beta/1", "consumequeue/beta/1"),
        (Operation::Open, "consumequeue/beta/1", "consumequeue/beta/1"),
        (Operation::List, "consumequeue/beta", "consumequeue/beta"),
        (Operation::List, "consumequeue", "consumequeue"),
        (Operation::Read, "checksums.gantry", "checksums.gantry"),
        (Operation::Read, "config/topics.json", "config/topics.json"),
        (Operation::List, "config", "config"),
    ] {
        world.disk.fail(Fault { path_contains: path.into(), times: u64::MAX, ..Fault::once(operation) });
        let report = check(&world);
        world.disk.clear_faults();
        let found = |position: u64| report.problems.iter().any(|problem| problem.position == position);
        assert!(found(world.sent[3].position), "{operation:?} {path}: {report:?}");
        let unreadable = |problem: &Problem| problem.file.starts_with(named) && problem.problem.contains("os error 5");
        assert!(report.problems.iter().any(unreadable), "{operation:?} {path}: {report:?}");
    }
}

fn file_of_json(world: &World) {
    let folder = Path::new(DIR).join("config");
    world.disk.create_dir_all(&folder).unwrap();
    world.disk.open(&folder.join("topics.json"), true).unwrap().write_at(b"{}", 0).unwrap();
}

/// The last record is told from what was never written by the checkpoint.
fn problem_of_the_end(report: &CheckReport) -> bool {
    report.problems.iter().any(|problem| problem.file == "commitlog" || problem.position == report.end)
}

#[test]
fn a_dump_shows_every_record_and_says_what_is_damaged() {
    let world = World::new(1).settled();
    flip(&world.disk, LOG, world.sent[3].position + 70, 2);
    let dump = |from: u64| {
        let mut shown = Vec::new();
        inspect::dump(Arc::new(world.disk.clone()), Path::new(DIR), from, &mut |position, found| {
            shown.push((position, matches!(found, Shown::Damaged { .. })));
            ControlFlow::Continue(())
        })
        .unwrap();
        shown
    };
    let all: Vec<_> = world.sent.iter().enumerate().map(|(n, sent)| (sent.position, n == 3)).collect();
    assert_eq!(dump(0), all);
    assert_eq!(dump(world.sent[6].position + 1), all[7..], "the first record behind the place");
    assert_eq!(dump(u64::MAX), []);
}

#[test]
fn a_full_index_file_that_does_not_have_its_checksum_is_built_again() {
    let world = World::with_index_files_of(4);
    for n in 0..20 {
        world.append_keyed(&world.queues[0], format!("key{n}").as_bytes());
    }
    let world = world.settled();
    while world.store().step(Step::Index) {}
    pass(&world);
    assert_eq!(world.store().metrics().index_damaged.get(), 0);
    let folder = Path::new(DIR).join("index");
    let first = world.disk.list(&folder).unwrap().remove(0).name;
    flip(&world.disk, &format!("index/{first}"), 45, 2);
    pass(&world);
    assert_eq!(world.store().metrics().index_damaged.get(), 1);
    while world.store().step(Step::Index) {}
    pass(&world);
    assert_eq!(world.store().metrics().index_damaged.get(), 1, "what was built again is well");
}

/// Index files of four keys, five of them full, with their checksums.
fn with_sealed_index_files() -> (World, Vec<String>) {
    let world = World::with_index_files_of(4);
    for n in 0..22 {
        world.append_keyed(&world.queues[0], format!("key{n}").as_bytes());
    }
    let world = world.settled();
    while world.store().step(Step::Index) {}
    pass(&world);
    let listed = world.disk.list(&Path::new(DIR).join("index")).unwrap();
    (world, listed.into_iter().map(|entry| format!("index/{}", entry.name)).collect())
}

#[test]
fn an_index_file_that_cannot_be_read_keeps_its_checksum_and_those_of_newer_ones() {
    let (world, files) = with_sealed_index_files();
    let sealed = check(&world).files_with_checksum;
    world.disk.fail(Fault { path_contains: files[1].clone(), ..Fault::once(Operation::Read) });
    pass(&world);
    assert_eq!(world.store().metrics().index_damaged.get(), 0, "that it cannot be read says nothing of what is in it");
    assert_eq!(check(&world).files_with_checksum, sealed);
    // Unknown, it is not sealed by what could be read of it.
    world.disk.remove_file(&Path::new(DIR).join("checksums.gantry")).unwrap();
    let world = world.restarted(None);
    world.disk.fail(Fault { path_contains: files[1].clone(), ..Fault::once(Operation::Read) });
    pass(&world);
    pass(&world);
    assert_eq!(world.store().metrics().index_damaged.get(), 0);
    // Retention takes one that is still in the list.
    world.disk.remove_file(&Path::new(DIR).join(&files[0])).unwrap();
    pass(&world);
    assert_eq!(check(&world).files_with_checksum, sealed - 1);
}

#[test]
fn an_index_file_that_takes_keys_again_is_sealed_anew() {
    for seed in 0..8 {
        let disk = SimDisk::new(seed);
        let options = Options {
            index_file_entries: 4,
            index_file_slots: 8,
            flush: Flush::Async { interval_ms: 1_000 },
            ..options()
        };
        let keyed = |store: &Store, life: u32| {
            let queue = store.queue_or_create("t", 0).unwrap();
            for n in 0..7 {
                let key = format!("life{life}key{n}").into_bytes();
                put(store, &queue, &key, &[&[b"KEYS\x01", &key[..], b"\x02"].concat()]);
            }
            while store.step(Step::Dispatch) || store.step(Step::Index) {}
            while store.step(Step::Scrub) {}
        };
        let (store, _) = open(&disk, options.clone());
        keyed(&store, 0);
        drop(store);
        // The log loses what was not flushed, and the index what stands for it.
        disk.reboot(Reboot::PowerLoss);
        let (store, _) = open(&disk, options);
        let found_by_opening = store.metrics().index_damaged.get();
        keyed(&store, 1);
        keyed(&store, 2);
        assert_eq!(store.metrics().index_damaged.get(), found_by_opening, "seed {seed}");
    }
}
