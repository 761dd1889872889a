//! What peers must not be able to do.

use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use gantry_protocol::frame::{FRAME_BYTES_MAX, Frame};
use gantry_remoting::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::echo::{self, ECHO, LARGE, PANIC, PARK, request, until, within};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends `bytes` and reads to the end; what came back before the server closed.
async fn closed_after(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut replies = Vec::new();
    // A reset is a way to close, too.
    drop(within("the server closes", socket.read_to_end(&mut replies)).await);
    replies
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_their_connection_only() {
    let server = echo::start(Limits::default());
    let honest = echo::connect(server.address).await;
    let good = request(ECHO, 7, b"good");
    let mut header_beyond_frame = good.clone();
    header_beyond_frame[5..8].copy_from_slice(&[0xff; 3]);
    let mut unknown_encoding = good.clone();
    unknown_encoding[4] = 9;
    let mut broken_json = good.clone();
    broken_json[8] = b'[';
    let cases: [(&str, Vec<u8>); 8] = [
        ("a negative length", vec![0xff; 64]),
        ("a length below a frame", vec![0, 0, 0, 0, 0, 0, 0, 0]),
        ("a length over the limit", vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("a header longer than its frame", header_beyond_frame),
        ("an unknown header encoding", unknown_encoding),
        ("a header that is no JSON object", broken_json),
    ];
    for (count, (what, bytes)) in cases.iter().enumerate() {
        assert!(closed_after(server.address, bytes).await.is_empty(), "{what}");
        until(what, || server.metrics.malformed.get() == count as u64 + 1).await;
    }
    let replies = closed_after(server.address, &[&good[..], &[0xff; 8]].concat()).await;
    let (reply, _) =
        Frame::parse(&replies, FRAME_BYTES_MAX).unwrap().expect("what came before the garbage is answered");
    assert_eq!((reply.header.opaque, reply.body), (7, &b"good"[..]));
    assert!(closed_after(server.address, &request(PANIC, 1, b"")).await.is_empty());

    let answer = honest.call(ECHO, |_| (), b"still here", TIMEOUT).await.unwrap();
    assert_eq!(answer.body(), b"still here"[..]);
    until("all sessions but one are closed", || server.echo.closed.load(Ordering::SeqCst) == cases.len() + 2).await;
}

#[tokio::test]
async fn frames_cut_anywhere_and_half_closed_sockets_end_their_sessions() {
    let server = echo::start(Limits::default());
    let good = request(ECHO, 1, b"body");
    for cut in [0, 1, 3, 4, 7, 8, 20, good.len() - 1] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(&good[..cut]).await.unwrap();
    }
    let mut half_closed = TcpStream::connect(server.address).await.unwrap();
    half_closed.write_all(&good).await.unwrap();
    half_closed.write_all(&request(PARK, 2, b"")).await.unwrap();
    half_closed.shutdown().await.unwrap();
    let mut replies = Vec::new();
    within("the server closes", half_closed.read_to_end(&mut replies)).await.unwrap();
    assert!(Frame::parse(&replies, FRAME_BYTES_MAX).unwrap().is_some(), "what was ready is answered");
    until("every session is closed", || server.echo.closed.load(Ordering::SeqCst) == 9).await;
    assert_eq!(server.metrics.connections.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_client_does_not_notice_fifty_hostile_ones() {
    let server = echo::start(Limits { in_flight_bytes_max: 8 << 20, ..Limits::default() });
    let mut hostile = Vec::new();
    for n in 0..50 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        hostile.push(tokio::spawn(async move {
            match n % 5 {
                // Starts a large frame, sends part of it and stops.
                0 => _ = socket.write_all(&request(ECHO, 1, &vec![0; 8 << 20])[..1 << 20]).await,
                // Asks for much and reads nothing.
                1 => {
                    let mut ask = request(LARGE, 1, b"");
                    ask = with_bytes(&ask, 200_000);
                    while socket.write_all(&ask).await.is_ok() {}
                }
                // Parks as much as it can.
                2 => while socket.write_all(&request(PARK, 1, b"").repeat(100)).await.is_ok() {},
                // Sends a byte now and then.
                3 => {
                    for byte in request(ECHO, 1, b"slow") {
                        if socket.write_all(&[byte]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                // Announces the largest frame and sends nothing of it.
                _ => _ = socket.write_all(&(FRAME_BYTES_MAX as u32 - 4).to_be_bytes()).await,
            }
            std::future::pending::<()>().await;
        }));
    }
    until("the hostile ones are at it", || server.metrics.in_flight_requests.get() >= 100_000).await;
    let honest = echo::connect(server.address).await;
    let mut slowest = Duration::ZERO;
    for n in 0..500u32 {
        let start = Instant::now();
        let answer = honest.call(ECHO, |_| (), &n.to_be_bytes(), TIMEOUT).await.unwrap();
        assert_eq!(answer.body(), n.to_be_bytes()[..]);
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "an honest request took {slowest:?}");
    hostile.iter().for_each(tokio::task::JoinHandle::abort);
}

/// The same request with the extField that says how large the answer shall be.
fn with_bytes(ask: &[u8], bytes: usize) -> Vec<u8> {
    use bytes::BytesMut;
    use gantry_protocol::{
        frame::{Codec, FrameWriter},
        header::Head,
    };
    let (frame, _) = Frame::parse(ask, FRAME_BYTES_MAX).unwrap().unwrap();
    let mut out = BytesMut::new();
    let head = Head::request(frame.header.code, 1);
    let mut writer = FrameWriter::new(&mut out, Codec::Json, &head);
    writer.ext("bytes", bytes);
    writer.finish(b"");
    out.to_vec()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_room_is_used_again() {
    let server = echo::start(Limits { connections_max: 2, ..Limits::default() });
    let first = echo::connect(server.address).await;
    let second = echo::connect(server.address).await;
    for open in [&first, &second] {
        open.call(ECHO, |_| (), b"", TIMEOUT).await.unwrap();
    }
    assert!(closed_after(server.address, b"").await.is_empty());
    assert_eq!(server.metrics.refused.get(), 1);
    drop(second);
    until("there is room", || server.metrics.connections.get() == 1).await;
    echo::connect(server.address).await.call(ECHO, |_| (), b"", TIMEOUT).await.unwrap();
}
