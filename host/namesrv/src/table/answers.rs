//! What clients and tools ask.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::route::{BrokerData, QueueData, TopicRoute};
use gantry_protocol::body::register::ClusterInfo;
use serde::Serialize;

use super::{Group, Queues, Table};

/// Names out of the table, borrowed: there may be hundreds of thousands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Names<'a> {
    /// Address of one broker; tools ask it for the names of its own system topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker_addr: Option<&'a str>,
    topic_list: Vec<&'a str>,
}

impl Table {
    /// Where a topic lives; `None` when no live broker has it.
    pub(crate) fn route(&self, topic: &str) -> Option<TopicRoute> {
        let queues = self.topics.get(topic)?;
        let brokers = queues.keys().filter_map(|name| self.groups.get(name).map(|group| group.data(name)));
        Some(TopicRoute {
            broker_datas: brokers.collect(),
            filter_server_table: BTreeMap::new(),
            queue_datas: queues.iter().map(|(name, queues)| queues.data(name, self.is_wiped(name))).collect(),
        })
    }

    fn is_wiped(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(|group| group.wiped)
    }

    /// All brokers and clusters.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, group) in &self.groups {
            info.broker_addr_table.insert(name.to_string(), group.data(name));
            info.cluster_addr_table.entry(group.cluster.to_string()).or_default().insert(name.to_string());
        }
        info
    }

    /// All topics.
    pub(crate) fn topics(&self) -> Names<'_> {
        Names { broker_addr: None, topic_list: self.topics.keys().map(String::as_str).collect() }
    }

    /// Topics of one cluster's brokers.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Names<'_> {
        let of_cluster = |group: &_| self.groups.get(group).is_some_and(|group| &*group.cluster == cluster);
        let topics = self.topics.iter().filter(|(_, queues)| queues.keys().any(of_cluster));
        Names { broker_addr: None, topic_list: topics.map(|(topic, _)| topic.as_str()).collect() }
    }

    /// Names that tools treat as system topics: clusters and brokers, with one broker's address.
    pub(crate) fn system_topics(&self) -> Names<'_> {
        let names = self.groups.iter().flat_map(|(name, group)| [&**name, &*group.cluster]);
        let names: BTreeSet<&str> = names.collect();
        let some_broker = self.groups.values().flat_map(|group| group.members.values()).next();
        Names {
            broker_addr: some_broker.map(|member| member.address.as_str()),
            topic_list: names.into_iter().collect(),
        }
    }
}

impl Group {
    fn data(&self, name: &str) -> BrokerData {
        BrokerData {
            broker_addrs: self.members.iter().map(|(id, member)| (*id, member.address.clone())).collect(),
            broker_name: name.to_owned(),
            cluster: self.cluster.to_string(),
            enable_acting_master: false,
            zone_name: self.zone.as_deref().map(str::to_owned),
        }
    }
}

impl Queues {
    fn data(self, name: &str, wiped: bool) -> QueueData {
        QueueData {
            broker_name: name.to_owned(),
            perm: if wiped { self.perm.without_write() } else { self.perm },
            read_queue_nums: self.read,
            topic_sys_flag: self.sys_flag,
            write_queue_nums: self.write,
        }
    }
}
