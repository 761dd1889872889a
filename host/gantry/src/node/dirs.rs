//! The data directory of a node: one process at a time.

use std::{io, path::Path};

use anyhow::{Context, Result, bail};
use gantry_base::disk::{Disk, RealDisk};

/// A data directory that is this process's until it is dropped.
pub(crate) struct DataDir {
    _lock: Box<dyn Send + Sync>,
}

impl DataDir {
    /// Makes the directory if need be and locks it.
    pub(crate) fn take(data: &Path) -> Result<DataDir> {
        let disk = RealDisk;
        disk.create_dir_all(data).with_context(|| format!("could not make the data directory {}", data.display()))?;
        match disk.lock(&data.join("node.lock")) {
            Ok(lock) => Ok(DataDir { _lock: lock }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => bail!(
                "the data directory {} is in use by another gantry process; stop that one (`gantry stop --data {}`) or \
                 choose another directory with --data",
                data.display(),
                data.display()
            ),
            Err(error) => Err(error).with_context(|| format!("could not lock the data directory {}", data.display())),
        }
    }
}
