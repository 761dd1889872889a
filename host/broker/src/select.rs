//! `select-queue`: which queue of this broker takes a message.
//!
//! A producer that names a queue gets it. One that leaves it open (a number below 0) gets the write queues in turn, as RocketMQ
//! has it at random, unless a decider is bound: then its weights are drawn from, or it is asked for the key of a message that
//! has one. `board` asks it once a second and publishes a [`Plan`]; a send looks at that and never waits for anybody.
//!
//! **Order.** A message with a sharding key belongs to an order. With a plan its queue, however it was found, is that of its key
//! until every group that consumes the topic has consumed all messages of the key (`keys`); so neither new weights nor a new
//! version of a plugin, nor the end of the plan, moves an order that somebody is in. What such a message's producer names is never
//! changed. A start forgets keys: then a plugin that decides by the key alone keeps the queue, one that decides otherwise may
//! not. A batch goes to one queue, by the first key in it. A delayed or timed message keeps the place of its key when it is
//! sent, but its key does not wait for it.
//!
//! **Retargeting.** A plan of a topic that opted in also moves messages whose producer named a queue, if they have no sharding
//! key and the topic is not marked as ordered. RocketMQ's clients that choose a queue by themselves to keep an order send no
//! key: such topics must not opt in.

pub(crate) mod board;
mod keys;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use gantry_balance::{Decider, Unplaced, Weights};
use gantry_base::metric::Counter;

use self::keys::KeyTable;
pub(crate) use self::keys::Ticket;
use crate::topics::Topic;

/// What a broker counts of the placing of messages.
#[derive(Debug, Default)]
pub struct SelectMetrics {
    /// Times that a decider was asked, for a topic or for a message.
    pub asked: Counter,
    /// Answers that were no answer; the write queues were taken in turn.
    pub faults: Counter,
    /// Messages that went to another queue than their producer named.
    pub retargeted: Counter,
}

/// How a topic's messages are placed until the next board.
pub(crate) struct Plan {
    decider: Arc<dyn Decider>,
    version: u64,
    /// `None`: the decider is asked for each message with a key.
    weights: Option<Weights>,
    retarget: bool,
}

/// The part of a topic that places its messages. It outlives changes of the topic's settings.
#[derive(Default)]
pub(crate) struct Selector {
    turn: AtomicU64,
    plan: ArcSwapOption<Plan>,
    keys: Arc<KeyTable>,
}

impl Selector {
    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// Where a message goes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) queue_id: u32,
    /// Of a message that belongs to an order: to be told where it was stored.
    pub(crate) ticket: Option<Ticket>,
}

impl Place {
    fn at(queue_id: u32) -> Self {
        Place { queue_id, ticket: None }
    }
}

impl Topic {
    /// The next of the write queues in turn.
    pub(crate) fn next_write_queue(&self) -> u32 {
        self.write_queue_of(self.selector.next_turn())
    }

    fn write_queue_of(&self, turn: u64) -> u32 {
        (turn % u64::from(self.config.write_queue_nums.max(1))) as u32
    }

    /// Where a message of `size` bytes goes. `named` is a queue of the topic; `key` finds the sharding key, if that counts.
    pub(crate) fn place<'k>(
        &self,
        metrics: &SelectMetrics,
        named: Option<u32>,
        key: impl FnOnce() -> Option<&'k [u8]>,
        size: usize,
    ) -> Place {
        let plan = self.selector.plan.load();
        let plan = plan.as_deref();
        let key = if named.is_some() && plan.is_none() { None } else { key() };
        match (named, key, plan) {
            (None, None, None) => Place::at(self.next_write_queue()),
            (None, None, Some(plan)) => Place::at(self.draw(plan)),
            (None, Some(key), plan) => self.place_in_order(metrics, plan, key, size),
            (Some(named), None, Some(plan)) if plan.retarget && plan.weights.is_some() && !self.config.order => {
                let drawn = self.draw(plan);
                metrics.retargeted.add(u64::from(drawn != named));
                Place::at(drawn)
            }
            (Some(named), ..) => Place::at(named),
        }
    }

    /// By weight; in turn without weights, or when they were made for more queues than there are now.
    fn draw(&self, plan: &Plan) -> u32 {
        let turn = self.selector.next_turn();
        let drawn = plan.weights.as_ref().map(|weights| weights.at(turn));
        drawn.filter(|queue| *queue < self.config.write_queue_nums).unwrap_or_else(|| self.write_queue_of(turn))
    }

    fn place_in_order(&self, metrics: &SelectMetrics, plan: Option<&Plan>, key: &[u8], size: usize) -> Place {
        let (keys, slot) = (&self.selector.keys, keys::slot(key));
        if let Some(ticket) = keys.take(slot, self.config.read_queue_nums) {
            return Place { queue_id: ticket.queue_id(), ticket: Some(ticket) };
        }
        let Some(plan) = plan else { return Place::at(self.next_write_queue()) };
        let queue_id = match plan.weights {
            Some(_) => self.draw(plan),
            None => self.select(metrics, plan, key, size).unwrap_or_else(|| self.next_write_queue()),
        };
        let ticket = keys.begin(slot, queue_id, self.config.read_queue_nums);
        Place { queue_id: ticket.queue_id(), ticket: Some(ticket) }
    }

    /// What the decider says of one message.
    fn select(&self, metrics: &SelectMetrics, plan: &Plan, key: &[u8], size: usize) -> Option<u32> {
        metrics.asked.add(1);
        let queues = self.config.write_queue_nums;
        match plan.decider.select(&Unplaced { sharding_key: key, size, queues }) {
            Ok(Some(queue)) if queue >= queues => {
                metrics.faults.add(1);
                None
            }
            Ok(selected) => selected,
            Err(_) => {
                metrics.faults.add(1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
