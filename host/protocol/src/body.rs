//! JSON bodies, one family a file.
//!
//! Read: fastjson's loose forms are accepted, missing members take defaults. Written: compact standard JSON with quoted keys,
//! because the Go client splits the raw text of addresses by hand.

pub mod assignment;
pub mod client_config;
pub mod consumer_list;
pub mod group_config;
pub mod heartbeat;
pub mod lock;
pub mod register;
pub mod topic_config;

use serde::de::DeserializeOwned;

use crate::loose_json::{self, LooseJsonError};

/// Why a body cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not even loosely JSON.
    #[error(transparent)]
    Loose(#[from] LooseJsonError),
    /// JSON of another shape.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
}

/// Reads a body of type `T` from strict or loose JSON.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    // Most clients send standard JSON: the second look is for those that do not.
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) => Ok(serde_json::from_slice(&loose_json::to_strict(body)?)?),
    }
}
