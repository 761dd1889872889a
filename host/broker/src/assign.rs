//! QUERY_ASSIGNMENT (400): which queues of a topic are a member's. Source: RocketMQ `QueryAssignmentProcessor`.
//!
//! A client asks any broker of the topic, and all must say the same: the queues are those of the route, which spans all brokers,
//! the members are those of this broker's registry (every member is known to every broker of its topics), and both are sorted.
//! The client names a strategy; a decider that is bound to topic and group answers in its place. A member that goes is out of
//! the registry at once, the others are told ([`Broker::tell`]), and Java's clients then ask within a second.

mod modes;
mod routes;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::BytesMut;
use gantry_balance::{
    AllocationStrategy, AssignMember, AssignQuestion, Decider, Decision,
    assign::{self, PopShare, pop_share},
};
use gantry_base::metric::Counter;
use gantry_model::name::{self, RETRY_PREFIX};
use gantry_protocol::{
    body::{
        assignment::{Assignment, Assignments, QueryAssignment, RequestMode},
        heartbeat::MessageModel,
        lock::MessageQueue,
    },
    code::response,
};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    modes::ModeTable,
    routes::{Queues, RouteViews, follow as follow_routes},
};
use crate::{
    broker::Broker,
    reply::{Refusal, ReplyTo},
};

/// Pairs of group and topic whose decided shares are kept; beyond it all are forgotten and asked for again.
const KEPT_MAX: usize = 4_096;
/// A decider that had no answer is not asked again before this, unless the question or its version changes.
const FAULT_LASTS: Duration = Duration::from_secs(1);

/// What a broker counts of assignments.
#[derive(Debug, Default)]
pub struct AssignMetrics {
    /// Times that a decider was asked.
    pub asked: Counter,
    /// Answers that were no answer; the built-in strategy stood.
    pub faults: Counter,
}

/// Serves one question to its answer.
pub(crate) async fn answer(broker: Arc<Broker>, to: ReplyTo, query: QueryAssignment, arrived: Instant) -> BytesMut {
    let mut out = BytesMut::new();
    let unwritable = |error: serde_json::Error| Refusal::new(response::SYSTEM_ERROR, error.to_string());
    match broker.assignments(&query, arrived).await.and_then(|found| found.to_json().map_err(unwritable)) {
        Ok(body) => to.success(&mut out, |_| {}, &body),
        Err(refusal) => to.refuse(&mut out, &refusal),
    }
    out
}

impl Broker {
    /// Absent when topic, group or strategy are unknown: the client then keeps what it has and asks again.
    async fn assignments(self: &Arc<Self>, query: &QueryAssignment, arrived: Instant) -> Result<Assignments, Refusal> {
        let (topic, group) = (query.topic.as_str(), query.consumer_group.as_str());
        let absent = Assignments::default();
        if name::check_topic(topic).is_err() || name::check_group(group).is_err() {
            return Ok(absent);
        }
        let Some(queues) = self.queues_everywhere(topic).await.filter(|queues| !queues.is_empty()) else {
            return Ok(absent);
        };
        let (mode, more) = self.modes.of(topic, group);
        let everything = || PopShare::Queues((0..queues.len() as u32).collect());
        let share = match query.message_model {
            MessageModel::Broadcasting => Some(everything()),
            MessageModel::Clustering => {
                let pop = (mode == RequestMode::Pop).then_some(more);
                self.share(query, &queues, pop, arrived).await?
            }
        };
        let queue = |broker: &str, queue_id| {
            let (broker_name, topic) = (broker.to_owned(), topic.to_owned());
            Assignment { message_queue: MessageQueue { broker_name, queue_id, topic }, mode }
        };
        let assignments = share.map(|share| match share {
            PopShare::Queues(places) => {
                let named = places.iter().filter_map(|place| queues.get(*place as usize));
                named.map(|found| queue(&found.broker, found.queue_id as i32)).collect()
            }
            // Sorted by broker: each once.
            PopShare::Everything => {
                queues.chunk_by(|a, b| a.broker == b.broker).map(|of| queue(&of[0].broker, -1)).collect()
            }
        });
        Ok(Assignments { message_queue_assignments: assignments })
    }

    /// The share of the asking member; `pop` = how many other members' queues it takes from besides.
    async fn share(
        self: &Arc<Self>,
        query: &QueryAssignment,
        queues: &Queues,
        pop: Option<i32>,
        arrived: Instant,
    ) -> Result<Option<PopShare>, Refusal> {
        let members = self.members_in_zones(&query.consumer_group);
        if members.is_empty() {
            return Ok(None);
        }
        let decider = self.assign_decider(&query.topic, &query.consumer_group);
        let named = AllocationStrategy::named(&query.strategy_name);
        // A strategy that is none of ours is one only where somebody else decides, and then a fault must not take all queues.
        let Some(strategy) = named.or_else(|| decider.is_some().then_some(AllocationStrategy::Average)) else {
            tracing::debug!(group = %query.consumer_group, strategy = %query.strategy_name, "allocation strategy is not known");
            return Ok(None);
        };
        let place = members.binary_search_by(|member| member.client_id.cmp(&query.client_id));
        let Ok(place) = place else { return Ok(Some(PopShare::Queues(Vec::new()))) };
        let (place, queue_count, member_count) = (place as u32, queues.len() as u32, members.len() as u32);
        let decided = match decider {
            Some(decider) => {
                let (group, topic) = (query.consumer_group.clone(), query.topic.clone());
                let question = AssignQuestion { group, topic, queues: queues.clone(), members };
                self.decided(decider, question, arrived).await?
            }
            None => None,
        };
        let share = |place: u32| match &decided {
            Some(shares) => shares.get(place as usize).cloned().unwrap_or_default(),
            None => strategy.share(queue_count, member_count, place),
        };
        Ok(Some(match pop {
            Some(more) => pop_share(more, queue_count, member_count, place, share),
            None => PopShare::Queues(share(place)),
        }))
    }

    /// Members by client id.
    fn members_in_zones(&self, group: &str) -> Vec<AssignMember> {
        let members = self.clients.members_at(group).into_iter();
        let zones = &self.options.zones;
        members.map(|(client_id, from)| AssignMember { zone: zones.of_client(&client_id, from), client_id }).collect()
    }

    /// Who shares a topic out in a group. Retry topics are shared out by the built-in strategies.
    fn assign_decider(&self, topic: &str, group: &str) -> Option<Arc<dyn Decider>> {
        let decided = !topic.starts_with(RETRY_PREFIX);
        self.options.deciders.find(Decision::Assign, topic, Some(group)).filter(|_| decided)
    }

    /// What the decider says, which is asked once a question; `None` when that is no answer.
    async fn decided(
        self: &Arc<Self>,
        decider: Arc<dyn Decider>,
        question: AssignQuestion,
        arrived: Instant,
    ) -> Result<Option<Shares>, Refusal> {
        let kept = self.shares.of(&question);
        let version = decider.version();
        // Locked: somebody is asking just now, and that is waited for elsewhere.
        let known = kept.try_lock().and_then(|kept| {
            kept.as_ref().filter(|kept| kept.holds(&question, version)).map(|kept| kept.shares.clone())
        });
        if let Some(shares) = known {
            return Ok(shares);
        }
        let broker = self.clone();
        let ask = move || {
            // Many members ask at once when one comes or goes: the first one's question answers all.
            let mut kept = kept.lock();
            let found = kept.take().filter(|found| found.holds(&question, version));
            let found = found.unwrap_or_else(|| {
                let shares = ask(&broker, &*decider, &question);
                Kept { question, version, shares, asked: Instant::now() }
            });
            kept.insert(found).shares.clone()
        };
        self.run_blocking(arrived, ask).await
    }
}

fn ask(broker: &Broker, decider: &dyn Decider, question: &AssignQuestion) -> Option<Shares> {
    broker.assign.asked.add(1);
    let answer = decider.assign(question);
    let checked = answer.and_then(|shares| {
        assign::check(&shares, question.queues.len() as u32, question.members.len())?;
        Ok(Arc::new(shares))
    });
    checked
        .inspect_err(|fault| {
            broker.assign.faults.add(1);
            tracing::debug!(group = %question.group, topic = %question.topic, %fault, "a balancer has no answer; the built-in strategy stands");
        })
        .ok()
}

/// For each member, its queues.
type Shares = Arc<Vec<Vec<u32>>>;

/// The last answers of deciders, by group and topic.
#[derive(Default)]
pub(crate) struct DecidedShares(Mutex<HashMap<(String, String), Slot>>);

/// Locked while the decider is asked.
type Slot = Arc<Mutex<Option<Kept>>>;

struct Kept {
    question: AssignQuestion,
    version: u64,
    /// `None`: it had no answer.
    shares: Option<Shares>,
    asked: Instant,
}

impl Kept {
    fn holds(&self, question: &AssignQuestion, version: u64) -> bool {
        let same = self.version == version && self.question == *question;
        same && (self.shares.is_some() || self.asked.elapsed() < FAULT_LASTS)
    }
}

impl DecidedShares {
    fn of(&self, question: &AssignQuestion) -> Slot {
        let (mut kept, key) = (self.0.lock(), (question.group.clone(), question.topic.clone()));
        if kept.len() >= KEPT_MAX && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.entry(key).or_default().clone()
    }
}

/// Tells the members of groups whose queues are to be shared out by another version, or by somebody else, until cancelled: else
/// some would ask twenty seconds later than others, and both would have a queue meanwhile. Returns when nobody will ever decide.
pub(crate) async fn follow_deciders(broker: Arc<Broker>, cancel: CancellationToken) {
    let Some(changes) = broker.options.deciders.changes().cloned() else { return };
    let mut before = broker.assign_versions();
    let mut seen = changes.get();
    while let Some(Ok(())) = cancel.run_until_cancelled(changes.reached(seen + 1)).await {
        seen = changes.get();
        let now = broker.assign_versions();
        for (group, versions) in &now {
            // One that came meanwhile has asked whoever decided then.
            if before.get(group) != Some(versions) {
                broker.tell(broker.clients.everybody(group));
            }
        }
        before = now;
    }
}

impl Broker {
    /// Which version decides about each topic of each group.
    fn assign_versions(&self) -> HashMap<String, Vec<(String, Option<u64>)>> {
        let groups = self.clients.subscribed().into_iter().map(|(group, mut topics)| {
            topics.sort_unstable();
            let version = |topic: String| {
                let version = self.assign_decider(&topic, &group).map(|decider| decider.version());
                (topic, version)
            };
            let versions = topics.into_iter().map(version).collect();
            (group, versions)
        });
        groups.collect()
    }
}

#[cfg(test)]
mod tests;
