//! A message as filters and plugins see it: borrowed from the record's bytes, nothing decoded that is not asked for.

use std::net::SocketAddr;

use crate::{
    offset::{PhysicalOffset, QueueOffset},
    properties,
};

/// One stored message, borrowed from its record.
#[derive(Debug, Clone, Copy)]
pub struct MessageView<'a> {
    /// Topic as stored (`%RETRY%group` for a retried one).
    pub topic: &'a str,
    /// Queue of the topic.
    pub queue_id: u32,
    /// Place in the queue.
    pub queue_offset: QueueOffset,
    /// Place in the commit log.
    pub physical_offset: PhysicalOffset,
    /// Bits of [`crate::sys_flag`].
    pub sys_flag: i32,
    /// The application's own flag.
    pub flag: i32,
    /// When the client made it, ms since 1970, by the client's clock.
    pub born_ms: i64,
    /// When the broker stored it, ms since 1970.
    pub store_ms: i64,
    /// The producer's address as the broker saw it.
    pub born_host: SocketAddr,
    /// How often it was sent back before.
    pub reconsume_times: i32,
    /// Offset of the half message that it was committed from, else 0.
    pub prepared_transaction_offset: i64,
    /// Body as stored, possibly compressed.
    pub body: &'a [u8],
    /// Encoded properties, see [`crate::properties`].
    pub properties: &'a [u8],
}

impl<'a> MessageView<'a> {
    /// The value of a property, if the message has it and it is UTF-8.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::find_str(self.properties, name)
    }
}
