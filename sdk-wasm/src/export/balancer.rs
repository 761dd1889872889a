//! The world `queue-balancer`.

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    balancer::{Balancer, Binding, Decides},
    bindings::balancer::exports::gantry::plugin::balancer as wit,
    export::{Exported, Identity, lifecycle},
};

/// A balancer opened for one binding, whatever its type.
trait Opened {
    fn route(&self, topic: &str, brokers: &[wit::BrokerOffer]) -> Result<Vec<bool>, String>;
    fn place(&mut self, topic: &str, queues: &[wit::QueueState]) -> Result<wit::Placement, String>;
    fn select(&self, topic: &str, hint: &wit::SendHint) -> Option<u32>;
    fn assign(&self, question: &wit::Assignment) -> Result<Vec<Vec<u32>>, String>;
}

impl<B: Balancer> Opened for B {
    fn route(&self, topic: &str, brokers: &[wit::BrokerOffer]) -> Result<Vec<bool>, String> {
        Balancer::route(self, topic, brokers)
    }

    fn place(&mut self, topic: &str, queues: &[wit::QueueState]) -> Result<wit::Placement, String> {
        Balancer::place(self, topic, queues)
    }

    fn select(&self, topic: &str, hint: &wit::SendHint) -> Option<u32> {
        Balancer::select(self, topic, hint)
    }

    fn assign(&self, question: &wit::Assignment) -> Result<Vec<Vec<u32>>, String> {
        Balancer::assign(self, question)
    }
}

thread_local! {
    static OPENED: RefCell<BTreeMap<u32, Box<dyn Opened>>> = const { RefCell::new(BTreeMap::new()) };
}

lifecycle!(balancer, B: Balancer, B::self_check(), |_params| Ok::<(), String>(()));

/// What the plugin decides, for the host and for the test double.
pub(crate) fn decisions<B: Decides>() -> wit::Decisions {
    wit::Decisions { route: B::ROUTE, placement: B::PLACEMENT, assignment: B::ASSIGNMENT }
}

fn asked<R>(id: u32, ask: impl FnOnce(&mut dyn Opened) -> R) -> R {
    // The host opens a binding before it asks about it; that it did not is a fault, and a trap says so.
    OPENED.with_borrow_mut(|opened| ask(&mut **opened.get_mut(&id).expect("the binding was opened")))
}

impl<B: Balancer + Decides + Identity> wit::Guest for Exported<B> {
    fn open(id: u32, binding: wit::Binding) -> Result<wit::Decisions, String> {
        let wit::Binding { topic, group, zone, params } = binding;
        let params = params.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let balancer = B::open(&Binding { topic, group, zone, params })?;
        OPENED.with_borrow_mut(|opened| opened.insert(id, Box::new(balancer)));
        Ok(decisions::<B>())
    }

    fn route(id: u32, topic: String, brokers: Vec<wit::BrokerOffer>) -> Result<Vec<bool>, String> {
        asked(id, |balancer| balancer.route(&topic, &brokers))
    }

    fn place(id: u32, topic: String, queues: Vec<wit::QueueState>) -> Result<wit::Placement, String> {
        asked(id, |balancer| balancer.place(&topic, &queues))
    }

    fn select(id: u32, topic: String, hint: wit::SendHint) -> Option<u32> {
        asked(id, |balancer| balancer.select(&topic, &hint))
    }

    fn assign(id: u32, question: wit::Assignment) -> Result<Vec<Vec<u32>>, String> {
        asked(id, |balancer| balancer.assign(&question))
    }
}
