//! Which queues a member gets when a broker shares them out, as Java's push consumer asks it with client rebalance off.

use gantry_protocol::{
    body::assignment::{Assignments, QueryAssignment, RequestModeConfig},
    code::request,
};

use crate::{Client, ClientError, route::parse};

impl Client {
    /// Asks the broker at `address` for a member's queues of one topic. Any broker of the topic will do: they agree.
    pub async fn query_assignment(&self, address: &str, query: &QueryAssignment) -> Result<Assignments, ClientError> {
        let body = query.to_json().map_err(unwritable)?;
        let answer = self.ask(address, request::QUERY_ASSIGNMENT, |_| (), &body).await?;
        parse(address, request::QUERY_ASSIGNMENT, &answer)
    }

    /// Says on the broker at `address` how a group consumes a topic; ask every broker of the topic.
    pub async fn set_request_mode(&self, address: &str, config: &RequestModeConfig) -> Result<(), ClientError> {
        let body = config.to_json().map_err(unwritable)?;
        self.ask(address, request::SET_MESSAGE_REQUEST_MODE, |_| (), &body).await.map(drop)
    }
}

fn unwritable(error: impl std::fmt::Display) -> ClientError {
    ClientError::Invalid(format!("the request cannot be written as JSON: {error}"))
}
