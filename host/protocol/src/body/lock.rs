//! LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42). Source: RocketMQ `LockBatchRequestBody`, `LockBatchResponseBody`.

use serde::{Deserialize, Serialize};

use super::BodyError;

/// One queue as clients name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// Broker group.
    pub broker_name: String,
    /// Queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Queues to lock or to let go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatch {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Whether other replicas are not to be asked.
    pub only_this_broker: bool,
}

impl LockBatch {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }
}

/// Queues that the client holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedQueues {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}

impl LockedQueues {
    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}
