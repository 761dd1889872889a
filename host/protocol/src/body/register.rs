//! REGISTER_BROKER (103) and what name servers answer tools with. Source: RocketMQ `RegisterBrokerBody`, `ClusterInfo`, `TopicList`.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::{route::BrokerData, topic::TopicConfig, version::DataVersion};
use serde::{Deserialize, Serialize};

use super::{BodyError, topic_config::TopicTable};

/// What a broker serves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// Always empty; filter servers went with RocketMQ 4.3.
    pub filter_server_list: Vec<String>,
    /// Its topics.
    pub topic_config_serialize_wrapper: TopicTable,
}

impl RegisterBrokerBody {
    /// A registration of these topics.
    pub fn new(data_version: DataVersion, topic_config_table: BTreeMap<String, TopicConfig>) -> Self {
        let topic_config_serialize_wrapper = TopicTable { data_version, topic_config_table };
        RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper }
    }

    /// Reads a registration.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }

    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// Answer to GET_BROKER_CLUSTER_INFO (106).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Brokers by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// A list of topics: answer to codes 206, 224 and 304.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// Address of one broker, for code 304.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The topics.
    pub topic_list: BTreeSet<String>,
}
