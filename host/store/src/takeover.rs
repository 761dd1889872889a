//! Whether another program wrote to the store since Gantry last did, and what that means for opening it.
//!
//! Apache RocketMQ opens a directory of Gantry's, appends, deletes topics and old files, cuts what a crash left, and goes; it
//! keeps everything that Gantry knows about by itself and updates nothing of it. What then differs from an ordinary start:
//!
//! - Its records have no property checksum. They are taken by the checksum of their bodies, as RocketMQ itself does, up to
//!   the end that this start finds; from there on every record must have one again.
//! - The checkpoint's position says nothing about the consume queues any more: a topic may have been deleted and made anew
//!   since. What RocketMQ says counts instead: its `checkpoint` tells a time before which all is in the queues, and a queue
//!   takes no record that lies before its last entry.
//! - RocketMQ does not overwrite what it cut. Gantry does, once, so that no stale record or entry can rise again later.
//!
//! How it is noticed: RocketMQ's process id stands in `abort` (it died); or there is no `abort`, and the log goes on behind
//! Gantry's checkpoint, which an orderly end of Gantry puts at the very end of the log; or there are log files and no
//! checkpoint of Gantry at all. A crash of Gantry itself is none of these, so a torn record is never taken for RocketMQ's.

use std::{io, path::Path};

use gantry_base::disk::{self, Disk};
use gantry_protocol::record::{OVERHEAD_V1, Peek, RecordView, peek};

use crate::{
    Read, Wait,
    abort::LastRun,
    checkpoint::Mark,
    error::{DiskError, While},
    log::Log,
};

/// RocketMQ takes its times for this much older than they are.
const ROCKETMQ_MARGIN_MS: u64 = 3_000;
/// Longest `checkpoint` that is read.
const CHECKPOINT_LEN_MAX: u64 = 1 << 20;

/// Whether another program had the store open after Gantry.
pub(crate) fn happened(log: &Log, last: LastRun, mark: Option<Mark>) -> Result<bool, DiskError> {
    match (last, mark) {
        (LastRun::OtherDied, _) => Ok(true),
        (LastRun::Died, _) => Ok(false),
        (LastRun::Ended, None) => Ok(!log.segments().is_empty()),
        (LastRun::Ended, Some(mark)) => Ok(mark.position < log.min() || is_written(log, mark.position)?),
    }
}

/// Whether anything was written at `position`.
pub(crate) fn is_written(log: &Log, position: u64) -> Result<bool, DiskError> {
    let Some(segment) = log.segment(position) else { return Ok(false) };
    let mut bytes = [0; 8];
    let wanted = (segment.end() - position).min(8) as usize;
    let found = segment.read(&mut bytes[..wanted], position)?;
    Ok(bytes[..found].iter().any(|byte| *byte != 0))
}

/// From where the log must be read after another program had it: the newest segment that begins with a record of a time that
/// RocketMQ's `checkpoint` covers; never before `known`, below which all is as Gantry left it.
pub(crate) fn scan_from(disk: &dyn Disk, dir: &Path, log: &Log, known: u64) -> Result<u64, DiskError> {
    let covered_ms = covered_ms(disk, &dir.join("checkpoint"))?;
    let known = known.max(log.min());
    for segment in log.segments().iter().rev() {
        if segment.base <= known {
            break;
        }
        if first_store_ms(log, segment.base)?.is_some_and(|time_ms| time_ms > 0 && time_ms <= covered_ms) {
            return Ok(segment.base);
        }
    }
    Ok(known)
}

/// All messages stored up to this time were in consume queues on disk, says RocketMQ.
fn covered_ms(disk: &dyn Disk, path: &Path) -> Result<u64, DiskError> {
    let bytes = match disk::read_whole(disk, path, CHECKPOINT_LEN_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        bytes => bytes.doing("read", path)?,
    };
    let time = |at: usize| bytes.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
    let (log_ms, queues_ms) = (time(0).unwrap_or(0), time(8).unwrap_or(0));
    Ok((log_ms.min(queues_ms).max(0) as u64).saturating_sub(ROCKETMQ_MARGIN_MS))
}

/// Store time of the record that begins a segment; `None` when none does.
fn first_store_ms(log: &Log, base: u64) -> Result<Option<u64>, DiskError> {
    let mut head = [0; OVERHEAD_V1];
    if log.read(base, &mut head, Wait::Allowed)? != Some(Read::Done) {
        return Ok(None);
    }
    let Peek::Record { size } = peek(&head) else { return Ok(None) };
    let mut bytes = vec![0; size.min(log.segment_size as usize)];
    if log.read(base, &mut bytes, Wait::Allowed)? != Some(Read::Done) {
        return Ok(None);
    }
    let record = RecordView::parse(&bytes).ok().filter(|record| record.physical_offset().0 == base);
    Ok(record.map(|record| record.store_ms().max(0) as u64))
}
