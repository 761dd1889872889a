//! A batch of timed messages: read where they wait, appended where they belong.

use std::{ops::Range, sync::Arc};

use gantry_model::{offset::QueueOffset, properties};
use gantry_protocol::record::RecordView;
use gantry_store::{
    AppendError, Queue, QueueEntry, Wait,
    due::{DueEntry, DueKind},
};
use rustc_hash::FxHashMap;

use super::{
    engine::{Advance, Engine, TimerError},
    entry::{TimerRecord, queue_entry, target},
    progress::Progress,
};
use crate::{message::Outgoing, reply::Refusal, topics::TopicTable, waiting::destination};

/// A delivery later than this is counted as late.
const LATE_MS: u64 = 1_000;

/// Records read for entries.
pub(super) struct Records {
    pub(super) bytes: Vec<u8>,
    /// What became of each entry.
    pub(super) found: Vec<Found>,
}

/// What became of an entry that was to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its record lies here in the bytes.
    Record(Range<usize>),
    /// It is damaged, or the disk failed; the store says so.
    Unreadable,
    /// It is damaged and an operator gave it up: there is nothing to come.
    GivenUp,
}

impl Records {
    /// The nth entry's record.
    pub(super) fn get(&self, nth: usize) -> Option<RecordView<'_>> {
        match &self.found[nth] {
            Found::Record(range) => RecordView::parse(&self.bytes[range.clone()]).ok(),
            Found::Unreadable | Found::GivenUp => None,
        }
    }

    fn take(&mut self, index_of: impl Fn(u64) -> usize, picked: &[(QueueOffset, QueueEntry)], from: usize) {
        let mut at = from;
        for (nth, entry) in picked {
            let to = at + entry.size as usize;
            self.found[index_of(nth.0)] = Found::Record(at..to);
            at = to;
        }
    }
}

impl Engine {
    /// Reads the records of entries in the order of the log. An unreadable one does not keep the others back.
    pub(super) fn read(&self, entries: &[DueEntry]) -> Records {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_unstable_by_key(|index| entries[*index].physical_offset);
        let index: FxHashMap<u64, usize> = entries.iter().map(|entry| entry.key.queue_offset).zip(0..).collect();
        let index_of = |nth: u64| index.get(&nth).copied().unwrap_or_default();
        let wanted = |index: usize| (QueueOffset(entries[index].key.queue_offset), queue_entry(&entries[index]));
        let mut records = Records { bytes: Vec::new(), found: vec![Found::GivenUp; entries.len()] };
        let mut picked: Vec<_> = order.iter().map(|index| wanted(*index)).collect();
        if self.store.read_records(&self.queue, &mut picked, Wait::Allowed, &mut records.bytes).is_ok() {
            records.take(index_of, &picked, 0);
            return records;
        }
        for index in order {
            let (mut picked, from) = (vec![wanted(index)], records.bytes.len());
            match self.store.read_records(&self.queue, &mut picked, Wait::Allowed, &mut records.bytes) {
                Ok(_) => records.take(index_of, &picked, from),
                Err(error) => {
                    tracing::error!(%error, "a record of the timer queue cannot be read");
                    records.found[index] = Found::Unreadable;
                }
            }
        }
        records
    }

    /// Delivers entries whose time has come, in their order, and moves the progress on. All of them, or after an error the
    /// first few of them, with the progress telling which.
    pub(super) fn deliver(
        &mut self,
        topics: &TopicTable,
        entries: &[DueEntry],
        advance: Advance,
    ) -> Result<(), TimerError> {
        let now_ms = self.options.clock.now_ms();
        let records = self.read(entries);
        let mut batch = Vec::with_capacity(entries.len());
        let mut messages = Vec::with_capacity(entries.len());
        let (mut recalled, mut late) = (0, 0);
        let mut unreadable = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let nth = entry.key.queue_offset;
            let record = records.get(index);
            let Some((record, timer)) = record.and_then(|record| Some((record, TimerRecord::read(&record)?))) else {
                match records.found[index] {
                    Found::GivenUp => self.metrics.dropped.add(1),
                    _ => unreadable.push(*entry),
                }
                continue;
            };
            if let Some(target) = timer.recalls {
                if advance == Advance::Held {
                    self.moved.insert(entry.key, DueKind::Recall);
                }
                self.recalls.note(timer.slot_ms, target, *entry, self.recalls_matter_from());
                continue;
            }
            debug_assert!(timer.entry.key.due_ms <= now_ms || advance == Advance::Redone);
            if advance != Advance::Redone && self.is_recalled(&timer, &record) {
                recalled += 1;
                continue;
            }
            let Ok(message) = self.message(topics, &record, now_ms) else {
                unreadable.push(*entry);
                continue;
            };
            if let Some((message, queue)) = message {
                late += u64::from(now_ms.saturating_sub(timer.entry.key.due_ms) > LATE_MS);
                batch.push(nth);
                messages.push((message, queue));
            }
        }
        let before = (self.progress.clone(), self.held.clone());
        for entry in unreadable {
            self.hold_unreadable(entry, now_ms);
        }
        self.move_on(entries, advance);
        let appended = match messages.is_empty() && self.held.len() == before.1.len() {
            true => Ok(()),
            false => self.append(batch, &messages),
        };
        match appended {
            Ok(()) => {}
            Err(AppendError::TooLarge { .. } | AppendError::Unencodable(_)) if entries.len() > 1 => {
                (self.progress, self.held) = before;
                return self.deliver_singly(topics, entries, advance);
            }
            Err(error @ (AppendError::TooLarge { .. } | AppendError::Unencodable(_))) => {
                tracing::error!(queue_offset = entries[0].key.queue_offset, %error, "a timed message cannot be stored in its topic; it is dropped");
                self.metrics.dropped.add(1);
                return Ok(());
            }
            Err(error) => {
                (self.progress, self.held) = before;
                return Err(error.into());
            }
        }
        for (_, queue) in &messages {
            if let Some(topic) = topics.get(queue.topic()) {
                topic.traffic.timer_dequeued();
            }
        }
        self.metrics.recalled.add(recalled);
        self.metrics.fired.add(messages.len() as u64);
        self.metrics.late.add(late);
        Ok(())
    }

    fn deliver_singly(
        &mut self,
        topics: &TopicTable,
        entries: &[DueEntry],
        advance: Advance,
    ) -> Result<(), TimerError> {
        entries.iter().try_for_each(|entry| self.deliver(topics, std::slice::from_ref(entry), advance))
    }

    fn move_on(&mut self, entries: &[DueEntry], advance: Advance) {
        let Some(last) = entries.last().map(|entry| entry.key) else { return };
        let Progress { enqueued, fired, .. } = &mut self.progress;
        match advance {
            Advance::Enqueued => *enqueued = (*enqueued).max(last.queue_offset + 1),
            Advance::Fired => *fired = (*fired).max(last),
            Advance::Held => {
                for entry in entries.iter().filter(|entry| !self.unreadable.contains_key(&entry.key.queue_offset)) {
                    self.held.remove(&entry.key);
                }
            }
            Advance::Redone => {}
        }
    }

    fn is_recalled(&self, timer: &TimerRecord<'_>, record: &RecordView<'_>) -> bool {
        if self.recalls.is_empty() {
            return false;
        }
        let property = |name| properties::find_str(record.properties(), name).unwrap_or_default();
        let target = target(property(properties::REAL_TOPIC), property(properties::UNIQ_KEY));
        self.recalls.contains(timer.slot_ms, &target)
    }

    /// The message of a record and where it goes; `None` if that is nowhere any more, an error if it may be later.
    fn message(
        &self,
        topics: &TopicTable,
        record: &RecordView<'_>,
        now_ms: u64,
    ) -> Result<Option<(Outgoing, Arc<Queue>)>, Refusal> {
        let waiting = record.message();
        let found = destination(topics, &waiting).inspect_err(|error| {
            let physical_offset = waiting.physical_offset;
            tracing::error!(%physical_offset, %error, "a timed message has nowhere to go just now");
        });
        let Some(queue) = found? else {
            self.metrics.dropped.add(1);
            return Ok(None);
        };
        let mut message = Outgoing::again(&waiting, self.options.advertised, |name| {
            matches!(name, "REAL_TOPIC" | "REAL_QID" | "GANTRY_DUE_MS" | "GANTRY_TIMER_ORIGIN")
        });
        message.set_property(properties::TIMER_ENQUEUE_MS, &waiting.store_ms.to_string());
        message.set_property(properties::TIMER_DEQUEUE_MS, &now_ms.to_string());
        message.set_property(properties::TIMER_ORIGIN, &waiting.queue_offset.to_string());
        Ok(Some((message, queue)))
    }
}
