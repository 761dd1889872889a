//! A server that asks its clients.

use std::{sync::Arc, time::Duration};

use gantry_protocol::{
    frame::{Frame, FrameWriter},
    header::Head,
};
use gantry_remoting::{CallError, Connection, Inbox, Limits, NoRequests, Peer, Replies, Service};

use crate::echo::{self, ECHO, Running, until, within};

const TIMEOUT: Duration = Duration::from_secs(10);
/// A request of the server to its clients.
const PUSH: i32 = 40;

/// A client that answers the server with its own body, twice.
struct Twice;

impl Service for Twice {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        for request in requests {
            let head = Head::response(0, request.header.opaque, None);
            FrameWriter::new(replies.now(), request.header.codec, &head).finish(&request.body.repeat(2));
        }
    }

    fn close(&self, (): ()) {}
}

async fn connected<S: Service>(server: &Running, service: S) -> (Connection, Peer) {
    let address = server.address.to_string();
    let connection = Connection::connect(&address, TIMEOUT, Limits::default(), Arc::new(service)).await.unwrap();
    until("the server knows its peer", || !server.echo.peers.lock().is_empty()).await;
    let peer = server.echo.peers.lock()[0].clone();
    assert_eq!((peer.address(), peer.local()), (connection.local(), connection.address()));
    (connection, peer)
}

#[tokio::test]
async fn the_server_calls_while_it_is_called() {
    let server = echo::start(Limits::default());
    let (connection, peer) = connected(&server, Twice).await;
    for round in 0..50u8 {
        // Both sides number their own requests: equal numbers must not be mixed up.
        let (ours, theirs) = tokio::join!(
            connection.call(ECHO, |_| (), &[round], TIMEOUT),
            peer.call(PUSH, |ext| _ = ext.ext("consumerGroup", "g"), &[round], TIMEOUT)
        );
        assert_eq!(ours.unwrap().body(), [round][..]);
        assert_eq!(theirs.unwrap().body(), [round, round][..]);
    }
    assert_eq!(server.metrics.requests.get(), 50, "answers never reach the service");
}

#[tokio::test]
async fn notifications_arrive_with_their_fields() {
    let server = echo::start(Limits::default());
    let (inbox, mut requests) = Inbox::new(8);
    let (connection, peer) = connected(&server, inbox).await;
    assert!(peer.notify(PUSH, |ext| _ = ext.ext("consumerGroup", "group \"one\"\u{1}"), b"body"));
    let request = within("a notification", requests.recv()).await.unwrap();
    let header = request.header().unwrap();
    assert_eq!((header.code, header.is_oneway(), header.is_response()), (PUSH, true, false));
    assert_eq!(header.ext.get("consumerGroup").as_deref(), Some("group \"one\"\u{1}"));
    assert_eq!(request.body(), b"body"[..]);
    drop(connection);
    within("the server sees the end", peer.closed()).await;
    assert!(peer.is_closed() && !peer.notify(PUSH, |_| (), b""));
}

#[tokio::test]
async fn calls_to_a_peer_that_goes_away_fail_at_once() {
    let server = echo::start(Limits::default());
    let (connection, peer) = connected(&server, NoRequests).await;
    let call = peer.call(PUSH, |_| (), b"", TIMEOUT);
    drop(connection);
    let call = within("the call ends", call).await;
    assert!(matches!(call, Err(CallError::Closed)), "{call:?}");
    let unanswered = echo::connect(server.address).await;
    server.cancel.cancel();
    within("the client sees the end", unanswered.closed()).await;
    let refused = unanswered.call(ECHO, |_| (), b"", TIMEOUT).await;
    assert!(matches!(refused, Err(CallError::Closed)), "{refused:?}");
}

#[tokio::test]
async fn nobody_listening_is_a_clear_error() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let failed = Connection::connect(&nobody, TIMEOUT, Limits::default(), Arc::new(NoRequests)).await;
    let text = failed.unwrap_err().to_string();
    assert!(text.starts_with(&format!("cannot connect to {nobody}: ")), "{text}");
}
