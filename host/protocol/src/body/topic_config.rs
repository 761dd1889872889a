//! Settings of topics, one by one and as a table. Source: RocketMQ `TopicConfigSerializeWrapper`, `CreateTopicListRequestBody`.

use std::collections::BTreeMap;

use gantry_model::{topic::TopicConfig, version::DataVersion};
use serde::{Deserialize, Serialize};

use super::BodyError;

/// Answer to GET_ALL_TOPIC_CONFIG (21), and part of a registration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Settings by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// UPDATE_AND_CREATE_TOPIC_LIST (18).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigList {
    /// The settings.
    pub topic_config_list: Vec<TopicConfig>,
}

impl TopicConfigList {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }
}
