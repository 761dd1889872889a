//! What honest peers do with each other.

use std::{sync::atomic::Ordering, time::Duration};

use gantry_protocol::frame::{FRAME_BYTES_MAX, Frame};
use gantry_remoting::{CallError, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::echo::{self, ECHO, LARGE, PARK, request, until, within};

const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_in_batches() {
    let server = echo::start(Limits::default());
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let count = 5_000;
    let sent: Vec<u8> = (0..count).flat_map(|n| request(ECHO, n, n.to_string().as_bytes())).collect();
    let (mut reader, mut writer) = socket.split();
    let (written, ()) = tokio::join!(writer.write_all(&sent), async {
        let (mut bytes, mut next) = (Vec::new(), 0);
        while next < count {
            assert!(within("replies", reader.read_buf(&mut bytes)).await.unwrap() > 0, "closed after {next} replies");
            let mut at = 0;
            while let Some((frame, len)) = Frame::parse(&bytes[at..], FRAME_BYTES_MAX).unwrap() {
                assert_eq!((frame.header.opaque, frame.body), (next, next.to_string().as_bytes()));
                (at, next) = (at + len, next + 1);
            }
            bytes.drain(..at);
        }
    });
    written.unwrap();
    let batches = server.echo.batches.load(Ordering::SeqCst);
    assert!(batches < count as usize / 10, "{count} requests were served in {batches} batches");
    assert_eq!(server.metrics.requests.get(), count as u64);
}

#[tokio::test]
async fn calls_are_matched_whatever_the_order_of_answers() {
    let server = echo::start(Limits::default());
    let connection = echo::connect(server.address).await;
    let parked: Vec<_> = (0..10).map(|n| connection.call(PARK, |_| (), &[n], TIMEOUT)).collect();
    for n in 0..100u8 {
        let answer = connection.call(ECHO, |_| (), &[n], TIMEOUT).await.unwrap();
        assert_eq!(answer.body(), [n][..]);
    }
    until("ten requests in flight", || server.metrics.in_flight_requests.get() == 10).await;
    server.echo.release.notify_waiters();
    for (n, answer) in parked.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().body(), [n as u8][..]);
    }
    assert_eq!(server.metrics.in_flight_requests.get(), 0);
}

#[tokio::test]
async fn a_call_times_out_and_its_late_answer_is_dropped() {
    let server = echo::start(Limits::default());
    let connection = echo::connect(server.address).await;
    let late = connection.call(PARK, |_| (), b"late", Duration::from_millis(20)).await;
    assert!(matches!(late, Err(CallError::Timeout(_))), "{late:?}");
    server.echo.release.notify_waiters();
    let next = connection.call(ECHO, |_| (), b"next", TIMEOUT).await.unwrap();
    assert_eq!(next.body(), b"next"[..]);
}

#[tokio::test]
async fn large_frames_pass_both_ways() {
    let server = echo::start(Limits::default());
    let connection = echo::connect(server.address).await;
    let body: Vec<u8> = (0..15_000_000u32).map(|n| (n % 251) as u8).collect();
    let answer = connection.call(ECHO, |_| (), &body, TIMEOUT).await.unwrap();
    assert!(answer.body() == body[..]);
    let answer = connection.call(LARGE, |ext| _ = ext.ext("bytes", 3_000_000), b"", TIMEOUT).await.unwrap();
    assert_eq!(answer.body().len(), 3_000_000);
}

#[tokio::test]
async fn ipv4_peers_of_a_socket_for_both_families_keep_their_address() {
    if std::net::TcpListener::bind("[::]:0").is_err() {
        // A host without IPv6 has no such socket.
        return;
    }
    let server = echo::start_at("[::]:0", Limits::default());
    let v4 = std::net::SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let connection = echo::connect(v4).await;
    connection.call(ECHO, |_| (), b"", TIMEOUT).await.unwrap();
    let peer = server.echo.peers.lock()[0].clone();
    assert_eq!((peer.address(), peer.local()), (connection.local(), v4));
}
