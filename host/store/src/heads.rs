//! Where every queue begins and ends, in one file, so that opening looks at no queue's folder.
//!
//! `queueHeads.gantry`, beside RocketMQ's files, holds the *heads* of all queues as of one position of the log: that of the
//! checkpoint. Recovery takes them from there and dispatches the log behind it. Without the file, or with one that
//! is damaged, older than the checkpoint, or of other topics than there are folders, queues are found as they were
//! before there was one: folder by folder, each end by bisection. So the file saves time and decides nothing that could not be
//! found otherwise; a directory of Apache RocketMQ, which has none, gets one at its first checkpoint here.
//!
//! **Frames.** The file begins with a snapshot of all heads; each checkpoint adds a frame with those that changed since. A
//! full snapshot at each checkpoint would write megabytes every few seconds for a few changed queues; none but the first
//! would let the replay grow with the traffic of hours. Once the changes are as long as the snapshot (and 256 KiB), the next
//! checkpoint replaces the file by a new snapshot. So the file is at most about twice a snapshot (some 20 bytes a queue), writing it
//! costs at most about twice what changed, and what recovery replays is what came since the last checkpoint.
//!
//! A frame, big-endian:
//!
//! ```text
//!  0  8 bytes "GANTRYQH"                           28  u64 first byte of the log that was kept then
//!  8  u32 version, 2                               36  u64 length of what follows, n
//! 12  u64 number of the frame, 0 = the snapshot    44  topics: u8 length, name, varint queues; of each queue
//! 20  u64 position: heads are as of there              the varints id, min, end - min, position of its first record,
//!                                                      then its checksums: see below
//! 44 + n  u32 CRC-32 of the frame before and of this one: a frame of another file or place never fits
//! ```
//!
//! [Checksums](crate::queue::sums) of a queue's entries: varint number of the first block, varint how many, u32 each; then those of
//! the block that is being written: varint 0 = not known, else entries in it + 1, and with entries in it a u32. A frame that is no
//! snapshot has the blocks that were filled since the last.
//!
//! **Order.** A checkpoint at position P: the log is flushed to P, entries of records before P are synced, then the frame,
//! then `checkpoint.gantry`. So a head never counts an entry that a power loss could take, and a frame that is newer than
//! `checkpoint.gantry` is as good as that: recovery begins at the newest whole frame. A torn frame at the end is what a crash
//! leaves; it is passed over.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::{
    disk::{self, Disk, DiskFile},
    durable,
};
use gantry_model::{name, topic::QUEUES_MAX};
use rustc_hash::FxHashMap;

use crate::{
    error::{DiskError, SYNC, While},
    log::Log,
    queue::{
        Queue,
        sums::{Blocks, Sums, Tail},
    },
    queues::Queues,
    tombstone::Tombstones,
};

const FILE: &str = "queueHeads.gantry";
const MAGIC: &[u8; 8] = b"GANTRYQH";
const VERSION: u32 = 2;
const HEADER_LEN: usize = 44;
const CHECKSUM_LEN: usize = 4;
/// Longest file that is read: some fifty million queues.
const FILE_LEN_MAX: u64 = 1 << 30;
/// Changes up to this length never lead to a new snapshot.
const CHANGES_LEN_MIN: u64 = 256 << 10;

/// Where a queue begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: u32,
    pub(crate) min: u64,
    pub(crate) end: u64,
    /// Where the record of the first entry lies; 0 = not known.
    pub(crate) first_position: u64,
}

/// Heads of the queues of one topic, by number, each with the position of its frame.
type ByQueue = FxHashMap<u32, (u64, Head, Sums)>;

/// What the file says, if all of it can be believed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    /// They are as of here.
    pub(crate) position: u64,
    /// Minimums are right for a log that begins here.
    pub(crate) log_min: u64,
    topics: FxHashMap<Box<str>, ByQueue>,
    /// Where the next frame goes, and what its checksum continues.
    end: Place,
}

/// The end of the frames.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Place {
    frames: u64,
    len: u64,
    snapshot_len: u64,
    checksum: u32,
}

impl Heads {
    /// Reads the file; the inner error says why it is of no use.
    pub(crate) fn usable(
        disk: &dyn Disk,
        dir: &Path,
        checkpoint: u64,
        log: &Log,
        queues: &Queues,
        tombstones: &Tombstones,
    ) -> Result<Result<Heads, String>, DiskError> {
        let path = dir.join(FILE);
        let bytes = match disk::read_whole(disk, &path, FILE_LEN_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(format!("there is no {FILE}"))),
            Err(error) if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::UnexpectedEof) => {
                return Ok(Err(error.to_string()));
            }
            bytes => bytes.doing("read", &path)?,
        };
        let Some(heads) = Heads::parse(&bytes, queues.blocks()) else {
            return Ok(Err(format!("{FILE} has no whole snapshot")));
        };
        let position = heads.position;
        if position < checkpoint {
            return Ok(Err(format!("{FILE} ends whole at position {position}, the checkpoint is at {checkpoint}")));
        }
        let (log_min, log_end) = (log.min(), log.segments().last().map_or(0, |last| last.end()));
        if !(log_min..=log_end).contains(&position) {
            return Ok(Err(format!("{FILE} is of position {position}, the log's files are {log_min} to {log_end}")));
        }
        // Folders may have been removed by hand: what is there counts.
        let folders: BTreeSet<String> = queues.topics_on_disk()?.into_iter().collect();
        let gone = |topic: &&str| !folders.contains(*topic) && heads.live(topic, tombstones).next().is_some();
        let missing = heads.topics().find(gone).map(|topic| format!("{FILE} knows topic {topic}, which has no folder"));
        Ok(missing.map_or(Ok(heads), Err))
    }

    /// Topics with heads.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(|topic| &**topic)
    }

    /// The heads of a topic, but those of a deleted one of the same name.
    pub(crate) fn live(&self, topic: &str, tombstones: &Tombstones) -> impl Iterator<Item = (Head, Sums)> {
        let dead_below = tombstones.dead_below(topic);
        let heads = self.topics.get(topic).into_iter().flat_map(|heads| heads.values());
        // A deletion lies at or behind every checkpoint before it, and before every entry of its successor.
        let live = heads.filter(move |(position, ..)| dead_below == 0 || *position > dead_below);
        live.map(|(_, head, sums)| (*head, sums.clone()))
    }

    /// All whole frames from the beginning on; `None` without a whole snapshot.
    fn parse(bytes: &[u8], blocks: Blocks) -> Option<Heads> {
        let mut heads = Heads::default();
        while heads.add_frame(&bytes[heads.end.len as usize..], blocks).is_some() {}
        (heads.end.frames > 0).then_some(heads)
    }

    fn add_frame(&mut self, bytes: &[u8], blocks: Blocks) -> Option<()> {
        let header = bytes.first_chunk::<HEADER_LEN>()?;
        let u64_at = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let whole = header.starts_with(MAGIC) && header[8..12] == VERSION.to_be_bytes();
        if !whole || u64_at(12) != self.end.frames {
            return None;
        }
        let body_end = HEADER_LEN.checked_add(usize::try_from(u64_at(36)).ok()?)?;
        let frame = bytes.get(..body_end.checked_add(CHECKSUM_LEN)?)?;
        let checksum = checksum(self.end.checksum, &frame[..body_end]);
        if frame[body_end..] != checksum.to_be_bytes() {
            return None;
        }
        let position = u64_at(20);
        // Behind a good checksum it is what was written; it is still looked at, for sizes and names.
        let mut body = &frame[HEADER_LEN..body_end];
        let mut found = Vec::new();
        while let Some((len, rest)) = body.split_first() {
            let (topic, rest) = rest.split_at_checked(usize::from(*len))?;
            let topic = std::str::from_utf8(topic).ok().filter(|topic| name::check_topic(topic).is_ok())?;
            body = rest;
            for _ in 0..varint(&mut body)? {
                let id = u32::try_from(varint(&mut body)?).ok().filter(|id| *id < QUEUES_MAX)?;
                let min = varint(&mut body)?;
                let end = min.checked_add(varint(&mut body)?)?;
                let head = Head { id, min, end, first_position: varint(&mut body)? };
                found.push((topic, head, parse_sums(&mut body, blocks, end)?));
            }
        }
        for (topic, head, sums) in found {
            if !self.topics.contains_key(topic) {
                self.topics.insert(topic.into(), ByQueue::default());
            }
            if let Some(heads) = self.topics.get_mut(topic) {
                let (at, known, before) = heads.entry(head.id).or_insert((position, head, Sums::default()));
                (*at, *known) = (position, head);
                before.continue_with(sums);
                before.drop_before(blocks, head.min);
            }
        }
        (self.position, self.log_min) = (position, u64_at(28));
        let len = frame.len() as u64;
        let snapshot_len = if self.end.frames == 0 { len } else { self.end.snapshot_len };
        self.end = Place { frames: self.end.frames + 1, len: self.end.len + len, snapshot_len, checksum };
        Some(())
    }
}

/// Writes the file.
pub(crate) struct HeadsWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The file and the end of its frames; `None`: the next frame is a snapshot in a new file.
    open: Option<(Arc<dyn DiskFile>, Place)>,
    /// Queues whose heads may differ from what the file says.
    changed: Vec<Arc<Queue>>,
    /// Position and begin of the log that the newest frame says.
    written: (u64, u64),
}

/// A frame to be written: heads that were taken at one position.
pub(crate) struct Taken {
    position: u64,
    log_min: u64,
    snapshot: bool,
    /// Sorted by topic and number.
    queues: Vec<(Arc<Queue>, Head, Sums)>,
}

impl HeadsWriter {
    /// Goes on behind `heads`, or begins with a snapshot.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, heads: Option<&Heads>) -> Result<Self, DiskError> {
        let path = dir.join(FILE);
        let mut writer = HeadsWriter { disk, path, open: None, changed: Vec::new(), written: (0, 0) };
        if let Some(heads) = heads {
            let file = writer.disk.open(&writer.path, false).doing("open", &writer.path)?;
            writer.open = Some((file, heads.end));
            writer.written = (heads.position, heads.log_min);
        }
        Ok(writer)
    }

    /// Removes the file, durably: what it says is not so any more.
    pub(crate) fn discard(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(FILE);
        match disk.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.doing("remove", &path)?,
        }
        disk.sync_dir(dir).doing("sync folder", dir)
    }

    /// Notes queues whose heads have changed.
    pub(crate) fn note(&mut self, queues: impl IntoIterator<Item = Arc<Queue>>) {
        self.changed.extend(queues);
    }

    /// Takes the heads that changed, or all when a snapshot is due. To be called while nothing is dispatched, at `position`.
    /// What was taken counts as changed until it is [written](Self::write).
    pub(crate) fn take(&mut self, position: u64, log_min: u64, queues: &Queues) -> Taken {
        let renew = queues.take_deleted();
        let grown = |place: &Place| place.len - place.snapshot_len >= place.snapshot_len.max(CHANGES_LEN_MIN);
        if renew || self.open.as_ref().is_some_and(|(_, place)| grown(place)) {
            self.open = None;
        }
        let snapshot = self.open.is_none();
        let mut taken = Vec::new();
        let mut take = |queue: &Arc<Queue>| {
            let head = queue.head();
            // A queue without a past needs no head, and a deleted one must not have any.
            if head.end > 0 && !queue.files.is_shut() {
                let saved = if snapshot { 0 } else { queue.sums_saved() };
                taken.push((queue.clone(), head, queue.sums_since(saved)));
            }
        };
        match snapshot {
            true => queues.for_each(take),
            false => self.changed.iter().for_each(&mut take),
        }
        Taken { position, log_min, snapshot, queues: taken }
    }

    /// Writes a frame durably. When there is no space for it, what was taken stays to be written.
    pub(crate) fn write(&mut self, mut taken: Taken) -> Result<(), DiskError> {
        let (position, log_min) = (taken.position, taken.log_min);
        if !taken.snapshot && taken.queues.is_empty() && self.written == (position, log_min) {
            return Ok(());
        }
        // Sorted here and not while dispatch waited.
        taken.queues.sort_by(|(a, ..), (b, ..)| (a.topic(), a.id()).cmp(&(b.topic(), b.id())));
        taken.queues.dedup_by(|(a, ..), (b, ..)| Arc::ptr_eq(a, b));
        let before = match (&self.open, taken.snapshot) {
            (Some((_, place)), false) => *place,
            _ => Place::default(),
        };
        let (frame, checksum) = encode(before, &taken);
        let after = Place {
            frames: before.frames + 1,
            len: before.len + frame.len() as u64,
            snapshot_len: if taken.snapshot { frame.len() as u64 } else { before.snapshot_len },
            checksum,
        };
        let file = match &self.open {
            Some((file, _)) => {
                file.write_at(&frame, before.len).doing("write", &self.path)?;
                file.sync().doing(SYNC, &self.path)?;
                file.clone()
            }
            None => {
                durable::replace(&*self.disk, &self.path, &frame, false).doing("replace", &self.path)?;
                self.disk.open(&self.path, false).doing("open", &self.path)?
            }
        };
        for (queue, _, sums) in &taken.queues {
            queue.set_sums_saved(sums.next());
        }
        self.open = Some((file, after));
        self.changed = Vec::new();
        self.written = (position, log_min);
        Ok(())
    }
}

fn encode(before: Place, taken: &Taken) -> (Vec<u8>, u32) {
    let mut frame = Vec::with_capacity(HEADER_LEN + taken.queues.len() * 24 + CHECKSUM_LEN);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&VERSION.to_be_bytes());
    for value in [before.frames, taken.position, taken.log_min, 0] {
        frame.extend_from_slice(&value.to_be_bytes());
    }
    for of_topic in taken.queues.chunk_by(|(a, ..), (b, ..)| a.topic() == b.topic()) {
        let topic = of_topic[0].0.topic().as_bytes();
        debug_assert!(topic.len() <= usize::from(u8::MAX), "checked when its queue was made");
        frame.push(topic.len() as u8);
        frame.extend_from_slice(topic);
        put_varint(&mut frame, of_topic.len() as u64);
        for (queue, head, sums) in of_topic {
            for value in [head.id.into(), head.min, head.end - head.min, head.first_position] {
                put_varint(&mut frame, value);
            }
            put_sums(&mut frame, sums, queue.files.blocks(), head.end);
        }
    }
    let len = (frame.len() - HEADER_LEN) as u64;
    frame[36..HEADER_LEN].copy_from_slice(&len.to_be_bytes());
    let checksum = checksum(before.checksum, &frame);
    frame.extend_from_slice(&checksum.to_be_bytes());
    (frame, checksum)
}

fn put_sums(out: &mut Vec<u8>, sums: &Sums, blocks: Blocks, end: u64) {
    put_varint(out, sums.first);
    put_varint(out, sums.full.len() as u64);
    out.extend(sums.full.iter().flat_map(|sum| sum.to_be_bytes()));
    // Of another end than the head's they are of no use.
    let Some(tail) = sums.tail.filter(|tail| tail.end == end) else { return put_varint(out, 0) };
    let within = end - blocks.entries(blocks.of(end)).start;
    put_varint(out, within + 1);
    if within > 0 {
        out.extend(tail.sum.to_be_bytes());
    }
}

fn parse_sums(body: &mut &[u8], blocks: Blocks, end: u64) -> Option<Sums> {
    let first = varint(body)?;
    let count = usize::try_from(varint(body)?).ok()?;
    let (full, rest) = body.split_at_checked(count.checked_mul(4)?)?;
    *body = rest;
    let full = full.as_chunks::<4>().0.iter().map(|sum| u32::from_be_bytes(*sum)).collect();
    let within = varint(body)?.checked_sub(1);
    let sum = match within {
        Some(1..) => {
            let (sum, rest) = body.split_first_chunk::<4>()?;
            *body = rest;
            u32::from_be_bytes(*sum)
        }
        _ => 0,
    };
    // With files of another length blocks are others: what is there is not believed.
    let sums = Sums { first, full, tail: within.map(|_| Tail { end, sum }) };
    let fits = within.is_none_or(|within| within == end - blocks.entries(blocks.of(end)).start);
    Some(if fits && sums.next() <= blocks.of(end).saturating_add(1) { sums } else { Sums::unknown(blocks, end) })
}

fn checksum(before: u32, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_be_bytes());
    hasher.update(frame);
    hasher.finalize()
}

/// Seven bits a byte, lowest first, the top bit set on all but the last.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
