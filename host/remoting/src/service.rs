//! What a server does with requests.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use gantry_protocol::frame::Frame;
use tokio::time::Instant;

use crate::{Peer, buffers};

/// Most requests that are handed to a service at once.
pub const BATCH_MAX: usize = 256;

/// The meaning of requests. One value serves every connection; what belongs to one connection is its session.
pub trait Service: Send + Sync + 'static {
    /// State of one connection.
    type Session: Send + 'static;

    /// A connection opened.
    fn open(&self, peer: &Peer) -> Self::Session;

    /// Asked before each batch is handed to [`serve`](Self::serve), with when its last byte was read. `Some`: not now. The
    /// connection is neither served nor read until the future is done, and then this is asked again; so what is held stays
    /// in order, and the peer meets a full socket instead of a refusal. Whoever holds must let go by some deadline.
    fn hold(&self, _: &mut Self::Session, _requests: &[Frame<'_>], _arrived: Instant) -> Option<Hold> {
        None
    }

    /// All complete request frames that one read yielded (1 to [`BATCH_MAX`]), in order, borrowed from the read buffer.
    ///
    /// Runs on a worker of the runtime and must not block: what has to wait goes to [`Replies::later`]. A request that
    /// is not one-way must be answered, else its client gives the connection up. A panic closes this connection only.
    fn serve(&self, session: &mut Self::Session, requests: &[Frame<'_>], replies: &mut Replies);

    /// The connection ended, for whatever reason (a peer that half-closes counts as gone, as it does in RocketMQ). Every
    /// session that was opened is closed exactly once. Answers of [`Replies::later`] that were not ready were dropped before.
    fn close(&self, session: Self::Session);
}

/// Until when requests are held, see [`Service::hold`].
pub type Hold = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a service puts its answers: some at once, some when they are ready.
pub struct Replies {
    /// Bytes not yet sent; new ones are appended behind them.
    pub(crate) unsent: BytesMut,
    later: FuturesUnordered<Later>,
    in_flight: usize,
    pub(crate) arrived: Instant,
}

impl Replies {
    pub(crate) fn new(now: Instant) -> Self {
        Replies { unsent: BytesMut::new(), later: FuturesUnordered::new(), in_flight: 0, arrived: now }
    }

    /// When the last byte of the requests being served was read: what their deadlines count from.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The send buffer: append whole reply frames; they are sent in this order. What it already holds is on its way.
    pub fn now(&mut self) -> &mut BytesMut {
        if self.unsent.capacity() == 0 {
            self.unsent = buffers::lend();
        }
        &mut self.unsent
    }

    /// Sends the frames (one or many, or none) of `reply` when it is ready. `requests` count as in flight until then. The
    /// future is polled by the connection's own task and dropped when the connection ends.
    pub fn later(&mut self, requests: usize, reply: impl Future<Output = BytesMut> + Send + 'static) {
        self.in_flight += requests;
        self.later.push(Later { requests, reply: Box::pin(reply) });
    }

    /// Requests whose answer is not ready.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Moves every answer that is ready to the send buffer.
    pub(crate) fn collect_ready(&mut self, context: &mut Context<'_>) {
        while !self.later.is_empty() {
            let Poll::Ready(Some((requests, frames))) = self.later.poll_next_unpin(context) else { return };
            self.in_flight -= requests;
            self.append(frames);
        }
    }

    /// Appends whole frames, without copying them when nothing else waits.
    pub(crate) fn append(&mut self, frames: BytesMut) {
        if self.unsent.is_empty() {
            buffers::give_back(std::mem::replace(&mut self.unsent, frames));
        } else {
            self.unsent.extend_from_slice(&frames);
        }
    }

    /// The first `count` unsent bytes were written.
    pub(crate) fn sent(&mut self, count: usize) {
        self.unsent.advance(count);
    }

    /// Releases the send buffer when it is empty.
    pub(crate) fn rest(&mut self) {
        if self.unsent.is_empty() {
            // Whatever it says of its capacity: a buffer that was sent to its end shows none and holds all.
            buffers::give_back(std::mem::take(&mut self.unsent));
        }
    }
}

struct Later {
    requests: usize,
    reply: Pin<Box<dyn Future<Output = BytesMut> + Send>>,
}

impl Future for Later {
    type Output = (usize, BytesMut);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let requests = self.requests;
        self.reply.as_mut().poll(context).map(|frames| (requests, frames))
    }
}
