//! What a queue balancer is.

pub use crate::bindings::balancer::exports::gantry::plugin::balancer::{
    Assignment, BrokerOffer, Load, Member, Placement, QueuePlace, QueueState, SendHint,
};
use crate::params::Params;

/// Decides where messages go and who consumes them. Inside `#[balancer]` a plugin takes the decisions whose methods it
/// writes; the broker keeps its own way for the others, and whenever the plugin fails.
///
/// The broker keeps several instances of one plugin and opens each for every topic and group that it is bound to.
pub trait Balancer: Sized + 'static {
    /// Prepares for one binding. An error is a sentence for the operator: the plugin is then not put in service.
    fn open(binding: &Binding) -> Result<Self, String>;

    /// Which of `brokers` producers of `topic` may be sent to, one answer a broker; `false` withdraws one for now. The broker
    /// never withdraws the last one, nor any of an order topic.
    fn route(&self, topic: &str, brokers: &[BrokerOffer]) -> Result<Vec<bool>, String> {
        let _ = topic;
        Ok(vec![true; brokers.len()])
    }

    /// How messages of `topic` are spread over these queues of one broker: by weights, which the broker draws by itself, or by
    /// asking [`select`](Self::select) for each message. Asked about once a second, of each instance.
    fn place(&mut self, topic: &str, queues: &[QueueState]) -> Result<Placement, String> {
        let _ = topic;
        Ok(Placement::Weights(vec![1; queues.len()]))
    }

    /// Index of the queue, among those that the latest `place` was shown, for one message; `None` leaves it to the broker.
    fn select(&self, topic: &str, hint: &SendHint) -> Option<u32> {
        let _ = (topic, hint);
        None
    }

    /// For each member the indexes of its queues, each queue exactly once. Every broker is asked, and all must agree: the
    /// answer may depend on nothing but the question and the parameters.
    fn assign(&self, question: &Assignment) -> Result<Vec<Vec<u32>>, String> {
        let _ = question;
        Err("this plugin assigns no queues".to_owned())
    }

    /// Says why this build must not be put in service, before it is.
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

/// Which decisions a plugin takes; `#[balancer]` writes it.
pub trait Decides {
    /// It has a `route`.
    const ROUTE: bool;
    /// It has a `place` or a `select`.
    const PLACEMENT: bool;
    /// It has an `assign`.
    const ASSIGNMENT: bool;
}

/// What a balancer is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// A topic, or `*`.
    pub topic: String,
    /// A consumer group, or `*`; it matters to assignments alone.
    pub group: String,
    /// Zone of the node that asks; empty when it has none.
    pub zone: String,
    /// The parameters.
    pub params: Params,
}

/// The binding's parameters are asked of it directly.
impl std::ops::Deref for Binding {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.params
    }
}

impl BrokerOffer {
    /// A label of the broker, if it has it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value.as_str())
    }
}
