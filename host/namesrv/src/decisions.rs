//! What deciders take from routes, asked when something changed and kept between.

use std::{collections::HashMap, sync::Arc};

use gantry_balance::{Decider, Deciders, Decision, RouteQuestion, route};
use gantry_base::metric::Counter;
use gantry_model::route::TopicRoute;
use parking_lot::{Mutex, RwLock};

use crate::table::{Stamp, Table};

/// An answer is asked for anew this often at most for loads that changed, and at least so long after a fault, in ms.
const ANEW_AFTER_MS: u64 = 1_000;
/// Most topics whose answer is kept; beyond it all are forgotten and asked for again.
const KEPT_MAX: usize = 10_000;

/// What a name server counts of decisions.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    /// Times that a decider was asked about a topic.
    pub asked: Counter,
    /// Answers that were no answer; the route was left as it is.
    pub faults: Counter,
    /// Answers that would have left a topic without a broker to write to; the route was left as it is.
    pub overruled: Counter,
}

/// Routes with what is decided about them. Without a decider it costs one look at an option.
pub(crate) struct RouteDecisions {
    deciders: Deciders,
    kept: Mutex<HashMap<String, Kept>>,
    pub(crate) metrics: RouteMetrics,
}

/// An answer and what it depends on.
struct Kept {
    stamp: Stamp,
    version: u64,
    asked_ms: u64,
    fault: bool,
    withdrawn: Withdrawn,
}

/// Broker groups that lose the permission to write.
type Withdrawn = Arc<[Arc<str>]>;

impl Kept {
    fn holds(&self, stamp: Stamp, version: u64, now_ms: u64) -> bool {
        let same = self.stamp.changes == stamp.changes && self.version == version;
        same && (now_ms.saturating_sub(self.asked_ms) < ANEW_AFTER_MS || (self.stamp == stamp && !self.fault))
    }
}

impl RouteDecisions {
    pub(crate) fn new(deciders: Deciders) -> Self {
        RouteDecisions { deciders, kept: Mutex::default(), metrics: RouteMetrics::default() }
    }

    /// The route of a topic as clients get it; `None` when no live broker has it.
    pub(crate) fn route(&self, table: &RwLock<Table>, topic: &str, now_ms: u64) -> Option<TopicRoute> {
        let Some(decider) = self.deciders.find(Decision::Route, topic, None) else { return table.read().route(topic) };
        let version = decider.version();
        // Route and question are of one moment: what is taken can never be the last broker of this route.
        let (route, question, stamp) = {
            let table = table.read();
            let (route, stamp) = (table.route(topic)?, table.stamp());
            if let Some(kept) = self.kept.lock().get(topic).filter(|kept| kept.holds(stamp, version, now_ms)) {
                return Some(without_write(route, &kept.withdrawn));
            }
            let Some(question) = table.question(topic, now_ms) else { return Some(route) };
            (route, question, stamp)
        };
        let (withdrawn, fault) = self.ask(&*decider, &question);
        let route = without_write(route, &withdrawn);
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX && !kept.contains_key(topic) {
            kept.clear();
        }
        kept.insert(topic.to_owned(), Kept { stamp, version, asked_ms: now_ms, fault, withdrawn });
        Some(route)
    }

    /// The brokers to withdraw, and whether that is because of a fault.
    fn ask(&self, decider: &dyn Decider, question: &RouteQuestion) -> (Withdrawn, bool) {
        self.metrics.asked.add(1);
        let topic = &question.topic;
        match decider.route(question).and_then(|answer| route::verdict(question, &answer)) {
            Ok(verdict) => {
                if verdict.overruled {
                    self.metrics.overruled.add(1);
                    tracing::debug!(%topic, "a balancer would take every writable broker from the route; it is left as it is");
                }
                let names = verdict.withdrawn.iter().map(|at| question.brokers[*at].name.clone());
                (names.collect(), false)
            }
            Err(fault) => {
                self.metrics.faults.add(1);
                tracing::debug!(%topic, %fault, "a balancer has no answer; the route is left as it is");
                (Arc::new([]), true)
            }
        }
    }
}

fn without_write(mut route: TopicRoute, withdrawn: &[Arc<str>]) -> TopicRoute {
    let lose = route.queue_datas.iter_mut().filter(|queues| withdrawn.iter().any(|name| **name == *queues.broker_name));
    lose.for_each(|queues| queues.perm = queues.perm.without_write());
    route
}

#[cfg(test)]
mod tests;
