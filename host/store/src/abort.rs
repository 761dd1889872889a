//! The file `abort`: the sign of a running process, and of which program it is.
//!
//! It is RocketMQ's: there while a store is open, gone after an orderly end. RocketMQ writes its process id into it at every
//! start. Gantry writes its name before, so that a start can tell who ran last: whether records without the property
//! checksum are whole (RocketMQ's) or torn (Gantry's) depends on it. Behind the id stand how it flushed and
//! which start of the machine it ran in, `gantry 4711 async 5d6e...`: with asynchronous flush a power loss can take records back
//! whose consume queue entries are on disk.

use std::{io, path::Path};

use gantry_base::{
    disk::{self, Disk},
    durable,
};

use crate::{
    error::{DiskError, SYNC, While},
    options::Flush,
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

/// What consume queues may have entries of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Of flushed records only.
    Flushed,
    /// Of records that were not flushed; but the machine has not started anew since, so all of them are there.
    Unflushed,
    /// Of records that the log lost.
    Lost,
}

/// What the first process that died since the last orderly end may have dispatched.
pub(crate) fn dispatched(disk: &dyn Disk, dir: &Path) -> Result<Entries, DiskError> {
    let path = dir.join("abort");
    match disk::read_whole(disk, &path, LEN_MAX) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(match text.split(' ').collect::<Vec<_>>()[..] {
                ["gantry", _, "sync", ..] => Entries::Flushed,
                ["gantry", _, _, boot] if !boot.is_empty() && boot == disk.boot() => Entries::Unflushed,
                _ => Entries::Lost,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::Flushed),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Entries::Lost),
        Err(error) => Err(error).doing("read", &path),
    }
}

/// Marks the store as open, durably, before anything in it is changed. What `last` found stays readable until
/// [`claim`]: with `other`, a crash from now on counts as that of the other program.
pub(crate) fn mark_running(
    disk: &dyn Disk,
    dir: &Path,
    last: LastRun,
    other: bool,
    flush: Flush,
) -> Result<(), DiskError> {
    let path = dir.join("abort");
    let file = disk.open(&path, true).doing("create", &path)?;
    let text = match last {
        LastRun::Ended if other => std::process::id().to_string().into_bytes(),
        LastRun::Ended => own_text(disk, flush).into_bytes(),
        // It may have died before this was durable, and then a power loss would change what it says.
        LastRun::Died | LastRun::OtherDied => {
            let mut text = vec![0; file.len().doing("look at", &path)?.min(LEN_MAX) as usize];
            let found = file.read_at(&mut text, 0).doing("read", &path)?;
            text.truncate(found);
            text
        }
    };
    file.write_at(&text, 0).doing("write", &path)?;
    file.sync().doing(SYNC, &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)
}

/// From now on a crash is Gantry's. Call it when the checkpoint says from where on records are Gantry's, before any is
/// appended.
pub(crate) fn claim(disk: &dyn Disk, dir: &Path, flush: Flush) -> Result<(), DiskError> {
    let path = dir.join("abort");
    durable::replace(disk, &path, own_text(disk, flush).as_bytes(), false).doing("replace", &path)
}

/// Removes it: everything is on disk.
pub(crate) fn mark_stopped(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("abort");
    disk.remove_file(&path).doing("remove", &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)
}

fn own_text(disk: &dyn Disk, flush: Flush) -> String {
    let flushed = match flush {
        Flush::Sync => "sync",
        Flush::Async { .. } => "async",
    };
    format!("gantry {} {flushed} {}", std::process::id(), disk.boot())
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::{Reboot, SimDisk};

    use super::*;

    #[test]
    fn it_says_who_ran_last() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        let last = || last_run(&disk, dir).unwrap();
        assert_eq!(last(), LastRun::Ended);
        mark_running(&disk, dir, LastRun::Ended, false, Flush::Sync).unwrap();
        assert_eq!(last(), LastRun::Died);
        mark_stopped(&disk, dir).unwrap();
        assert_eq!(last(), LastRun::Ended);
        // The other program died; so does Gantry before it has understood what is there, and after.
        mark_running(&disk, dir, LastRun::Ended, true, Flush::Sync).unwrap();
        assert_eq!(last(), LastRun::OtherDied);
        mark_running(&disk, dir, LastRun::OtherDied, true, Flush::Sync).unwrap();
        assert_eq!(last(), LastRun::OtherDied);
        claim(&disk, dir, Flush::Sync).unwrap();
        assert_eq!(last(), LastRun::Died);
    }

    #[test]
    fn it_says_how_the_last_one_flushed() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        let entries = || dispatched(&disk, dir).unwrap();
        assert_eq!(entries(), Entries::Flushed, "nobody died");
        mark_running(&disk, dir, LastRun::Ended, false, Flush::Sync).unwrap();
        assert_eq!(entries(), Entries::Flushed);
        claim(&disk, dir, Flush::Async { interval_ms: 500 }).unwrap();
        assert_eq!(entries(), Entries::Unflushed, "only the process died");
        disk.reboot(Reboot::PowerLoss);
        assert_eq!(entries(), Entries::Lost);
        mark_running(&disk, dir, LastRun::Died, false, Flush::Sync).unwrap();
        assert_eq!(entries(), Entries::Lost, "it stays so until an orderly end");
        for text in ["gantry 4711", "gantry 4711 async", "gantry 4711 async ", "4711", ""] {
            durable::replace(&disk, &dir.join("abort"), text.as_bytes(), false).unwrap();
            assert_eq!(entries(), Entries::Lost, "{text:?} does not say");
        }
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
