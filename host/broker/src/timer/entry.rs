//! What a record of the timer queue says.

use gantry_model::properties;
use gantry_protocol::record::RecordView;
use gantry_store::{
    QueueEntry,
    due::{DUE_MS_MAX, DueEntry, DueKey, DueKind},
};

use super::SLOT_MS;

/// The entry of a record, and the second that recalls find it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimerRecord<'a> {
    pub(super) entry: DueEntry,
    pub(super) slot_ms: u64,
    /// For a recall: whom it is for, as [`target`] writes it.
    pub(super) recalls: Option<&'a str>,
}

/// How a recall names a message.
pub(super) fn target(topic: &str, unique_key: &str) -> String {
    format!("{topic}+{unique_key}")
}

impl<'a> TimerRecord<'a> {
    /// `None`: the record is no timer. Nothing of Gantry writes such a record to the queue.
    pub(super) fn read(record: &RecordView<'a>) -> Option<Self> {
        let (mut out_ms, mut due_ms, mut recalls) = (None, None, None);
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<u64>().ok().filter(|ms| *ms <= DUE_MS_MAX);
        for (name, value) in properties::pairs(record.properties()) {
            match name {
                b"TIMER_OUT_MS" => out_ms = number(value),
                b"GANTRY_DUE_MS" => due_ms = number(value),
                b"TIMER_DEL_UNIQKEY" => recalls = std::str::from_utf8(value).ok(),
                _ => {}
            }
        }
        let slot_ms = out_ms?;
        let end_ms = (slot_ms + SLOT_MS).min(DUE_MS_MAX);
        let (due_ms, kind) = match recalls {
            // Before everything that it may be for.
            Some(_) => (slot_ms, DueKind::Recall),
            None => (due_ms.filter(|due_ms| (slot_ms..=end_ms).contains(due_ms)).unwrap_or(end_ms), DueKind::Deliver),
        };
        let entry = DueEntry {
            key: DueKey { due_ms, queue_offset: record.queue_offset().0 },
            kind,
            physical_offset: record.physical_offset(),
            size: record.size() as u32,
        };
        Some(TimerRecord { entry, slot_ms, recalls })
    }
}

/// The entry of the record's queue, which reads it.
pub(super) fn queue_entry(entry: &DueEntry) -> QueueEntry {
    QueueEntry { physical_offset: entry.physical_offset, size: entry.size, tag_code: 0 }
}
