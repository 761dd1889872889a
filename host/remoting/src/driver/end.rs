//! Why connections end, and what is said about it.

use std::io;

use gantry_protocol::frame::FrameError;

use crate::{Metrics, Peer};

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer closed, or half-closed: like RocketMQ's, both mean that it is gone.
    PeerClosed,
    /// [`Peer::close`].
    Closed,
    /// Everything in flight was answered and we are stopping.
    Drained,
    /// Nothing happened for too long.
    Idle,
    /// The peer does not take its replies.
    Stalled { unsent: usize },
    /// A frame was started and not completed in time.
    SlowFrame { bytes: usize },
    /// The bytes are not frames.
    Malformed(FrameError),
    /// A TLS client on a plain port.
    Tls,
    /// The service panicked.
    Panicked,
    /// The socket failed.
    Io(io::Error),
}

impl End {
    /// Counts and says why the connection ended.
    pub(crate) fn report(&self, peer: &Peer, metrics: &Metrics) {
        let address = peer.address();
        match self {
            End::PeerClosed | End::Closed | End::Drained => {
                tracing::trace!(peer = %address, "connection ended: {self:?}")
            }
            End::Io(error) => tracing::debug!(peer = %address, "connection failed: {error}"),
            End::Idle => {
                metrics.idle.add(1);
                tracing::debug!(peer = %address, "connection closed: nothing was read or written for the idle timeout");
            }
            End::Stalled { unsent } => {
                metrics.slow.add(1);
                tracing::info!(peer = %address, "connection closed: the peer takes no replies, {unsent} bytes were waiting");
            }
            End::SlowFrame { bytes } => {
                metrics.slow.add(1);
                tracing::info!(peer = %address, "connection closed: a frame was not completed in time, {bytes} bytes of it came");
            }
            End::Malformed(error) => {
                metrics.malformed.add(1);
                tracing::debug!(peer = %address, "connection closed: {error}");
            }
            End::Tls => {
                metrics.malformed.add(1);
                tracing::info!(peer = %address, "connection closed: the client speaks TLS, which is not built yet; turn TLS off in the client");
            }
            End::Panicked => {
                metrics.panicked.add(1);
                tracing::error!(peer = %address, "connection closed: serving it panicked; this is a bug, other connections go on");
            }
        }
    }
}
