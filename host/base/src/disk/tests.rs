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
