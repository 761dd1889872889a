//! Requests to a name server: registration (103, 104, 322, 904) and the rest (105, 216, 217, 224).

use super::{RequestError, int_opt, text};
use crate::header::Header;

/// Who a broker is; the fields that 103, 104 and 322 share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFields {
    /// Cluster.
    pub cluster: String,
    /// Broker group.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// 0 = master.
    pub id: u64,
}

impl BrokerFields {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(BrokerFields {
            cluster: text(header, "clusterName")?.into_owned(),
            name: text(header, "brokerName")?.into_owned(),
            address: text(header, "brokerAddr")?.into_owned(),
            id: int_opt(header, "brokerId")?.unwrap_or(0),
        })
    }
}

/// REGISTER_BROKER (103).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Who registers.
    pub broker: BrokerFields,
    /// Address of its replication listener, may be empty.
    pub ha_address: String,
    /// How long the entry lives without another word.
    pub heartbeat_timeout_ms: Option<u64>,
    /// Whether the body is compressed.
    pub compressed: bool,
    /// CRC-32 of the body without its top bit; 0 = unchecked.
    pub body_crc: u32,
}

impl RegisterBroker {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(RegisterBroker {
            broker: BrokerFields::parse(header)?,
            ha_address: header.ext.get("haServerAddr").unwrap_or_default().into_owned(),
            heartbeat_timeout_ms: int_opt(header, "heartbeatTimeoutMillis")?,
            compressed: header.ext.flag("compressed").unwrap_or(false),
            body_crc: int_opt(header, "bodyCrc32")?.unwrap_or(0),
        })
    }
}

/// A topic by name: GET_ROUTEINFO_BY_TOPIC (105), REGISTER_TOPIC_IN_NAMESRV (217).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicField {
    /// The topic.
    pub topic: String,
}

impl TopicField {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(TopicField { topic: text(header, "topic")?.into_owned() })
    }
}

/// DELETE_TOPIC_IN_NAMESRV (216).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTopic {
    /// The topic.
    pub topic: String,
    /// The cluster to take it from; everywhere when absent.
    pub cluster: Option<String>,
}

impl DeleteTopic {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let cluster = header.ext.get("clusterName").filter(|name| !name.is_empty());
        Ok(DeleteTopic { topic: text(header, "topic")?.into_owned(), cluster: cluster.map(|name| name.into_owned()) })
    }
}

/// GET_TOPICS_BY_CLUSTER (224).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterField {
    /// The cluster.
    pub cluster: String,
}

impl ClusterField {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(ClusterField { cluster: text(header, "cluster")?.into_owned() })
    }
}
