//! Settings of consumer groups. Source: RocketMQ `SubscriptionGroupWrapper`, `SubscriptionGroupList`.

use std::collections::BTreeMap;

use gantry_model::{group::GroupConfig, version::DataVersion};
use serde::{Deserialize, Serialize};

/// Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupTable {
    /// Version of the table.
    pub data_version: DataVersion,
    /// Settings by name.
    pub subscription_group_table: BTreeMap<String, GroupConfig>,
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupConfigList {
    /// The settings.
    #[serde(alias = "groupConfigList")]
    pub group_config_list: Vec<GroupConfig>,
}
