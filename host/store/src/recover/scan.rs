//! Reading the log record by record, believing nothing.

use gantry_protocol::record::{self, Peek, PropertyChecksum, RecordView};

use crate::{
    error::DiskError,
    log::{Log, segment::Segment},
    planted::{self, PlantedBug},
};

/// Bytes read at a time; a longer record makes its own piece.
const PIECE_BYTES: usize = 1 << 20;

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Behind the last whole record.
    pub(crate) end: u64,
    pub(crate) records: u64,
    pub(crate) last_store_ms: u64,
    /// Why it ended there.
    pub(crate) reason: String,
}

/// What lies at a place.
enum At {
    Record {
        size: usize,
        store_ms: i64,
    },
    Blank,
    /// A record that begins here needs this many bytes.
    More {
        size: usize,
    },
    /// No record.
    End(String),
}

/// Reads whole records from `from` on until something is none.
///
/// With `rewrite`, what was read is written again: after a failed fsync the kernel may hold pages as clean that the disk
/// never got. They read back well, and a sync of this life would pass over them. Written again they are dirty again.
pub(crate) fn scan(
    log: &Log,
    from: u64,
    checked_from: u64,
    rewrite: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Scanned, DiskError> {
    let mut scanned = Scanned { end: from, ..Scanned::default() };
    let mut position = from;
    let mut last_start = from;
    let mut piece = Vec::new();
    let mut wanted = PIECE_BYTES;
    'segments: while let Some(segment) = log.segment(position) {
        loop {
            let complete = read(&segment, position, wanted, &mut piece)?;
            wanted = PIECE_BYTES;
            let mut at = 0;
            let verdict = loop {
                match look(&piece[at..], position + at as u64, checked_from, &segment) {
                    At::Record { size, store_ms } => {
                        last_start = position + at as u64;
                        at += size;
                        scanned.records += 1;
                        scanned.last_store_ms = scanned.last_store_ms.max(store_ms.max(0) as u64);
                    }
                    other => break other,
                }
            };
            let good = if matches!(verdict, At::Blank) { at + record::BLANK_LEN } else { at };
            if rewrite && good > 0 && !planted::is(PlantedBug::SkipRewrite) {
                segment.write(&piece[..good], position)?;
            }
            position += at as u64;
            if at > 0 {
                scanned.end = position;
            }
            progress(position);
            match verdict {
                At::Blank => {
                    position = segment.end();
                    continue 'segments;
                }
                // More of it may follow, unless the file gave less than asked for.
                At::More { size } if at > 0 || complete => wanted = size.max(PIECE_BYTES),
                At::More { .. } | At::Record { .. } => {
                    scanned.reason = "the file ends there".into();
                    break 'segments;
                }
                At::End(reason) => {
                    let Some(len) = log.given_up_at(position) else {
                        scanned.reason = reason;
                        break 'segments;
                    };
                    position = (position + len).min(segment.end());
                    scanned.end = position;
                    if position == segment.end() {
                        continue 'segments;
                    }
                }
            }
        }
    }
    if planted::is(PlantedBug::CutOffByOne) && scanned.records > 0 {
        scanned.end = last_start;
    }
    Ok(scanned)
}

/// Whether the file had as many bytes as it should.
fn read(segment: &Segment, position: u64, wanted: usize, piece: &mut Vec<u8>) -> Result<bool, DiskError> {
    let len = ((segment.end() - position) as usize).min(wanted);
    piece.resize(len, 0);
    let found = segment.read(piece, position)?;
    piece.truncate(found);
    Ok(found == len)
}

fn look(bytes: &[u8], position: u64, checked_from: u64, segment: &Segment) -> At {
    let left = segment.end() - position;
    let size = match record::peek(bytes) {
        Peek::Record { size } => size,
        Peek::Blank { size } if size as u64 == left => return At::Blank,
        Peek::Blank { size } => return At::End(format!("a blank of {size} bytes where {left} are left")),
        Peek::Nothing { magic: 0, size: 0 } => return At::End("nothing was written there".into()),
        Peek::Nothing { magic, .. } => return At::End(format!("{magic:08x} is not the magic of a record")),
        Peek::Short if left < record::BLANK_LEN as u64 => return At::End("the segment ends without a blank".into()),
        Peek::Short => return At::More { size: record::BLANK_LEN },
    };
    if (size + record::BLANK_LEN) as u64 > left {
        return At::End(format!("a record of {size} bytes where {left} are left"));
    }
    if size > bytes.len() {
        return At::More { size };
    }
    let record = match RecordView::parse(&bytes[..size]) {
        Ok(record) => record,
        Err(error) => return At::End(error.to_string()),
    };
    if record.physical_offset().0 != position && !planted::is(PlantedBug::TakeMisplaced) {
        return At::End(format!("the record there says that it lies at {}", record.physical_offset()));
    }
    let required = position >= checked_from && !planted::is(PlantedBug::SkipPropertyCrc);
    let property = if required { PropertyChecksum::Required } else { PropertyChecksum::Optional };
    match record.check_crc(property) {
        Err(error) if !planted::is(PlantedBug::SkipCrc) => At::End(error.to_string()),
        _ => At::Record { size, store_ms: record.store_ms() },
    }
}
