//! Looking at a store's files without opening it: [`check`] reads all of it and says what is wrong, [`dump`] shows records.
//!
//! Nothing is written, locked or repaired. Both read directories of Apache RocketMQ too, whose records may have no checksum
//! over all of their bytes; then their bodies are checked.

mod layout;
mod queues;

use std::{collections::BTreeMap, ops::ControlFlow, path::Path, sync::Arc};

use gantry_base::{
    disk::Disk,
    durable,
    sealed::{self, Seal},
};
use gantry_model::sys_flag;
use gantry_protocol::{loose_json, record::RecordView};
use serde::Serialize;

use self::{
    layout::Layout,
    queues::{Expected, QueueCheck},
};
use crate::{
    damage::DamageList,
    error::{DiskError, OpenError, While},
    log::Log,
    repair::entry_of,
    sidecar::{self, Sidecar, Sum},
    tombstone::Tombstones,
    walk::{self, Walker},
};

/// Problems that a report lists; further ones are counted.
pub const PROBLEMS_MAX: usize = 1000;
/// Longest configuration file that is read.
const CONFIG_LEN_MAX: u64 = 256 << 20;

/// What lies at a place of the log.
#[derive(Debug)]
pub enum Shown<'a> {
    /// A whole record.
    Record(RecordView<'a>),
    /// The rest of the file is empty.
    Blank {
        /// Bytes of it.
        len: u64,
    },
    /// Neither.
    Damaged {
        /// Bytes up to the next whole record.
        len: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, relative to the store's directory.
    pub file: String,
    /// Physical offset in the log; in other files the byte.
    pub position: u64,
    /// What was found, and what was expected.
    pub problem: String,
    /// An operator gave it up before: readers pass over it.
    pub skipped: bool,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// First byte of the log.
    pub min: u64,
    /// Where the log ends.
    pub end: u64,
    /// Where the newest checkpoint is; `None` without `checkpoint.gantry`: RocketMQ's directory.
    pub checkpoint: Option<u64>,
    /// The last process shut down in order.
    pub clean: bool,
    /// Whole records.
    pub records: u64,
    /// Of these, how many have a checksum over all of them; of the others the body was checked.
    pub records_checked_whole: u64,
    /// Queues that have records or files.
    pub queues: u64,
    /// Consume queue entries compared with their records.
    pub entries: u64,
    /// Whole records behind the checkpoint that have no entry yet; the next start dispatches them.
    pub undispatched: u64,
    /// Files compared with a checksum.
    pub files_with_checksum: u64,
    /// The first [`PROBLEMS_MAX`] problems.
    pub problems: Vec<Problem>,
    /// All problems that nobody gave up.
    pub problems_total: u64,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
}

/// How far a check is, in bytes of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckProgress {
    /// Bytes checked.
    pub done: u64,
    /// Bytes to check: an upper bound.
    pub total: u64,
}

impl CheckReport {
    fn problem(&mut self, file: impl Into<String>, position: u64, problem: impl Into<String>) {
        self.add(Problem { file: file.into(), position, problem: problem.into(), skipped: false });
    }

    /// Takes a failed read for a problem of its file: what a check is run for is a disk of which parts cannot be read.
    fn readable<T>(&mut self, file: impl Into<String>, position: u64, read: Result<T, DiskError>) -> Option<T> {
        read.map_err(|error| self.problem(file, position, error.to_string())).ok()
    }

    fn add(&mut self, problem: Problem) {
        self.problems_total += u64::from(!problem.skipped);
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// Checks everything in `dir`. With `running`, only what the newest checkpoint covers: a process may be writing behind it.
pub fn check(
    disk: Arc<dyn Disk>,
    dir: &Path,
    running: bool,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport, OpenError> {
    let mut report = CheckReport::default();
    let layout = Layout::read(&disk, dir, &mut report)?;
    report.checkpoint = layout.mark.map(|mark| mark.position);
    report.clean = !layout.abort;
    let damages = DamageList::open(disk.clone(), dir)?.all();
    let tombstones = Tombstones::open(disk.clone(), dir.join("deletedTopics.json"))?;
    let mut queues = QueueCheck::new(disk.clone(), dir);
    let mark = layout.mark.map_or(0, |mark| mark.position);
    let total = layout.runs.iter().map(|log| span(log).1 - span(log).0).sum();
    let (mut done, mut last_store_ms) = (0, 0);
    let runs = layout.runs.len();
    for (index, log) in layout.runs.iter().enumerate() {
        let (min, file_end) = span(log);
        if index == 0 {
            report.min = min;
        }
        let newest = index + 1 == runs;
        let limit = if running && newest { file_end.min(mark.max(min)) } else { file_end };
        report.end = limit;
        let mut tail = None;
        Walker::new(log, limit, layout.checked_from).walk(min, limit, &mut |position, found| {
            done += found.len();
            progress(CheckProgress { done, total });
            match found {
                walk::Found::Blank { .. } => {}
                walk::Found::Damaged { len, reason } => {
                    // What ends with the last file may be where nothing was written yet.
                    if newest && position + len == limit {
                        tail = Some((position, len, reason));
                        return ControlFlow::Break(());
                    }
                    queues.damage_seen = true;
                    let skipped = damages.iter().any(|damage| damage.skipped && damage.position == position);
                    let problem = format!("{len} bytes are no record: {reason}");
                    report.add(Problem { file: file_of(log, dir, position), position, problem, skipped });
                }
                walk::Found::Record(record) => {
                    report.records += 1;
                    let whole = position >= layout.checked_from || has_checksum(&record);
                    report.records_checked_whole += u64::from(whole);
                    if record.store_ms() < last_store_ms {
                        let note = format!("the clock went back before position {position}");
                        if report.notes.len() < PROBLEMS_MAX {
                            report.notes.push(note);
                        }
                    }
                    last_store_ms = record.store_ms();
                    if sys_flag::is_dispatched(record.sys_flag()) && position >= tombstones.dead_below(record.topic()) {
                        let tag = position >= layout.checked_from;
                        let late = position + record.size() as u64 > mark && (layout.abort || running);
                        let expected =
                            Expected { entry: entry_of(&record), tag, late, file: &file_of(log, dir, position) };
                        queues.record(&record, &expected, &mut report);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some((position, len, reason)) = tail {
            report.end = position;
            let file = file_of(log, dir, position);
            match report.readable(&*file, position, written(log, position, len)) {
                None | Some(0) => {}
                Some(bytes) if layout.abort => report.notes.push(format!(
                    "{file}, position {position}: {bytes} bytes behind the last whole record ({reason}); the process that wrote \
                     them did not end in order, and the next start decides about them"
                )),
                Some(bytes) => report.problem(
                    file,
                    position,
                    format!("{bytes} bytes behind the last whole record, although the store was shut down in order: {reason}"),
                ),
            }
        }
    }
    if report.end < mark {
        let end = report.end;
        report.problem(
            "commitlog",
            end,
            format!("the log ends here, and its checkpoint is at {mark}: messages are missing"),
        );
    }
    queues.finish(&tombstones, report.min, layout.abort || running, &mut report);
    check_sums(&disk, dir, &mut report);
    check_config(&*disk, dir, &mut report);
    Ok(report)
}

/// Shows the log of `dir` from the first record at or behind `from` on, until `visit` breaks.
pub fn dump(
    disk: Arc<dyn Disk>,
    dir: &Path,
    from: u64,
    visit: &mut dyn FnMut(u64, Shown<'_>) -> ControlFlow<()>,
) -> Result<(), OpenError> {
    let layout = Layout::read(&disk, dir, &mut CheckReport::default())?;
    for (index, log) in layout.runs.iter().enumerate() {
        let (min, end) = span(log);
        if from >= end {
            continue;
        }
        let mut walker = Walker::new(log, end, layout.checked_from);
        let mut begin = from.max(min);
        if begin > min && walker.record(begin)?.is_err() {
            begin = walker.next_behind(begin)?;
        }
        let newest = index + 1 == layout.runs.len();
        let mut stopped = false;
        walker.walk(begin, end, &mut |position, found| {
            let shown = match found {
                walk::Found::Record(record) => Shown::Record(record),
                walk::Found::Blank { len } => Shown::Blank { len },
                walk::Found::Damaged { len, .. }
                    if newest && position + len == end && matches!(written(log, position, len), Ok(0)) =>
                {
                    return ControlFlow::Break(());
                }
                walk::Found::Damaged { len, reason } => Shown::Damaged { len, reason },
            };
            let flow = visit(position, shown);
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            break;
        }
    }
    Ok(())
}

fn span(log: &Log) -> (u64, u64) {
    (log.min(), log.segments().last().map_or(0, |last| last.end()))
}

fn has_checksum(record: &RecordView<'_>) -> bool {
    record.check_crc(gantry_protocol::record::PropertyChecksum::Required).is_ok()
}

fn file_of(log: &Log, dir: &Path, position: u64) -> String {
    let path = log.segment(position).map_or_else(|| log.folder.clone(), |segment| segment.path.clone());
    path.strip_prefix(dir).unwrap_or(&path).display().to_string()
}

/// Bytes of the range up to the last that is not zero.
fn written(log: &Log, position: u64, len: u64) -> Result<u64, DiskError> {
    let Some(segment) = log.segment(position) else { return Ok(0) };
    let mut piece = vec![0; 1 << 20];
    let (mut written, mut at) = (0, position);
    while at < position + len {
        let wanted = piece.len().min((position + len - at) as usize);
        let found = segment.read(&mut piece[..wanted], at)?;
        if let Some(last) = piece[..found].iter().rposition(|byte| *byte != 0) {
            written = at + last as u64 + 1 - position;
        }
        if found < wanted {
            break;
        }
        at += found as u64;
    }
    Ok(written)
}

fn check_sums(disk: &Arc<dyn Disk>, dir: &Path, report: &mut CheckReport) {
    let Some(sidecar) = report.readable(sidecar::FILE_NAME, 0, Sidecar::open(&**disk, dir)) else { return };
    for (name, sealed) in sidecar.files() {
        let found = sum(&**disk, &dir.join(name), sealed.length);
        let Some(Some(found)) = report.readable(name, 0, found) else { continue };
        report.files_with_checksum += 1;
        if found != sealed {
            let problem = format!(
                "{} bytes with checksum {:08x}, sealed with {} bytes and {:08x}; the next start or scrub corrects it from the \
                 log",
                found.length, found.crc32, sealed.length, sealed.crc32
            );
            report.problem(name, 0, problem);
        }
    }
}

/// Length and checksum of the file's first bytes; `None` when there is no such file.
fn sum(disk: &dyn Disk, path: &Path, length_max: u64) -> Result<Option<Sum>, DiskError> {
    let file = match disk.open_read_only(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.doing("open", path)?,
    };
    let mut hasher = crc32fast::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    while length < length_max {
        let wanted = piece.len().min((length_max - length) as usize);
        let found = file.read_at(&mut piece[..wanted], length).doing("read", path)?;
        if found == 0 {
            break;
        }
        hasher.update(&piece[..found]);
        length += found as u64;
    }
    Ok(Some(Sum { length, crc32: hasher.finalize() }))
}

fn check_config(disk: &dyn Disk, dir: &Path, report: &mut CheckReport) {
    let mut files = BTreeMap::new();
    for folder in ["config", ""] {
        let path = dir.join(folder);
        let names = match disk.list(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            names => names.doing("list", &path),
        };
        for name in report
            .readable(folder, 0, names)
            .into_iter()
            .flatten()
            .filter(|name| !name.is_dir && name.name.ends_with(".json"))
        {
            files.insert(Path::new(folder).join(&name.name), path.join(&name.name));
        }
    }
    for (name, path) in files {
        let name = name.display().to_string();
        let bytes = durable::read(disk, &path, CONFIG_LEN_MAX).doing("read", &path);
        let Some(Some(bytes)) = report.readable(&*name, 0, bytes) else { continue };
        match sealed::check(&bytes) {
            Seal::Absent => {}
            Seal::Whole => report.files_with_checksum += 1,
            broken => report.problem(&name, 0, broken.to_string()),
        }
        let strict = loose_json::to_strict(&bytes).map_err(|error| error.to_string());
        let parsed = strict
            .and_then(|strict| serde_json::from_slice::<serde_json::Value>(&strict).map_err(|error| error.to_string()));
        if let Err(error) = parsed {
            report.problem(&name, 0, format!("it is not JSON: {error}"));
        }
    }
}
