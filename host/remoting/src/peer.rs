//! The handle of the other side: its address, and requests of ours to it.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use gantry_protocol::{
    frame::{Codec, FrameWriter, OwnedFrame},
    header::Head,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{CallError, Limits, Metrics, call::Waiting};

/// One connection's other side. Clones are the same peer; holding one does not keep the connection open.
#[derive(Clone)]
pub struct Peer(Arc<Shared>);

struct Shared {
    id: u64,
    address: SocketAddr,
    local: SocketAddr,
    phase: AtomicU8,
    /// The connection's task.
    task: AtomicWaker,
    /// Whether `mailbox.unsent` may hold something, so that a connection nobody pushes to takes no lock.
    has_mail: AtomicBool,
    mailbox: Mutex<Mailbox>,
    ended: Notify,
    push_buffer_bytes_max: usize,
    calls_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Mailbox {
    /// Whole frames that the connection's task has not fetched yet.
    unsent: BytesMut,
    /// Number of the next request of ours; its space is ours alone, the peer's requests have their own.
    next_opaque: i32,
    calls: HashMap<i32, oneshot::Sender<OwnedFrame>>,
}

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const CLOSING: u8 = 2;
const CLOSED: u8 = 3;

impl Peer {
    pub(crate) fn new(address: SocketAddr, local: SocketAddr, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Peer(Arc::new(Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            address,
            local,
            phase: AtomicU8::new(OPEN),
            task: AtomicWaker::new(),
            has_mail: AtomicBool::new(false),
            mailbox: Mutex::default(),
            ended: Notify::new(),
            push_buffer_bytes_max: limits.push_buffer_bytes_max,
            calls_max: limits.calls_max,
            metrics,
        }))
    }

    /// A peer without a connection, for tests of a [`crate::Service`]: what is pushed to it is kept, nothing answers.
    pub fn detached(address: SocketAddr) -> Self {
        Peer::new(address, address, &Limits::default(), Arc::default())
    }

    /// Number of the connection, unique in this process and never used again.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Address of the other side.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Our own address on this connection.
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Sends a request that nobody answers. Returns whether it was queued; it is dropped when the connection is closed or
    /// the peer does not take what is sent.
    pub fn notify(&self, code: i32, ext: impl FnOnce(&mut FrameWriter<'_, '_>), body: &[u8]) -> bool {
        let pushed = self.push(&mut self.0.mailbox.lock(), |opaque| Head::oneway(code, opaque), ext, body);
        pushed.is_ok()
    }

    /// Sends a request and waits for its answer. It is queued at once, before the future is polled. Dropping the future
    /// forgets the call, not the request.
    pub fn call<F: FnOnce(&mut FrameWriter<'_, '_>)>(
        &self,
        code: i32,
        ext: F,
        body: &[u8],
        timeout: Duration,
    ) -> impl Future<Output = Result<OwnedFrame, CallError>> + Send + use<F> + 'static {
        let waiting = self.start_call(code, ext, body);
        async move { waiting?.answer(timeout).await }
    }

    fn start_call(
        &self,
        code: i32,
        ext: impl FnOnce(&mut FrameWriter<'_, '_>),
        body: &[u8],
    ) -> Result<Waiting, CallError> {
        let mut mailbox = self.0.mailbox.lock();
        if mailbox.calls.len() >= self.0.calls_max {
            return Err(CallError::Busy);
        }
        let opaque = self.push(&mut mailbox, |opaque| Head::request(code, opaque), ext, body)?;
        let (sender, receiver) = oneshot::channel();
        mailbox.calls.insert(opaque, sender);
        drop(mailbox);
        Ok(Waiting::new(self.clone(), opaque, receiver))
    }

    /// Encodes a request into the mailbox and wakes the connection. Always JSON: C++ clients read nothing else.
    fn push(
        &self,
        mailbox: &mut Mailbox,
        head: impl FnOnce(i32) -> Head<'static>,
        ext: impl FnOnce(&mut FrameWriter<'_, '_>),
        body: &[u8],
    ) -> Result<i32, CallError> {
        if self.0.phase.load(Ordering::Acquire) >= CLOSING {
            return Err(CallError::Closed);
        }
        if mailbox.unsent.len() > self.0.push_buffer_bytes_max {
            self.0.metrics.pushes_dropped.add(1);
            tracing::debug!(peer = %self.0.address, "a push was dropped: the peer does not take what is sent");
            return Err(CallError::Busy);
        }
        let opaque = mailbox.next_opaque;
        // Numbers wrap; a call that is still waiting cannot be 2^31 calls old, `calls_max` is far below.
        mailbox.next_opaque = opaque.checked_add(1).unwrap_or(0);
        let head = head(opaque);
        let mut writer = FrameWriter::new(&mut mailbox.unsent, Codec::Json, &head);
        ext(&mut writer);
        writer.finish(body);
        if !self.0.has_mail.swap(true, Ordering::AcqRel) {
            self.0.task.wake();
        }
        Ok(opaque)
    }

    /// Whether the connection is closed or about to be.
    pub fn is_closed(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) >= CLOSING
    }

    /// Completes when the connection has ended.
    pub async fn closed(&self) {
        let ended = self.0.ended.notified();
        if self.0.phase.load(Ordering::Acquire) < CLOSED {
            ended.await;
        }
    }

    /// Closes the connection without waiting for what is in flight.
    pub fn close(&self) {
        self.raise(CLOSING);
    }

    /// Stops reading requests and closes once the answers in flight are sent.
    pub(crate) fn drain(&self) {
        self.raise(DRAINING);
    }

    fn raise(&self, phase: u8) {
        self.0.phase.fetch_max(phase, Ordering::AcqRel);
        self.0.task.wake();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.phase.load(Ordering::Acquire) == DRAINING
    }

    // What follows is for the connection's own task.

    pub(crate) fn register(&self, context: &std::task::Context<'_>) {
        self.0.task.register(context.waker());
    }

    /// Takes what was pushed, if anything.
    pub(crate) fn fetch(&self) -> Option<BytesMut> {
        // The flag falls before the mail is taken: a push in between raises it again and wakes the task once more.
        let has_mail = self.0.has_mail.load(Ordering::Relaxed) && self.0.has_mail.swap(false, Ordering::AcqRel);
        has_mail.then(|| std::mem::take(&mut self.0.mailbox.lock().unsent)).filter(|unsent| !unsent.is_empty())
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.0.has_mail.load(Ordering::Acquire)
    }

    /// Hands an answer, still in its bytes, to the call that waits for it; one that nobody waits for is dropped.
    pub(crate) fn answer(&self, opaque: i32, frame: &[u8], frame_bytes_max: usize) {
        let Some(call) = self.0.mailbox.lock().calls.remove(&opaque) else { return };
        if let Ok(Some(frame)) = OwnedFrame::new(Bytes::copy_from_slice(frame), frame_bytes_max) {
            // A caller who gave up in this moment does not mind.
            drop(call.send(frame));
        }
    }

    pub(crate) fn forget(&self, opaque: i32) {
        self.0.mailbox.lock().calls.remove(&opaque);
    }

    /// The connection ended: calls fail, later ones at once.
    pub(crate) fn ended(&self) {
        self.0.phase.store(CLOSED, Ordering::Release);
        let mut mailbox = self.0.mailbox.lock();
        mailbox.unsent = BytesMut::new();
        let calls = std::mem::take(&mut mailbox.calls);
        drop(mailbox);
        drop(calls);
        self.0.ended.notify_waiters();
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({} {})", self.0.id, self.0.address)
    }
}
