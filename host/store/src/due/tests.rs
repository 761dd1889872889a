use gantry_base::disk::sim::{Reboot, SimDisk, SplitMix64};
use gantry_model::offset::PhysicalOffset;

use super::*;

const DIR: &str = "/data/timers";
const LAST: DueKey = DueKey { due_ms: DUE_MS_MAX, queue_offset: u64::MAX };

/// In a folder that is there for good, as the store's is.
fn open(disk: &SimDisk, from: DueKey) -> DueIndex {
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    DueIndex::open(Arc::new(disk.clone()), Path::new(DIR), from).unwrap()
}

fn entry(due_ms: u64, queue_offset: u64) -> DueEntry {
    let kind = if queue_offset.is_multiple_of(5) { DueKind::Recall } else { DueKind::Deliver };
    let key = DueKey { due_ms, queue_offset };
    DueEntry { key, kind, physical_offset: PhysicalOffset(queue_offset * 100), size: 100 }
}

fn drain(index: &mut DueIndex) -> Vec<DueEntry> {
    std::iter::from_fn(|| index.take_due(LAST).unwrap()).collect()
}

#[test]
fn entries_come_by_due_time_through_seals_merges_and_reopening() {
    for seed in 0..8 {
        let mut rng = SplitMix64::new(seed);
        let disk = SimDisk::new(seed);
        let mut index = open(&disk, DueKey::default());
        let mut pending: BTreeMap<DueKey, DueEntry> = BTreeMap::new();
        let mut done = Done::default();
        let mut next = 0;
        for _ in 0..400 {
            match rng.below(12) {
                0..6 => {
                    for _ in 0..rng.below(300) {
                        let new = entry(done.to.due_ms + 1 + rng.below(5_000), next);
                        next += 1;
                        index.insert(new);
                        pending.insert(new.key, new);
                    }
                }
                6..8 => {
                    for _ in 0..rng.below(400) {
                        let to = DueKey { due_ms: done.to.due_ms + rng.below(200), queue_offset: u64::MAX };
                        let found = index.take_due(to).unwrap();
                        let expected = pending.first_key_value().map(|(_, entry)| *entry).filter(|e| e.key <= to);
                        assert_eq!(found, expected, "seed {seed}");
                        let Some(taken) = found else { break };
                        pending.remove(&taken.key);
                        done.to = taken.key;
                        done.forget_before = DueKey { due_ms: taken.key.due_ms.saturating_sub(100), queue_offset: 0 };
                    }
                }
                8 => index.seal(next, &[], &done).unwrap(),
                9 => drop(index.merge(1 + rng.below(2_000) as usize, &done).unwrap()),
                10 => {
                    let (a, b) = (rng.below(next + 1), rng.below(next + 1));
                    let range = a.min(b)..a.max(b);
                    let mut expected: Vec<_> =
                        pending.values().filter(|entry| range.contains(&entry.key.queue_offset)).copied().collect();
                    expected.sort_unstable_by_key(|entry| entry.key.queue_offset);
                    expected.truncate(200);
                    assert_eq!(index.scan(range, &done, 200).unwrap(), expected, "seed {seed}");
                }
                _ => {
                    let (sealed, from) = (index.indexed_to(), behind(done.to));
                    drop(index);
                    disk.crash();
                    disk.reboot(if rng.coin() { Reboot::Kill } else { Reboot::PowerLoss });
                    index = open(&disk, from);
                    assert_eq!(index.indexed_to(), sealed, "a seal lasts");
                    for entry in pending.values().filter(|entry| entry.key.queue_offset >= sealed) {
                        index.insert(*entry);
                    }
                }
            }
            assert_eq!(index.pending(), pending.len() as u64, "seed {seed}");
        }
        while index.merge(10_000, &done).unwrap() {}
        assert!(index.runs.len() < 4 * MERGE_RUNS, "{index:?}");
        assert_eq!(drain(&mut index), pending.into_values().collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_crash_at_any_call_of_a_seal_or_merge_leaves_the_old_or_the_new_index() {
    let fill = |disk: &SimDisk| {
        let mut index = open(disk, DueKey::default());
        for run in 0..MERGE_RUNS as u64 {
            (run * 500..(run + 1) * 500).for_each(|nth| index.insert(entry(nth * 7919 % 4000, nth)));
            index.seal((run + 1) * 500, &[], &Done::default()).unwrap();
        }
        index
    };
    let (counting, before) = (SimDisk::new(0), 4_000);
    drop(fill(&counting));
    let filled = counting.operations();
    let rest = |index: &mut DueIndex| -> Result<(), DueError> {
        while index.merge(700, &Done::default())? {}
        (before..before + 100).for_each(|nth| index.insert(entry(nth, nth)));
        index.seal(before + 100, &[], &Done::default())
    };
    rest(&mut open(&counting, DueKey::default())).unwrap();
    let total = counting.operations();
    assert!(total - filled > 10);
    for at in filled + 1..=total {
        for seed in 0..3 {
            let disk = SimDisk::with_sector_len(seed, 512);
            let mut index = fill(&disk);
            disk.crash_at(at);
            // The open of the count above took calls too, so the last few are beyond the end.
            let crashed = rest(&mut index).is_err();
            drop(index);
            disk.crash();
            disk.reboot(Reboot::PowerLoss);
            let mut index = open(&disk, DueKey::default());
            assert!(index.indexed_to() == before || (index.indexed_to() == before + 100), "{}", index.indexed_to());
            assert!(crashed || index.indexed_to() == before + 100);
            let found = drain(&mut index);
            assert_eq!(found.len() as u64, index.indexed_to());
            assert!(found.windows(2).all(|pair| pair[0].key < pair[1].key));
        }
    }
}

#[test]
fn what_is_damaged_is_thrown_away_at_the_start_and_named_later() {
    let disk = SimDisk::new(1);
    let mut index = open(&disk, DueKey::default());
    (0..100_000).for_each(|nth| index.insert(entry(nth, nth)));
    index.seal(100_000, &[], &Done::default()).unwrap();
    let path = path_of(Path::new(DIR), 0);
    let flip = |at: u64| {
        let file = disk.open(&path, false).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 4], at).unwrap();
    };
    flip(2_000_000);
    let mut index = open(&disk, DueKey::default());
    let error = loop {
        match index.take_due(LAST) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the damage was not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, DueError::Damaged { file, .. } if *file == path), "{error}");
    index.clear().unwrap();
    assert_eq!((index.indexed_to(), index.pending()), (0, 0));
    assert!(disk.list(Path::new(DIR)).unwrap().is_empty());

    index.insert(entry(1, 1));
    index.seal(2, &[], &Done::default()).unwrap();
    disk.remove_file(&path_of(Path::new(DIR), 1)).unwrap();
    let index = open(&disk, DueKey::default());
    assert_eq!((index.indexed_to(), index.pending()), (0, 0), "a missing run makes the index begin anew");
}

#[test]
fn entries_that_were_taken_can_be_kept_for_the_next_start() {
    let disk = SimDisk::new(1);
    let mut index = open(&disk, DueKey::default());
    (0..10).for_each(|nth| index.insert(entry(nth, nth)));
    let taken: Vec<_> = (0..6).map(|_| index.take_due(LAST).unwrap().unwrap()).collect();
    let forget_before = DueKey { due_ms: 4, queue_offset: 0 };
    let done = Done { to: taken[5].key, forget_before, void_below: 8 };
    index.seal(10, &taken, &done).unwrap();
    let keys = |index: &mut DueIndex| drain(index).iter().map(|entry| entry.key.queue_offset).collect::<Vec<_>>();
    assert_eq!(keys(&mut index), [8, 9], "what was taken does not come twice, what is void not at all");
    let done = Done { void_below: 0, ..done };
    (4..6).for_each(|nth| index.insert(entry(nth + 20, nth + 20)));
    index.seal(30, &taken, &done).unwrap();
    let mut index = open(&disk, forget_before);
    assert_eq!(keys(&mut index), [4, 5, 8, 9, 24, 25]);
}
