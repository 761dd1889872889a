//! One connection, driven by one task: read, serve, write, wait.

mod clock;
mod end;
mod inbound;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use gantry_protocol::frame::Frame;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use crate::{
    BATCH_MAX, Hold, Limits, Metrics, Peer, Replies, Service,
    budget::{Budget, Freed},
    buffers::BUFFER_BYTES,
    driver::{
        clock::{Clock, Held},
        end::End,
        inbound::Inbound,
    },
};

/// Reads served in one turn before other connections of the worker get theirs.
const READS_PER_TURN: usize = 8;

/// What the connections of one server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) metrics: Arc<Metrics>,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let budget = Budget::new(limits.in_flight_bytes_max);
        Arc::new(Shared { limits, budget, metrics: Arc::default() })
    }
}

/// A session that is closed exactly once, even when the service panics or the runtime stops.
struct Open<S: Service> {
    service: Arc<S>,
    session: Option<S::Session>,
}

impl<S: Service> Drop for Open<S> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.service.close(session);
        }
    }
}

/// The state of one connection. Fields are dropped in this order: answers in flight go before the session they may use.
pub(crate) struct Driver<IO, S: Service> {
    io: IO,
    replies: Replies,
    open: Open<S>,
    inbound: Inbound,
    /// Whether the read buffer holds frames that the limits do not let in yet.
    held_back: bool,
    /// What the service waits for before it takes more.
    hold: Option<Hold>,
    clock: Clock,
    /// Bytes of the shared budget that the frame being read may grow to.
    reserved: usize,
    freed: Option<Freed>,
    peer: Peer,
    shared: Arc<Shared>,
    accounts: Accounts,
}

/// What this connection added to the shared gauges, so that it can be taken out again.
#[derive(Default)]
struct Accounts {
    bytes: usize,
    in_flight: usize,
}

impl<IO: AsyncRead + AsyncWrite + Unpin, S: Service> Driver<IO, S> {
    pub(crate) fn new(io: IO, peer: Peer, service: Arc<S>, shared: Arc<Shared>) -> Self {
        let session = Some(service.open(&peer));
        let now = Instant::now();
        Driver {
            io,
            replies: Replies::new(now),
            open: Open { service, session },
            inbound: Inbound::default(),
            held_back: false,
            hold: None,
            clock: Clock::new(now, &shared.limits),
            reserved: 0,
            freed: None,
            peer,
            shared,
            accounts: Accounts::default(),
        }
    }

    /// Runs the connection to its end.
    pub(crate) async fn run(mut self) -> End {
        let end = std::future::poll_fn(|context| {
            catch_unwind(AssertUnwindSafe(|| self.poll_turn(context))).unwrap_or(Poll::Ready(End::Panicked))
        })
        .await;
        self.peer.ended();
        if matches!(end, End::Drained) {
            linger(&mut self.io).await;
        }
        end
    }

    /// One turn: everything that can be done without waiting, within the connection's share of the worker.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let now = Instant::now();
        self.peer.register(context);
        for _ in 0..READS_PER_TURN {
            match self.poll_step(context, now) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {
                    self.rest();
                    let held =
                        Held { frame_bytes: self.inbound.bytes().len(), unsent_bytes: self.replies.unsent.len() };
                    return self.clock.poll_expired(context, now, &held, &self.shared.limits, &self.shared.budget);
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Serves what is buffered, writes what is ready, reads once. `Ready(Ok)`: there may be more to do.
    fn poll_step(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<Result<(), End>> {
        if self.peer.is_closed() {
            return Poll::Ready(Err(End::Closed));
        }
        self.fetch_pushes();
        self.replies.collect_ready(context);
        let served = self.serve_buffered(context, now);
        self.replies.collect_ready(context);
        let written = self.flush(context, now);
        self.account();
        if let Err(end) = served {
            return Poll::Ready(Err(end));
        }
        if let Poll::Ready(Err(error)) = written {
            return Poll::Ready(Err(End::Io(error)));
        }
        if self.peer.is_draining() {
            return self.poll_drained();
        }
        if self.requests_allowed() == 0 {
            return Poll::Pending;
        }
        if self.held_back || (written.is_ready() && self.peer.has_mail()) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_budget(context));
        let room = self.inbound.room(self.shared.limits.frame_bytes_max);
        match ready!(pin!(self.io.read_buf(room)).poll(context)) {
            Ok(0) => Poll::Ready(Err(End::PeerClosed)),
            Ok(count) => {
                self.shared.metrics.read_bytes.add(count as u64);
                self.clock.read(now);
                self.replies.arrived = now;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(End::Io(error))),
        }
    }

    /// How many requests the limits let in now.
    fn requests_allowed(&self) -> usize {
        let limits = &self.shared.limits;
        let waits = self.hold.is_some() || self.replies.unsent.len() >= limits.reply_buffer_bytes_max;
        if waits || self.peer.is_draining() {
            return 0;
        }
        limits.in_flight_requests_max.saturating_sub(self.replies.in_flight())
    }

    /// Hands complete frames of the read buffer to the service, batch by batch, as far as the limits allow.
    fn serve_buffered(&mut self, context: &mut Context<'_>, now: Instant) -> Result<(), End> {
        let frame_bytes_max = self.shared.limits.frame_bytes_max;
        let mut consumed = 0;
        self.held_back = false;
        loop {
            if self.hold.as_mut().is_some_and(|hold| hold.as_mut().poll(context).is_ready()) {
                self.hold = None;
            }
            let allowed = self.requests_allowed().min(BATCH_MAX);
            if allowed == 0 {
                self.held_back = !self.inbound.is_empty();
                self.clock.frame_closed();
                return Ok(());
            }
            let bytes = self.inbound.bytes();
            let mut requests: Vec<Frame<'_>> = Vec::new();
            let mut at = 0;
            let mut malformed = None;
            while requests.len() < allowed {
                match Frame::parse(&bytes[at..], frame_bytes_max) {
                    Ok(Some((frame, len))) => {
                        if frame.header.is_response() {
                            self.peer.answer(frame.header.opaque, &bytes[at..at + len], frame_bytes_max);
                        } else {
                            if requests.is_empty() {
                                // Pipelined requests are mostly alike.
                                requests.reserve((bytes.len() / len).clamp(1, allowed));
                            }
                            requests.push(frame);
                        }
                        at += len;
                    }
                    Ok(None) => break,
                    Err(_) if bytes[at] == 0x16 => {
                        malformed = Some(End::Tls);
                        break;
                    }
                    Err(error) => {
                        malformed = Some(End::Malformed(error));
                        break;
                    }
                }
            }
            if let (false, Some(session)) = (requests.is_empty(), &mut self.open.session) {
                self.hold = self.open.service.hold(session, &requests, self.replies.arrived);
                if self.hold.is_some() {
                    continue;
                }
                self.shared.metrics.requests.add(requests.len() as u64);
                self.open.service.serve(session, &requests, &mut self.replies);
            }
            drop(requests);
            self.inbound.consume(at);
            consumed += at;
            if at > 0 {
                self.reserved = 0;
            }
            if let Some(end) = malformed {
                return Err(end);
            }
            if at == 0 {
                break;
            }
        }
        if self.inbound.is_empty() {
            self.clock.frame_closed();
        } else {
            self.clock.frame_open(now, consumed > 0);
        }
        Ok(())
    }

    /// Moves pushed frames to the send buffer, unless the peer is behind: then they stay where their own limit counts.
    fn fetch_pushes(&mut self) {
        if self.replies.unsent.len() < self.shared.limits.reply_buffer_bytes_max
            && let Some(frames) = self.peer.fetch()
        {
            self.replies.append(frames);
        }
    }

    /// Writes until everything is written or the socket is full.
    fn flush(&mut self, context: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while !self.replies.unsent.is_empty() {
            let count = ready!(Pin::new(&mut self.io).poll_write(context, &self.replies.unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replies.sent(count);
            self.shared.metrics.written_bytes.add(count as u64);
            self.clock.wrote(now);
        }
        self.clock.nothing_unsent(now);
        Poll::Ready(Ok(()))
    }

    /// Ready when the shared budget lets this connection read on: with room for the large frame that has begun, and unless
    /// it hoards replies while the budget is spent. Small frames never wait.
    fn poll_budget(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.budget_allows() {
                self.freed = None;
                return Poll::Ready(());
            }
            if let Some(freed) = &mut self.freed {
                // What is not read is not the peer's fault.
                self.clock.frame_closed();
                ready!(pin!(freed).poll(context));
            }
            // Asked again after the future was made, so that no wake-up falls in between.
            self.freed = Some(self.shared.budget.freed());
        }
    }

    fn budget_allows(&mut self) -> bool {
        let budget = &self.shared.budget;
        let frame = self.inbound.large_frame_to_grow(self.shared.limits.frame_bytes_max);
        if frame <= self.reserved {
            return self.replies.unsent.len() <= BUFFER_BYTES || !budget.is_spent();
        }
        let more = frame - self.reserved.max(over_share(self.inbound.capacity())).min(frame);
        let allowed = budget.try_reserve(more);
        if allowed {
            self.reserved = frame;
            self.accounts.bytes += more;
        }
        allowed
    }

    fn poll_drained(&self) -> Poll<Result<(), End>> {
        let done = self.replies.in_flight() == 0 && self.replies.unsent.is_empty() && !self.peer.has_mail();
        if done { Poll::Ready(Err(End::Drained)) } else { Poll::Pending }
    }

    /// Before waiting: give back the memory that is not needed.
    fn rest(&mut self) {
        self.replies.rest();
        self.inbound.rest();
        self.account();
    }

    fn account(&mut self) {
        let bytes = over_share(self.inbound.capacity()).max(self.reserved) + over_share(self.replies.unsent.len());
        let in_flight = self.replies.in_flight();
        if bytes != self.accounts.bytes {
            self.shared.budget.charge(self.accounts.bytes, bytes);
        }
        if in_flight != self.accounts.in_flight {
            self.shared.metrics.in_flight_requests.add(in_flight as i64 - self.accounts.in_flight as i64);
        }
        self.accounts = Accounts { bytes, in_flight };
    }
}

/// What counts against the shared budget of so many bytes held.
fn over_share(held: usize) -> usize {
    held.saturating_sub(BUFFER_BYTES)
}

impl<IO, S: Service> Drop for Driver<IO, S> {
    fn drop(&mut self) {
        self.peer.ended();
        self.shared.budget.charge(self.accounts.bytes, 0);
        self.shared.metrics.in_flight_requests.add(-(self.accounts.in_flight as i64));
    }
}

/// Closes so that the last replies arrive: closing a socket with unread bytes resets it, and a reset discards at the
/// peer what it has not read yet. So say that nothing more comes, and read on for a moment.
async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    const LINGER: Duration = Duration::from_millis(500);
    let discard = async {
        io.shutdown().await?;
        tokio::io::copy(io, &mut tokio::io::sink()).await
    };
    // The connection is over either way.
    drop(tokio::time::timeout(LINGER, discard).await);
}

#[cfg(test)]
mod tests;
