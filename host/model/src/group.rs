//! Settings of a consumer group. Source: RocketMQ `SubscriptionGroupConfig`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of one consumer group, in the shape of `subscriptionGroup.json` and of mqadmin's update.
/// Missing members take RocketMQ's defaults; members that Gantry does not use are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupConfig {
    /// Kept verbatim.
    pub attributes: BTreeMap<String, String>,
    /// Which broker id serves reads.
    pub broker_id: i64,
    /// Whether broadcast consumption is allowed.
    pub consume_broadcast_enable: bool,
    /// Whether the group may consume at all.
    pub consume_enable: bool,
    /// Kept verbatim.
    pub consume_from_min_enable: bool,
    /// Whether the group consumes in order.
    pub consume_message_orderly: bool,
    /// Kept verbatim.
    pub consume_timeout_minute: i32,
    /// The group's name.
    pub group_name: String,
    /// Kept verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_retry_policy: Option<serde_json::Value>,
    /// Kept verbatim.
    pub group_sys_flag: i32,
    /// Whether members hear of membership changes at once.
    pub notify_consumer_ids_changed_enable: bool,
    /// Deliveries after the first before a message goes to the dead letter queue.
    pub retry_max_times: i32,
    /// Queues of `%RETRY%group`; 0 or less turns send-back into a no-op.
    pub retry_queue_nums: i32,
    /// Kept verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<serde_json::Value>,
    /// Which broker id serves slow readers.
    pub which_broker_when_consume_slowly: i64,
}

impl GroupConfig {
    /// A group with RocketMQ's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        GroupConfig { group_name: name.into(), ..Self::default() }
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: None,
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}
