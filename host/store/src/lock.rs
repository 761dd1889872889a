//! One process at a time.

use std::{io, path::Path};

use gantry_base::disk::Disk;

use crate::error::{OpenError, While};

/// Held while the store is open. Source: RocketMQ's `lock`, an exclusive lock on a file of that name.
pub(crate) fn take(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    disk.create_dir_all(dir).doing("create folder", dir)?;
    match disk.lock(&dir.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OpenError::InUse { dir: dir.into() }),
        guard => Ok(guard.doing("lock", &dir.join("lock"))?),
    }
}
