//! One process at a time, and whether the last one left in order.

use std::{io, path::Path};

use gantry_base::disk::Disk;

use crate::error::{DiskError, OpenError, SYNC, While};

/// Held while the store is open. Source: RocketMQ's `lock`, an exclusive lock on a file of that name.
pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    disk.create_dir_all(dir).doing("create folder", dir)?;
    match disk.lock(&dir.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::InUse { dir: dir.into() }),
        guard => Ok(guard.doing("lock", &dir.join("lock"))?),
    }
}

/// Writes RocketMQ's `abort`, the sign of a running process; `true` when it was there already: the last one crashed.
pub(crate) fn mark_running(disk: &dyn Disk, dir: &Path) -> Result<bool, DiskError> {
    let path = dir.join("abort");
    match disk.open(&path, false) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).doing("open", &path),
    }
    let file = disk.open(&path, true).doing("create", &path)?;
    file.write_at(std::process::id().to_string().as_bytes(), 0).doing("write", &path)?;
    file.sync().doing(SYNC, &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)?;
    Ok(false)
}

/// Removes it: everything is on disk.
pub(crate) fn mark_stopped(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let path = dir.join("abort");
    disk.remove_file(&path).doing("remove", &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)
}
