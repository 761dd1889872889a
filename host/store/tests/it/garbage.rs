//! Whatever is in the files: opening gives a store or an error, and reading gives records or errors.

use std::path::{Path, PathBuf};

use gantry_base::disk::{
    Disk,
    sim::{Reboot, SimDisk, SplitMix64},
};
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_store::*;

use crate::rig::{self, DIR, draft, flush_and_dispatch, try_open};

fn options() -> Options {
    Options { segment_size_bytes: 4096, queue_file_entries: 8, allocate_ahead_bytes: 1024, ..rig::options() }
}

fn open(disk: &SimDisk) -> Result<(Store, RecoveryReport), OpenError> {
    try_open(disk, options())
}

fn files(disk: &SimDisk, folder: &Path) -> Vec<PathBuf> {
    let entries = disk.list(folder).unwrap();
    let below = |entry: gantry_base::disk::DirEntry| {
        let path = folder.join(entry.name);
        if entry.is_dir { files(disk, &path) } else { vec![path] }
    };
    entries.into_iter().flat_map(below).collect()
}

fn append(store: &Store, rng: &mut SplitMix64) -> Result<(), AppendError> {
    let queue = store.queue_or_create(["a", "b"][rng.below(2) as usize], rng.below(2) as u32).unwrap();
    let body = vec![rng.next_u64() as u8; rng.below(300) as usize];
    store.append(&[draft(&queue, &body, &[b"TAGS\x01x\x02"])], &mut Vec::new())
}

/// Touches everything that reads.
fn read_everything(store: &Store) {
    for topic in store.topics() {
        for queue in (0..2).filter_map(|id| store.queue(&topic, id)) {
            let (mut entries, mut bytes) = (Vec::new(), Vec::new());
            let min = queue.min_offset();
            let _ = store.entries(&queue, min, 1000, Wait::Allowed, &mut entries);
            let mut picked: Vec<_> = (0..).map(|n| min.plus(n)).zip(entries.iter().copied()).collect();
            for one in &picked {
                let _ = store.read_records(&queue, &mut vec![*one], Wait::Allowed, &mut bytes);
                let _ = store.record(one.1.physical_offset, Wait::Allowed);
            }
            let _ = store.read_records(&queue, &mut picked, Wait::Allowed, &mut bytes);
            let _ = store.offset_by_time(&queue, 5, Boundary::Lower);
            let _ = store.store_time_of(&queue, QueueOffset(u64::MAX));
            let _ = queue.first_physical_offset();
        }
    }
    for at in 0..64 {
        let _ = store.record(PhysicalOffset(at * 61), Wait::Allowed);
    }
}

#[test]
fn scribbled_files_never_panic() {
    let mut opened = 0;
    for seed in 0..300 {
        let mut rng = SplitMix64::new(seed);
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk).unwrap();
        for _ in 0..40 {
            append(&store, &mut rng).unwrap();
        }
        flush_and_dispatch(&store);
        store.step(Step::Checkpoint);
        for _ in 0..20 {
            append(&store, &mut rng).unwrap();
        }
        store.delete_topic("b").unwrap();
        if rng.coin() {
            store.shutdown().unwrap();
        }
        drop(store);
        disk.reboot(Reboot::Kill);
        let files = files(&disk, Path::new(DIR));
        for _ in 0..1 + rng.below(4) {
            let path = &files[rng.below(files.len() as u64) as usize];
            let file = disk.open(path, false).unwrap();
            let at = rng.below(file.len().unwrap().clamp(1, 5000));
            let garbage: Vec<u8> = (0..1 + rng.below(40)).map(|_| rng.next_u64() as u8).collect();
            match rng.below(8) {
                0 => file.set_len(at).unwrap(),
                1 => disk.remove_file(path).unwrap(),
                _ => file.write_at(&garbage, at).unwrap(),
            }
            if disk.open(path, false).is_err() {
                break;
            }
        }
        let Ok((store, _)) = open(&disk) else { continue };
        opened += 1;
        read_everything(&store);
        for _ in 0..10 {
            let _ = append(&store, &mut rng);
        }
        flush_and_dispatch(&store);
        read_everything(&store);
        let _ = store.shutdown();
    }
    assert!(opened > 100, "{opened}");
}
