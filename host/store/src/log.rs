//! The commit log: segments one after another, addressed by physical offset.
//!
//! Reads are positional (`pread`, with RWF_NOWAIT when the caller must not wait). Not a memory map: a read error through a
//! map is a SIGBUS that kills the process, where here it is a value that one consumer sees; and the one copy that it would
//! save is small beside filtering and sending.

mod recent;
pub(crate) mod segment;
pub(crate) mod tail;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use gantry_base::disk::Disk;
use gantry_protocol::record;
use parking_lot::Mutex;

use self::{recent::Recent, segment::Segment};
use crate::{
    Read, Wait,
    error::{DiskError, While},
    planted::{self, PlantedBug},
    walk::Walker,
};

pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) segment_size: u64,
    /// In use, oldest first, without gaps.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// For those who go through the log in order.
    given_up: ArcSwap<GivenUp>,
    /// For pulls of a backlog.
    pub(crate) recent: Recent,
    /// Made ahead, empty, following the last in use without gaps.
    prepared: Mutex<Vec<Arc<Segment>>>,
}

/// Damaged places that an operator gave up.
#[derive(Default)]
struct GivenUp {
    /// Position and length, ascending.
    places: Vec<(u64, u64)>,
    /// From here on a record without property checksum is damaged.
    checked_from: u64,
}

/// A record's place in its queue, read from the log without trusting anything about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) size: u32,
    pub(crate) queue_id: u32,
    pub(crate) queue_offset: u64,
    pub(crate) topic: String,
}

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, segment_size: u64, segments: Vec<Arc<Segment>>) -> Self {
        debug_assert!(segments.windows(2).all(|pair| pair[0].end() == pair[1].base));
        Log {
            disk,
            folder,
            segment_size,
            segments: ArcSwap::from_pointee(segments),
            given_up: ArcSwap::default(),
            recent: Recent::new(segment_size),
            prepared: Mutex::default(),
        }
    }

    /// From now on these damaged places are passed over by who goes through the log in order. What is damaged must be
    /// told as they tell it, hence `checked_from`: by its body alone a record whose last bytes are wrong is whole.
    pub(crate) fn give_up(&self, mut places: Vec<(u64, u64)>, checked_from: u64) {
        places.sort_unstable();
        self.given_up.store(Arc::new(GivenUp { places, checked_from }));
    }

    /// Length of the damaged place that begins here, if it was given up and is damaged indeed: what is whole is never
    /// passed over.
    pub(crate) fn given_up_at(&self, position: u64) -> Option<u64> {
        let given_up = self.given_up.load();
        let at = given_up.places.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        let mut walker = Walker::new(self, u64::MAX, given_up.checked_from);
        let whole = walker.record(position).is_ok_and(|found| found.is_ok());
        (!whole).then_some(given_up.places[at].1)
    }

    /// The given up place that lies nearest before `position`, and how many bytes all of them before it have.
    pub(crate) fn given_up_before(&self, position: u64) -> Option<((u64, u64), u64)> {
        let places = &self.given_up.load().places;
        let before = places.partition_point(|(at, _)| *at < position);
        let bytes = places[..before].iter().map(|(_, len)| len).sum();
        places[..before].last().map(|last| (*last, bytes))
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// First byte that is kept.
    pub(crate) fn min(&self) -> u64 {
        self.segments.load().first().map_or(0, |first| first.base)
    }

    /// The segment that holds the byte at `position`.
    pub(crate) fn segment(&self, position: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.load();
        let index = position.checked_sub(segments.first()?.base)? / self.segment_size;
        segments.get(usize::try_from(index).ok()?).cloned()
    }

    /// The segment that begins at `base`, ready to be written but not yet in use; made now if nobody did before.
    /// `true` when it was made now.
    pub(crate) fn prepare(&self, base: u64) -> Result<(Arc<Segment>, bool), DiskError> {
        let mut prepared = self.prepared.lock();
        if let Some(found) = prepared.iter().find(|segment| segment.base == base) {
            return Ok((found.clone(), false));
        }
        let segment = Arc::new(Segment::create(&*self.disk, &self.folder, base, self.segment_size)?);
        prepared.push(segment.clone());
        Ok((segment, true))
    }

    /// Takes prepared segments into use, up to the one that ends at or behind `end`.
    pub(crate) fn adopt(&self, end: u64) {
        let mut prepared = self.prepared.lock();
        let mut segments = Vec::clone(&self.segments.load());
        while segments.last().is_none_or(|last| last.end() < end) {
            let next = segments.last().map_or(0, |last| last.end());
            let Some(found) = prepared.iter().position(|segment| segment.base == next) else { break };
            segments.push(prepared.swap_remove(found));
        }
        self.segments.store(Arc::new(segments));
    }

    /// Removes the segments that begin behind `end`, the newest first so that no gap appears.
    pub(crate) fn remove_behind(&self, end: u64) -> Result<(), DiskError> {
        let mut segments = Vec::clone(&self.segments.load());
        let end = if planted::is(PlantedBug::KeepLaterSegments) { u64::MAX } else { end };
        let keep = segments.iter().take_while(|segment| segment.base < end).count().max(1).min(segments.len());
        let removed = segments.split_off(keep);
        self.segments.store(Arc::new(segments));
        for segment in removed.iter().rev() {
            self.disk.remove_file(&segment.path).doing("remove", &segment.path)?;
        }
        if !removed.is_empty() {
            self.disk.sync_dir(&self.folder).doing("sync folder", &self.folder)?;
        }
        Ok(())
    }

    /// Takes the segments that end at `below` or before out of use, all but the last. Readers that have one go on reading;
    /// the caller removes the files.
    pub(crate) fn leave(&self, below: u64) -> Vec<Arc<Segment>> {
        // Against an adoption at the same time.
        let _prepared = self.prepared.lock();
        let mut kept = Vec::clone(&self.segments.load());
        let gone = kept.iter().take_while(|segment| segment.end() <= below).count().min(kept.len().saturating_sub(1));
        let leaving = kept.drain(..gone).collect();
        self.segments.store(Arc::new(kept));
        leaving
    }

    /// Removes the file of a segment that is out of use, durably: were the removals of two reordered by a crash, a gap would
    /// be left.
    pub(crate) fn remove(&self, segment: &Segment) -> Result<(), DiskError> {
        match self.disk.remove_file(&segment.path) {
            // An earlier try got this far.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.doing("remove", &segment.path)?,
        }
        self.disk.sync_dir(&self.folder).doing("sync folder", &self.folder)
    }

    /// Makes everything in `from..to` durable.
    pub(crate) fn sync(&self, from: u64, to: u64) -> Result<(), DiskError> {
        for segment in self.segments.load().iter().filter(|segment| segment.end() > from && segment.base < to) {
            segment.sync()?;
        }
        Ok(())
    }

    /// Fills `buf` from one segment. `None`: the range is not inside one.
    pub(crate) fn read(&self, position: u64, buf: &mut [u8], wait: Wait) -> Result<Option<Read>, DiskError> {
        let Some(segment) = self.segment(position).filter(|segment| position + buf.len() as u64 <= segment.end())
        else {
            return Ok(None);
        };
        let at = position - segment.base;
        let found = match wait {
            Wait::Allowed => Some(segment.file.read_at(buf, at)),
            Wait::Never => segment.file.try_read_at(buf, at).transpose(),
        };
        match found {
            None => Ok(Some(Read::WouldBlock)),
            Some(found) => match found.doing("read", &segment.path)? {
                found if found == buf.len() => Ok(Some(Read::Done)),
                // Pages that are not resident, or a file cut by another hand: the waiting read tells.
                _ if wait == Wait::Never => Ok(Some(Read::WouldBlock)),
                found => {
                    let text = format!("{} bytes at {at} wanted, {found} found", buf.len());
                    Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text)).doing("read", &segment.path)
                }
            },
        }
    }

    /// Whose record begins at `position`; `None` when none does. Reads the head and the topic only.
    pub(crate) fn identity(&self, position: u64) -> Result<Option<Identity>, DiskError> {
        let mut head = [0; record::OVERHEAD_V1];
        if self.read(position, &mut head, Wait::Allowed)? != Some(Read::Done) {
            return Ok(None);
        }
        let record::Peek::Record { size } = record::peek(&head) else { return Ok(None) };
        let mut bytes = vec![0; size.min(self.segment_size as usize)];
        if self.read(position, &mut bytes, Wait::Allowed)? != Some(Read::Done) {
            return Ok(None);
        }
        let Ok(record) = record::RecordView::parse(&bytes) else { return Ok(None) };
        let here = record.physical_offset().0 == position;
        Ok(here.then(|| Identity {
            size: size as u32,
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset().0,
            topic: record.topic().to_owned(),
        }))
    }
}
