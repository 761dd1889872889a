//! Answer to GET_CONSUMER_LIST_BY_GROUP (38).

use serde::{Deserialize, Serialize};

/// Client ids of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerList {
    /// The ids.
    pub consumer_id_list: Vec<String>,
}

impl ConsumerList {
    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
