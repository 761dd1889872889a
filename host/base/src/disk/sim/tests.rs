use super::*;
use crate::disk::read_whole;

fn file(disk: &SimDisk, path: &str) -> Arc<dyn DiskFile> {
    let path = Path::new(path);
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    disk.open(path, true).unwrap()
}

fn bytes(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    match read_whole(disk, Path::new(path), 1 << 20) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

fn sync_names(disk: &SimDisk) {
    for folder in ["/", "/a"] {
        disk.sync_dir(Path::new(folder)).unwrap();
    }
}

/// Runs a story under many seeds and returns how many of them ended in each way.
fn endings<T: Ord>(story: impl Fn(&SimDisk) -> T) -> std::collections::BTreeMap<T, usize> {
    let mut endings = std::collections::BTreeMap::new();
    for seed in 0..300 {
        *endings.entry(story(&SimDisk::new(seed))).or_default() += 1;
    }
    endings
}

#[test]
fn what_was_synced_survives_and_what_was_not_may_not() {
    let lost = endings(|disk| {
        let it = file(disk, "/a/f");
        it.write_at(&[1; 2048], 0).unwrap();
        it.sync().unwrap();
        sync_names(disk);
        it.write_at(&[2; 2048], 1024).unwrap();
        assert_eq!(bytes(disk, "/a/f").unwrap()[1024..], [2; 2048], "with power on, reads see every write");
        disk.reboot(Reboot::PowerLoss);
        assert!(it.read_at(&mut [0], 0).is_err(), "an old handle is dead");
        let found = bytes(disk, "/a/f").unwrap();
        assert_eq!(found[..1024], [1; 1024]);
        for sector in found[1024..].chunks(512) {
            assert!(sector.iter().all(|byte| byte == &sector[0]), "a sector is never torn");
        }
        found[1024..].chunks(512).map(|sector| sector[0]).collect::<Vec<_>>()
    });
    assert!(lost.contains_key(&vec![1, 1]), "all lost: the length too");
    assert!(lost.contains_key(&vec![2, 2, 2, 2]), "all kept");
    assert!(lost.contains_key(&vec![1, 2, 2, 0]) || lost.contains_key(&vec![2, 1, 0, 2]), "torn and reordered");
}

#[test]
fn a_kill_keeps_the_page_cache_and_frees_the_lock() {
    let disk = SimDisk::new(1);
    file(&disk, "/a/f").write_at(b"x", 0).unwrap();
    let lock = disk.lock(Path::new("/a/lock")).unwrap();
    assert_eq!(disk.lock(Path::new("/a/lock")).err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    disk.crash();
    assert!(disk.open(Path::new("/a/f"), false).is_err());
    disk.reboot(Reboot::Kill);
    assert_eq!(bytes(&disk, "/a/f"), Some(b"x".to_vec()));
    let second = disk.lock(Path::new("/a/lock")).unwrap();
    drop(lock);
    assert!(disk.lock(Path::new("/a/lock")).is_err(), "the old life's guard frees nothing");
    drop(second);
    disk.lock(Path::new("/a/lock")).unwrap();
}

#[test]
fn names_are_durable_after_their_folder_is_synced() {
    let endings = endings(|disk| {
        let it = file(disk, "/a/f");
        it.write_at(b"x", 0).unwrap();
        it.sync().unwrap();
        disk.reboot(Reboot::PowerLoss);
        bytes(disk, "/a/f")
    });
    assert_eq!(endings.keys().cloned().collect::<Vec<_>>(), [None, Some(b"x".to_vec())]);
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let it = file(&disk, "/a/f");
        it.write_at(b"x", 0).unwrap();
        it.sync().unwrap();
        sync_names(&disk);
        disk.reboot(Reboot::PowerLoss);
        assert_eq!(bytes(&disk, "/a/f"), Some(b"x".to_vec()));
    }
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    for keep_backup in [false, true] {
        for seed in 0..300 {
            let disk = SimDisk::new(seed);
            let path = Path::new("/a/f");
            disk.create_dir_all(Path::new("/a")).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            crate::durable::replace(&disk, path, &[1; 1500], keep_backup).unwrap();
            disk.crash_at(disk.operations() + 1 + seed % 8);
            let done = crate::durable::replace(&disk, path, &[2; 1500], keep_backup).is_ok();
            disk.reboot(Reboot::PowerLoss);
            let found = crate::durable::read(&disk, path, 4096).unwrap().expect("never neither");
            assert!(found == [2; 1500] || (!done && found == [1; 1500]), "seed {seed}");
        }
    }
}

#[test]
fn a_full_disk_writes_what_fits() {
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(3 * BLOCK_LEN));
    let it = file(&disk, "/a/f");
    it.set_len(1 << 30).unwrap();
    it.allocate(0, BLOCK_LEN).unwrap();
    assert_eq!(it.allocate(0, 4 * BLOCK_LEN).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let full = it.write_at(&[7; 4 * BLOCK_LEN as usize], 100).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.used_bytes(), 3 * BLOCK_LEN);
    let mut found = [0; 2];
    it.read_at(&mut found, 3 * BLOCK_LEN - 1).unwrap();
    assert_eq!(found, [7, 0]);
    it.write_at(&[8; 2 * BLOCK_LEN as usize], 0).unwrap();
    disk.remove_file(Path::new("/a/f")).unwrap();
    sync_names(&disk);
    drop(it);
    file(&disk, "/a/g").write_at(&[1], 0).unwrap();
    assert_eq!(disk.used_bytes(), BLOCK_LEN, "a removed file's blocks are free");
}

#[test]
fn a_failed_sync_is_not_mended_by_the_next() {
    let endings = endings(|disk| {
        let it = file(disk, "/a/f");
        it.write_at(&[1; 512], 0).unwrap();
        it.sync().unwrap();
        sync_names(disk);
        it.write_at(&[2; 512], 0).unwrap();
        disk.fail(Fault::once(Operation::Sync));
        assert_eq!(it.sync().unwrap_err().raw_os_error(), Some(5));
        assert!(disk.faults_spent());
        it.sync().unwrap();
        assert_eq!(bytes(disk, "/a/f"), Some(vec![2; 512]), "it reads back well");
        disk.reboot(Reboot::PowerLoss);
        bytes(disk, "/a/f").unwrap()[0]
    });
    assert_eq!(endings.keys().copied().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_crash_stops_everything_at_its_operation() {
    let disk = SimDisk::new(3);
    let it = file(&disk, "/a/f");
    let before = disk.operations();
    disk.crash_at(before + 3);
    it.write_at(&[1; 64], 0).unwrap();
    it.sync().unwrap();
    assert!(it.write_at(&[2; 64], 0).is_err() && disk.crashed());
    assert!(it.sync().is_err() && it.len().is_err() && disk.list(Path::new("/a")).is_err());
    assert_eq!(disk.operations(), before + 3, "what a dead process does is not counted");
}

#[test]
fn a_cut_end_comes_back_unless_the_shorter_length_was_synced() {
    for between in [false, true] {
        let endings = endings(|disk| {
            let it = file(disk, "/a/f");
            it.write_at(&[1; 2 * BLOCK_LEN as usize], 0).unwrap();
            it.sync().unwrap();
            sync_names(disk);
            it.set_len(10).unwrap();
            if between {
                it.sync().unwrap();
            }
            it.set_len(2 * BLOCK_LEN).unwrap();
            it.sync().unwrap();
            disk.reboot(Reboot::PowerLoss);
            bytes(disk, "/a/f").unwrap()[BLOCK_LEN as usize + 1000]
        });
        let expected: &[u8] = if between { &[0] } else { &[0, 1] };
        assert_eq!(endings.keys().copied().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn stale_blocks_show_where_no_sync_settled_what_was_written() {
    let story = |disk: &SimDisk, allocated: bool, synced: bool, removed: bool| {
        disk.show_stale_blocks();
        let it = file(disk, "/a/f");
        it.write_at(&[1; 2 * BLOCK_LEN as usize], 0).unwrap();
        it.sync().unwrap();
        sync_names(disk);
        let it = if removed {
            drop(it);
            disk.remove_file(Path::new("/a/f")).unwrap();
            sync_names(disk);
            file(disk, "/a/f")
        } else {
            it.set_len(0).unwrap();
            it
        };
        it.sync().unwrap();
        sync_names(disk);
        if allocated {
            it.allocate(0, 2 * BLOCK_LEN).unwrap();
        }
        it.write_at(&[2; 1024], BLOCK_LEN).unwrap();
        if synced {
            it.sync().unwrap();
        }
        disk.reboot(Reboot::PowerLoss);
        bytes(disk, "/a/f").unwrap().get(BLOCK_LEN as usize).copied()
    };
    for removed in [false, true] {
        let shown = endings(|disk| story(disk, false, false, removed));
        assert_eq!(shown.keys().copied().collect::<Vec<_>>(), [None, Some(0), Some(1), Some(2)], "{removed}");
        let settled = endings(|disk| story(disk, false, true, removed));
        assert_eq!(settled.keys().copied().collect::<Vec<_>>(), [Some(2)]);
        let unwritten = endings(|disk| story(disk, true, false, removed));
        assert_eq!(unwritten.keys().copied().collect::<Vec<_>>(), [None, Some(0), Some(2)], "{removed}");
    }
}

#[test]
fn a_fork_goes_its_own_way() {
    let disk = SimDisk::new(1);
    let it = file(&disk, "/a/f");
    it.write_at(b"abc", 0).unwrap();
    let fork = disk.fork();
    file(&fork, "/a/f").write_at(b"xy", 0).unwrap();
    it.write_at(b"-", 2).unwrap();
    assert_eq!(bytes(&disk, "/a/f").unwrap(), b"ab-");
    assert_eq!(bytes(&fork, "/a/f").unwrap(), b"xyc");
}

#[test]
fn a_shrunk_file_may_come_back_until_synced() {
    let endings = endings(|disk| {
        let it = file(disk, "/a/f");
        it.write_at(&[1; 1024], 0).unwrap();
        it.sync().unwrap();
        sync_names(disk);
        it.set_len(10).unwrap();
        it.set_len(1024).unwrap();
        assert_eq!(bytes(disk, "/a/f").unwrap()[10..], [0; 1014]);
        disk.reboot(Reboot::PowerLoss);
        bytes(disk, "/a/f").unwrap()[1000]
    });
    assert_eq!(endings.keys().copied().collect::<Vec<_>>(), [0, 1]);
}
