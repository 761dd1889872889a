//! What files there are, read without believing their sizes.

use std::{io, path::Path, sync::Arc};

use gantry_base::disk::Disk;

use super::CheckReport;
use crate::{
    checkpoint::{Checkpoints, Mark},
    error::{OpenError, While},
    log::{
        Log,
        segment::{Segment, parse_file_name},
    },
    options::{SEGMENT_SIZE_MAX_BYTES, SEGMENT_SIZE_MIN_BYTES},
    sidecar::Sidecar,
};

pub(super) struct Layout {
    /// Parts of the log without gaps, the newest last; one, if it is well.
    pub(super) runs: Vec<Log>,
    pub(super) mark: Option<Mark>,
    pub(super) checked_from: u64,
    /// The last process did not end in order, or runs.
    pub(super) abort: bool,
}

impl Layout {
    pub(super) fn read(disk: &Arc<dyn Disk>, dir: &Path, report: &mut CheckReport) -> Result<Layout, OpenError> {
        let folder = dir.join("commitlog");
        let names = match disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Layout {
                    file: folder,
                    found: "no such folder".into(),
                    expected: "the commit log of a store".into(),
                    advice: "name the data directory of a broker: the folder that holds commitlog/ and consumequeue/",
                });
            }
            names => names.doing("list", &folder)?,
        };
        let mut files = Vec::new();
        for name in names.iter().filter(|name| !name.is_dir) {
            let Some(base) = parse_file_name(&name.name) else {
                report.notes.push(format!("commitlog/{} is no file of a log and was not read", name.name));
                continue;
            };
            let path = folder.join(&name.name);
            let file = disk.open_read_only(&path).doing("open", &path)?;
            let len = file.len().doing("look at", &path)?;
            files.push((base, len, path, file));
        }
        // The distance of two names says the size best; else the longest file does.
        let distances = files.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|size| *size > 0);
        let longest = files.iter().map(|file| file.1).max().unwrap_or(SEGMENT_SIZE_MIN_BYTES);
        let size = distances.min().unwrap_or(longest).clamp(SEGMENT_SIZE_MIN_BYTES, SEGMENT_SIZE_MAX_BYTES);
        let newest = files.last().map(|file| file.0);
        let mut runs: Vec<Vec<Arc<Segment>>> = Vec::new();
        for (base, len, path, file) in files {
            let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
            if len > size || (len < size && Some(base) != newest) {
                report.problem(&name, base, format!("the file has {len} bytes, expected {size}"));
            }
            let segment = Arc::new(Segment::new(base, size, path, file));
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| last.end() == base) => run.push(segment),
                Some(run) => {
                    let end = run.last().map_or(0, |last| last.end());
                    report.problem(
                        &name,
                        end,
                        format!("files are missing: the one before ends at {end}, this one begins at {base}"),
                    );
                    runs.push(vec![segment]);
                }
                None => runs.push(vec![segment]),
            }
        }
        let mark = Checkpoints::read(&**disk, dir)?;
        // Looked into only where the checkpoint does not say it; what else it has is checked by who needs it.
        let noted = || Sidecar::open(&**disk, dir).ok().and_then(|sidecar| sidecar.checked_from);
        let checked_from = mark.map(|mark| mark.checked_from).or_else(noted).unwrap_or(u64::MAX);
        let abort = match disk.open_read_only(&dir.join("abort")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            file => file.map(|_| true).doing("open", &dir.join("abort"))?,
        };
        let runs = runs.into_iter().map(|run| Log::new(disk.clone(), folder.clone(), size, run)).collect();
        Ok(Layout { runs, mark, checked_from, abort })
    }
}
