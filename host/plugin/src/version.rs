//! One version of a plugin as it serves: code, parameters, opened subscriptions, and an instance for each worker.
//!
//! A version never changes. A new file, new parameters or another binding make a new version beside it, which takes its
//! place in one step; whoever holds the old one finishes with it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    balancer::Decisions,
    binding::Kind,
    code::Code,
    engine::Runtime,
    feed::Wants,
    guest::Shared,
    hook::{self, Family},
    plan::Plan,
    refusal::{Refusal, one_line},
    slot::{Fault, Making, START_BUDGET, Slot},
};

/// Clean calls after which a version that was too slow once runs on the workers again.
const CLEAN_CALLS: u32 = 1_000;

/// Everything but the code that a version is made of. Equal wirings of equal code serve alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wiring {
    pub(crate) params: Vec<(String, String)>,
    pub(crate) memory_limit_bytes: u64,
    pub(crate) deadline: Duration,
    pub(crate) bindings: Vec<Wire>,
}

/// One binding as a version opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) topic: String,
    pub(crate) group: String,
    /// Of the node; for balancers.
    pub(crate) zone: String,
    pub(crate) params: Vec<(String, String)>,
}

impl Wire {
    fn name(&self) -> String {
        match &self.kind {
            Kind::Hook => "the node's metrics".to_owned(),
            Kind::Filter | Kind::Function(_) | Kind::Balancer => {
                format!("topic {:?}, group {:?}", self.topic, self.group)
            }
        }
    }
}

/// What a plugin said when it was opened. Every instance must say the same.
#[derive(Debug, Clone, PartialEq)]
enum Opening {
    Filter(Plan),
    Balancer(Decisions),
    Hook(HookPlan),
}

/// What a hook wants, and what it derives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HookPlan {
    pub(crate) wants: Wants,
    pub(crate) families: Arc<[Family]>,
}

pub(crate) struct Version {
    pub(crate) plugin: Arc<str>,
    /// `name@hash`, for responses and logs.
    pub(crate) label: String,
    pub(crate) code: Arc<Code>,
    /// What was asked for; a binding that refused is in here and not in `opened`.
    pub(crate) wiring: Wiring,
    /// `name version (language)` in the plugin's own words.
    pub(crate) info: String,
    opened: BTreeMap<u32, Opened>,
    runtime: Arc<Runtime>,
    shared: Arc<Shared>,
    broker: Arc<str>,
    slots: Box<[Mutex<Option<Slot>>]>,
    /// Calls to go until a version that hit its deadline counts as clean.
    suspect: AtomicU32,
}

/// A binding that the plugin accepted.
struct Opened {
    wire: Wire,
    opening: Opening,
}

/// What does not change from one version of a plugin to the next.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) plugin: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) broker: Arc<str>,
    pub(crate) slots: usize,
}

/// A version fit to serve, and the bindings that it does not serve as asked: their id and why.
pub(crate) struct Prepared {
    pub(crate) version: Version,
    pub(crate) problems: Vec<(u32, Refusal)>,
}

impl Version {
    /// Makes every instance and opens every binding in it. A binding that `previous` serves and this code refuses stops
    /// the whole: a group must not lose its filter to a new file. A binding that is new, or whose parameters changed,
    /// fails alone (the latter goes on with its former parameters).
    pub(crate) fn prepare(
        ground: &Ground,
        code: Arc<Code>,
        wiring: Wiring,
        previous: Option<&Version>,
    ) -> Result<Prepared, Refusal> {
        let making = Making {
            code: &code,
            shared: &ground.shared,
            plugin: &ground.plugin,
            broker: &ground.broker,
            params: &wiring.params,
            memory_limit_bytes: wiring.memory_limit_bytes,
        };
        let (mut first, info) = Slot::make(&ground.runtime, &making)?;
        first.self_check(&ground.runtime)?;
        let (mut opened, mut problems) = (BTreeMap::new(), Vec::new());
        for wire in &wiring.bindings {
            let former = previous.and_then(|version| version.opened.get(&wire.id)).map(|opened| &opened.wire);
            let mut answer =
                open(&mut first, &ground.runtime, wire)?.map(|opening| Opened { wire: wire.clone(), opening });
            if let Err(refusal) = answer {
                answer = match former {
                    None => {
                        problems.push((wire.id, refusal));
                        continue;
                    }
                    Some(former) if former.params == wire.params => return Err(refusal),
                    Some(former) => {
                        problems.push((wire.id, refusal));
                        open(&mut first, &ground.runtime, former)?
                            .map(|opening| Opened { wire: former.clone(), opening })
                    }
                };
            }
            opened.insert(wire.id, answer?);
        }
        let info = one_line(&format!("{} {} ({})", info.name, info.version, info.language));
        // A hook keeps state, so there is one of it.
        let slots = if code.world.is_hook() { 1 } else { ground.slots.max(1) };
        let version = Version {
            plugin: ground.plugin.clone(),
            label: format!("{}@{}", ground.plugin, code.short_hash()),
            info,
            opened,
            runtime: ground.runtime.clone(),
            shared: ground.shared.clone(),
            broker: ground.broker.clone(),
            slots: (0..slots).map(|_| Mutex::new(None)).collect(),
            suspect: AtomicU32::new(0),
            wiring,
            code,
        };
        *version.slots[0].lock() = Some(first);
        for slot in &version.slots[1..] {
            *slot.lock() = Some(version.make_slot()?);
        }
        Ok(Prepared { version, problems })
    }

    fn make_slot(&self) -> Result<Slot, Refusal> {
        let making = Making {
            code: &self.code,
            shared: &self.shared,
            plugin: &self.plugin,
            broker: &self.broker,
            params: &self.wiring.params,
            memory_limit_bytes: self.wiring.memory_limit_bytes,
        };
        let (mut slot, _) = Slot::make(&self.runtime, &making)?;
        for opened in self.opened.values() {
            if open(&mut slot, &self.runtime, &opened.wire)?? != opened.opening {
                let reason =
                    "another instance of it gave another plan; a plan may depend on parameters only".to_owned();
                return Err(Refusal::Plan { subscription: opened.wire.name(), reason });
            }
        }
        Ok(slot)
    }

    /// Whether binding `id` is open in it.
    pub(crate) fn serves(&self, id: u32) -> bool {
        self.opened.contains_key(&id)
    }

    /// The plan of the filter `id`, if this version serves it.
    pub(crate) fn plan(&self, id: u32) -> Option<&Plan> {
        match &self.opened.get(&id)?.opening {
            Opening::Filter(plan) => Some(plan),
            Opening::Balancer(_) | Opening::Hook(_) => None,
        }
    }

    /// What the balancer `id` decides, if this version serves it.
    pub(crate) fn decisions(&self, id: u32) -> Option<Decisions> {
        match &self.opened.get(&id)?.opening {
            Opening::Balancer(decisions) => Some(*decisions),
            Opening::Filter(_) | Opening::Hook(_) => None,
        }
    }

    /// What the hook `id` wants, if this version serves it.
    pub(crate) fn hook_plan(&self, id: u32) -> Option<&HookPlan> {
        match &self.opened.get(&id)?.opening {
            Opening::Hook(plan) => Some(plan),
            Opening::Filter(_) | Opening::Balancer(_) => None,
        }
    }

    /// Gives the state of `before` to this version, if both can. Whatever goes wrong costs the state, not the version.
    pub(crate) fn carry_over(&self, before: &Version) {
        if !self.code.world.is_hook() {
            return;
        }
        let budget = self.wiring.deadline.max(START_BUDGET);
        let state = before.slot().with(|slot| slot.snapshot(&before.runtime, budget));
        let handed = match state {
            Ok(None) => return,
            Ok(Some(state)) => self.slot().with(|slot| slot.restore(&self.runtime, budget, &state)),
            Err(fault) => Err(fault),
        };
        let reason = match handed {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => one_line(&reason),
            Err(fault) => fault.text,
        };
        tracing::warn!(version = self.label, before = before.label, "the plugin begins without its state: {reason}");
    }

    /// An instance for this thread. Threads keep to one instance each; where more threads than instances judge, the
    /// wait is for one batch.
    pub(crate) fn slot(&self) -> Instance<'_> {
        let own = thread_ordinal() % self.slots.len();
        let free = (0..self.slots.len()).find_map(|step| self.slots[(own + step) % self.slots.len()].try_lock());
        Instance { version: self, slot: free.unwrap_or_else(|| self.slots[own].lock()) }
    }

    /// Whether it should be kept off the runtime's workers, because it lately used up a deadline.
    pub(crate) fn suspect(&self) -> bool {
        self.suspect.load(Relaxed) > 0
    }

    /// Notes how a call went.
    pub(crate) fn note_call(&self, deadline_hit: bool) {
        if deadline_hit {
            self.suspect.store(CLEAN_CALLS, Relaxed);
        } else if self.suspect.load(Relaxed) > 0 {
            // Two workers may both take the last one; it stops at zero.
            let _ = self.suspect.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// A locked instance, made again when the last user left it broken.
pub(crate) struct Instance<'v> {
    version: &'v Version,
    slot: MutexGuard<'v, Option<Slot>>,
}

impl Instance<'_> {
    /// Runs `call` on the instance; a fault ends it, and the next call makes a new one.
    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut Slot) -> Result<R, Fault>) -> Result<R, Fault> {
        if self.slot.is_none() {
            let made = self.version.make_slot();
            *self.slot =
                Some(made.map_err(|refusal| Fault { cause: crate::slot::Cause::Trap, text: refusal.to_string() })?);
        }
        let answer = self.slot.as_mut().map(call);
        if matches!(answer, Some(Err(_))) {
            *self.slot = None;
        }
        answer.unwrap_or_else(|| Err(Fault { cause: crate::slot::Cause::Trap, text: "the instance is gone".into() }))
    }
}

/// The outer error ends the instance, the inner one is a refusal of this binding alone.
fn open(slot: &mut Slot, runtime: &Runtime, wire: &Wire) -> Result<Result<Opening, Refusal>, Refusal> {
    let names = (wire.topic.as_str(), wire.group.as_str());
    let unfit = |reason: String| Refusal::Plan { subscription: wire.name(), reason };
    let said_no =
        |reason: String| Refusal::SaidNo { call: format!("open for {}", wire.name()), reason: one_line(&reason) };
    let faulted = |fault: Fault| Refusal::Fault { call: "open", fault: format!("{fault} ({})", wire.name()) };
    Ok(match &wire.kind {
        Kind::Filter | Kind::Function(_) => {
            let answer = slot.open_filter(runtime, wire.id, names, &wire.params).map_err(faulted)?;
            answer.map_err(said_no).and_then(|plan| Plan::check(plan).map(Opening::Filter).map_err(unfit))
        }
        Kind::Balancer => {
            let names = (names.0, names.1, wire.zone.as_str());
            let answer = slot.open_balancer(runtime, wire.id, names, &wire.params).map_err(faulted)?;
            answer.map(Opening::Balancer).map_err(said_no)
        }
        Kind::Hook => {
            let wants = slot.wants(runtime).map_err(faulted)?;
            let families = slot.families(runtime).map_err(faulted)?;
            let plan = Wants::new(wants).and_then(|wants| {
                let families = hook::check_families(families)?.into();
                Ok(Opening::Hook(HookPlan { wants, families }))
            });
            plan.map_err(|reason| unfit(format!("it {reason}")))
        }
    })
}

fn thread_ordinal() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static ORDINAL: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed));
    }
    ORDINAL.get()
}
