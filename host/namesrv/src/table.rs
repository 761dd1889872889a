//! The route table and its rules. Source: RocketMQ `RouteInfoManager`.
//!
//! Invariant: a queue entry of a topic names a broker group that has at least one live address, and a broker group is
//! listed in exactly one cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gantry_model::{
    name::{self, check_label},
    route::{BrokerData, MASTER_ID, QueueData, TopicRoute},
    topic::{QUEUES_MAX, TopicConfig},
    version::DataVersion,
};
use gantry_protocol::body::register::{ClusterInfo, TopicList};

use crate::NameServerOptions;

/// Longest `host:port` that is taken, in bytes: a DNS name and a port.
const ADDRESS_LEN_MAX: usize = 261;

/// A broker as it names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Cluster.
    pub cluster: String,
    /// Broker group.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// 0 = master.
    pub id: u64,
}

/// Why a registration is not taken; a sentence for the broker's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

struct Live {
    last_seen_ms: u64,
    expiry_ms: u64,
    version: DataVersion,
    /// Connection that it registered over; its end is the broker's end.
    connection: u64,
}

struct Group {
    data: BrokerData,
    live: HashMap<String, Live>,
}

/// Everything that a name server knows.
#[derive(Default)]
pub struct Table {
    groups: BTreeMap<String, Group>,
    topics: BTreeMap<String, BTreeMap<String, QueueData>>,
}

impl Table {
    /// Takes a broker's registration with its topics; over `connection`, at `now_ms`.
    ///
    /// A master's topics replace what was known of it; topics that it leaves out stay, as in RocketMQ, until it is gone.
    pub fn register(
        &mut self,
        options: &NameServerOptions,
        broker: &Broker,
        expiry_ms: Option<u64>,
        connection: u64,
        version: DataVersion,
        topics: &BTreeMap<String, TopicConfig>,
    ) -> Result<(), Refused> {
        check(broker)?;
        self.check_limits(options, broker, topics)?;
        let now_ms = options.clock.now_ms();
        let group = self.groups.entry(broker.name.clone()).or_insert_with(|| Group {
            data: BrokerData {
                broker_name: broker.name.clone(),
                cluster: broker.cluster.clone(),
                ..BrokerData::default()
            },
            live: HashMap::new(),
        });
        group.data.cluster.clone_from(&broker.cluster);
        // One address has one id, and one id one address: a broker that moved or changed its role replaces its old entry.
        group.data.broker_addrs.retain(|id, address| *address != broker.address || *id == broker.id);
        if let Some(replaced) = group.data.broker_addrs.insert(broker.id, broker.address.clone())
            && replaced != broker.address
        {
            group.live.remove(&replaced);
        }
        let default_ms = options.broker_expiry.as_millis() as u64;
        let live = Live {
            last_seen_ms: now_ms,
            expiry_ms: expiry_ms.filter(|ms| *ms > 0).unwrap_or(default_ms),
            version,
            connection,
        };
        group.live.insert(broker.address.clone(), live);
        if broker.id == MASTER_ID {
            for config in topics.values() {
                self.put_queues(&broker.name, config);
            }
        }
        Ok(())
    }

    fn check_limits(
        &self,
        options: &NameServerOptions,
        broker: &Broker,
        topics: &BTreeMap<String, TopicConfig>,
    ) -> Result<(), Refused> {
        let refuse = |text: String| Err(Refused(text));
        match self.groups.get(&broker.name) {
            None if self.groups.len() >= options.brokers_max => {
                return refuse(format!("{} broker groups are registered, the limit (brokers_max)", self.groups.len()));
            }
            Some(group)
                if !group.data.broker_addrs.contains_key(&broker.id)
                    && group.data.broker_addrs.len() >= options.addresses_per_broker_max =>
            {
                return refuse(format!(
                    "broker {} has {} addresses, the limit",
                    broker.name,
                    group.data.broker_addrs.len()
                ));
            }
            _ => {}
        }
        let new = topics.keys().filter(|topic| !self.topics.contains_key(*topic)).count();
        if self.topics.len() + new > options.topics_max {
            return refuse(format!(
                "{} topics are known and {new} more would pass the limit (topics_max)",
                self.topics.len()
            ));
        }
        for (topic, config) in topics {
            name::check_topic(topic).map_err(|error| Refused(format!("topic {topic:?}: {error}")))?;
            if config.read_queue_nums.max(config.write_queue_nums) > QUEUES_MAX {
                return refuse(format!("topic {topic} has more than {QUEUES_MAX} queues"));
            }
        }
        Ok(())
    }

    /// Adds or replaces a topic's queues on a broker group that is known; `false` when it is not.
    pub fn put_queues(&mut self, broker_name: &str, config: &TopicConfig) -> bool {
        if !self.groups.contains_key(broker_name) {
            return false;
        }
        let queues = QueueData {
            broker_name: broker_name.to_owned(),
            perm: config.perm,
            read_queue_nums: config.read_queue_nums,
            topic_sys_flag: config.topic_sys_flag,
            write_queue_nums: config.write_queue_nums,
        };
        self.topics.entry(config.topic_name.clone()).or_default().insert(broker_name.to_owned(), queues);
        true
    }

    /// Notes that a broker lives; its table's version if it is known.
    pub fn heartbeat(&mut self, broker_name: &str, address: &str, now_ms: u64) -> Option<DataVersion> {
        let live = self.groups.get_mut(broker_name)?.live.get_mut(address)?;
        live.last_seen_ms = now_ms;
        Some(live.version.clone())
    }

    /// Takes a broker out at its own wish.
    pub fn unregister(&mut self, broker_name: &str, address: &str) {
        self.remove_where(|name, found, _| name == broker_name && found == address);
    }

    /// Takes out every broker that registered over a connection that ended; their addresses.
    pub fn disconnected(&mut self, connection: u64) -> Vec<String> {
        self.remove_where(|_, _, live| live.connection == connection)
    }

    /// Takes out every broker that was silent too long; their addresses.
    pub fn expire(&mut self, now_ms: u64) -> Vec<String> {
        self.remove_where(|_, _, live| now_ms.saturating_sub(live.last_seen_ms) > live.expiry_ms)
    }

    fn remove_where(&mut self, gone: impl Fn(&str, &str, &Live) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        for (name, group) in &mut self.groups {
            let data = &mut group.data;
            group.live.retain(|address, live| {
                let stays = !gone(name, address, live);
                if !stays {
                    data.broker_addrs.retain(|_, known| known != address);
                    removed.push(address.clone());
                }
                stays
            });
        }
        if !removed.is_empty() {
            self.groups.retain(|_, group| !group.data.broker_addrs.is_empty());
            let groups = &self.groups;
            self.topics.retain(|_, queues| {
                queues.retain(|broker, _| groups.contains_key(broker));
                !queues.is_empty()
            });
        }
        removed
    }

    /// Forgets a topic until a broker registers it again.
    pub fn delete_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Where a topic lives; `None` when no live broker has it.
    pub fn route(&self, topic: &str) -> Option<TopicRoute> {
        let queues = self.topics.get(topic)?;
        let broker_datas: Vec<_> =
            queues.keys().filter_map(|name| self.groups.get(name)).map(|group| group.data.clone()).collect();
        (!broker_datas.is_empty()).then(|| TopicRoute {
            broker_datas,
            filter_server_table: BTreeMap::new(),
            queue_datas: queues.values().cloned().collect(),
        })
    }

    /// All brokers and clusters.
    pub fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, group) in &self.groups {
            info.broker_addr_table.insert(name.clone(), group.data.clone());
            info.cluster_addr_table.entry(group.data.cluster.clone()).or_default().insert(name.clone());
        }
        info
    }

    /// All topics.
    pub fn topics(&self) -> TopicList {
        TopicList { topic_list: self.topics.keys().cloned().collect(), ..TopicList::default() }
    }

    /// Topics of one cluster's brokers.
    pub fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let of_cluster = |broker: &String| self.groups.get(broker).is_some_and(|group| group.data.cluster == cluster);
        let topics = self.topics.iter().filter(|(_, queues)| queues.keys().any(of_cluster));
        TopicList { topic_list: topics.map(|(topic, _)| topic.clone()).collect(), ..TopicList::default() }
    }

    /// Names that tools treat as system topics: clusters and brokers, with one broker's address.
    pub fn system_topics(&self) -> TopicList {
        let names = self.groups.iter().flat_map(|(name, group)| [name.clone(), group.data.cluster.clone()]);
        let topic_list: BTreeSet<String> = names.collect();
        let broker_addr = self.groups.values().find_map(|group| group.data.broker_addrs.values().next().cloned());
        TopicList { broker_addr, topic_list }
    }
}

fn check(broker: &Broker) -> Result<(), Refused> {
    let refused = |error: name::NameError| Refused(error.to_string());
    check_label("cluster name", &broker.cluster).map_err(refused)?;
    check_label("broker name", &broker.name).map_err(refused)?;
    // Clients dial it and split it at the last colon.
    let (host, port) = broker.address.rsplit_once(':').unwrap_or_default();
    let dialable = broker.address.len() <= ADDRESS_LEN_MAX
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'))
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    match dialable {
        true => Ok(()),
        false => Err(Refused(format!("the broker address {:?} is no host:port", broker.address))),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
