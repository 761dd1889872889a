//! Consume queues against the log: each record must have its entry, and no entry may be without its record.

use std::{collections::BTreeMap, io, path::Path, path::PathBuf, sync::Arc};

use gantry_base::disk::Disk;
use gantry_protocol::record::RecordView;

use super::CheckReport;
use crate::{
    error::{DiskError, While},
    log::segment::{file_name, parse_file_name},
    queue::{ENTRY_LEN, QueueEntry},
    tombstone::Tombstones,
};

/// Entries of a queue that are read at once.
const READ_AHEAD: u64 = 64;

/// What a record's entry should be.
pub(super) struct Expected<'a> {
    pub(super) entry: QueueEntry,
    /// Whether its tag code is known: RocketMQ's depends on settings.
    pub(super) tag: bool,
    /// The entry may be missing: it was not checkpointed yet.
    pub(super) late: bool,
    /// The record's file.
    pub(super) file: &'a str,
}

pub(super) struct QueueCheck {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    queues: BTreeMap<(String, u32), Seen>,
    /// Some records could not be read, so offsets may be missing.
    pub(super) damage_seen: bool,
}

/// What is known of one queue.
#[derive(Default)]
struct Seen {
    first: u64,
    /// One past the offset of the last record; 0 before the first.
    next: u64,
    records: u64,
    /// Bytes of each file; 0 = it has none.
    file_len: u64,
    ahead: Vec<u8>,
    ahead_from: u64,
}

impl QueueCheck {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        QueueCheck { disk, folder: dir.join("consumequeue"), queues: BTreeMap::new(), damage_seen: false }
    }

    /// Takes the next record of the log.
    pub(super) fn record(&mut self, record: &RecordView<'_>, expected: &Expected<'_>, report: &mut CheckReport) {
        let key = (record.topic().to_owned(), record.queue_id());
        let (offset, position) = (record.queue_offset().0, record.physical_offset().0);
        let name = format!("{}/{}", key.0, key.1);
        if !self.queues.contains_key(&key) {
            let file_len = self.file_len(&name).unwrap_or(0);
            self.queues.insert(key.clone(), Seen { first: offset, file_len, ..Seen::default() });
        }
        let Some(seen) = self.queues.get_mut(&key) else { return };
        if seen.records > 0 && offset != seen.next && !(self.damage_seen && offset > seen.next) {
            let problem = format!("it is message {offset} of queue {name}, and {} was expected", seen.next);
            report.problem(expected.file, position, problem);
        }
        (seen.records, seen.next) = (seen.records + 1, offset + 1);
        let found = match entry(&*self.disk, &self.folder, &name, seen, offset) {
            Ok(found) => found,
            Err(error) => {
                return report.problem(format!("consumequeue/{name}"), offset * ENTRY_LEN as u64, error.to_string());
            }
        };
        report.entries += u64::from(found.is_some());
        let right = expected.entry;
        match found {
            Some(found) if (found.physical_offset, found.size) == (right.physical_offset, right.size) => {
                if expected.tag && found.tag_code != right.tag_code {
                    let problem =
                        format!("entry {offset} has tag code {}, its record {}", found.tag_code, right.tag_code);
                    report.problem(format!("consumequeue/{name}"), offset * ENTRY_LEN as u64, problem);
                }
            }
            None if expected.late => report.undispatched += 1,
            // An entry of an earlier life; the next start writes over it.
            Some(_) if expected.late => report.undispatched += 1,
            found => {
                let problem = match found {
                    Some(found) => format!(
                        "entry {offset} points at {} ({} bytes), its message lies at {} ({} bytes)",
                        found.physical_offset, found.size, right.physical_offset, right.size
                    ),
                    None => format!("entry {offset} is missing, its message lies at {}", right.physical_offset),
                };
                report.problem(format!("consumequeue/{name}"), offset * ENTRY_LEN as u64, problem);
            }
        }
    }

    /// Looks for entries that no record stands behind.
    pub(super) fn finish(mut self, tombstones: &Tombstones, min: u64, open_end: bool, report: &mut CheckReport) {
        for (topic, id) in self.on_disk(report) {
            self.queues.entry((topic, id)).or_default();
        }
        report.queues = self.queues.len() as u64;
        for ((topic, id), seen) in &mut self.queues {
            let name = format!("{topic}/{id}");
            let shown = format!("consumequeue/{name}");
            if seen.file_len == 0 {
                let found = file_len(&*self.disk, &self.folder.join(&name));
                let Some(found) = report.readable(&*shown, 0, found) else { continue };
                seen.file_len = found;
            }
            let dead_below = tombstones.dead_below(topic);
            // The entries right before and behind those of the records.
            let ends = [(seen.first.checked_sub(1), false), (Some(seen.next), open_end)];
            for (offset, open) in ends.into_iter().filter_map(|(offset, open)| Some((offset?, open))) {
                let found = entry(&*self.disk, &self.folder, &name, seen, offset);
                let Some(found) = report.readable(&*shown, offset * ENTRY_LEN as u64, found) else { continue };
                let alive = found.filter(|found| found.physical_offset.0 >= min.max(dead_below));
                let Some(found) = alive.filter(|_| !open && !self.damage_seen) else { continue };
                let position = found.physical_offset;
                let problem =
                    format!("entry {offset} points at {position}, where the log has no message of this queue");
                report.problem(&*shown, offset * ENTRY_LEN as u64, problem);
            }
        }
    }

    fn file_len(&self, name: &str) -> Result<u64, DiskError> {
        file_len(&*self.disk, &self.folder.join(name))
    }

    fn on_disk(&self, report: &mut CheckReport) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        let topics = folders(&*self.disk, &self.folder);
        for topic in report.readable("consumequeue", 0, topics).into_iter().flatten() {
            let ids = folders(&*self.disk, &self.folder.join(&topic));
            for id in report.readable(format!("consumequeue/{topic}"), 0, ids).into_iter().flatten() {
                if let Ok(id) = id.parse() {
                    found.push((topic.clone(), id));
                }
            }
        }
        found
    }
}

fn folders(disk: &dyn Disk, path: &Path) -> Result<Vec<String>, DiskError> {
    match disk.list(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => {
            let names = names.doing("list", path)?;
            Ok(names.into_iter().filter(|name| name.is_dir).map(|name| name.name).collect())
        }
    }
}

/// Bytes of each file of a queue; 0 when it has none.
fn file_len(disk: &dyn Disk, folder: &Path) -> Result<u64, DiskError> {
    let names = match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names.doing("list", folder)?,
    };
    let Some(first) = names.iter().find(|name| parse_file_name(&name.name).is_some()) else { return Ok(0) };
    let path = folder.join(&first.name);
    let len = disk.open_read_only(&path).doing("open", &path)?.len().doing("look at", &path)?;
    Ok(len / ENTRY_LEN as u64 * ENTRY_LEN as u64)
}

fn entry(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    seen: &mut Seen,
    offset: u64,
) -> Result<Option<QueueEntry>, DiskError> {
    if seen.file_len == 0 {
        return Ok(None);
    }
    let held = offset.checked_sub(seen.ahead_from).filter(|at| (at + 1) * ENTRY_LEN as u64 <= seen.ahead.len() as u64);
    if held.is_none() {
        let byte = offset.saturating_mul(ENTRY_LEN as u64);
        let within = byte % seen.file_len;
        let path = folder.join(name).join(file_name(byte - within));
        let len = (READ_AHEAD * ENTRY_LEN as u64).min(seen.file_len - within) as usize;
        seen.ahead.resize(len, 0);
        seen.ahead_from = offset;
        let found = match disk.open_read_only(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            file => file.doing("open", &path)?.read_at(&mut seen.ahead, within).doing("read", &path)?,
        };
        seen.ahead.truncate(found);
    }
    let at = (offset - seen.ahead_from) as usize * ENTRY_LEN;
    Ok(seen.ahead.get(at..).and_then(|bytes| bytes.first_chunk()).and_then(QueueEntry::decode))
}
