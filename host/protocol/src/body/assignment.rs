//! QUERY_ASSIGNMENT (400) and SET_MESSAGE_REQUEST_MODE (401). Source: RocketMQ `QueryAssignmentRequestBody`,
//! `QueryAssignmentResponseBody`, `MessageQueueAssignment`, `SetMessageRequestModeRequestBody`.

use serde::{Deserialize, Serialize};

use super::{BodyError, heartbeat::MessageModel, lock::MessageQueue};

/// A member of a group asks which queues of a topic are its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryAssignment {
    /// Who asks.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// Clustering or broadcasting.
    pub message_model: MessageModel,
    /// The client's name of how queues are shared out: `AVG`, `AVG_BY_CIRCLE` and others.
    pub strategy_name: String,
    /// The topic.
    pub topic: String,
}

impl QueryAssignment {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }

    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// How a queue is consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestMode {
    /// By pulls from an offset.
    #[default]
    Pull,
    /// By POP.
    Pop,
}

/// A queue that is the asking member's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assignment {
    /// The queue; number -1 stands for all of its broker's.
    pub message_queue: MessageQueue,
    /// How it is consumed.
    pub mode: RequestMode,
}

/// Answer to QUERY_ASSIGNMENT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Assignments {
    /// The queues. Absent: it cannot be said, the client keeps what it has; empty: the client has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<Assignment>>,
}

impl Assignments {
    /// Reads the answer.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }

    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// How a group is to consume a topic; also the entry of `messageRequestMode.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestModeConfig {
    /// The group.
    pub consumer_group: String,
    /// How.
    pub mode: RequestMode,
    /// With POP, how many other members' queues each member takes from besides its own; 0 and below: from all queues.
    pub pop_share_queue_num: i32,
    /// The topic.
    pub topic: String,
}

impl RequestModeConfig {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }

    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As fastjson writes them: members in the order of their names, enums by name.
    #[test]
    fn bodies_are_javas() {
        let asked = r#"{"clientId":"10.0.0.1@7#8","consumerGroup":"cg","messageModel":"CLUSTERING","strategyName":"AVG","topic":"TopicTest"}"#;
        let query = QueryAssignment::parse(asked.as_bytes()).unwrap();
        assert_eq!((&*query.client_id, &*query.strategy_name), ("10.0.0.1@7#8", "AVG"));
        assert_eq!(query.to_json().unwrap(), asked.as_bytes());

        let answer = r#"{"messageQueueAssignments":[{"messageQueue":{"brokerName":"broker-a","queueId":-1,"topic":"TopicTest"},"mode":"POP"}]}"#;
        let assignments = Assignments::parse(answer.as_bytes()).unwrap();
        assert_eq!(assignments.message_queue_assignments.as_ref().unwrap()[0].mode, RequestMode::Pop);
        assert_eq!(assignments.to_json().unwrap(), answer.as_bytes());
        assert_eq!(Assignments::default().to_json().unwrap(), b"{}", "absent is not empty");

        let mode = r#"{"consumerGroup":"cg","mode":"POP","popShareQueueNum":3,"topic":"TopicTest"}"#;
        let config = RequestModeConfig::parse(mode.as_bytes()).unwrap();
        assert_eq!((config.mode, config.pop_share_queue_num), (RequestMode::Pop, 3));
        assert_eq!(config.to_json().unwrap(), mode.as_bytes());
        assert!(RequestModeConfig::parse(br#"{"mode":"PUSH"}"#).is_err());
    }
}
