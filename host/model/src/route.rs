//! Which brokers serve a topic, in the shape that clients parse. Source: RocketMQ `TopicRouteData`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::topic::Perm;

/// Broker id of a master.
pub const MASTER_ID: u64 = 0;

/// Answer to GET_ROUTEINFO_BY_TOPIC. Every member is always written: the Rust client fails on a missing one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRoute {
    /// Brokers that hold the topic.
    pub broker_datas: Vec<BrokerData>,
    /// Always empty; filter servers went with RocketMQ 4.3.
    #[serde(default)]
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// Settings of the topic's queues on each broker.
    pub queue_datas: Vec<QueueData>,
}

/// Addresses of one broker group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerData {
    /// `host:port` by broker id, written with quoted keys; 0 is the master.
    pub broker_addrs: BTreeMap<u64, String>,
    /// Name of the group.
    pub broker_name: String,
    /// Cluster that it belongs to.
    #[serde(default)]
    pub cluster: String,
    /// Whether a replica may act as master.
    #[serde(default)]
    pub enable_acting_master: bool,
    /// Zone that it stands in, if it has told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
}

/// A topic's queues on one broker group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueData {
    /// Name of the broker group.
    pub broker_name: String,
    /// What clients may do.
    pub perm: Perm,
    /// Queues that consumers see.
    pub read_queue_nums: u32,
    /// Unit bits.
    #[serde(default)]
    pub topic_sys_flag: i32,
    /// Queues that producers see.
    pub write_queue_nums: u32,
}
