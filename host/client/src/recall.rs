//! Timed messages that are not to be delivered after all.

use gantry_protocol::code::request;

use crate::{Client, ClientError};

impl Client {
    /// Recalls a timed message by the handle of its [`SendResult`](crate::SendResult); gives its UNIQ_KEY. With success it
    /// will never be delivered. It is refused once its time has come, with ILLEGAL_OPERATION.
    pub async fn recall(&self, broker: &str, topic: &str, handle: &str) -> Result<String, ClientError> {
        let address = self.broker_address(broker)?;
        let answer = self.ask(
            &address,
            request::RECALL_MESSAGE,
            |writer| {
                writer.ext("topic", topic).ext("recallHandle", handle);
            },
            b"",
        );
        let answer = answer.await?;
        let header = answer.header().map_err(|error| ClientError::answer(&address, request::RECALL_MESSAGE, error))?;
        Ok(header.ext.get("msgId").unwrap_or_default().into_owned())
    }
}
