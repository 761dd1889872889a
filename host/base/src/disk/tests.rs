//! What both disks promise, told once and run on each.

use super::{sim::SimDisk, *};
use crate::durable;

fn contract(disk: &dyn Disk, dir: &Path) {
    let kind = |error: io::Error| error.kind();
    assert_eq!(disk.list(&dir.join("absent")).map_err(kind), Err(io::ErrorKind::NotFound));
    assert_eq!(disk.open(&dir.join("absent"), false).err().map(kind), Some(io::ErrorKind::NotFound));
    assert_eq!(disk.remove_file(&dir.join("absent")).map_err(kind), Err(io::ErrorKind::NotFound));
    disk.remove_dir_all(&dir.join("absent")).unwrap();

    let deep = dir.join("a/b");
    disk.create_dir_all(&deep).unwrap();
    disk.create_dir_all(&deep).unwrap();
    let path = deep.join("file");
    let file = disk.open(&path, true).unwrap();
    assert!(file.is_empty().unwrap());
    file.write_at(b"hello", 3).unwrap();
    assert_eq!(file.len().unwrap(), 8);
    let mut buf = [9; 10];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8, "fewer only at the end");
    assert_eq!(&buf[..8], b"\0\0\0hello");
    assert_eq!(file.read_at(&mut buf, 100).unwrap(), 0);
    assert_eq!(file.try_read_at(&mut buf[..4], 4).unwrap(), Some(4), "just written, so in memory");
    assert_eq!(&buf[..4], b"ello");
    assert_eq!(read_exact_at(&*file, &mut buf, 0).map_err(kind), Err(io::ErrorKind::UnexpectedEof));
    file.sync().unwrap();
    file.allocate(0, 8192).unwrap();
    assert_eq!(file.len().unwrap(), 8192, "reserving behind the end moves it");
    file.set_len(5).unwrap();
    file.set_len(8).unwrap();
    assert_eq!(read_whole(disk, &path, 8).unwrap(), b"\0\0\0he\0\0\0", "what was cut off reads as zeros");
    assert_eq!(read_whole(disk, &path, 7).map_err(kind), Err(io::ErrorKind::FileTooLarge));

    let names = |folder: &Path| -> Vec<(String, bool)> {
        disk.list(folder).unwrap().into_iter().map(|entry| (entry.name, entry.is_dir)).collect()
    };
    disk.open(&dir.join("a/z"), true).unwrap();
    assert_eq!(names(&dir.join("a")), [("b".into(), true), ("z".into(), false)]);
    disk.rename(&path, &deep.join("other")).unwrap();
    disk.sync_dir(&deep).unwrap();
    assert_eq!(names(&deep), [("other".into(), false)]);
    disk.remove_dir_all(&dir.join("a")).unwrap();
    assert_eq!(names(dir), []);

    let gone = disk.open(&dir.join("gone"), true).unwrap();
    gone.write_at(b"still here", 0).unwrap();
    disk.remove_file(&dir.join("gone")).unwrap();
    disk.sync_dir(dir).unwrap();
    let mut read = [0; 10];
    assert_eq!((gone.read_at(&mut read, 0).unwrap(), &read), (10, b"still here"), "as long as somebody has it open");
    drop(gone);
    let space = disk.space(dir).unwrap();
    assert!(space.available_bytes > 0 && space.used_percent() <= 100);

    let guard = disk.lock(&dir.join("lock")).unwrap();
    assert_eq!(disk.lock(&dir.join("lock")).err().map(kind), Some(io::ErrorKind::WouldBlock));
    drop(guard);
    disk.lock(&dir.join("lock")).unwrap();

    let state = dir.join("state");
    assert_eq!(durable::read(disk, &state, 100).unwrap(), None);
    durable::replace(disk, &state, b"one", true).unwrap();
    durable::replace(disk, &state, b"two", true).unwrap();
    assert_eq!(durable::read(disk, &state, 100).unwrap().as_deref(), Some(&b"two"[..]));
    disk.remove_file(&state).unwrap();
    assert_eq!(durable::read(disk, &state, 100).unwrap().as_deref(), Some(&b"one"[..]), "the backup stands in");
    assert_eq!(durable::read(disk, &state, 2).map_err(kind), Err(io::ErrorKind::FileTooLarge));
}

#[test]
fn the_real_disk_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract(&RealDisk, dir.path());
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/t")).unwrap();
    contract(&disk, Path::new("/t"));
}

#[test]
fn a_simulated_disk_says_how_full_it_is() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(Path::new("/t")).unwrap();
    disk.set_capacity(Some(100 * 4096));
    let file = disk.open(Path::new("/t/f"), true).unwrap();
    file.write_at(&[1; 90 * 4096], 0).unwrap();
    let space = disk.space(Path::new("/t")).unwrap();
    assert_eq!((space.used_bytes, space.available_bytes, space.used_percent()), (90 * 4096, 10 * 4096, 90));
    disk.remove_file(Path::new("/t/f")).unwrap();
    disk.sync_dir(Path::new("/t")).unwrap();
    assert_eq!(disk.space(Path::new("/t")).unwrap().used_percent(), 90, "somebody has it open");
    drop(file);
    assert_eq!(disk.space(Path::new("/t")).unwrap().used_percent(), 0);
}

#[test]
fn the_share_in_use_is_rounded_up() {
    let share = |used_bytes, available_bytes| Space { used_bytes, available_bytes }.used_percent();
    assert_eq!([share(0, 0), share(0, 5), share(1, 999), share(75, 25), share(7501, 2499)], [0, 0, 1, 75, 76]);
    assert_eq!(share(u64::MAX, u64::MAX), 100);
}
