//! Who decides in place of the built-ins.

use std::{fmt, sync::Arc};

use gantry_base::watermark::Watermark;

use crate::{AssignQuestion, Decision, QueueBoard, RouteQuestion};

/// Why there is no usable answer; a sentence for logs. The built-in answer stands then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl Fault {
    fn not_made(decision: Decision) -> Self {
        Fault(format!("{} is not decided here", decision.name()))
    }
}

/// How a topic's open messages are to be placed until the next board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weighing {
    /// Each queue's share, in the board's order; drawn natively.
    Weights(Vec<u32>),
    /// [`Decider::select`] is asked for each message with a sharding key; the others take the queues in turn.
    PerMessage,
}

/// A message with a sharding key and no queue yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unplaced<'a> {
    /// The key.
    pub sharding_key: &'a [u8],
    /// Bytes of the body.
    pub size: usize,
    /// Queues to choose from, from 0.
    pub queues: u32,
}

/// One decider in service. Calls come from several threads at once; each returns within a time that its implementation bounds.
/// A decision that it does not make is a fault.
pub trait Decider: Send + Sync {
    /// Differs whenever the same question may get another answer; what is cached of an answer lasts no longer.
    fn version(&self) -> u64;

    /// Whether messages that name a queue may be moved to another one of the same broker, see `select-queue`.
    fn retargets(&self) -> bool {
        false
    }

    /// For each broker of the question, whether producers may write to it.
    fn route(&self, _: &RouteQuestion) -> Result<Vec<bool>, Fault> {
        Err(Fault::not_made(Decision::Route))
    }

    /// How messages are placed until the next board.
    fn weigh(&self, _: &QueueBoard) -> Result<Weighing, Fault> {
        Err(Fault::not_made(Decision::SelectQueue))
    }

    /// The queue for one message; `None` leaves it to the built-in.
    fn select(&self, _: &Unplaced<'_>) -> Result<Option<u32>, Fault> {
        Err(Fault::not_made(Decision::SelectQueue))
    }

    /// For each member, the places of its queues in the question.
    fn assign(&self, _: &AssignQuestion) -> Result<Vec<Vec<u32>>, Fault> {
        Err(Fault::not_made(Decision::Assign))
    }
}

/// Finds who is bound.
pub trait FindDecider: Send + Sync {
    /// Who makes this decision for a topic, and for a group where the decision is about one. `None`: the built-in does.
    /// Asked for each request, so it must cost next to nothing.
    fn find(&self, decision: Decision, topic: &str, group: Option<&str>) -> Option<Arc<dyn Decider>>;

    /// Grows with every change after which [`find`](Self::find) or a decider may answer otherwise.
    fn changes(&self) -> &Watermark;
}

/// The deciders of a node: none by default. Clones share them.
#[derive(Clone, Default)]
pub struct Deciders(Option<Arc<dyn FindDecider>>);

impl Deciders {
    /// Deciders that `find` finds.
    pub fn new(find: Arc<dyn FindDecider>) -> Self {
        Deciders(Some(find))
    }

    /// Who decides; `None`: the built-in.
    pub fn find(&self, decision: Decision, topic: &str, group: Option<&str>) -> Option<Arc<dyn Decider>> {
        self.0.as_ref()?.find(decision, topic, group)
    }

    /// What grows with every change; `None` when there will never be a decider.
    pub fn changes(&self) -> Option<&Watermark> {
        self.0.as_ref().map(|find| find.changes())
    }
}

impl fmt::Debug for Deciders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Deciders(some)" } else { "Deciders(none)" })
    }
}
