//! What lies behind the place where the scan of the log ended, and whether the log may be cut there.
//!
//! Usually nothing, or a record that was being written. Whole records behind a bad one are the rest of writes whose pages
//! reached the disk in another order than they were made, or acknowledged ones behind bytes that the disk spoiled. From the
//! bytes alone the two cannot be told apart; the checkpoint and the note of the last flush behind it can tell, and so can an
//! orderly end, which flushes everything. What they cover is not cut: the start is refused until somebody brings the file
//! back or gives the damaged place up. Behind it the log is cut, because a hole must not be believed, and what is cut is kept
//! in `cut-<position>.bak` when it holds a whole record.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::Disk;

use super::scan::Scanned;
use crate::{
    abort::LastRun,
    checkpoint::Checkpoints,
    damage::{Damage, DamageList},
    error::{DiskError, OpenError, SYNC, While},
    log::Log,
    options::Options,
    takeover,
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

/// What says how far the log must be whole.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// Up to where checkpoint and note say that it was flushed.
    pub(crate) noted: u64,
    pub(crate) checked_from: u64,
    pub(crate) last: LastRun,
    pub(crate) taken_over: bool,
    /// There is a log and no checkpoint of Gantry's.
    pub(crate) lost_checkpoint: bool,
}

impl Known {
    /// From here on a whole record was flushed, whatever is noted; the scan ended at `end`.
    fn sure_from(&self, log: &Log, end: u64) -> u64 {
        let next_segment = log.segment(end).map_or(end, |segment| segment.end());
        match self.last {
            LastRun::Ended if !self.taken_over => end,
            // RocketMQ does not overwrite what it cut, but it removes the files behind.
            LastRun::Ended => next_segment,
            // Nothing is known. A crash costs the newest writes, and those of two segments seldom.
            LastRun::Died if self.lost_checkpoint => next_segment,
            LastRun::Died | LastRun::OtherDied => u64::MAX,
        }
    }
}

/// Decides about what lies behind the end of a scan.
pub(crate) struct Judge<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) dir: &'a Path,
    pub(crate) log: &'a Log,
    pub(crate) scanned: &'a Scanned,
    pub(crate) known: Known,
    pub(crate) options: &'a Options,
}

impl Judge<'_> {
    /// Refuses when it was flushed, and else keeps it before it is cut. What is refused is noted as flushed: the next start
    /// knows less of how the last process ended.
    pub(crate) fn judge(&self, damages: &DamageList, checkpoints: &Checkpoints) -> Result<Judged, OpenError> {
        let flushed = self.known.noted.max(self.last_sure()?);
        if self.scanned.end < flushed {
            checkpoints.note_flushed(flushed)?;
            return Err(self.refusal(damages, flushed)?);
        }
        let Judge { disk, dir, log, scanned, known, .. } = self;
        let behind = look(log, scanned.end, known.checked_from)?;
        if behind.records == 0 {
            return Ok(Judged::default());
        }
        let kept = match keep(&***disk, dir, log, scanned.end, &behind) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::error!(%error, "what is cut off the log could not be kept");
                None
            }
        };
        let (position, reason, records) = (scanned.end, &scanned.reason, behind.records);
        match known.taken_over || known.lost_checkpoint {
            true => tracing::warn!(
                position,
                reason,
                records,
                ?kept,
                "the log is cut before whole records: nothing says that they were flushed, because another program had the \
                 store or checkpoint.gantry is lost"
            ),
            false => tracing::warn!(
                position,
                reason,
                records,
                ?kept,
                "the log is cut before whole records: they were never flushed, so none of them was acknowledged as such"
            ),
        }
        Ok(Judged { records: behind.records, kept })
    }

    /// Where the last whole record ends that was flushed without a note of it; 0 when there is none.
    fn last_sure(&self) -> Result<u64, DiskError> {
        let from = self.known.sure_from(self.log, self.scanned.end);
        let mut end = 0;
        self.walk(from, u64::MAX, &mut |position, found| {
            if let Found::Record(record) = found {
                end = position + record.size() as u64;
            }
        })?;
        Ok(end)
    }

    /// Notes what is damaged in what was flushed, and says so.
    fn refusal(&self, damages: &DamageList, flushed: u64) -> Result<OpenError, DiskError> {
        let (dir, log) = (self.dir, self.log);
        let mut first = None;
        let mut records = 0;
        self.walk(self.scanned.end, flushed, &mut |position, found| match found {
            Found::Record(_) => records += 1,
            Found::Blank { .. } => {}
            Found::Damaged { len, reason } => {
                let path = log.segment(position).map_or_else(|| log.folder.clone(), |segment| segment.path.clone());
                let file = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
                let found_at_ms = self.options.clock.now_ms();
                let damage = Damage { file, position, length: len, reason, found_at_ms, skipped: false };
                first.get_or_insert((position, damages.note(damage).reason));
            }
        })?;
        let (position, reason) = first.unwrap_or((self.scanned.end, self.scanned.reason.clone()));
        Ok(OpenError::Damaged { dir: dir.into(), position, reason, flushed, records })
    }

    fn walk(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, Found<'_>)) -> Result<(), DiskError> {
        let to = to.min(self.log.segments().last().map_or(0, |last| last.end()));
        let walked = Walker::new(self.log, to, self.known.checked_from).walk(from, to, &mut |position, found| {
            visit(position, found);
            ControlFlow::Continue(())
        });
        walked.map(drop)
    }
}

/// Whether a segment that begins behind `end` has anything at its beginning, where a record would be.
pub(crate) fn goes_on(log: &Log, end: u64) -> Result<bool, DiskError> {
    for segment in log.segments().iter().filter(|segment| segment.base >= end) {
        if takeover::is_written(log, segment.base)? {
            return Ok(true);
        }
    }
    Ok(false)
}
