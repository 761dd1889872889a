//! RECALL_MESSAGE (370). Source: RocketMQ `RecallMessageRequestHeader`.

use super::{RequestError, text};
use crate::header::Header;

/// A timed message is not to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallRequest {
    /// Topic that the message was sent to.
    pub topic: String,
    /// From the answer to its send, see [`RecallHandle`](crate::recall_handle::RecallHandle).
    pub handle: String,
    /// Who asks.
    pub producer_group: Option<String>,
}

impl RecallRequest {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(RecallRequest {
            topic: text(header, "topic")?.into_owned(),
            handle: text(header, "recallHandle")?.into_owned(),
            producer_group: header.ext.get("producerGroup").map(|group| group.into_owned()),
        })
    }
}
