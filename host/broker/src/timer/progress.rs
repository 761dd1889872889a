//! How far delivery has come, as a record of the log.
//!
//! ```text
//!  0  u8  version, 1            25  u64 void_below
//!  1  u64 enqueued              33  u32 held, u32 batch
//!  9  u64 due time and          41  u64 queue offset, for each held one, then for each of the batch
//! 17  u64 queue offset of fired
//! ```

use std::collections::BTreeSet;

use gantry_store::due::DueKey;

const VERSION: u8 = 1;
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
        let Progress { enqueued, fired, void_below, held } = &self.progress;
        let mut out = Vec::with_capacity(HEAD_LEN + 8 * (held.len() + self.batch.len()));
        out.push(VERSION);
        for field in [*enqueued, fired.due_ms, fired.queue_offset, *void_below] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        for count in [held.len(), self.batch.len()] {
            out.extend_from_slice(&(count as u32).to_be_bytes());
        }
        for offset in held.iter().chain(&self.batch) {
            out.extend_from_slice(&offset.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD_LEN)?;
        let u64_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let u32_at = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let (offsets, odd) = rest.as_chunks::<8>();
        let (held, batch) = (u32_at(33) as usize, u32_at(37) as usize);
        if head[0] != VERSION || !odd.is_empty() || held.checked_add(batch) != Some(offsets.len()) {
            return None;
        }
        let mut offsets = offsets.iter().map(|bytes| u64::from_be_bytes(*bytes));
        let progress = Progress {
            enqueued: u64_at(1),
            fired: DueKey { due_ms: u64_at(9), queue_offset: u64_at(17) },
            void_below: u64_at(25),
            held: offsets.by_ref().take(held).collect(),
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
        let progress = Progress { enqueued: 1, fired, void_below: 4, held: [9, 5].into() };
        let record = ProgressRecord { progress, batch: vec![8, 6, 7] };
        let bytes = record.encode();
        assert_eq!(bytes.len(), HEAD_LEN + 5 * 8);
        assert_eq!(ProgressRecord::decode(&bytes), Some(record));
        for len in 0..bytes.len() {
            assert_eq!(ProgressRecord::decode(&bytes[..len]), None);
        }
        for at in [0, 33, 36, 37, 40] {
            let mut other = bytes.clone();
            other[at] ^= 0xff;
            assert_eq!(ProgressRecord::decode(&other), None, "{at}");
        }
    }
}
