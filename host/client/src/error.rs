//! What can go wrong when talking to a server, with the address that it went wrong at.

use gantry_protocol::code;
use gantry_remoting::{CallError, ConnectError};

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server cannot be reached; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer came back.
    #[error("{address}, {}: {source}", request_name(*.request))]
    Call {
        /// The server.
        address: String,
        /// Code of the request.
        request: i32,
        /// What happened.
        source: CallError,
    },
    /// The server answered with an error.
    #[error("{address} refused {}: {}{}", request_name(*.request), response_name(*.code), remark_tail(.remark))]
    Refused {
        /// The server.
        address: String,
        /// Code of the request.
        request: i32,
        /// Code of the answer, see [`gantry_protocol::code::response`].
        code: i32,
        /// Its text, may be empty.
        remark: String,
    },
    /// The server answered, but not as the protocol has it.
    #[error("{address}, {}: the answer cannot be read: {problem}", request_name(*.request))]
    Answer {
        /// The server.
        address: String,
        /// Code of the request.
        request: i32,
        /// What is wrong with it.
        problem: String,
    },
    /// None of the name servers could be asked.
    #[error("no name server answered ({tried}); check that one is running at these addresses")]
    NoNameServer {
        /// Each address and why not.
        tried: String,
    },
    /// No broker serves the topic for what was wanted.
    #[error("topic {topic} has no queue to {purpose}: no live master holds it, or its permission forbids it")]
    NoQueue {
        /// The topic.
        topic: String,
        /// "send to" or "pull from".
        purpose: &'static str,
    },
    /// The broker is in no known route.
    #[error("broker {0} has no known address; it may be down")]
    NoBroker(String),
    /// The request cannot be sent as it is.
    #[error("{0}")]
    Invalid(String),
}

impl ClientError {
    /// The code of the answer, if the server answered with an error.
    pub fn refusal(&self) -> Option<i32> {
        match self {
            ClientError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn answer(address: &str, request: i32, problem: impl ToString) -> Self {
        ClientError::Answer { address: address.to_owned(), request, problem: problem.to_string() }
    }
}

fn request_name(request: i32) -> String {
    code::request::name(request).map_or_else(|| format!("request {request}"), str::to_owned)
}

fn response_name(response: i32) -> String {
    match code::response::name(response) {
        Some(name) => format!("{name} ({response})"),
        None => format!("code {response}"),
    }
}

fn remark_tail(remark: &str) -> String {
    if remark.is_empty() { String::new() } else { format!(": {remark}") }
}
