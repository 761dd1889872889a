//! CHECK_CLIENT_CONFIG (46). Source: RocketMQ `CheckClientRequestBody`.

use gantry_model::subscription::Subscription;
use serde::{Deserialize, Serialize};

use super::BodyError;

/// A consumer asks whether its subscription can be served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientConfig {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub group: String,
    /// The subscription.
    pub subscription_data: Option<Subscription>,
}

impl CheckClientConfig {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }
}
