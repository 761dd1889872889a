//! Bad input on every listener of a real node: it must stay alive, bounded in memory, and unnoticed by honest clients.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_protocol::code::{request, response};
use gantry_testkit::{
    node::{Node, NodeOptions},
    report::quantile_ms,
    wire::Wire,
};
use tokio::{net::TcpStream, task::JoinSet};

/// A malformed frame must end its connection within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// Memory that the node may hold per idle connection, its share of buffers included.
const IDLE_CONNECTION_KIB_MAX: u64 = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let idle = idle_connections()?;
    let folder = tempfile::tempdir()?;
    let mut node = Node::start(&NodeOptions { data: folder.path().join("data"), ..NodeOptions::default() })?;
    let stop = Arc::new(AtomicBool::new(false));
    let before =
        honest(node.broker, node.name_server, Duration::from_secs(2), Arc::new(AtomicBool::new(false))).await?;
    let honest_clients = tokio::spawn(honest(node.broker, node.name_server, Duration::from_secs(600), stop.clone()));

    let mut passed = 0;
    for (listener, address) in [("name server", node.name_server), ("broker", node.broker), ("http", node.http)] {
        for (what, bytes) in malformed() {
            let mut wire = Wire::connect(address).await?;
            // The peer may close while we still write: that is an answer, too.
            let _ = wire.raw(&bytes).await;
            let closed = wire.closed_within(CLOSED_WITHIN).await;
            ensure!(closed || listener == "http", "{listener}: {what}: the connection stayed open");
            ensure!(node.is_alive()?, "{listener}: {what}: the node died");
            passed += 1;
        }
        println!("ok  {listener}: {} malformed inputs", malformed().len());
    }
    passed += refusals(&node).await?;
    slow_frames(&node).await?;
    passed += 1;
    flood(&node, idle).await?;
    passed += 1;

    stop.store(true, Ordering::Relaxed);
    let during = honest_clients.await??;
    ensure!(node.is_alive()?, "the node died");
    println!(
        "honest clients, ms p50/p99: {:.2}/{:.2} alone, {:.2}/{:.2} during ({} requests, 0 errors)",
        before.0, before.1, during.0, during.1, during.2
    );
    let (rss, anon) = node.resident_kib()?;
    println!("memory at the end: {rss} KiB resident, {anon} KiB of it anonymous");
    ensure!(node.terminate()?.success(), "the node did not drain cleanly");
    println!("abuse: {passed} passed, 0 failed");
    Ok(())
}

fn idle_connections() -> Result<usize> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(10_000),
        ["--connections", count] => count.parse().context("--connections takes a number"),
        _ => bail!("usage: abuse [--connections N]"),
    }
}

/// Inputs that are no frames, or lie about what follows.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |header: &[u8], encoding: u8| {
        let mut bytes = (header.len() as u32 + 4).to_be_bytes().to_vec();
        bytes.extend([encoding, 0, 0, header.len() as u8]);
        bytes.extend(header);
        bytes
    };
    let mut noise = vec![0xA5; 4096];
    for (at, byte) in noise.iter_mut().enumerate() {
        *byte = (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
    }
    vec![
        ("oversized frame", vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 10]),
        ("negative length", vec![0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 10]),
        ("length below the header length field", vec![0, 0, 0, 2, 0, 0]),
        ("header longer than the frame", vec![0, 0, 0, 8, 0, 0, 0xff, 0xff, 1, 2, 3, 4]),
        ("unknown header encoding", frame(b"{}", 9)),
        ("header that is not JSON", frame(b"}{", 0)),
        ("JSON that never ends", frame(b"{\"code\":10,\"extFields\":{\"a\":\"", 0)),
        ("deeply nested JSON", frame(&[b'['; 200], 0)),
        (
            "binary header with a lying remark length",
            frame(&[0, 105, 0, 1, 223, 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1),
        ),
        (
            "binary header with a negative ext length",
            frame(&[0, 105, 0, 1, 223, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 1),
        ),
        ("a TLS hello", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc][..], &[0; 300]].concat()),
        ("an HTTP request", b"GET /metrics HTTP/9.9\r\n\r\n".to_vec()),
        ("noise", noise),
    ]
}

/// Requests that are frames but ask for what cannot be: each gets its code, and the connection goes on.
async fn refusals(node: &Node) -> Result<usize> {
    let mut broker = Wire::connect(node.broker).await?;
    let mut names = Wire::connect(node.name_server).await?;
    let mut passed = 0;
    let mut expect = |what: &str, found: i32, wanted: i32| -> Result<()> {
        ensure!(found == wanted, "{what}: code {found}, expected {wanted}");
        passed += 1;
        Ok(())
    };
    expect("unknown code", broker.call(31_999, &[], b"").await?.0, response::REQUEST_CODE_NOT_SUPPORTED)?;
    expect("unknown code", names.call(31_999, &[], b"").await?.0, response::REQUEST_CODE_NOT_SUPPORTED)?;
    for topic in ["../../etc/passwd", "a/b", "white space", "", "t\u{1}", &"x".repeat(128)] {
        expect(topic, broker.send(topic, b"x").await?.0, response::INVALID_PARAMETER)?;
    }
    expect("schedule topic", broker.send("SCHEDULE_TOPIC_XXXX", b"x").await?.0, response::NO_PERMISSION)?;
    expect("empty body", broker.send("abuse", b"").await?.0, response::MESSAGE_ILLEGAL)?;
    expect("body over the limit", broker.send("abuse", &vec![0; 5 << 20]).await?.0, response::MESSAGE_ILLEGAL)?;
    expect("send without fields", broker.call(request::SEND_MESSAGE_V2, &[], b"x").await?.0, response::SYSTEM_ERROR)?;
    expect("pull without fields", broker.call(request::PULL_MESSAGE, &[], b"").await?.0, response::SYSTEM_ERROR)?;
    expect("heartbeat of garbage", broker.call(request::HEART_BEAT, &[], b"{{{").await?.0, response::SYSTEM_ERROR)?;
    expect(
        "registration of garbage",
        names.call(request::REGISTER_BROKER, &[], b"{{{").await?.0,
        response::SYSTEM_ERROR,
    )?;
    expect(
        "route of nothing",
        names.call(request::GET_ROUTEINFO_BY_TOPIC, &[("topic", "nowhere")], b"").await?.0,
        response::TOPIC_NOT_EXIST,
    )?;
    expect("and still serving", broker.send("abuse", b"x").await?.0, response::SUCCESS)?;
    println!("ok  {passed} impossible requests, each with its code on a connection that went on");
    Ok(passed)
}

/// Connections that send a frame one byte at a time hold nothing but themselves.
async fn slow_frames(node: &Node) -> Result<()> {
    let mut slow = JoinSet::new();
    for _ in 0..50 {
        let address = node.broker;
        slow.spawn(async move {
            let Ok(mut wire) = Wire::connect(address).await else { return };
            // Announces 15 MiB and never sends them.
            let _ = wire.raw(&[0, 0xf0, 0, 0, 0, 0, 0, 60]).await;
            for byte in [b'{'; 20] {
                if wire.raw(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let before = node.resident_kib()?.1;
    slow.join_next().await;
    let grown = node.resident_kib()?.1.saturating_sub(before);
    ensure!(grown < 64 * 1024, "50 announced frames of 15 MiB made the node grow by {grown} KiB");
    slow.join_all().await;
    println!("ok  50 slow frames that announce 15 MiB each: the node grew by {grown} KiB");
    Ok(())
}

/// Many idle connections: bounded memory, and a new honest connection is still served.
async fn flood(node: &Node, wanted: usize) -> Result<()> {
    let before = node.resident_kib()?.1;
    let mut idle = Vec::with_capacity(wanted);
    let mut limit = None;
    while idle.len() < wanted {
        match TcpStream::connect(node.broker).await {
            Ok(stream) => idle.push(stream),
            Err(error) => {
                limit = Some(error);
                break;
            }
        }
    }
    let mut probe = None;
    if limit.is_none() {
        let mut wire = Wire::connect(node.broker).await?;
        let begun = Instant::now();
        ensure!(
            wire.send("abuse", b"x").await?.0 == response::SUCCESS,
            "not served among {} idle connections",
            idle.len()
        );
        probe = Some(begun.elapsed());
    }
    let grown = node.resident_kib()?.1.saturating_sub(before);
    let each = grown / (idle.len().max(1) as u64);
    ensure!(each <= IDLE_CONNECTION_KIB_MAX, "{} idle connections took {grown} KiB, {each} KiB each", idle.len());
    println!(
        "ok  {} idle connections: {grown} KiB, {each} KiB each, a send among them took {probe:?}{}",
        idle.len(),
        limit.map_or(String::new(), |error| format!("; stopped by {error}"))
    );
    Ok(())
}

/// Sends and asks for routes until stopped; p50 and p99 in ms and how many requests. Any error or odd code ends it.
async fn honest(
    broker: SocketAddr,
    names: SocketAddr,
    at_most: Duration,
    stop: Arc<AtomicBool>,
) -> Result<(f64, f64, usize)> {
    let (mut broker, mut names) = (Wire::connect(broker).await?, Wire::connect(names).await?);
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < at_most && !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let (code, _) = broker.send("honest", b"honest work").await?;
        ensure!(code == response::SUCCESS, "an honest send was answered {code}");
        samples.push(sent.elapsed());
        let (code, _) = names.call(request::GET_BROKER_CLUSTER_INFO, &[], b"").await?;
        ensure!(code == response::SUCCESS, "an honest question was answered {code}");
    }
    let count = samples.len() * 2;
    Ok((quantile_ms(&mut samples, 0.5), quantile_ms(&mut samples, 0.99), count))
}
