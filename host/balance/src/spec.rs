//! What is decided, and what a decider is bound to.

/// Stands for every topic or every group.
pub const ANY: &str = "*";

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Which brokers a topic's route offers for writing.
    Route,
    /// Which queue takes a message that was left open.
    SelectQueue,
    /// Which member of a group gets which queue.
    Assign,
}

impl Decision {
    /// All of them.
    pub const ALL: [Decision; 3] = [Decision::Route, Decision::SelectQueue, Decision::Assign];

    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Decision::Route => "route",
            Decision::SelectQueue => "select-queue",
            Decision::Assign => "assign",
        }
    }

    /// The decision of this name.
    pub fn named(name: &str) -> Option<Decision> {
        Decision::ALL.into_iter().find(|decision| decision.name() == name)
    }
}
