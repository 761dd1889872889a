//! What a balancer's instance is asked. Its answers are checked where they are used.

use std::time::Duration;

use super::{Fault, START_BUDGET, Slot};
use crate::{
    engine::Runtime,
    exports::WorldExports,
    wit::balancer::{
        QueueBalancer,
        exports::gantry::plugin::balancer::{
            Assignment, Binding, BrokerOffer, Decisions, Guest as BalancerExports, Placement, QueueState, SendHint,
        },
        gantry::plugin::types::Pair,
    },
};

/// Topics whose latest board an instance remembers to have seen; beyond it all are shown again.
const BOARDS_MAX: usize = 4_096;

/// An answer of the guest, or the plugin's own no.
type Said<T> = Result<Result<T, String>, Fault>;

impl Slot {
    /// Opens binding `id`.
    pub(crate) fn open_balancer(
        &mut self,
        runtime: &Runtime,
        id: u32,
        (topic, group, zone): (&str, &str, &str),
        params: &[(String, String)],
    ) -> Said<Decisions> {
        let pair = |(name, value): &(String, String)| Pair { name: name.clone(), value: value.clone() };
        let binding = Binding {
            topic: topic.to_owned(),
            group: group.to_owned(),
            zone: zone.to_owned(),
            params: params.iter().map(pair).collect(),
        };
        self.ask_balancer(runtime, START_BUDGET, |guest, store| guest.call_open(store, id, &binding))
    }

    pub(crate) fn route(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        topic: &str,
        brokers: &[BrokerOffer],
    ) -> Said<Vec<bool>> {
        self.ask_balancer(runtime, budget, |guest, store| guest.call_route(store, id, topic, brokers))
    }

    pub(crate) fn place(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        topic: &str,
        queues: &[QueueState],
    ) -> Said<Placement> {
        self.ask_balancer(runtime, budget, |guest, store| guest.call_place(store, id, topic, queues))
    }

    /// Asks for the queue of one message, after this instance was shown the board that the answer points into.
    pub(crate) fn select(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        board: (&str, u64, &[QueueState]),
        hint: &SendHint,
    ) -> Said<Option<u32>> {
        let (topic, epoch, queues) = board;
        let seen = self.boards.get(&id).and_then(|boards| boards.get(topic));
        if seen != Some(&epoch) {
            if let Err(no) = self.place(runtime, budget, id, topic, queues)? {
                return Ok(Err(no));
            }
            let boards = self.boards.entry(id).or_default();
            if boards.len() >= BOARDS_MAX {
                boards.clear();
            }
            boards.insert(topic.to_owned(), epoch);
        }
        self.ask_balancer(runtime, budget, |guest, store| guest.call_select(store, id, topic, hint)).map(Ok)
    }

    pub(crate) fn assign(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        question: &Assignment,
    ) -> Said<Vec<Vec<u32>>> {
        self.ask_balancer(runtime, budget, |guest, store| guest.call_assign(store, id, question))
    }

    fn ask_balancer<R>(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        ask: impl FnOnce(&BalancerExports, &mut wasmtime::Store<crate::guest::Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.call(runtime, budget, |exports, store| match exports {
            WorldExports::Balancer(guest) => Some(ask(QueueBalancer::gantry_plugin_balancer(guest), store)),
            _ => None,
        })
    }
}
