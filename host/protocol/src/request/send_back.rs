//! CONSUMER_SEND_MSG_BACK (36). Source: RocketMQ `ConsumerSendMsgBackRequestHeader`.

use super::{RequestError, int, int_opt, text};
use crate::header::Header;

/// One message that a consumer could not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendBackRequest {
    /// Physical offset of the message.
    pub offset: i64,
    /// Consumer group.
    pub group: String,
    /// Below 0: give it up; 0: the broker chooses; else the level.
    pub delay_level: i32,
    /// Id of the first delivery.
    pub origin_message_id: Option<String>,
    /// Limit of retries that the client asks for.
    pub max_reconsume_times: Option<i32>,
}

impl SendBackRequest {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(SendBackRequest {
            offset: int(header, "offset")?,
            group: text(header, "group")?.into_owned(),
            delay_level: int(header, "delayLevel")?,
            origin_message_id: header.ext.get("originMsgId").map(|id| id.into_owned()),
            max_reconsume_times: int_opt(header, "maxReconsumeTimes")?,
        })
    }
}
