//! What an operator asks for: `[[balancer]]` as a value.

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

/// One `[[balancer]]`: a plugin that decides for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerSpec {
    /// The topic, or [`ANY`].
    pub topic: String,
    /// The consumer group, or [`ANY`]; only `assign` is about one.
    pub group: String,
    /// Name of the plugin.
    pub plugin: String,
    /// What it decides there; each at most once.
    pub decides: Vec<Decision>,
    /// Whether `select-queue` may also move messages whose producer named a queue.
    pub retarget: bool,
}
