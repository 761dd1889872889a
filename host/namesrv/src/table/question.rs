//! A topic as a balancer is asked about it.

use std::sync::Arc;

use gantry_balance::{RouteBroker, RouteQuestion, route};
use gantry_model::route::MASTER_ID;

use super::{Group, Queues, Table};

/// A load that is older says nothing any more, in ms: a broker tells its own every other second.
const LOAD_AGE_MS_MAX: u64 = 10_000;

impl Table {
    /// The question about a topic's route; `None` when the topic is unknown or not decided about.
    pub(crate) fn question(&self, topic: &str, now_ms: u64) -> Option<RouteQuestion> {
        let queues = self.topics.get(topic)?;
        if route::is_exempt(topic, queues.values().any(|queues| queues.order)) {
            return None;
        }
        let brokers =
            queues.iter().filter_map(|(name, queues)| Some(self.groups.get(name)?.asked(name, *queues, now_ms)));
        Some(RouteQuestion { topic: topic.into(), brokers: brokers.collect() })
    }
}

impl Group {
    fn asked(&self, name: &Arc<str>, queues: Queues, now_ms: u64) -> RouteBroker {
        let master = self.members.get(&MASTER_ID);
        let load = master.and_then(|master| master.load);
        RouteBroker {
            name: name.clone(),
            cluster: self.cluster.clone(),
            zone: self.zone.clone(),
            labels: master.map(|master| master.labels.clone()).unwrap_or_default(),
            writable: queues.perm.writable() && queues.write > 0 && !self.wiped && master.is_some(),
            read_queues: queues.read,
            write_queues: queues.write,
            load: load.filter(|(_, told_ms)| now_ms.saturating_sub(*told_ms) <= LOAD_AGE_MS_MAX).map(|(load, _)| load),
        }
    }
}
