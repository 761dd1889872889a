//! Reading a range of the log record by record, believing nothing and stopping at nothing: behind bytes that are damaged it
//! finds the next whole record and goes on.
//!
//! A record is whole when its lengths add up, it says that it lies where it lies, and its checksum is right: the one over
//! all of it where every record must have one, else that of its body. A damaged range never reaches past its segment,
//! because no record does.

use std::ops::ControlFlow;

use gantry_protocol::record::{BLANK_LEN, Peek, PropertyChecksum, RecordView, peek};

use crate::{
    error::DiskError,
    log::{Log, segment::Segment},
};

/// Bytes read at a time; a longer record makes its own piece.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that are tried together where larger reads fail.
const SECTORS_BYTES: usize = 4096;
/// What magics of records and blanks begin with; the byte behind is looked at by [`peek`].
const MAGIC_STARTS: [[u8; 3]; 2] = [[0xDA, 0xA3, 0x20], [0xCB, 0xD4, 0x31]];

/// What lies at a place of the log.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Record(RecordView<'a>),
    /// The rest of the segment is empty.
    Blank {
        len: u64,
    },
    /// Neither, up to the next whole record or the end of the segment.
    Damaged {
        len: u64,
        reason: String,
    },
}

/// The same, without what a look does not find out.
enum At {
    Record { size: usize },
    Blank { len: u64 },
    Bad(String),
}

pub(crate) struct Walker<'a> {
    log: &'a Log,
    /// No record ends behind it.
    limit: u64,
    /// From here on a record without property checksum is damaged.
    checked_from: u64,
    piece: Vec<u8>,
    /// Physical offset of the piece.
    piece_at: u64,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(log: &'a Log, limit: u64, checked_from: u64) -> Self {
        Walker { log, limit, checked_from, piece: Vec::new(), piece_at: 0 }
    }

    /// Shows what begins in `from..to`, in order; `from` must be where a record or a blank begins. Returns the position
    /// behind the last that was shown.
    pub(crate) fn walk(
        &mut self,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(u64, Found<'_>) -> ControlFlow<()>,
    ) -> Result<u64, DiskError> {
        let mut position = from;
        while position < to.min(self.limit) {
            let Some(segment) = self.log.segment(position) else { break };
            // Sectors that cannot be read are as bad as wrong bytes, and what lies behind them may be well.
            let at = self.look(&segment, position).unwrap_or_else(|error| At::Bad(error.to_string()));
            let (found, after) = match at {
                At::Record { size } => match self.parsed(position, size) {
                    Some(record) => (Found::Record(record), position + size as u64),
                    // It was parsed a moment ago, from the same bytes.
                    None => break,
                },
                At::Blank { len } => (Found::Blank { len }, position + len),
                At::Bad(reason) => {
                    let after = self.resync(&segment, position)?;
                    (Found::Damaged { len: after - position, reason }, after)
                }
            };
            position = after;
            let start = position - found.len();
            if visit(start, found).is_break() {
                break;
            }
        }
        Ok(position)
    }

    /// The whole record that begins at `position`, or why there is none.
    pub(crate) fn record(&mut self, position: u64) -> Result<Result<RecordView<'_>, String>, DiskError> {
        let Some(segment) = self.log.segment(position) else {
            return Ok(Err("no file of the log holds it".into()));
        };
        match self.look(&segment, position)? {
            At::Record { size } => Ok(self.parsed(position, size).ok_or_else(|| "its bytes changed meanwhile".into())),
            At::Blank { .. } => Ok(Err("the segment ends there".into())),
            At::Bad(reason) => Ok(Err(reason)),
        }
    }

    /// What the bytes at `position` say, whole or not; for telling whose record a damaged one was.
    pub(crate) fn claim(&mut self, position: u64) -> Result<Option<RecordView<'_>>, DiskError> {
        let Some(segment) = self.log.segment(position) else { return Ok(None) };
        let room = segment.end().min(self.limit).saturating_sub(position);
        let Peek::Record { size } = peek(self.bytes(&segment, position, BLANK_LEN)?) else { return Ok(None) };
        if size as u64 > room || self.bytes(&segment, position, size)?.len() < size {
            return Ok(None);
        }
        Ok(self.parsed(position, size))
    }

    /// Whether a record there knows where it lies, though its checksum is wrong: a neighbour that is damaged too.
    fn claims_its_place(&mut self, position: u64) -> bool {
        let claim = self.claim(position);
        claim.is_ok_and(|claim| claim.is_some_and(|record| record.physical_offset().0 == position))
    }

    fn parsed(&self, position: u64, size: usize) -> Option<RecordView<'_>> {
        let start = (position - self.piece_at) as usize;
        RecordView::parse(self.piece.get(start..start + size)?).ok()
    }

    fn look(&mut self, segment: &Segment, position: u64) -> Result<At, DiskError> {
        let left = segment.end() - position;
        let room = left.min(self.limit.saturating_sub(position));
        let size = match peek(self.bytes(segment, position, BLANK_LEN)?) {
            Peek::Record { size } => size,
            Peek::Blank { size } if size as u64 == left => return Ok(At::Blank { len: left }),
            Peek::Blank { size } => return Ok(At::Bad(format!("a blank of {size} bytes where {left} are left"))),
            Peek::Nothing { magic: 0, size: 0 } => return Ok(At::Bad("zeros where a record should begin".into())),
            Peek::Nothing { magic, .. } => return Ok(At::Bad(format!("{magic:08x} is not the magic of a record"))),
            Peek::Short => return Ok(At::Bad("the file ends there".into())),
        };
        // A blank must fit behind every record of a segment.
        if size as u64 > room || (size + BLANK_LEN) as u64 > left {
            return Ok(At::Bad(format!("a record of {size} bytes where {room} are left")));
        }
        let checked = position >= self.checked_from;
        let bytes = self.bytes(segment, position, size)?;
        if bytes.len() < size {
            return Ok(At::Bad(format!("a record of {size} bytes, of which the file has {}", bytes.len())));
        }
        Ok(match whole(bytes, position, checked) {
            Ok(_) => At::Record { size },
            Err(reason) => At::Bad(reason),
        })
    }

    /// Where the first whole record or blank behind `bad` begins.
    pub(crate) fn next_behind(&mut self, bad: u64) -> Result<u64, DiskError> {
        match self.log.segment(bad) {
            Some(segment) => self.resync(&segment, bad),
            None => Ok(self.limit),
        }
    }

    /// Where the next whole record or blank begins behind a bad place; else where the segment or the log ends.
    fn resync(&mut self, segment: &Segment, bad: u64) -> Result<u64, DiskError> {
        let end = segment.end().min(self.limit);
        let is_good =
            |this: &mut Self, at: u64| matches!(this.look(segment, at), Ok(At::Record { .. } | At::Blank { .. }));
        // First where its own size points: a body may hold anything, records that somebody made up included.
        if let Ok(head) = self.bytes(segment, bad, BLANK_LEN)
            && let Peek::Record { size } = peek(head)
            && let Some(next) = bad.checked_add(size as u64).filter(|next| *next <= end)
            && (next == end || is_good(self, next) || self.claims_its_place(next))
        {
            return Ok(next);
        }
        let mut piece = Vec::new();
        let mut wanted = PIECE_BYTES;
        let mut at = bad + 1;
        while at + (BLANK_LEN as u64) <= end {
            let len = ((end - at) as usize).min(wanted);
            piece.resize(len, 0);
            let found = match segment.read(&mut piece, at) {
                Ok(found) => found,
                // Around sectors that cannot be read in small steps, then over them.
                Err(_) if len > SECTORS_BYTES => {
                    wanted = SECTORS_BYTES;
                    continue;
                }
                Err(_) => {
                    at = (at / SECTORS_BYTES as u64 + 1) * SECTORS_BYTES as u64;
                    continue;
                }
            };
            for start in candidates(&piece[..found]) {
                let next = at + start as u64;
                if is_good(self, next) {
                    return Ok(next);
                }
            }
            if found < len {
                break;
            }
            // The next piece begins so that a head that lies across both is whole in it.
            at += (len - BLANK_LEN + 1) as u64;
        }
        Ok(end)
    }

    /// `len` bytes from `position` on, fewer where the segment's file ends.
    fn bytes(&mut self, segment: &Segment, position: u64, len: usize) -> Result<&[u8], DiskError> {
        let have = position.checked_sub(self.piece_at).map(|skip| skip as usize);
        let held = have.filter(|skip| skip.checked_add(len).is_some_and(|to| to <= self.piece.len()));
        let start = match held {
            Some(start) => start,
            None => {
                let wanted = len.max(PIECE_BYTES).min((segment.end() - position) as usize);
                self.fill(segment, position, wanted)
                    // What was asked for may be well although something behind it is not.
                    .or_else(|_| self.fill(segment, position, len.min(wanted)))?;
                0
            }
        };
        Ok(&self.piece[start..self.piece.len().min(start + len)])
    }
}

impl Walker<'_> {
    fn fill(&mut self, segment: &Segment, position: u64, len: usize) -> Result<(), DiskError> {
        self.piece.resize(len, 0);
        self.piece_at = position;
        let read = segment.read(&mut self.piece, position);
        // A failed read leaves nothing that a later call may take for bytes of the log.
        self.piece.truncate(*read.as_ref().unwrap_or(&0));
        read.map(drop)
    }
}

impl Found<'_> {
    /// Bytes of it.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Found::Record(record) => record.size() as u64,
            Found::Blank { len } | Found::Damaged { len, .. } => *len,
        }
    }
}

/// The record that `bytes` are, whole and in its place, or what is wrong with it.
pub(crate) fn whole(bytes: &[u8], position: u64, checked: bool) -> Result<RecordView<'_>, String> {
    let record = RecordView::parse(bytes).map_err(|error| error.to_string())?;
    if record.size() != bytes.len() {
        return Err(format!("a record of {} bytes where one of {} should be", record.size(), bytes.len()));
    }
    if record.physical_offset().0 != position {
        return Err(format!("the record there says that it lies at {}", record.physical_offset()));
    }
    let property = if checked { PropertyChecksum::Required } else { PropertyChecksum::Optional };
    record.check_crc(property).map_err(|error| error.to_string())?;
    Ok(record)
}

/// Where heads of records or blanks may begin.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let starts = memchr::memchr2_iter(MAGIC_STARTS[0][0], MAGIC_STARTS[1][0], bytes);
    let heads = starts.filter_map(|magic| magic.checked_sub(4));
    heads.filter(|at| bytes.get(at + 4..at + 7).is_some_and(|found| MAGIC_STARTS.iter().any(|start| found == *start)))
}
