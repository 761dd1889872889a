//! One instance of a plugin: a store, the instance in it, and the buffers of its batches.

use std::{fmt, sync::Arc, time::Duration};

use gantry_model::message::MessageView;
use wasmtime::{Store, Trap};

use crate::{
    code::Code,
    columns::{Extractor, Scratch},
    engine::Runtime,
    guest::{Guest, JUDGED, Judged, Shared},
    refusal::{Refusal, one_line, root_cause},
    wit::{
        MessageFilter,
        exports::gantry::plugin::{
            filter::{self, Batch},
            lifecycle::{PluginContext, PluginInfo},
        },
        shapes::Pair,
    },
};

/// Processor time of `init`, `self-check` and `open`.
pub(crate) const START_BUDGET: Duration = Duration::from_secs(1);

/// What an instance is made with.
pub(crate) struct Making<'a> {
    pub(crate) code: &'a Code,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) plugin: &'a str,
    pub(crate) broker: &'a str,
    pub(crate) params: &'a [(String, String)],
    pub(crate) memory_limit_bytes: u64,
}

/// An instance that answered `init`. After a fault it must be dropped: its memory can be in any state.
pub(crate) struct Slot {
    store: Store<Guest>,
    guest: MessageFilter,
    scratch: Scratch,
}

/// A call that did not come back as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

/// Faults by what made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Trap,
    Deadline,
    Memory,
    /// A verdict list that is none.
    Result,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Slot {
    /// Instantiates and initialises.
    pub(crate) fn make(runtime: &Runtime, making: &Making<'_>) -> Result<(Self, PluginInfo), Refusal> {
        let mut store = runtime.store(making.shared.clone(), making.memory_limit_bytes);
        let in_flight = runtime.call(&mut store, START_BUDGET);
        let guest = making.code.pre.instantiate(&mut store);
        drop(in_flight);
        let guest = guest.map_err(|error| {
            let fault = fault(&error, &mut store, START_BUDGET);
            // Linking checks names, instantiation checks types: what did not run cannot have trapped.
            match fault.cause == Cause::Trap && !error.is::<Trap>() {
                true => Refusal::OtherTypes(fault.text),
                false => refused("instantiation", fault),
            }
        })?;
        let mut slot = Slot { store, guest, scratch: Scratch::default() };
        let params = pairs(making.params);
        let context = PluginContext { plugin: making.plugin, broker: making.broker, params: &params };
        let answer =
            slot.call(runtime, START_BUDGET, |guest, store| guest.gantry_plugin_lifecycle().call_init(store, context));
        match answer.map_err(|fault| refused("init", fault))? {
            Ok(info) => Ok((slot, info)),
            Err(reason) => Err(Refusal::SaidNo { call: "init".into(), reason: one_line(&reason) }),
        }
    }

    pub(crate) fn self_check(&mut self, runtime: &Runtime) -> Result<(), Refusal> {
        let answer =
            self.call(runtime, START_BUDGET, |guest, store| guest.gantry_plugin_lifecycle().call_self_check(store));
        let answer = answer.map_err(|fault| refused("self-check", fault))?;
        answer.map_err(|reason| Refusal::SaidNo { call: "self-check".into(), reason: one_line(&reason) })
    }

    /// Opens subscription `id`. The outer error ends the instance, the inner one is the plugin's own no.
    pub(crate) fn open(
        &mut self,
        runtime: &Runtime,
        id: u32,
        (topic, group): (&str, &str),
        params: &[(String, String)],
    ) -> Result<Result<filter::Plan, String>, Fault> {
        let params = pairs(params);
        let subscription = filter::Subscription { group, topic, params: &params };
        self.call(runtime, START_BUDGET, |guest, store| guest.gantry_plugin_filter().call_open(store, id, subscription))
    }

    pub(crate) fn clear(&mut self, extractor: &Extractor) {
        extractor.clear(&mut self.scratch);
    }

    /// Adds a message to the batch; `false` when the batch should be sent.
    pub(crate) fn push(&mut self, extractor: &Extractor, message: &MessageView<'_>) -> bool {
        extractor.push(&mut self.scratch, message)
    }

    /// Judges the batch that was pushed, which is `judged`. One byte a message, each 0, 1 or 2.
    pub(crate) fn evaluate(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        extractor: &Extractor,
        judged: Judged<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let rows = self.scratch.rows();
        let queue_id = judged.messages.first().map_or(0, |message| message.queue_id);
        let scratch = std::mem::take(&mut self.scratch);
        let columns = extractor.columns(&scratch);
        let batch = Batch { queue_id, count: rows as u32, columns: &columns };
        let answer = JUDGED.set(judged, || {
            self.call(runtime, budget, |guest, store| guest.gantry_plugin_filter().call_evaluate(store, id, batch))
        });
        drop(columns);
        self.scratch = scratch;
        let verdicts = answer?;
        let wrong = |text: String| Err(Fault { cause: Cause::Result, text });
        if verdicts.len() != rows {
            return wrong(format!("it answered {} verdicts for {rows} messages", verdicts.len()));
        }
        match verdicts.iter().find(|verdict| **verdict > 2) {
            Some(verdict) => wrong(format!("it answered the verdict {verdict}, expected 0, 1 or 2")),
            None => Ok(verdicts),
        }
    }

    fn call<R>(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        call: impl FnOnce(&MessageFilter, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let in_flight = runtime.call(&mut self.store, budget);
        let answer = call(&self.guest, &mut self.store);
        drop(in_flight);
        answer.map_err(|error| fault(&error, &mut self.store, budget))
    }
}

fn pairs(params: &[(String, String)]) -> Vec<Pair<'_>> {
    params.iter().map(|(name, value)| Pair { name, value }).collect()
}

fn refused(call: &'static str, fault: Fault) -> Refusal {
    Refusal::Fault { call, fault: fault.text }
}

/// What went wrong in words; the guest's own last error line is usually the text of its panic.
fn fault(error: &wasmtime::Error, store: &mut Store<Guest>, budget: Duration) -> Fault {
    let guest = store.data_mut();
    if guest.deadline.exceeded {
        let text = format!("it used more than {} ms of processor time and was stopped", budget.as_millis());
        return Fault { cause: Cause::Deadline, text };
    }
    let said = guest.last_error.take().map(|line| format!("; it said: {line}")).unwrap_or_default();
    if let Some(asked) = guest.limits.refused_bytes.take() {
        let limit = guest.limits.memory_bytes_max();
        return Fault {
            cause: Cause::Memory,
            text: format!("it asked for {asked} bytes of memory, its limit is {limit}{said}"),
        };
    }
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => root_cause(&**error),
    };
    Fault { cause: Cause::Trap, text: format!("{text}{said}") }
}
