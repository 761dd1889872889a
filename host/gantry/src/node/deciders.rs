//! Queue-balancer plugins as those who decide about queues and routes on this node.

use std::{collections::HashMap, sync::Arc};

use gantry_balance::{
    ANY, AssignQuestion, BoardQueue, Decider, Deciders, Decision, Fault, FindDecider, QueueBoard, RouteBroker,
    RouteQuestion, Unplaced, Weighing,
};
use gantry_base::watermark::Watermark;
use gantry_model::load::BrokerLoad;
use gantry_plugin::{
    CallError, PluginHost,
    balancer::{
        Assignment, Balancer, Board, BrokerOffer, Load, Member, Pair, Placement, QueuePlace, QueueState, SendHint,
    },
};
use parking_lot::{Mutex, RwLock};

/// Most uses of balancers that are remembered, by topic and group; beyond it all are forgotten, which costs a board.
const USES_MAX: usize = 16_384;

/// The deciders that `[[balancer]]` binds.
pub(crate) fn of(plugins: Option<&PluginHost>) -> Deciders {
    plugins.map_or_else(Deciders::default, |plugins| {
        Deciders::new(Arc::new(Plugins { host: plugins.clone(), uses: RwLock::default() }))
    })
}

struct Plugins {
    host: PluginHost,
    /// By decision, topic and group.
    uses: RwLock<HashMap<(Decision, String, String), Arc<Use>>>,
}

/// A balancer used for one topic and group.
struct Use {
    balancer: Balancer,
    topic: String,
    /// The queues as it was shown them last.
    board: Mutex<Option<Arc<Board>>>,
}

impl FindDecider for Plugins {
    fn find(&self, decision: Decision, topic: &str, group: Option<&str>) -> Option<Arc<dyn Decider>> {
        let group = group.unwrap_or(ANY);
        let balancer = self.host.balancer(decision, topic, group).filter(|balancer| balancer.takes(decision))?;
        let key = (decision, topic.to_owned(), group.to_owned());
        if let Some(known) = self.uses.read().get(&key).filter(|known| known.balancer.is(&balancer)) {
            return Some(known.clone());
        }
        let made = Arc::new(Use { balancer, topic: topic.to_owned(), board: Mutex::new(None) });
        let mut uses = self.uses.write();
        if uses.len() >= USES_MAX {
            uses.clear();
        }
        uses.insert(key, made.clone());
        Some(made)
    }

    fn changes(&self) -> &Watermark {
        self.host.generation()
    }
}

impl Decider for Use {
    fn version(&self) -> u64 {
        self.balancer.version()
    }

    fn retargets(&self) -> bool {
        self.balancer.retargets()
    }

    fn route(&self, question: &RouteQuestion) -> Result<Vec<bool>, Fault> {
        let offers: Vec<BrokerOffer> = question.brokers.iter().map(offer).collect();
        self.balancer.route(&question.topic, &offers).map(|decided| decided.answer).map_err(fault)
    }

    fn weigh(&self, board: &QueueBoard) -> Result<Weighing, Fault> {
        let board = self.balancer.place(&self.topic, board.queues.iter().map(state).collect()).map_err(fault)?;
        let weighing = match board.placement() {
            Placement::Weights(weights) => Weighing::Weights(weights.clone()),
            Placement::PerMessage => Weighing::PerMessage,
        };
        *self.board.lock() = Some(Arc::new(board));
        Ok(weighing)
    }

    fn select(&self, message: &Unplaced<'_>) -> Result<Option<u32>, Fault> {
        let Some(board) = self.board.lock().clone() else { return Ok(None) };
        let key = String::from_utf8_lossy(message.sharding_key).into_owned();
        let hint = SendHint { sharding_key: Some(key), size: saturated(message.size as u64) };
        let place = self.balancer.select(&board, &hint).map_err(fault)?;
        Ok(place.and_then(|place| board.queues().get(place as usize)).map(|queue| queue.queue_id))
    }

    fn assign(&self, question: &AssignQuestion) -> Result<Vec<Vec<u32>>, Fault> {
        let queues = question.queues.iter().map(|queue| QueuePlace {
            broker: queue.broker.to_string(),
            queue_id: queue.queue_id,
            zone: text(&queue.zone),
        });
        let members = question
            .members
            .iter()
            .map(|member| Member { client_id: member.client_id.clone(), zone: text(&member.zone) });
        let question = Assignment {
            group: question.group.clone(),
            topic: question.topic.clone(),
            queues: queues.collect(),
            members: members.collect(),
        };
        self.balancer.assign(&question).map(|decided| decided.answer).map_err(fault)
    }
}

fn offer(broker: &RouteBroker) -> BrokerOffer {
    let pair = |(name, value): (&str, &str)| Pair { name: name.to_owned(), value: value.to_owned() };
    BrokerOffer {
        name: broker.name.to_string(),
        zone: text(&broker.zone),
        labels: broker.labels.iter().map(pair).collect(),
        writable: broker.writable,
        read_queues: broker.read_queues,
        write_queues: broker.write_queues,
        load: broker.load.as_ref().map(load),
    }
}

fn load(load: &BrokerLoad) -> Load {
    Load {
        in_flight: saturated(load.in_flight),
        send_micros: saturated(load.send_micros),
        backlog_bytes: load.flush_backlog_bytes.saturating_add(load.dispatch_backlog_bytes),
        disk_used_percent: u32::from(load.disk_used_percent),
        messages_per_second: saturated(load.messages_in_per_s),
        recent_errors: saturated(load.recent_errors),
    }
}

/// A board is made about once a second, so what came since the one before is a rate.
fn state(queue: &BoardQueue) -> QueueState {
    QueueState {
        queue_id: queue.queue_id,
        depth: queue.depth,
        in_flight: saturated(queue.in_flight),
        messages_per_second: saturated(queue.messages_in),
    }
}

fn text(zone: &Option<Arc<str>>) -> String {
    zone.as_deref().unwrap_or_default().to_owned()
}

fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn fault(error: CallError) -> Fault {
    Fault(error.to_string())
}
