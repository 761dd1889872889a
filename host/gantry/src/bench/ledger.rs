//! What was received, held against what was sent: numbers of a producer run without a gap in each queue.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use super::stamp::Stamp;

/// Most numbers of one queue that are remembered as missing; of more only the count is kept, and late ones then count as
/// duplicated.
const MISSING_MAX: usize = 1_000_000;

/// One queue as one producer filled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    /// The producer's number in its stamps.
    pub(crate) producer: u32,
    /// The queue.
    pub(crate) queue: u32,
}

/// What came of each lane.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lanes: HashMap<Lane, Track>,
    received: u64,
    duplicated: u64,
    out_of_order: u64,
    altered: u64,
}

#[derive(Debug, Default)]
struct Track {
    /// All numbers below it were received or are missing.
    next: u64,
    missing: BTreeSet<u64>,
    missing_uncounted: u64,
}

/// The result. Everything but `received` is 0 when the broker did right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Audit {
    /// Messages received, each once.
    pub(crate) received: u64,
    /// Messages sent and never received.
    pub(crate) missing: u64,
    /// Messages received more than once.
    pub(crate) duplicated: u64,
    /// Messages received after one that was sent later to the same queue.
    pub(crate) out_of_order: u64,
    /// Messages whose checksum is wrong.
    pub(crate) altered: u64,
}

impl Ledger {
    /// A message was received from `queue`; `None` = its body is not what a producer wrote.
    pub(crate) fn received(&mut self, queue: u32, stamp: Option<Stamp>) {
        let Some(Stamp { producer, sequence, .. }) = stamp else {
            self.altered += 1;
            return;
        };
        let track = self.lanes.entry(Lane { producer, queue }).or_default();
        if sequence >= track.next {
            let gap = sequence - track.next;
            let room = (MISSING_MAX - track.missing.len().min(MISSING_MAX)) as u64;
            track.missing.extend(track.next..track.next + gap.min(room));
            track.missing_uncounted += gap.saturating_sub(room);
            track.next = sequence + 1;
        } else if track.missing.remove(&sequence) {
            self.out_of_order += 1;
        } else {
            self.duplicated += 1;
            return;
        }
        self.received += 1;
    }

    /// Takes over what another part of the run received; no lane is in both.
    pub(crate) fn absorb(&mut self, other: Ledger) {
        self.lanes.extend(other.lanes);
        self.received += other.received;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.altered += other.altered;
    }

    /// Compares with what was sent: per lane, numbers below the given one.
    pub(crate) fn audit(&self, sent: impl IntoIterator<Item = (Lane, u64)>) -> Audit {
        let mut missing = 0;
        for (lane, next) in sent {
            missing += match self.lanes.get(&lane) {
                Some(track) => track.missing.len() as u64 + track.missing_uncounted + next.saturating_sub(track.next),
                None => next,
            };
        }
        Audit {
            received: self.received,
            missing,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
            altered: self.altered,
        }
    }

    /// The result without knowing what was sent: gaps count as missing, the end of a lane cannot be told.
    pub(crate) fn audit_alone(&self) -> Audit {
        self.audit(self.lanes.iter().map(|(lane, track)| (*lane, track.next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(sequences: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        for sequence in sequences {
            ledger.received(3, Some(Stamp { producer: 1, sequence: *sequence, sent_ns: 0 }));
        }
        ledger
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        let lane = Lane { producer: 1, queue: 3 };
        let audit = |sequences: &[u64]| {
            let audit = ledger(sequences).audit([(lane, 5)]);
            (audit.received, audit.missing, audit.duplicated, audit.out_of_order)
        };
        assert_eq!(audit(&[0, 1, 2, 3, 4]), (5, 0, 0, 0));
        assert_eq!(audit(&[0, 1, 3, 4]), (4, 1, 0, 0));
        assert_eq!(audit(&[0, 1, 2]), (3, 2, 0, 0));
        assert_eq!(audit(&[0, 1, 1, 2, 3, 4]), (5, 0, 1, 0));
        assert_eq!(audit(&[0, 2, 1, 3, 4]), (5, 0, 0, 1));
        assert_eq!(audit(&[]), (0, 5, 0, 0));
        assert_eq!(ledger(&[0, 2]).audit_alone().missing, 1);
        let mut altered = ledger(&[0]);
        altered.received(3, None);
        assert_eq!(altered.audit([(lane, 1)]), Audit { received: 1, altered: 1, ..Audit::default() });
    }
}
