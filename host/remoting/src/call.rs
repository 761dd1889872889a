//! A request of ours and its answer.

use std::{io, time::Duration};

use gantry_protocol::frame::{FrameError, OwnedFrame};
use tokio::sync::oneshot;

use crate::Peer;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time; one that comes later is dropped. The peer may have done what was asked.
    #[error("no answer within {0:?}; the request may have been carried out")]
    Timeout(Duration),
    /// The connection closed before the answer came. The peer may have done what was asked.
    #[error("the connection closed before the answer came; the request may have been carried out")]
    Closed,
    /// The peer does not take what is sent, or too many calls wait; nothing was sent.
    #[error("too much is waiting to be sent to this peer, or answered by it; nothing was sent")]
    Busy,
    /// The connection could not be made or used; nothing was sent.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The answer is not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// An entry in the table of calls; dropping it takes the entry out, so that a caller who gave up leaves nothing behind.
pub(crate) struct Waiting {
    peer: Peer,
    opaque: i32,
    answer: oneshot::Receiver<OwnedFrame>,
}

impl Waiting {
    pub(crate) fn new(peer: Peer, opaque: i32, answer: oneshot::Receiver<OwnedFrame>) -> Self {
        Waiting { peer, opaque, answer }
    }

    pub(crate) async fn answer(mut self, timeout: Duration) -> Result<OwnedFrame, CallError> {
        match tokio::time::timeout(timeout, &mut self.answer).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::Timeout(timeout)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.peer.forget(self.opaque);
    }
}
