//! Where the messages of each sharding key go as long as some of them are not consumed.
//!
//! Keys are not remembered one by one: they share slots by a hash, as many as there ever are. A slot keeps its queue while a
//! message of it is being stored, or is stored and not consumed by every group; so keys of one slot may have to share a queue,
//! but none moves. Kept in memory only.

use std::{hash::Hasher, sync::Arc};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHasher};

/// Slots of one topic are the values of so many bits: at most 65,536, some 2 MB when all are in use.
const SLOT_BITS: u32 = 16;

/// The slot of a key.
pub(super) fn slot(key: &[u8]) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    (hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - SLOT_BITS)) as u32
}

/// A slot in use.
struct Held {
    queue_id: u32,
    /// Messages on their way to the log.
    in_flight: u32,
    /// Offset of the last one there; `None` while none has arrived.
    last: Option<u64>,
}

#[derive(Default)]
struct State {
    slots: FxHashMap<u32, Held>,
    /// For each queue, the offset before which every group has consumed everything; 0 while that is not known.
    consumed: Vec<u64>,
}

impl State {
    /// Whether nothing of the slot is left to consume, or nobody can: its queue is not read any more.
    fn is_free(&self, held: &Held, read_queues: u32) -> bool {
        let consumed = self.consumed.get(held.queue_id as usize).copied().unwrap_or(0);
        held.in_flight == 0 && (held.last.is_none_or(|last| last < consumed) || held.queue_id >= read_queues)
    }

    /// Counts another message of a slot in use; its queue.
    fn take(&mut self, slot: u32, read_queues: u32) -> Option<u32> {
        if self.is_free(self.slots.get(&slot)?, read_queues) {
            return None;
        }
        let held = self.slots.get_mut(&slot)?;
        held.in_flight += 1;
        Some(held.queue_id)
    }
}

/// The slots of one topic.
#[derive(Default)]
pub(super) struct KeyTable(Mutex<State>);

impl KeyTable {
    /// Another message of a slot in use: it goes where the ones before it went. `None` when the slot is free.
    pub(super) fn take(self: &Arc<Self>, slot: u32, read_queues: u32) -> Option<Ticket> {
        let queue_id = self.0.lock().take(slot, read_queues)?;
        Some(Ticket { table: self.clone(), slot, queue_id, stored: None })
    }

    /// The first message of a free slot, meant for `queue_id`. Whoever came first since the slot was looked at wins.
    pub(super) fn begin(self: &Arc<Self>, slot: u32, queue_id: u32, read_queues: u32) -> Ticket {
        let state = &mut *self.0.lock();
        let queue_id = state.take(slot, read_queues).unwrap_or_else(|| {
            state.slots.insert(slot, Held { queue_id, in_flight: 1, last: None });
            queue_id
        });
        Ticket { table: self.clone(), slot, queue_id, stored: None }
    }

    /// Whether no slot is in use.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().slots.is_empty()
    }

    /// Notes how far every group has consumed each queue, and frees slots.
    pub(super) fn consumed(&self, consumed: Vec<u64>, read_queues: u32) {
        let state = &mut *self.0.lock();
        state.consumed = consumed;
        let mut slots = std::mem::take(&mut state.slots);
        slots.retain(|_, held| !state.is_free(held, read_queues));
        state.slots = slots;
    }
}

/// A message of a slot that is on its way. Dropped without [`stored`](Self::stored), it was not stored.
pub(crate) struct Ticket {
    table: Arc<KeyTable>,
    slot: u32,
    queue_id: u32,
    stored: Option<u64>,
}

impl Ticket {
    /// The queue where it goes.
    pub(crate) fn queue_id(&self) -> u32 {
        self.queue_id
    }

    /// It lies at this queue offset.
    pub(crate) fn stored(mut self, queue_offset: u64) {
        self.stored = Some(queue_offset);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(held) = self.table.0.lock().slots.get_mut(&self.slot) {
            held.in_flight -= 1;
            held.last = held.last.max(self.stored);
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("slot", &self.slot).field("queue_id", &self.queue_id).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const QUEUES: u32 = 3;

    #[derive(Debug, Clone)]
    enum Step {
        /// A message of slot `slot`, meant for `wish` if that may be.
        Send { slot: u32, wish: u32, fails: bool },
        /// Everybody has consumed up to here.
        Consume { queue: u32, upto: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..4u32, 0..QUEUES, prop::bool::weighted(0.2))
                .prop_map(|(slot, wish, fails)| Step::Send { slot, wish, fails }),
            1 => (0..QUEUES, 0..30u64).prop_map(|(queue, upto)| Step::Consume { queue, upto }),
        ]
    }

    proptest! {
        /// A slot with a message that is stored and not consumed never gets another queue, and one without always gets its wish.
        #[test]
        fn a_slot_moves_when_and_only_when_nothing_of_it_is_left(steps in prop::collection::vec(step(), 1..80)) {
            let table = Arc::new(KeyTable::default());
            let mut ends = [0u64; QUEUES as usize];
            let mut consumed = [0u64; QUEUES as usize];
            // Where each slot's last stored message lies.
            let mut last: HashMap<u32, (u32, u64)> = HashMap::new();
            for step in steps {
                match step {
                    Step::Send { slot, wish, fails } => {
                        let ticket = table.take(slot, QUEUES).unwrap_or_else(|| table.begin(slot, wish, QUEUES));
                        let left = last.get(&slot).filter(|(queue, offset)| consumed[*queue as usize] <= *offset);
                        prop_assert_eq!(ticket.queue_id(), left.map_or(wish, |(queue, _)| *queue));
                        if !fails {
                            let queue = ticket.queue_id() as usize;
                            last.insert(slot, (queue as u32, ends[queue]));
                            ticket.stored(ends[queue]);
                            ends[queue] += 1;
                        }
                    }
                    Step::Consume { queue, upto } => {
                        let queue = queue as usize;
                        consumed[queue] = consumed[queue].max(upto.min(ends[queue]));
                        table.consumed(consumed.to_vec(), QUEUES);
                    }
                }
            }
        }
    }

    #[test]
    fn keys_spread_over_the_slots_and_are_forgotten_when_they_are_consumed() {
        let table = Arc::new(KeyTable::default());
        let slots: std::collections::HashSet<u32> =
            (0..10_000).map(|key| slot(format!("order-{key}").as_bytes())).collect();
        assert!(slots.len() > 9_000 && slots.iter().all(|slot| *slot < 1 << SLOT_BITS), "{}", slots.len());
        for slot in slots {
            table.begin(slot, 0, 1).stored(0);
        }
        table.consumed(vec![0], 1);
        assert!(!table.is_empty());
        table.consumed(vec![1], 1);
        assert!(table.is_empty());
    }
}
