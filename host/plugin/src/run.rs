//! Judging messages with one pinned version.

use std::time::{Duration, Instant};

use gantry_model::message::MessageView;

use crate::{
    admitted::Admitted,
    guest::Judged,
    plan::{Plan, TagSet},
    slot::Fault,
    version::Instance,
};

/// What is to become of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The group does not see it.
    Skip,
    /// The group gets it.
    Deliver,
    /// It cannot be said; the binding's `on_error` applies.
    Undecided,
}

/// One version of a filter, held from the first message of a pull to its last. Dropping it is cheap: the last user of an old
/// version is never a worker.
pub struct Run {
    held: Admitted,
    fault: Option<String>,
}

/// A message could not be decided; the verdicts end with it.
struct Stopped;

impl Run {
    pub(crate) fn new(held: Admitted) -> Self {
        Run { held, fault: None }
    }

    /// `name@hash` of the version.
    pub fn label(&self) -> &str {
        &self.held.version.label
    }

    /// Tags that the plugin restricts itself to. Entries of other tag codes need not be read; messages with other tags
    /// are skipped by [`judge`](Self::judge) without asking the plugin.
    pub fn tags(&self) -> Option<&TagSet> {
        self.plan().and_then(|plan| plan.tags.as_ref())
    }

    /// Most messages that reach the plugin in one call.
    pub fn max_batch(&self) -> usize {
        self.plan().map_or(1, |plan| plan.max_batch)
    }

    /// Whether [`judge`](Self::judge) should be called where blocking is allowed: the version lately used up a deadline.
    pub fn wants_blocking(&self) -> bool {
        self.held.version.suspect()
    }

    /// Why the last verdict is [`Undecided`](Verdict::Undecided).
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Appends verdicts for `messages` (all of one queue) in order. Stops at the first message that cannot be decided,
    /// whose verdict is then the last one and `Undecided`; all that could be decided before it is decided.
    pub fn judge(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
        let started = Instant::now();
        let before = verdicts.len();
        self.held.binding.plugin.recent.offer(self.held.binding.id, messages, started);
        let version = self.held.version.clone();
        if let Some(plan) = version.plan(self.held.binding.id) {
            let mut judging =
                Judging { run: self, plan, instance: version.slot(), picked: Vec::with_capacity(plan.max_batch) };
            let mut done = 0;
            while done < messages.len() {
                match judging.batch(&messages[done..], verdicts) {
                    Ok(count) => done += count,
                    Err(Stopped) => break,
                }
            }
        }
        self.note(&verdicts[before..], started.elapsed());
    }

    fn plan(&self) -> Option<&Plan> {
        self.held.version.plan(self.held.binding.id)
    }

    fn note(&self, verdicts: &[Verdict], took: Duration) {
        let stats = &self.held.binding.stats;
        let count = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count() as u64;
        let (delivered, undecided) = (count(Verdict::Deliver), count(Verdict::Undecided));
        stats.messages.add(verdicts.len() as u64);
        stats.delivered.add(delivered);
        stats.undecided.add(undecided);
        stats.skipped.add(verdicts.len() as u64 - delivered - undecided);
        stats.nanoseconds.add(took.as_nanos() as u64);
    }

    /// A message could not be decided even alone and by a fresh instance.
    fn blame(&mut self, message: &MessageView<'_>, fault: &Fault) {
        self.fault = Some(format!(
            "{} cannot decide the message at queue offset {} of queue {}: {fault}",
            self.label(),
            message.queue_offset,
            message.queue_id
        ));
        self.held.blame(&Fault {
            cause: fault.cause,
            text: format!("{fault} (queue {}, queue offset {})", message.queue_id, message.queue_offset),
        });
    }
}

/// One call of [`Run::judge`].
struct Judging<'r, 'v> {
    run: &'r mut Run,
    plan: &'v Plan,
    instance: Instance<'v>,
    /// Indexes of the messages that go to the plugin.
    picked: Vec<usize>,
}

impl Judging<'_, '_> {
    /// Judges the first messages of `messages`, as many as fit into one call. Returns how many that were.
    fn batch(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) -> Result<usize, Stopped> {
        let base = verdicts.len();
        let mut picked = std::mem::take(&mut self.picked);
        let answer = self.call(messages, &mut picked);
        let outcome = match answer {
            Ok((count, answer)) => {
                if !picked.is_empty() {
                    self.run.held.note_success();
                }
                verdicts.resize(base + count, Verdict::Skip);
                self.accept(messages, &picked, &answer, base, verdicts).map(|()| count)
            }
            // Not even an instance could be made: there is nobody to ask for each alone.
            Err(fault) if picked.is_empty() => {
                self.run.blame(&messages[0], &fault);
                verdicts.push(Verdict::Undecided);
                Err(Stopped)
            }
            // Which message it was is found by asking for each alone: at most one more deadline, where halving would
            // spend one on every level. Each is asked of an instance that has not failed.
            Err(_) => self.one_by_one(messages, &picked, base, verdicts),
        };
        self.picked = picked;
        outcome
    }

    /// Extracts and asks. Returns how many messages the batch covers, those skipped by their tag included.
    fn call(&mut self, messages: &[MessageView<'_>], picked: &mut Vec<usize>) -> Result<(usize, Vec<u8>), Fault> {
        picked.clear();
        let (plan, run) = (self.plan, &mut *self.run);
        let (version, id) = (run.held.version.clone(), run.held.binding.id);
        let mut count = 0;
        let answer = self.instance.with(|slot| {
            slot.clear(&plan.extractor);
            for message in messages {
                count += 1;
                if plan.tags.as_ref().is_some_and(|tags| !tags.admits(message.property(gantry_model::properties::TAGS)))
                {
                    continue;
                }
                picked.push(count - 1);
                if !slot.push(&plan.extractor, message) || picked.len() == plan.max_batch {
                    break;
                }
            }
            if picked.is_empty() {
                return Ok(Vec::new());
            }
            run.held.binding.stats.calls.add(1);
            let judged = Judged { messages, picked };
            slot.evaluate(version.runtime(), version.wiring.deadline, id, &plan.extractor, judged)
        });
        answer.map(|answer| (count, answer)).inspect_err(|fault| run.held.note_fault(fault))
    }

    fn accept(
        &mut self,
        messages: &[MessageView<'_>],
        picked: &[usize],
        answer: &[u8],
        base: usize,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), Stopped> {
        for (message, byte) in picked.iter().zip(answer) {
            match byte {
                0 => {}
                1 => verdicts[base + message] = Verdict::Deliver,
                _ => {
                    verdicts[base + message] = Verdict::Undecided;
                    verdicts.truncate(base + message + 1);
                    let view = &messages[*message];
                    self.run.fault = Some(format!(
                        "{} says that it cannot decide the message at queue offset {} of queue {}",
                        self.run.label(),
                        view.queue_offset,
                        view.queue_id
                    ));
                    return Err(Stopped);
                }
            }
        }
        Ok(())
    }

    fn one_by_one(
        &mut self,
        messages: &[MessageView<'_>],
        picked: &[usize],
        base: usize,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<usize, Stopped> {
        let mut one = Vec::with_capacity(1);
        for index in picked {
            // Those between were skipped by their tag.
            verdicts.resize(base + index, Verdict::Skip);
            let message = &messages[*index..=*index];
            match self.call(message, &mut one) {
                Ok((_, answer)) => {
                    verdicts.push(Verdict::Skip);
                    self.accept(message, &one, &answer, base + index, verdicts)?;
                }
                Err(fault) => {
                    self.run.blame(&message[0], &fault);
                    verdicts.push(Verdict::Undecided);
                    return Err(Stopped);
                }
            }
        }
        self.run.held.note_success();
        Ok(picked.last().map_or(0, |last| last + 1))
    }
}
