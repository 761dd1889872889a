//! Replacing a whole file so that a crash at any point leaves the old or the new contents.

use std::{io, path::Path};

use crate::disk::Disk;

/// Writes `bytes` to `path`: into `<path>.tmp`, synced, the present file kept as `<path>.bak` when `keep_backup`, then
/// renamed over it and the folder synced. After `Ok` the new contents survive a power loss. After an error the old
/// contents are still what [`read`] gives, unless it was the last step that failed: then it gives the new ones, and a
/// power loss may bring the old ones back.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8], keep_backup: bool) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    match disk.remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&temporary, true)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    if keep_backup {
        // A crash between the two renames leaves only the backup, which `read` then takes.
        match disk.rename(path, &with_suffix(path, ".bak")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => disk.sync_dir(folder),
        None => Ok(()),
    }
}

/// The contents of `path`, of its `.bak` when it is missing or empty, or `None` when there is neither.
pub fn read(disk: &dyn Disk, path: &Path, limit_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    for candidate in [path.to_path_buf(), with_suffix(path, ".bak")] {
        match crate::disk::read_whole(disk, &candidate, limit_bytes) {
            Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
