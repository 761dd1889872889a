//! A queue balancer as name server and broker ask it. Whatever it answers is checked here; whoever asked has a way of its own
//! for when it fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gantry_balance::{Decision, assign};

pub use crate::wit::balancer::{
    exports::gantry::plugin::balancer::{
        Assignment, BrokerOffer, Decisions, Load, Member, Placement, QueuePlace, QueueState, SendHint,
    },
    gantry::plugin::types::Pair,
};
use crate::{
    admitted::Admitted,
    binding::{Binding, CallError},
    refusal::one_line,
    slot::{Cause, Fault, Slot},
    version::Version,
};

/// Least processor time of an assignment, however short the plugin's deadline: a thousand queues take a while, and nobody
/// waits for them on a worker.
const ASSIGN_BUDGET: Duration = Duration::from_millis(250);

/// A balancer of a topic.
#[derive(Clone)]
pub struct Balancer(pub(crate) Arc<Binding>);

/// The queues of a topic as a balancer was shown them last, and what it made of them.
#[derive(Debug)]
pub struct Board {
    topic: String,
    epoch: u64,
    queues: Vec<QueueState>,
    placement: Placement,
    label: String,
}

impl Board {
    /// How messages are to be spread over the queues; as many weights as there are queues.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The queues, in the order of the weights.
    pub fn queues(&self) -> &[QueueState] {
        &self.queues
    }

    /// Version that was asked, as `name@hash`.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// An answer with the version that gave it, as `name@hash`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<T> {
    /// The answer.
    pub answer: T,
    /// The version.
    pub label: String,
}

impl Decisions {
    /// As the configuration spells them.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.route, Decision::Route),
            (self.placement, Decision::SelectQueue),
            (self.assignment, Decision::Assign),
        ];
        all.into_iter().filter(|(decides, _)| *decides).map(|(_, decision)| decision.name()).collect()
    }
}

impl Balancer {
    /// Name of the plugin.
    pub fn plugin(&self) -> &str {
        self.0.plugin()
    }

    /// Whether messages that name a queue may be moved.
    pub fn retargets(&self) -> bool {
        self.0.retargets()
    }

    /// Whether both are one binding.
    pub fn is(&self, other: &Balancer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Grows with every version put in service: what was answered before may be answered otherwise now.
    pub fn version(&self) -> u64 {
        self.0.plugin.swaps.get()
    }

    /// Whether the version that serves takes this decision.
    pub fn takes(&self, decision: Decision) -> bool {
        let decisions = self.decisions();
        match decision {
            Decision::Route => decisions.route,
            Decision::SelectQueue => decisions.placement,
            Decision::Assign => decisions.assignment,
        }
    }

    /// What the version that serves decides; nothing while none does.
    pub fn decisions(&self) -> Decisions {
        let none = Decisions { route: false, placement: false, assignment: false };
        self.0.plugin.current().and_then(|version| version.decisions(self.0.id)).unwrap_or(none)
    }

    /// Which of `brokers` producers of `topic` may be sent to, one answer a broker. Takes microseconds; runs on the caller.
    pub fn route(&self, topic: &str, brokers: &[BrokerOffer]) -> Result<Decided<Vec<bool>>, CallError> {
        self.ask(|slot, version| {
            let answer = slot.route(version.runtime(), version.wiring.deadline, self.0.id, topic, brokers)?;
            said(answer, |answer| counted("brokers", answer.len(), brokers.len()))
        })
    }

    /// Shows it a topic's queues, and asks how messages are spread over them. Ask again about once a second.
    pub fn place(&self, topic: &str, queues: Vec<QueueState>) -> Result<Board, CallError> {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        let decided = self.ask(|slot, version| {
            let answer = slot.place(version.runtime(), version.wiring.deadline, self.0.id, topic, &queues)?;
            said(answer, |placement| match placement {
                Placement::Weights(weights) => counted("queues", weights.len(), queues.len()),
                Placement::PerMessage => Ok(()),
            })
        })?;
        let epoch = EPOCHS.fetch_add(1, Relaxed);
        Ok(Board { topic: topic.to_owned(), epoch, queues, placement: decided.answer, label: decided.label })
    }

    /// The queue for one message, as an index into the board's queues; `None` leaves it to the caller.
    pub fn select(&self, board: &Board, hint: &SendHint) -> Result<Option<u32>, CallError> {
        let shown = (board.topic.as_str(), board.epoch, board.queues.as_slice());
        let decided = self.ask(|slot, version| {
            let answer = slot.select(version.runtime(), version.wiring.deadline, self.0.id, shown, hint)?;
            said(answer, |queue| match queue {
                Some(queue) if *queue as usize >= board.queues.len() => {
                    Err(format!("it chose queue {queue} of {}", board.queues.len()))
                }
                _ => Ok(()),
            })
        })?;
        self.0.stats.messages.add(1);
        Ok(decided.answer)
    }

    /// For each member the indexes of its queues, each queue exactly once. May take a quarter of a second.
    pub fn assign(&self, question: &Assignment) -> Result<Decided<Vec<Vec<u32>>>, CallError> {
        self.ask(|slot, version| {
            let budget = version.wiring.deadline.max(ASSIGN_BUDGET);
            let answer = slot.assign(version.runtime(), budget, self.0.id, question)?;
            said(answer, |answer| complete(answer, question))
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Slot, &Version) -> Result<T, Fault>) -> Result<Decided<T>, CallError> {
        let mut held = self.0.admit()?;
        let version = held.version.clone();
        let (started, stats) = (Instant::now(), &self.0.stats);
        stats.calls.add(1);
        let answer = version.slot().with(|slot| ask(slot, &version));
        stats.nanoseconds.add(started.elapsed().as_nanos() as u64);
        settled(&mut held, answer).map(|answer| Decided { answer, label: version.label.clone() })
    }
}

/// Notes how a call went.
pub(crate) fn settled<T>(held: &mut Admitted, answer: Result<T, Fault>) -> Result<T, CallError> {
    match answer {
        Ok(answer) => {
            held.note_success();
            Ok(answer)
        }
        Err(fault) => {
            held.note_fault(&fault);
            held.blame(&fault);
            Err(CallError::Failed(held.version.label.clone(), fault.text))
        }
    }
}

/// The plugin's own no, and an answer that cannot be, are faults: it was asked because it says that it decides this.
fn said<T>(answer: Result<T, String>, check: impl FnOnce(&T) -> Result<(), String>) -> Result<T, Fault> {
    let result = |text: String| Fault { cause: Cause::Result, text };
    let answer = answer.map_err(|reason| result(format!("it refused: {}", one_line(&reason))))?;
    check(&answer).map_err(result)?;
    Ok(answer)
}

fn counted(what: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("it answered for {found} {what}, there are {expected}")) }
}

/// The rules of `balance`; here they count towards the plugin's breaker.
fn complete(answer: &[Vec<u32>], question: &Assignment) -> Result<(), String> {
    let queues = u32::try_from(question.queues.len()).unwrap_or(u32::MAX);
    assign::check(answer, queues, question.members.len()).map_err(|fault| fault.0)
}
