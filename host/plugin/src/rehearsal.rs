//! A file loaded outside of any broker, to be asked as often as one likes: what `gantry plugin test` and `bench` are made of.

use std::time::{Duration, Instant};

use gantry_model::message::MessageView;

use crate::{
    balancer::{Assignment, BrokerOffer, Placement, QueueState, SendHint},
    binding::CallError,
    check::{self, Checked, ID},
    feed::Feed,
    guest::Judged,
    refusal::Refusal,
    run::Verdict,
    slot::{Fault, Slot},
    spec::{BindingSpec, PluginSpec},
    trial,
    version::Version,
};

/// One plugin, opened once, on this thread.
pub struct Rehearsal {
    checked: Checked,
}

impl Rehearsal {
    /// Loads `plugin.file` and opens it for `binding` (a filter's topic and group; balancers and hooks take its parameters).
    pub fn open(plugin: &PluginSpec, binding: &BindingSpec) -> Result<Self, Refusal> {
        let checked = check::prepare(plugin, binding)?;
        match checked.refused {
            Some(refusal) => Err(refusal),
            None => Ok(Rehearsal { checked }),
        }
    }

    /// `name@hash`.
    pub fn label(&self) -> &str {
        &self.checked.version.label
    }

    /// A filter's verdict for one message; a fault is an error.
    pub fn judge(&self, message: &MessageView<'_>) -> Result<Verdict, CallError> {
        trial::judge(&self.checked.version, ID, message).map_err(|fault| self.failed(fault))
    }

    /// A filter's verdicts for messages in batches, as a pull has them: how long it took, extraction included.
    pub fn time_batches(&self, messages: &[MessageView<'_>]) -> Result<Duration, CallError> {
        let version = &self.checked.version;
        let Some(plan) = version.plan(ID) else { return Ok(Duration::ZERO) };
        let picked: Vec<usize> = (0..plan.max_batch).collect();
        let started = Instant::now();
        for batch in messages.chunks(plan.max_batch) {
            self.ask(|slot, version| {
                slot.clear(&plan.extractor);
                for message in batch {
                    slot.push(&plan.extractor, message);
                }
                let judged = Judged { messages: batch, picked: &picked[..batch.len()] };
                slot.evaluate(version.runtime(), version.wiring.deadline, ID, &plan.extractor, judged)
            })?;
        }
        Ok(started.elapsed())
    }

    /// How long a balancer takes to answer about a route.
    pub fn time_route(&self, brokers: &[BrokerOffer]) -> Result<Duration, CallError> {
        self.time(|slot, version| slot.route(version.runtime(), version.wiring.deadline, ID, "bench", brokers))
    }

    /// How long it takes to weigh queues; and whether it wants to be asked for each message.
    pub fn time_place(&self, queues: &[QueueState]) -> Result<(Duration, bool), CallError> {
        let mut per_message = false;
        let took = self.time(|slot, version| {
            let answer = slot.place(version.runtime(), version.wiring.deadline, ID, "bench", queues)?;
            per_message = matches!(answer, Ok(Placement::PerMessage));
            Ok(answer)
        })?;
        Ok((took, per_message))
    }

    /// How long it takes to choose the queue of one message.
    pub fn time_select(&self, queues: &[QueueState], hint: &SendHint) -> Result<Duration, CallError> {
        self.time(|slot, version| {
            slot.select(version.runtime(), version.wiring.deadline, ID, ("bench", 1, queues), hint)
        })
    }

    /// How long it takes to assign queues.
    pub fn time_assign(&self, question: &Assignment) -> Result<Duration, CallError> {
        self.time(|slot, version| slot.assign(version.runtime(), Duration::from_millis(250), ID, question))
    }

    /// How long a hook takes for a tick.
    pub fn time_tick(&self, feed: &Feed) -> Result<Duration, CallError> {
        let version = &self.checked.version;
        let Some(plan) = version.hook_plan(ID) else { return Ok(Duration::ZERO) };
        self.time(|slot, version| {
            let (runtime, deadline) = (version.runtime(), version.wiring.deadline);
            match version.code.world {
                crate::World::AlertHook => slot.tick_alerts(runtime, deadline, feed, &plan.wants).map(drop).map(Ok),
                _ => slot.tick_metrics(runtime, deadline, feed, &plan.wants).map(drop).map(Ok),
            }
        })
    }

    /// Memory of the instance now, bytes.
    pub fn memory_bytes(&self) -> u64 {
        let memory = self.checked.version.slot().with(|slot| Ok(slot.memory_bytes()));
        memory.map_or(0, |bytes| bytes as u64)
    }

    fn time<T>(
        &self,
        ask: impl FnOnce(&mut Slot, &Version) -> Result<Result<T, String>, Fault>,
    ) -> Result<Duration, CallError> {
        let started = Instant::now();
        let answer = self.ask(ask)?;
        let took = started.elapsed();
        answer
            .map(|_| took)
            .map_err(|reason| CallError::Failed(self.label().to_owned(), format!("it refused: {reason}")))
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Slot, &Version) -> Result<T, Fault>) -> Result<T, CallError> {
        let version = &self.checked.version;
        version.slot().with(|slot| ask(slot, version)).map_err(|fault| self.failed(fault))
    }

    fn failed(&self, fault: Fault) -> CallError {
        CallError::Failed(self.label().to_owned(), fault.text)
    }
}
