//! Alerts on disk, so that a restart neither tells again what was told nor forgets what is pending.

use std::{io, path::Path};

use gantry_base::{
    disk::Disk,
    durable,
    sealed::{self, Seal},
};
use serde::{Deserialize, Serialize};

use super::Listed;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
struct Kept<A> {
    version: u32,
    alerts: A,
}

/// What was kept; nothing when there is no file. One that cannot be read is an error: what it held is raised again by its
/// sources, so the caller may go on without.
pub(super) fn read(disk: &dyn Disk, file: &Path) -> io::Result<Vec<Listed>> {
    let Some(bytes) = durable::read(disk, file, FILE_BYTES_MAX)? else { return Ok(Vec::new()) };
    let invalid =
        |problem: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {problem}", file.display()));
    if let broken @ Seal::Broken { .. } = sealed::check(&bytes) {
        return Err(invalid(broken.to_string()));
    }
    let kept: Kept<Vec<Listed>> = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    Ok(kept.alerts)
}

/// Replaces the file durably.
pub(super) fn write(disk: &dyn Disk, file: &Path, alerts: &[Listed]) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(&Kept { version: 1, alerts }).map_err(io::Error::other)?;
    durable::replace(disk, file, &sealed::seal(&text), false)
}
