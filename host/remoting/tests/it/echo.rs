//! The service that the tests talk to, and helpers around it.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use gantry_protocol::{
    frame::{Frame, FrameWriter},
    header::Head,
};
use gantry_remoting::{Connection, Limits, Metrics, NoRequests, Peer, Replies, Server, Service};
use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Answers at once with the request's body.
pub(crate) const ECHO: i32 = 1;
/// Answers once [`Echo::release`] is notified.
pub(crate) const PARK: i32 = 2;
/// Panics.
pub(crate) const PANIC: i32 = 3;
/// Answers with as many bytes as extField `bytes` says.
pub(crate) const LARGE: i32 = 4;

#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) release: Arc<Notify>,
    pub(crate) opened: AtomicUsize,
    pub(crate) closed: AtomicUsize,
    pub(crate) batches: AtomicUsize,
    pub(crate) peers: Mutex<Vec<Peer>>,
}

impl Service for Echo {
    type Session = ();

    fn open(&self, peer: &Peer) {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.peers.lock().push(peer.clone());
    }

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        self.batches.fetch_add(1, Ordering::SeqCst);
        for request in requests {
            let (codec, opaque) = (request.header.codec, request.header.opaque);
            let answer = move |out: &mut BytesMut, body: &[u8]| {
                FrameWriter::new(out, codec, &Head::response(0, opaque, None)).finish(body);
            };
            match request.header.code {
                ECHO => answer(replies.now(), request.body),
                LARGE => answer(replies.now(), &vec![7; request.header.ext.number("bytes").unwrap()]),
                PARK => {
                    let (release, body) = (self.release.clone().notified_owned(), request.body.to_vec());
                    replies.later(1, async move {
                        release.await;
                        let mut out = BytesMut::new();
                        answer(&mut out, &body);
                        out
                    });
                }
                PANIC => panic!("asked to"),
                other => panic!("unknown code {other}"),
            }
        }
    }

    fn close(&self, (): ()) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A served [`Echo`].
pub(crate) struct Running {
    pub(crate) echo: Arc<Echo>,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cancel: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

pub(crate) fn start(limits: Limits) -> Running {
    start_at("127.0.0.1:0", limits)
}

pub(crate) fn start_at(address: &str, limits: Limits) -> Running {
    let server = Server::bind(address.parse().unwrap(), limits).unwrap();
    let (address, metrics) = (server.local_addr(), server.metrics());
    let (echo, cancel) = (Arc::new(Echo::default()), CancellationToken::new());
    let served = tokio::spawn(server.serve(echo.clone(), cancel.clone()));
    Running { echo, address, metrics, cancel, served }
}

pub(crate) async fn connect(address: SocketAddr) -> Connection {
    Connection::connect(&address.to_string(), Duration::from_secs(5), Limits::default(), Arc::new(NoRequests))
        .await
        .unwrap()
}

/// The request of `code` as bytes.
pub(crate) fn request(code: i32, opaque: i32, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameWriter::new(&mut out, gantry_protocol::frame::Codec::Json, &Head::request(code, opaque)).finish(body);
    out.to_vec()
}

/// Waits until `condition` holds; fails after 20 s with `what`.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), work).await {
        Ok(done) => done,
        Err(_) => panic!("waited 20 s: {what}"),
    }
}
