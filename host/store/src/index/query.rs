//! Queries by key.

use std::{collections::BTreeMap, sync::Arc};

use gantry_model::offset::PhysicalOffset;
use gantry_protocol::record::RecordView;

use super::{
    Index, IndexFile,
    format::{Entry, Header},
    keys,
};
use crate::{
    Wait,
    error::{DiskError, ReadError},
    inner::Inner,
    planted::{self, PlantedBug},
};

/// Most entries that one query walks over; each may be a read of the disk.
const ENTRIES_WALKED_MAX: usize = 200_000;
/// Most records that one query reads to find out whether they have the key.
const RECORDS_READ_MAX: usize = 1_000;
/// Most bytes of records that one query gives; the first is given whatever its size.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Entries read at once: those before one are likely its neighbours in the chain when a key is frequent.
const BLOCK_ENTRIES: u32 = 128;

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery<'a> {
    /// Topic as stored.
    pub topic: &'a str,
    /// The message's UNIQ_KEY, or one word of its KEYS.
    pub key: &'a str,
    /// Earliest store time, ms since 1970.
    pub begin_ms: i64,
    /// Latest store time, included.
    pub end_ms: i64,
    /// Most messages; the newest are taken.
    pub limit: usize,
}

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysFound {
    /// Whole records, back to back in the order of the log.
    pub records: Vec<u8>,
    /// How many.
    pub count: usize,
    /// Store time of the last record in the index, ms; 0 when it is empty.
    pub last_update_ms: u64,
    /// Physical offset of that record.
    pub last_update_offset: u64,
    /// It looked no further because of this limit: older messages may have the key too.
    pub stopped: Option<QueryLimit>,
    /// A message that may have the key could not be read, because of this damage or disk error.
    pub unreadable: Option<String>,
}

/// A limit on the work of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryLimit {
    /// Entries of other keys, or out of the time range.
    #[error("{ENTRIES_WALKED_MAX} index entries looked at")]
    Entries,
    /// Records that turned out not to match.
    #[error("{RECORDS_READ_MAX} messages looked at")]
    Records,
    /// Bytes found.
    #[error("{} MiB of messages found", ANSWER_BYTES_MAX >> 20)]
    Bytes,
}

/// One file as it was when the query began.
struct Look {
    file: Arc<IndexFile>,
    header: Header,
    /// Newest entry of the key's slot, if it was in memory.
    newest: Option<u32>,
}

/// Where a chain leads that is none.
struct Broken {
    number: u32,
}

/// See [`Store::query`](crate::Store::query).
pub(crate) fn query(inner: &Inner, wanted: &KeyQuery<'_>) -> Result<KeysFound, ReadError> {
    let hash = keys::hash(wanted.topic, wanted.key);
    let looks = inner.index.looks(hash);
    let mut search = Search {
        inner,
        wanted,
        hash,
        found: BTreeMap::new(),
        bytes: 0,
        walked: 0,
        read: 0,
        stopped: None,
        unreadable: None,
    };
    for look in &looks {
        if search.is_done() {
            break;
        }
        if look.header.is_empty() {
            continue;
        }
        // Times of entries are to the second, from the header's.
        if look.header.begin_ms as i64 <= wanted.end_ms
            && let Err(broken) = search.walk(look)?
        {
            inner.index.found_damaged(look.file.name, &format!("entry {} is not of its slot's chain", broken.number));
        }
        if (look.header.begin_ms as i64) < wanted.begin_ms {
            break;
        }
    }
    let last = looks.first().map(|look| look.header);
    Ok(KeysFound {
        count: search.found.len(),
        stopped: search.stopped,
        unreadable: search.unreadable,
        records: search.found.into_values().collect::<Vec<_>>().concat(),
        last_update_ms: last.map_or(0, |header| header.end_ms),
        last_update_offset: last.map_or(0, |header| header.end_offset),
    })
}

impl Index {
    /// The files, newest first.
    fn looks(&self, hash: u32) -> Vec<Look> {
        let state = self.state.lock();
        let active = state.active.as_ref().map(|active| Look {
            file: active.file.clone(),
            header: active.header,
            newest: active.slots.get(self.shape.slot_of(hash)),
        });
        let sealed = state.sealed.iter().rev();
        let sealed = sealed.map(|sealed| Look { file: sealed.file.clone(), header: sealed.header, newest: None });
        active.into_iter().chain(sealed).collect()
    }

    fn has_entry(&self, name: u64, number: u32) -> bool {
        let state = self.state.lock();
        let active = state.active.as_ref().map(|active| (active.file.name, active.header.next));
        let sealed = state.sealed.iter().map(|sealed| (sealed.file.name, sealed.header.next));
        active.into_iter().chain(sealed).any(|(found, next)| found == name && number < next)
    }
}

struct Search<'a> {
    inner: &'a Inner,
    wanted: &'a KeyQuery<'a>,
    hash: u32,
    /// By physical offset: one record may have a key twice, and be in the index twice after a rebuild.
    found: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    walked: usize,
    read: usize,
    stopped: Option<QueryLimit>,
    unreadable: Option<String>,
}

impl Search<'_> {
    fn is_done(&self) -> bool {
        self.stopped.is_some() || self.found.len() >= self.wanted.limit
    }

    /// Follows the chain of the key's slot, newest first.
    fn walk(&mut self, look: &Look) -> Result<Result<(), Broken>, ReadError> {
        let (file, header, shape) = (&look.file, &look.header, look.file.shape);
        let slot = shape.slot_of(self.hash);
        let mut number = match look.newest {
            Some(newest) => newest,
            None => file.read_slot(slot)?,
        };
        // The slot may have been settled since the look. Else RocketMQ takes such a number for an empty slot.
        if number >= header.next && !self.inner.index.has_entry(file.name, number) {
            return Ok(Ok(()));
        }
        let mut block = Block::default();
        while number > 0 && !self.is_done() {
            if self.walked >= ENTRIES_WALKED_MAX {
                self.stopped = Some(QueryLimit::Entries);
                break;
            }
            self.walked += 1;
            let Some(entry) = block.entry(file, number)? else { return Ok(Err(Broken { number })) };
            if entry.previous >= number || entry.hash > i32::MAX as u32 || shape.slot_of(entry.hash) != slot {
                return Ok(Err(Broken { number }));
            }
            let earliest_ms = header.begin_ms.saturating_add(u64::from(entry.seconds) * 1000) as i64;
            // RocketMQ reckons the first entry's time from the file before.
            if number > 1 && earliest_ms.saturating_add(999) < self.wanted.begin_ms {
                break;
            }
            let early_enough = number == 1 || earliest_ms <= self.wanted.end_ms;
            if entry.hash == self.hash && early_enough && !self.found.contains_key(&entry.offset) {
                self.check(entry.offset)?;
            }
            number = entry.previous;
        }
        Ok(Ok(()))
    }

    /// Takes the record if it is what the entry promises.
    fn check(&mut self, offset: u64) -> Result<(), ReadError> {
        if self.read >= RECORDS_READ_MAX {
            self.stopped = Some(QueryLimit::Records);
            return Ok(());
        }
        self.read += 1;
        let bytes = match crate::lookup::record(self.inner, PhysicalOffset(offset), Wait::Allowed) {
            Ok(Some(bytes)) => bytes,
            // Of a topic that was deleted, or the log does not begin that early any more.
            Ok(None) => return Ok(()),
            // One damaged message must not hide the others, nor be passed over in silence.
            Err(damaged @ ReadError::Damaged(_)) => {
                self.unreadable = Some(damaged.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let Ok(record) = RecordView::parse(&bytes) else { return Ok(()) };
        let in_time = (self.wanted.begin_ms..=self.wanted.end_ms).contains(&record.store_ms());
        let has = keys::has(&record, self.wanted.topic, self.wanted.key) || planted::is(PlantedBug::TrustKeyHash);
        if !in_time || !has {
            return Ok(());
        }
        if !self.found.is_empty() && self.bytes + bytes.len() > ANSWER_BYTES_MAX {
            self.stopped = Some(QueryLimit::Bytes);
            return Ok(());
        }
        self.bytes += bytes.len();
        self.found.insert(offset, bytes);
        Ok(())
    }
}

/// The entries read last.
#[derive(Default)]
struct Block {
    first: u32,
    entries: Vec<Entry>,
}

impl Block {
    /// `None` where the file ends early.
    fn entry(&mut self, file: &IndexFile, number: u32) -> Result<Option<Entry>, DiskError> {
        let there = number >= self.first && number - self.first < self.entries.len() as u32;
        if !there {
            self.first = number.saturating_sub(BLOCK_ENTRIES - 1).max(1);
            file.read_entries(self.first, number - self.first + 1, &mut self.entries)?;
        }
        Ok(self.entries.get((number - self.first) as usize).copied())
    }
}
