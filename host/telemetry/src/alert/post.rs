//! One HTTP request of ours, bounded in time and in what is read of the answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Destination;

/// Longest that connecting, sending and the answer may take together.
const POST_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, for its words about what is wrong.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// Nobody answered, or with a code after which it may go better.
    #[error("{0}")]
    Later(String),
    /// What was sent is not understood; sending it again would not help.
    #[error("it answered {0}: {1}")]
    Never(StatusCode, String),
}

/// Posts JSON.
pub(super) async fn post(to: &Destination, body: Vec<u8>) -> Result<(), PostError> {
    let (status, answer) = match tokio::time::timeout(POST_WITHIN, exchange(to, body)).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => return Err(PostError::Later(error.to_string())),
        Err(_) => return Err(PostError::Later(format!("no answer within {POST_WITHIN:?}"))),
    };
    match status {
        taken if taken.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(PostError::Later(format!("it answered {status}")))
        }
        refused if refused.is_client_error() => Err(PostError::Never(refused, answer)),
        other => Err(PostError::Later(format!("it answered {other}: {answer}"))),
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(to: &Destination, body: Vec<u8>) -> Result<(StatusCode, String), AnyError> {
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&to.path)
        .header(HOST, to.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answered = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let answer = answer.map(|body| body.to_bytes()).unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&answer).trim().to_owned()))
    };
    // The connection moves on what the other waits for, and ends with it; its own errors reach the other too. It may end
    // first, with the answer already handed over.
    tokio::join!(answered, connection).0
}
