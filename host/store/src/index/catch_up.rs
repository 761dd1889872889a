//! Following the log, when the index is not level with dispatch.

use std::sync::atomic::Ordering;

use gantry_protocol::record::{Peek, RecordView, peek};

use super::{Active, Gathered, Index, Inserted, Work, keys::Key};
use crate::{
    Read, Wait,
    error::{Corrupt, DiskError, While},
    log::Log,
};

/// Bytes of the log read at a time; a longer record makes its own piece.
const PIECE_BYTES: u64 = 1 << 20;
/// The last so many bytes are added while dispatch waits, so that it cannot run ahead for ever.
const JOIN_BYTES_MAX: u64 = 4 << 20;
/// Catching up with more than this is worth a line in the log.
const REPORT_BYTES_MIN: u64 = 64 << 20;
/// How often damaged files are built again in the life of a process. More, and the disk should be looked at.
const REBUILDS_MAX: u32 = 3;

/// What a step of catching up did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The index is level, off or stopped: nothing to do until it falls behind.
    Rests,
    /// It moved on.
    Moved,
    /// The disk is full; try again later.
    Full,
}

/// Why a piece of the log was not added.
enum Problem {
    Disk(DiskError),
    /// What lies in the log is no record.
    Log(Corrupt),
    /// It has stopped.
    Stopped,
}

impl From<DiskError> for Problem {
    fn from(error: DiskError) -> Self {
        Problem::Disk(error)
    }
}

impl From<Corrupt> for Problem {
    fn from(corrupt: Corrupt) -> Self {
        Problem::Log(corrupt)
    }
}

impl Index {
    /// Adds one piece of the log, which is dispatched up to `dispatched`. Blocks on the disk.
    pub(crate) fn catch_up(&self, log: &Log, dispatched: u64) -> Progress {
        let mut work = self.work.lock();
        if !self.enabled || self.is_level() || self.state.lock().stopped.is_some() {
            return Progress::Rests;
        }
        let done = self.begin(&mut work, log, dispatched).and_then(|()| self.add_piece(&mut work, log, dispatched));
        match done {
            Ok(()) => {
                work.full = false;
                Progress::Moved
            }
            Err(Problem::Disk(error)) => {
                self.failed(&mut work, &error);
                if error.is_full() { Progress::Full } else { Progress::Rests }
            }
            Err(Problem::Log(corrupt)) => {
                self.stop(&mut self.state.lock(), &corrupt);
                Progress::Rests
            }
            Err(Problem::Stopped) => Progress::Rests,
        }
    }

    /// Becomes level with dispatch, which is held at `position` by the caller: adds what little is missing. `false` when that
    /// is too much, or something would have to be waited for.
    pub(crate) fn join(&self, log: &Log, position: u64) -> bool {
        let Some(mut work) = self.work.try_lock() else { return false };
        loop {
            let covered = {
                let state = self.state.lock();
                if self.is_level() || state.stopped.is_some() || state.damaged.is_some() {
                    return false;
                }
                state.covered
            };
            if covered >= position {
                break;
            }
            if position - covered > JOIN_BYTES_MAX || !self.add_waitless(&mut work, log, position) {
                return false;
            }
        }
        self.level.store(true, Ordering::Release);
        if let Some(began) = work.began.take().filter(|began| position.saturating_sub(*began) >= REPORT_BYTES_MIN) {
            tracing::info!(from = began, to = position, "the index has caught up with the log");
        }
        true
    }

    /// What has to be done before a piece is added.
    fn begin(&self, work: &mut Work, log: &Log, dispatched: u64) -> Result<(), Problem> {
        let damaged = self.state.lock().damaged.take();
        if let Some(name) = damaged {
            self.remove_from(work, name)?;
        }
        let mut state = self.state.lock();
        if state.stopped.is_some() {
            return Err(Problem::Stopped);
        }
        // Nothing is kept below.
        state.covered = state.covered.max(log.min());
        let covered = state.covered;
        if std::mem::take(&mut state.cold)
            && let Some(active) = &mut state.active
        {
            active.slots.load_all(&active.file)?;
        }
        if work.began.is_none() {
            work.began = Some(covered);
            if dispatched.saturating_sub(covered) >= REPORT_BYTES_MIN {
                tracing::info!(
                    from = covered,
                    to = dispatched,
                    "the index is built from the log; until then queries by key do not find the messages in between"
                );
            }
        }
        Ok(())
    }

    fn add_piece(&self, work: &mut Work, log: &Log, to: u64) -> Result<(), Problem> {
        let from = self.covered();
        if from >= to {
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut work.gathered);
        let added = gather(log, from, to, &mut work.piece, &mut gathered)
            .and_then(|after| self.insert_all(work, gathered.keys(), after));
        work.gathered = gathered;
        match added {
            // Retention was faster: the next step begins where the log does now.
            Err(_) if from < log.min() => Ok(()),
            added => added,
        }
    }

    /// Inserts keys into as many files as it takes.
    fn insert_all(&self, work: &mut Work, mut keys: &[Key], after: u64) -> Result<(), Problem> {
        loop {
            {
                let mut state = self.state.lock();
                let fits = state.active.as_ref().map_or(0, |active| fitting(active, keys));
                if let Some(active) = state.active.as_mut().filter(|_| fits > 0) {
                    active.insert(&keys[..fits], Wait::Allowed)?;
                    self.metrics.index_keys.add(fits as u64);
                }
                keys = &keys[fits..];
                state.covered = keys.first().map_or(after, |key| key.offset).max(state.covered);
            }
            if keys.is_empty() {
                return Ok(());
            }
            self.begin_file(work)?;
        }
    }

    /// Adds a piece if that takes neither a new file nor a wait for slots; `false` changed nothing.
    fn add_waitless(&self, work: &mut Work, log: &Log, to: u64) -> bool {
        let from = self.covered();
        let Ok(after) = gather(log, from, to, &mut work.piece, &mut work.gathered) else { return false };
        let mut state = self.state.lock();
        let keys = work.gathered.keys();
        let inserted = match &mut state.active {
            _ if keys.is_empty() => Ok(Inserted::All),
            Some(active) => active.insert(keys, Wait::Never),
            None => Ok(Inserted::NoRoom),
        };
        match inserted {
            Ok(Inserted::All) => {
                state.covered = after;
                self.metrics.index_keys.add(keys.len() as u64);
                true
            }
            Ok(Inserted::Cold) => {
                state.cold = true;
                false
            }
            _ => false,
        }
    }

    /// A file has what cannot be, as a query or a scrub found: it and newer ones will be built again.
    pub(crate) fn found_damaged(&self, name: u64, problem: &str) {
        let mut state = self.state.lock();
        let there = state.sealed.iter().any(|sealed| sealed.file.name == name)
            || state.active.as_ref().is_some_and(|active| active.file.name == name);
        if !there || state.stopped.is_some() {
            return;
        }
        self.metrics.index_damaged.add(1);
        tracing::error!(
            file = name,
            problem,
            "an index file is damaged; it and newer ones are built again from the log. No message is lost"
        );
        state.damaged = Some(state.damaged.map_or(name, |other| other.min(name)));
        self.fall_behind();
    }

    /// Removes a file and all newer ones; the index ends with the one before.
    fn remove_from(&self, work: &mut Work, name: u64) -> Result<(), DiskError> {
        work.rebuilds += 1;
        if work.rebuilds > REBUILDS_MAX {
            let reason = format!("index files were damaged {REBUILDS_MAX} times; check the disk");
            self.stop(&mut self.state.lock(), &reason);
            return Ok(());
        }
        let removed: Vec<_> = {
            let mut state = self.state.lock();
            let keep = state.sealed.partition_point(|sealed| sealed.file.name < name);
            let mut removed: Vec<_> =
                state.sealed.split_off(keep).into_iter().map(|sealed| sealed.file.clone()).collect();
            removed.extend(state.active.take().map(|active| active.file));
            if let Some(last) = state.sealed.pop() {
                state.unsealed.push(last.file.name);
                state.active = Some(Active::new(last.file.clone(), last.header, last.header.next, false));
            }
            state.unsealed.extend(removed.iter().map(|file| file.name));
            // The record there may have its other keys in what is removed.
            state.covered = state.end_offset();
            removed
        };
        // The newest first: what is left after a crash ends earlier, and has no gap.
        for file in removed.iter().rev() {
            self.remove(&file.path)?;
            self.disk.sync_dir(&self.folder).doing("sync folder", &self.folder)?;
        }
        let covered = self.covered();
        let mark = self.state.lock().active.as_ref().map(|active| active.mark(covered));
        self.mark(work, mark.unwrap_or_else(|| super::settle::no_file(covered)))
    }
}

/// How many of the keys the file takes without tearing a record's apart; only a record that is too much for a whole file is.
fn fitting(active: &Active, keys: &[Key]) -> usize {
    let room = active.room();
    if keys.len() <= room {
        return keys.len();
    }
    let split = keys[room].offset;
    let whole = keys[..room].iter().rposition(|key| key.offset != split).map_or(0, |last| last + 1);
    if whole == 0 && active.header.is_empty() { room } else { whole }
}

/// Gathers the keys of the records from `from` on; returns where the next piece begins.
fn gather(log: &Log, from: u64, to: u64, piece: &mut Vec<u8>, gathered: &mut Gathered) -> Result<u64, Problem> {
    gathered.begin(true);
    let corrupt = |position: u64, problem: String| Corrupt { position, problem };
    let segment = log.segment(from).ok_or_else(|| corrupt(from, "no segment holds it".into()))?;
    let end = to.min(segment.end());
    fill(log, from, (end - from).min(PIECE_BYTES) as usize, piece)?;
    let mut at = 0;
    while at < piece.len() {
        let position = from + at as u64;
        if let Some(len) = log.given_up_at(position) {
            return Ok(if at == 0 { position + len } else { position });
        }
        let size = match peek(&piece[at..]) {
            Peek::Record { size } => size,
            Peek::Blank { .. } => return Ok(segment.end()),
            Peek::Short if at > 0 && from + (piece.len() as u64) < end => break,
            other => return Err(corrupt(position, format!("{other:?} where a record should begin")).into()),
        };
        if at + size > piece.len() {
            if at > 0 {
                break;
            }
            if from + size as u64 > end {
                return Err(corrupt(position, format!("a record of {size} bytes would end behind {end}")).into());
            }
            fill(log, from, size, piece)?;
        }
        let record = RecordView::parse(&piece[at..]).map_err(|error| corrupt(position, error.to_string()))?;
        if record.physical_offset().0 != position {
            let problem = format!("its record says that it lies at {}", record.physical_offset());
            return Err(corrupt(position, problem).into());
        }
        gathered.add(&record);
        at += size;
    }
    Ok(from + at as u64)
}

fn fill(log: &Log, position: u64, len: usize, piece: &mut Vec<u8>) -> Result<(), Problem> {
    piece.resize(len, 0);
    match log.read(position, piece, Wait::Allowed)? {
        Some(Read::Done) => Ok(()),
        _ => Err(Corrupt { position, problem: format!("{len} bytes should be there and are not") }.into()),
    }
}
