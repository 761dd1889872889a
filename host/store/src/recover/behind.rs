//! What lies behind the place where the log is cut after a crash.
//!
//! Usually nothing, or a record that was being written. Whole records behind a bad one are the rest of writes whose pages
//! reached the disk in another order than they were made, or acknowledged ones behind bytes that the disk spoiled. From the
//! bytes alone the two cannot be told apart; the note of the last flush in `checkpoint.gantry` can tell. What it covers is
//! not cut: the start is refused until somebody brings the file back or gives the damaged place up. Behind it the log is cut,
//! because a hole must not be believed, and what is cut is kept in `cut-<position>.bak` when it holds a whole record.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::Disk;

use super::scan::Scanned;
use crate::{
    damage::{Damage, DamageList},
    error::{DiskError, OpenError, SYNC, While},
    log::Log,
    options::Options,
    walk::{Found, Walker},
};

/// How far is looked, in bytes.
const LOOK_MAX: u64 = 64 << 20;
/// Kept pieces of a store; the oldest goes when there would be more.
const KEPT_MAX: usize = 8;

/// Whole records behind the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) records: u64,
    /// Where the last of them ends.
    pub(crate) end: u64,
}

/// Counts whole records behind `end`, where the last good one before it ends.
pub(crate) fn look(log: &Log, end: u64, checked_from: u64) -> Result<Behind, DiskError> {
    let mut behind = Behind { records: 0, end };
    let limit = log.segments().last().map_or(end, |last| last.end()).min(end.saturating_add(LOOK_MAX));
    Walker::new(log, limit, checked_from).walk(end, limit, &mut |position, found| {
        if let Found::Record(record) = found {
            behind.records += 1;
            behind.end = position + record.size() as u64;
        }
        ControlFlow::Continue(())
    })?;
    Ok(behind)
}

/// Copies what `behind` covers to a file beside the log, durably. Its name says where it lay.
pub(crate) fn keep(disk: &dyn Disk, dir: &Path, log: &Log, end: u64, behind: &Behind) -> Result<PathBuf, DiskError> {
    let mut kept: Vec<String> = disk.list(dir).doing("list", dir)?.into_iter().map(|entry| entry.name).collect();
    kept.retain(|name| name.starts_with("cut-") && name.ends_with(".bak"));
    kept.sort();
    let too_many = (kept.len() + 1).saturating_sub(KEPT_MAX);
    for name in &kept[..too_many.min(kept.len())] {
        let path = dir.join(name);
        disk.remove_file(&path).doing("remove", &path)?;
    }
    let path = dir.join(format!("cut-{end:020}.bak"));
    let file = disk.open(&path, true).doing("create", &path)?;
    file.set_len(0).doing("empty", &path)?;
    let mut piece = vec![0; 1 << 20];
    let mut at = end;
    while at < behind.end {
        let Some(segment) = log.segment(at) else { break };
        let wanted = piece.len().min((behind.end.min(segment.end()) - at) as usize);
        let found = segment.read(&mut piece[..wanted], at)?;
        file.write_at(&piece[..found], at - end).doing("write", &path)?;
        if found < wanted {
            break;
        }
        at += found as u64;
    }
    file.sync().doing(SYNC, &path)?;
    disk.sync_dir(dir).doing("sync folder", dir)?;
    Ok(path)
}

/// What became of whole records behind the end.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) records: u64,
    pub(crate) kept: Option<PathBuf>,
}

/// Decides about what lies behind the end of the scan: refuses when it was flushed, and else keeps it before it is cut.
#[expect(clippy::too_many_arguments, reason = "one step of opening, with what the steps before found")]
pub(crate) fn judge(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: &Log,
    damages: &DamageList,
    scanned: &Scanned,
    checked_from: u64,
    flushed: u64,
    options: &Options,
) -> Result<Judged, OpenError> {
    if scanned.end < flushed {
        let mut first = None;
        let mut records = 0;
        let end = flushed.min(log.segments().last().map_or(0, |last| last.end()));
        Walker::new(log, end, checked_from).walk(scanned.end, end, &mut |position, found| {
            match found {
                Found::Record(_) => records += 1,
                Found::Blank { .. } => {}
                Found::Damaged { len, reason } => {
                    let path = log.segment(position).map_or_else(|| log.folder.clone(), |segment| segment.path.clone());
                    let file = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
                    let found_at_ms = options.clock.now_ms();
                    let damage = Damage { file, position, length: len, reason, found_at_ms, skipped: false };
                    first.get_or_insert((position, damages.note(damage).reason));
                }
            }
            ControlFlow::Continue(())
        })?;
        let (position, reason) = first.unwrap_or((scanned.end, scanned.reason.clone()));
        return Err(OpenError::Damaged { dir: dir.into(), position, reason, flushed, records });
    }
    let behind = look(log, scanned.end, checked_from)?;
    if behind.records == 0 {
        return Ok(Judged::default());
    }
    let kept = match keep(&**disk, dir, log, scanned.end, &behind) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::error!(%error, "what is cut off the log could not be kept");
            None
        }
    };
    tracing::warn!(
        position = scanned.end,
        reason = scanned.reason,
        records = behind.records,
        ?kept,
        "the log is cut before whole records: they were never flushed, so none of them was acknowledged as such"
    );
    Ok(Judged { records: behind.records, kept })
}
