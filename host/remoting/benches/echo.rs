//! Requests a second through one server in this process: 16 connections, 64 requests in flight each, 128-byte bodies under a
//! SEND_MESSAGE_V2 header, each answered like a send.
//!
//! `cargo bench -p gantry-remoting [-- --connections N --window N --body N --seconds N --binary]`
//!
//! Server and clients share the machine's cores; the clients only count frames by their length fields, so most of the time
//! measured is the server's: sockets, parsing headers, writing replies.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figure")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use gantry_protocol::{
    frame::{Codec, FRAME_BYTES_MAX, Frame, FrameWriter, frame_len},
    header::Head,
};
use gantry_remoting::{Limits, Peer, Replies, Server, Service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

/// Answers every request as a broker answers a send.
struct SendLike;

impl Service for SendLike {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        let out = replies.now();
        for request in requests {
            let head = Head::response(0, request.header.opaque, None);
            let mut writer = FrameWriter::new(out, request.header.codec, &head);
            writer
                .ext("MSG_REGION", "DefaultRegion")
                .ext("TRACE_ON", true)
                .ext("msgId", "C0A8000A00002A9F0000000000000400")
                .ext("queueId", 3)
                .ext("queueOffset", 1_000_000);
            writer.finish(b"");
        }
    }

    fn close(&self, (): ()) {}
}

struct Settings {
    connections: usize,
    window: usize,
    body: usize,
    seconds: u64,
    codec: Codec,
}

impl Settings {
    fn from_args() -> Settings {
        let mut settings = Settings { connections: 16, window: 64, body: 128, seconds: 5, codec: Codec::Json };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut number = || args.next().and_then(|value| value.parse().ok()).expect("a number after the option");
            match name.as_str() {
                "--connections" => settings.connections = number(),
                "--window" => settings.window = number(),
                "--body" => settings.body = number(),
                "--seconds" => settings.seconds = number() as u64,
                "--binary" => settings.codec = Codec::Binary,
                // What `cargo bench` itself passes.
                "--bench" => {}
                other => panic!("unknown option {other}"),
            }
        }
        settings
    }
}

#[tokio::main]
async fn main() {
    let settings = Settings::from_args();
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    let server = Server::bind(address, Limits::default()).expect("a free port");
    let (address, metrics) = (server.local_addr(), server.metrics());
    let cancel = CancellationToken::new();
    let served = tokio::spawn(server.serve(Arc::new(SendLike), cancel.clone()));

    let answered = Arc::new(AtomicU64::new(0));
    let one = request(&settings);
    for _ in 0..settings.connections {
        tokio::spawn(load(address, one.clone(), settings.window, answered.clone()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (start, before) = (Instant::now(), answered.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(settings.seconds)).await;
    let (elapsed, count) = (start.elapsed(), answered.load(Ordering::Relaxed) - before);
    println!(
        "{} connections x {} in flight, {} B bodies, {:?} headers ({} B frames): {:.0} requests/s, {:.0} ns each; {} served",
        settings.connections,
        settings.window,
        settings.body,
        settings.codec,
        one.len(),
        count as f64 / elapsed.as_secs_f64(),
        elapsed.as_nanos() as f64 / count as f64,
        metrics.requests.get(),
    );
    cancel.cancel();
    served.await.expect("the server stops");
}

fn request(settings: &Settings) -> Vec<u8> {
    let head = Head::request(310, 12_345);
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::new(&mut out, settings.codec, &head);
    writer
        .ext("a", "bench_producer")
        .ext("b", "BenchmarkTopic")
        .ext("c", "TBW102")
        .ext("d", 4)
        .ext("e", 3)
        .ext("f", 0)
        .ext("g", 1_700_000_000_000_i64)
        .ext("h", 0)
        .ext("i", "UNIQ_KEY\u{1}7F0000010BB818B4AAC2000000010000\u{2}WAIT\u{1}true\u{2}")
        .ext("j", 0)
        .ext("k", false)
        .ext("m", false);
    writer.finish(&vec![b'x'; settings.body]);
    out.to_vec()
}

/// Keeps `window` requests in flight for ever.
async fn load(address: SocketAddr, one: Vec<u8>, window: usize, answered: Arc<AtomicU64>) {
    let mut socket = TcpStream::connect(address).await.expect("the server listens");
    socket.set_nodelay(true).expect("a socket option");
    let requests = one.repeat(window);
    socket.write_all(&requests).await.expect("the server reads");
    let mut replies = BytesMut::with_capacity(64 << 10);
    loop {
        replies.reserve(16 << 10);
        // The server goes away at the end.
        let Ok(1..) = socket.read_buf(&mut replies).await else { return };
        let mut count = 0;
        while let Ok(Some(len)) = frame_len(&replies, FRAME_BYTES_MAX) {
            if replies.len() < len {
                break;
            }
            replies.advance(len);
            count += 1;
        }
        answered.fetch_add(count as u64, Ordering::Relaxed);
        if socket.write_all(&requests[..count * one.len()]).await.is_err() {
            return;
        }
    }
}
