//! Membership: UNREGISTER_CLIENT (35) and GET_CONSUMER_LIST_BY_GROUP (38). Heartbeats carry a body, see [`crate::body`].

use super::{RequestError, text};
use crate::header::Header;

/// UNREGISTER_CLIENT (35).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisterClient {
    /// The client.
    pub client_id: String,
    /// Producer group that it leaves.
    pub producer_group: Option<String>,
    /// Consumer group that it leaves.
    pub consumer_group: Option<String>,
}

impl UnregisterClient {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let group =
            |field| header.ext.get(field).map(|name| name.into_owned()).filter(|name: &String| !name.is_empty());
        Ok(UnregisterClient {
            client_id: text(header, "clientID")?.into_owned(),
            producer_group: group("producerGroup"),
            consumer_group: group("consumerGroup"),
        })
    }
}

/// GET_CONSUMER_LIST_BY_GROUP (38).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerListRequest {
    /// Consumer group.
    pub group: String,
}

impl ConsumerListRequest {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(ConsumerListRequest { group: text(header, "consumerGroup")?.into_owned() })
    }
}
