//! The file `abort`: the sign of a running process, and of which program it is.
//!
//! It is RocketMQ's: there while a store is open, gone after an orderly end. RocketMQ writes its process id into it at every
//! start. Gantry writes its name before, so that a start can tell who ran last: whether records without the property
//! checksum are whole (RocketMQ's) or torn (Gantry's) depends on it.

use std::{io, path::Path};

use gantry_base::{
    disk::{self, Disk},
    durable,
};

use crate::{
    error::{DiskError, SYNC, While},
    planted::{self, PlantedBug},
};

/// How the last process that had the store open ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastRun {
    /// In order, or there was none.
    Ended,
    /// It was Gantry, and it died.
    Died,
    /// It was another program, and it died.
    OtherDied,
}

/// Longest file that is looked at; process ids are far shorter.
const LEN_MAX: u64 = 4096;

/// What `abort` says.
pub(crate) fn last_run(disk: &dyn Disk, dir: &Path) -> Result<LastRun, DiskError> {
    let path = dir.join("abort");
    match disk::read_whole(disk, &path, LEN_MAX) {
        Ok(_) if planted::is(PlantedBug::CrashTakenForStop) => Ok(LastRun::Ended),
        // RocketMQ empties the file before it writes its id. Gantry's is empty only if its very first write was lost, and
        // then it had appended nothing: nothing is torn.
        Ok(bytes) if bytes.iter().all(u8::is_ascii_digit) => Ok(LastRun::OtherDied),
        Ok(_) => Ok(LastRun::Died),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LastRun::Ended),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(LastRun::Died),
        Err(error) => Err(error).doing("read", &path),
    }
}

/// Marks the store as open, durably, before anything in it is changed. What `last` found stays readable until
/// [`claim`]: with `other`, a crash from now on counts as that of the other program.
pub(crate) fn mark_running(disk: &dyn Disk, dir: &Path, last: LastRun, other: bool) -> Result<(), DiskError> {
    if last != LastRun::Ended {
        return Ok(());
    }
    let path = dir.join("abort");
    let file = disk.open(&path, true).doing("create", &path)?;
    let text = if other { std::process::id().to_string() } else { own_text() };
    file.write_at(text.as_bytes(), 0).doing("write", &path)?;
    file.sync().doing(SYNC, &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)
}

/// From now on a crash is Gantry's. Call it when the checkpoint says from where on records are Gantry's, before any is
/// appended.
pub(crate) fn claim(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("abort");
    durable::replace(disk, &path, own_text().as_bytes(), false).doing("replace", &path)
}

/// Removes it: everything is on disk.
pub(crate) fn mark_stopped(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("abort");
    disk.remove_file(&path).doing("remove", &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)
}

fn own_text() -> String {
    format!("gantry {}", std::process::id())
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;

    use super::*;

    #[test]
    fn it_says_who_ran_last() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        let last = || last_run(&disk, dir).unwrap();
        assert_eq!(last(), LastRun::Ended);
        mark_running(&disk, dir, LastRun::Ended, false).unwrap();
        assert_eq!(last(), LastRun::Died);
        mark_stopped(&disk, dir).unwrap();
        assert_eq!(last(), LastRun::Ended);
        // The other program died; so does Gantry before it has understood what is there, and after.
        mark_running(&disk, dir, LastRun::Ended, true).unwrap();
        assert_eq!(last(), LastRun::OtherDied);
        mark_running(&disk, dir, LastRun::OtherDied, true).unwrap();
        assert_eq!(last(), LastRun::OtherDied);
        claim(&disk, dir).unwrap();
        assert_eq!(last(), LastRun::Died);
    }

    #[test]
    fn only_digits_are_another_programs() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        for (text, expected) in [("4711", LastRun::OtherDied), ("", LastRun::OtherDied), ("gantrx 4711", LastRun::Died)]
        {
            let file = disk.open(&dir.join("abort"), true).unwrap();
            file.set_len(0).unwrap();
            file.write_at(text.as_bytes(), 0).unwrap();
            assert_eq!(last_run(&disk, dir).unwrap(), expected, "{text:?}");
        }
    }
}
