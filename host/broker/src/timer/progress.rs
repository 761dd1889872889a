//! How far delivery has come, as a record of the log.
//!
//! ```text
//!  0  u8  version, 1 or 2       25  u64 void_below
//!  1  u64 enqueued              33  u32 held, u32 batch
//!  9  u64 due time and          41  u64 queue offset, for each held one, then for each of the batch
//! 17  u64 queue offset of fired
//! ```
//!
//! Version 2 is written only when something is doubtful, and has, to the end of the record, three u64 for each: the
//! queue offset, the due time and the queue offset of the key.

use std::collections::{BTreeMap, BTreeSet};

use gantry_store::due::DueKey;

const VERSION: u8 = 1;
const VERSION_DOUBTFUL: u8 = 2;
const HEAD_LEN: usize = 41;

/// A record of the timer queue is dealt with if it is void, or lies before `enqueued` with a key up to `fired` and is not
/// held; else it is pending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Queue offset up to which the timer queue was looked at.
    pub(super) enqueued: u64,
    /// The last key delivered.
    pub(super) fired: DueKey,
    /// Records before this queue offset are dealt with, those that still waited by being stored anew.
    pub(super) void_below: u64,
    /// Looked at, before `fired` in the order of keys, and waiting none the less: the clock went back, or they could
    /// not be read. Also those that were such and are behind `fired` now, until a file of the index has them.
    pub(super) held: BTreeSet<u64>,
    /// Held ones of which it is not known whether an earlier life dealt with them, for they could not be read when they
    /// were looked at once more: it did if their key is up to this one, where `fired` stood then.
    pub(super) doubtful: BTreeMap<u64, DueKey>,
}

/// A progress record: where things stand once the records of `batch` are delivered (stored anew, if they lie below
/// `void_below`), which follow it in the log in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProgressRecord {
    pub(super) progress: Progress,
    /// Queue offsets in the timer queue.
    pub(super) batch: Vec<u64>,
}

impl ProgressRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Progress { enqueued, fired, void_below, held, doubtful } = &self.progress;
        let mut out = Vec::with_capacity(HEAD_LEN + 8 * (held.len() + self.batch.len() + 3 * doubtful.len()));
        out.push(if doubtful.is_empty() { VERSION } else { VERSION_DOUBTFUL });
        for field in [*enqueued, fired.due_ms, fired.queue_offset, *void_below] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        for count in [held.len(), self.batch.len()] {
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
        for offset in held.iter().chain(&self.batch) {
            out.extend_from_slice(&offset.to_be_bytes());
        }
        for (offset, key) in doubtful {
            for field in [*offset, key.due_ms, key.queue_offset] {
                out.extend_from_slice(&field.to_be_bytes());
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let u64_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let u32_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let (offsets, odd) = rest.as_chunks::<8>();
        let (held, batch) = (u32_at(33) as usize, u32_at(37) as usize);
        let (offsets, doubtful) = offsets.split_at_checked(held.checked_add(batch)?)?;
        let (doubtful, odd_doubt) = doubtful.as_chunks::<3>();
        let version = if doubtful.is_empty() { VERSION } else { VERSION_DOUBTFUL };
        if head[0] != version || !odd.is_empty() || !odd_doubt.is_empty() {
            return None;
        }
        let mut offsets = offsets.iter().map(|bytes| u64::from_be_bytes(*bytes));
        let doubtful = doubtful.iter().map(|fields| fields.map(u64::from_be_bytes));
        let progress = Progress {
            enqueued: u64_at(1),
            fired: DueKey { due_ms: u64_at(9), queue_offset: u64_at(17) },
            void_below: u64_at(25),
            held: offsets.by_ref().take(held).collect(),
            doubtful: doubtful.map(|[nth, due_ms, queue_offset]| (nth, DueKey { due_ms, queue_offset })).collect(),
        };
        Some(ProgressRecord { progress, batch: offsets.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_refuses_what_is_none() {
        let fired = DueKey { due_ms: 2, queue_offset: 3 };
        for doubtful in [BTreeMap::new(), [(5, DueKey { due_ms: 10, queue_offset: 11 })].into()] {
            let version = 1 + doubtful.len() as u8;
            let progress = Progress { enqueued: 1, fired, void_below: 4, held: [9, 5].into(), doubtful };
            let record = ProgressRecord { progress, batch: vec![8, 6, 7] };
            let bytes = record.encode();
            assert_eq!((bytes.len(), bytes[0]), (HEAD_LEN + if version == 1 { 5 } else { 8 } * 8, version));
            assert_eq!(ProgressRecord::decode(&bytes), Some(record));
            for len in 0..bytes.len() {
                assert_eq!(ProgressRecord::decode(&bytes[..len]), None, "{len} of version {version}");
            }
            for at in [0, 33, 36, 37, 40] {
                let mut other = bytes.clone();
                other[at] ^= 0xff;
                assert_eq!(ProgressRecord::decode(&other), None, "{at} of version {version}");
            }
        }
    }
}
