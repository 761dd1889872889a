//! A new version of a filter beside the one that serves, over the messages that were judged lately: what would change.

use std::fmt;

use serde::Serialize;

use crate::{specimen::Recent, trial, version::Version};

/// What a new version made of recent messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowReport {
    /// Messages that both were asked about.
    pub messages: u64,
    /// Delivered by the new version and not by the old one.
    pub newly_delivered: u64,
    /// Skipped by the new version and not by the old one.
    pub newly_skipped: u64,
    /// That the new version cannot decide and the old one could, faults included.
    pub newly_undecided: u64,
    /// Queue, queue offset and topic of the first that they judge otherwise.
    pub first: Option<String>,
}

impl ShadowReport {
    /// Share of the messages that are judged otherwise, in percent.
    pub fn differs_percent(&self) -> f64 {
        let differing = self.newly_delivered + self.newly_skipped + self.newly_undecided;
        if self.messages == 0 { 0.0 } else { 100.0 * differing as f64 / self.messages as f64 }
    }
}

impl fmt::Display for ShadowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShadowReport { messages, newly_delivered, newly_skipped, newly_undecided, first } = self;
        write!(
            f,
            "of {messages} recent messages {newly_delivered} are newly delivered, {newly_skipped} newly skipped, \
             {newly_undecided} newly undecided"
        )?;
        first.as_ref().map_or(Ok(()), |first| write!(f, "; the first is {first}"))
    }
}

/// Judges what is kept of each binding with both versions. `None` when there is nothing to compare.
pub(crate) fn run(recent: &Recent, serving: &Version, next: &Version) -> Option<ShadowReport> {
    let mut report =
        ShadowReport { messages: 0, newly_delivered: 0, newly_skipped: 0, newly_undecided: 0, first: None };
    for (binding, specimen) in recent.all() {
        if !serving.serves(binding) || !next.serves(binding) {
            continue;
        }
        let message = specimen.view();
        let (before, after) = (trial::judge(serving, binding, &message), trial::judge(next, binding, &message));
        report.messages += 1;
        if before == after {
            continue;
        }
        use crate::run::Verdict;
        match after {
            Ok(Verdict::Deliver) => report.newly_delivered += 1,
            Ok(Verdict::Skip) => report.newly_skipped += 1,
            Ok(Verdict::Undecided) | Err(_) => report.newly_undecided += 1,
        }
        report.first.get_or_insert_with(|| {
            format!("offset {} of queue {} of {}", specimen.queue_offset, specimen.queue_id, specimen.topic)
        });
    }
    (report.messages > 0).then_some(report)
}
