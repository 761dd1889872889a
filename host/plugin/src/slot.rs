//! One instance of a plugin: a store, the instance in it, and the buffers of its batches.

mod balancer;
mod filter;
mod hook;

use std::{fmt, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use wasmtime::{Store, Trap};

use self::hook::Told;
use crate::{
    code::Code,
    columns::Scratch,
    engine::Runtime,
    exports::WorldExports,
    frames,
    guest::{Guest, Shared},
    refusal::{Refusal, one_line, root_cause},
    wit,
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

/// Name, version and language in the plugin's own words.
pub(crate) struct Info {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) language: String,
}

/// An instance that answered `init`. After a fault it must be dropped: its memory can be in any state.
pub(crate) struct Slot {
    store: Store<Guest>,
    exports: WorldExports,
    carried: Option<wit::carried::Carried>,
    /// Of a filter.
    scratch: Scratch,
    /// Of a balancer: by binding and topic, the board that it was shown last.
    boards: FxHashMap<u32, FxHashMap<String, u64>>,
    /// Of a hook.
    told: Told,
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
    /// An answer that is none.
    Result,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Slot {
    /// Instantiates and initialises.
    pub(crate) fn make(runtime: &Runtime, making: &Making<'_>) -> Result<(Self, Info), Refusal> {
        let mut store = runtime.store(making.shared.clone(), making.memory_limit_bytes);
        let in_flight = runtime.call(&mut store, START_BUDGET);
        let code = making.code;
        let made = code.pre.instantiate(&mut store).and_then(|instance| code.places.load(&mut store, &instance));
        drop(in_flight);
        let exports = made.map_err(|error| {
            let fault = fault(&error, &mut store, START_BUDGET);
            // Linking checks names, instantiation checks types: what did not run cannot have trapped.
            match fault.cause == Cause::Trap && !error.is::<Trap>() {
                true => Refusal::OtherTypes(fault.text),
                false => refused("instantiation", fault),
            }
        })?;
        let mut slot = Slot {
            store,
            exports: exports.world,
            carried: exports.carried,
            scratch: Scratch::default(),
            boards: FxHashMap::default(),
            told: Told::default(),
        };
        match slot.init(runtime, making).map_err(|fault| refused("init", fault))? {
            Ok(info) => Ok((slot, info)),
            Err(reason) => Err(Refusal::SaidNo { call: "init".into(), reason: one_line(&reason) }),
        }
    }

    /// The same call in every world; the types of its arguments are each world's own.
    fn init(&mut self, runtime: &Runtime, making: &Making<'_>) -> Result<Result<Info, String>, Fault> {
        macro_rules! owned {
            ($guest:ident, $store:ident, $world:ident) => {{
                use wit::$world::{exports::gantry::plugin::lifecycle, gantry::plugin::types::Pair};
                let pair = |(name, value): &(String, String)| Pair { name: name.clone(), value: value.clone() };
                let context = lifecycle::PluginContext {
                    plugin: making.plugin.to_owned(),
                    broker: making.broker.to_owned(),
                    params: making.params.iter().map(pair).collect(),
                };
                $guest.gantry_plugin_lifecycle().call_init($store, &context).map(|answer| {
                    answer.map(|info| Info { name: info.name, version: info.version, language: info.language })
                })
            }};
        }
        self.call(runtime, START_BUDGET, |exports, store| {
            Some(match exports {
                WorldExports::Filter(guest) => {
                    use wit::{filter::exports::gantry::plugin::lifecycle, shapes::Pair};
                    let params: Vec<Pair<'_>> =
                        making.params.iter().map(|(name, value)| Pair { name, value }).collect();
                    let context =
                        lifecycle::PluginContext { plugin: making.plugin, broker: making.broker, params: &params };
                    guest.gantry_plugin_lifecycle().call_init(store, context).map(|answer| {
                        answer.map(|info| Info { name: info.name, version: info.version, language: info.language })
                    })
                }
                WorldExports::Balancer(guest) => owned!(guest, store, balancer),
                WorldExports::Metric(guest) => owned!(guest, store, metric),
                WorldExports::Alert(guest) => owned!(guest, store, alert),
            })
        })
    }

    pub(crate) fn self_check(&mut self, runtime: &Runtime) -> Result<(), Refusal> {
        let answer = self.call(runtime, START_BUDGET, |exports, store| {
            Some(match exports {
                WorldExports::Filter(guest) => guest.gantry_plugin_lifecycle().call_self_check(store),
                WorldExports::Balancer(guest) => guest.gantry_plugin_lifecycle().call_self_check(store),
                WorldExports::Metric(guest) => guest.gantry_plugin_lifecycle().call_self_check(store),
                WorldExports::Alert(guest) => guest.gantry_plugin_lifecycle().call_self_check(store),
            })
        });
        let answer = answer.map_err(|fault| refused("self-check", fault))?;
        answer.map_err(|reason| Refusal::SaidNo { call: "self-check".into(), reason: one_line(&reason) })
    }

    /// What its memories take now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().limits.memory_bytes()
    }

    /// `None` of `call` = it asks what instances of this world do not have.
    fn call<R>(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        call: impl FnOnce(&WorldExports, &mut Store<Guest>) -> Option<wasmtime::Result<R>>,
    ) -> Result<R, Fault> {
        let in_flight = runtime.call(&mut self.store, budget);
        let answer = call(&self.exports, &mut self.store);
        drop(in_flight);
        match answer {
            Some(answer) => answer.map_err(|error| fault(&error, &mut self.store, budget)),
            None => Err(Fault { cause: Cause::Result, text: "a plugin of this world is not asked that".to_owned() }),
        }
    }
}

fn refused(call: &'static str, fault: Fault) -> Refusal {
    Refusal::Fault { call, fault: fault.text }
}

/// What went wrong in words; the guest's own last error line is usually the text of its panic.
fn fault(error: &wasmtime::Error, store: &mut Store<Guest>, budget: Duration) -> Fault {
    let place = frames::place(error);
    let guest = store.data_mut();
    if guest.deadline.exceeded {
        let text = format!("it used more than {} ms of processor time and was stopped{place}", budget.as_millis());
        return Fault { cause: Cause::Deadline, text };
    }
    let said = guest.last_error.take().map(|line| format!("; it said: {line}")).unwrap_or_default();
    if let Some(asked) = guest.limits.refused_bytes.take() {
        let limit = guest.limits.memory_bytes_max();
        return Fault {
            cause: Cause::Memory,
            text: format!("it asked for {asked} bytes of memory, its limit is {limit}{place}{said}"),
        };
    }
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => root_cause(&**error),
    };
    Fault { cause: Cause::Trap, text: format!("{text}{place}{said}") }
}
