//! `kill -9` under synchronous traffic, again and again on one data directory: what was acknowledged is there once, intact, at
//! the place that the acknowledgement named; what is there was sent. Some kills come before the node is ready, in the middle of
//! its recovery. Several nodes are at it at the same time, each on its own directory; their files are small, so that
//! ends of files are passed all the time.
//!
//! The oracle is this program's memory of acknowledgements; it asks the node over the network as a client would.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_model::offset::QueueOffset;
use gantry_protocol::{
    code::{request, response},
    record::RecordView,
};
use gantry_testkit::{
    node::{Node, NodeOptions},
    report::quantile_ms,
    wire::Wire,
};
use tokio::task::JoinSet;

const TOPIC: &str = "crash";
const QUEUES: u32 = 4;
const SENDERS: u64 = 8;

/// Nodes at the same time, if not told otherwise.
const NODES: u64 = 2;
/// Every so many rounds a start is killed before it is done.
const EARLY_EVERY: u64 = 5;
/// Files as small as they may be.
const CLUSTER_FILE: &str = "\
[broker]
message_bytes_max = 65536
[store]
segment_size_bytes = 1048576
queue_file_entries = 1000
allocate_ahead_bytes = 262144
checkpoint_interval_ms = 100
[node.crash]
nameserver = {}
brokers = [{ name = \"crash\", id = 0 }]
";

/// Acknowledged messages: queue and offset to the message's number.
type Acknowledged = BTreeMap<(u32, u64), u64>;

/// What one node went through.
#[derive(Default)]
struct Outcome {
    kills: u64,
    early_kills: u64,
    acknowledged: u64,
    /// Read at the end, and round by round.
    found: u64,
    checked: u64,
    restarts: Vec<Duration>,
}

fn main() -> Result<()> {
    let Arguments { rounds, nodes } = arguments()?;
    let begun = Instant::now();
    let workers: Vec<_> = (0..nodes)
        .map(|node| {
            let rounds = rounds / nodes + u64::from(node < rounds % nodes);
            std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(campaign(node, rounds))
            })
        })
        .collect();
    let mut all = Outcome::default();
    for (node, worker) in workers.into_iter().enumerate() {
        let outcome = worker.join().map_err(|_| anyhow::anyhow!("the thread of node {node} panicked"))?;
        let outcome = outcome.with_context(|| format!("node {node}"))?;
        all.kills += outcome.kills;
        all.early_kills += outcome.early_kills;
        all.acknowledged += outcome.acknowledged;
        all.found += outcome.found;
        all.checked += outcome.checked;
        all.restarts.extend(outcome.restarts);
    }
    let (median, worst) = (quantile_ms(&mut all.restarts, 0.5), quantile_ms(&mut all.restarts, 1.0));
    println!(
        "{} kills of {nodes} nodes in {:.0} s, {} of them before the node was ready: {} acknowledged, {} found at the end ({} checked round by round), 0 missing, 0 altered",
        all.kills,
        begun.elapsed().as_secs_f64(),
        all.early_kills,
        all.acknowledged,
        all.found,
        all.checked,
    );
    println!("restart to ready after a kill: median {median:.0} ms, worst {worst:.0} ms");
    println!("crash: {} passed, 0 failed", all.kills);
    Ok(())
}

/// Rounds on one data directory.
async fn campaign(node_number: u64, rounds: u64) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("cluster.toml");
    std::fs::write(&config, CLUSTER_FILE)?;
    let mut options = NodeOptions { data: folder.path().join("data"), config: Some(config), ..NodeOptions::default() };
    let numbers = Arc::new(AtomicU64::new(0));
    let mut acknowledged = Acknowledged::new();
    let mut verified: BTreeMap<u32, u64> = (0..QUEUES).map(|queue| (queue, 0)).collect();
    let mut outcome = Outcome::default();
    while outcome.kills < rounds {
        let round = outcome.kills + node_number * 1_000_003;
        if outcome.kills % EARLY_EVERY == EARLY_EVERY - 1 {
            // Within what a start takes; a kill that comes too late is one of an idle node.
            Node::start_and_kill(&options, Duration::from_millis(5 + (round * 7919) % 60))?;
            outcome.kills += 1;
            outcome.early_kills += 1;
            continue;
        }
        let node = Node::start(&options)?;
        outcome.restarts.push(node.start_time);
        options.ports = Some(node.ports());
        outcome.checked += verify(node.broker, &acknowledged, &mut verified, numbers.load(Ordering::Relaxed))
            .await
            .with_context(|| format!("round {round}, data in {}", keep(&folder)))?;
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            senders.spawn(send_until_dead(node.broker, numbers.clone()));
        }
        // Anywhere between the first sends and steady traffic; spread by the round, so that a run can be repeated.
        tokio::time::sleep(Duration::from_millis(20 + (round * 7919) % 250)).await;
        node.kill()?;
        outcome.kills += 1;
        for sent in senders.join_all().await {
            acknowledged.extend(sent?);
        }
        if outcome.kills % 100 == 0 {
            eprintln!("  node {node_number}: {} kills, {} acknowledged", outcome.kills, acknowledged.len());
        }
    }
    let node = Node::start(&options)?;
    verified.values_mut().for_each(|next| *next = 0);
    let all = verify(node.broker, &acknowledged, &mut verified, numbers.load(Ordering::Relaxed));
    outcome.found = all.await.with_context(|| format!("at the end, data in {}", keep(&folder)))?;
    outcome.acknowledged = acknowledged.len() as u64;
    ensure!(node.terminate()?.success(), "the last node did not drain cleanly");
    Ok(outcome)
}

struct Arguments {
    rounds: u64,
    nodes: u64,
}

fn arguments() -> Result<Arguments> {
    let mut found = Arguments { rounds: 20, nodes: NODES };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} takes a number"))?.parse()?;
        match name.as_str() {
            "--rounds" => found.rounds = value,
            "--nodes" => found.nodes = value,
            _ => bail!("usage: crash [--rounds N] [--nodes N]"),
        }
    }
    ensure!((1..=64).contains(&found.nodes), "--nodes is 1 to 64");
    Ok(found)
}

/// Leaves a copy of the folder behind for whoever looks into a failure.
fn keep(folder: &tempfile::TempDir) -> String {
    let kept = std::env::temp_dir().join(format!("gantry-crash-{}", std::process::id()));
    let copied = std::process::Command::new("cp").arg("-a").arg(folder.path()).arg(&kept).status();
    match copied {
        Ok(status) if status.success() => kept.display().to_string(),
        _ => "a folder that could not be kept".to_owned(),
    }
}

/// The body of message `number`: made from it, so that any change shows.
fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let len = 16 + (state >> 52) as usize % 1500;
    let mut body = number.to_be_bytes().to_vec();
    while body.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend(state.to_be_bytes());
    }
    body
}

/// Sends one message after the other until the node is gone; returns what it acknowledged.
async fn send_until_dead(broker: SocketAddr, numbers: Arc<AtomicU64>) -> Result<Vec<((u32, u64), u64)>> {
    let mut acknowledged = Vec::new();
    let Ok(mut wire) = Wire::connect(broker).await else { return Ok(acknowledged) };
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let queue = (number % u64::from(QUEUES)) as u32;
        let fields = [
            ("a", "crash"),
            ("b", TOPIC),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*queue.to_string()),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let Ok((code, frame)) = wire.call(request::SEND_MESSAGE_V2, &fields, &body(number)).await else {
            return Ok(acknowledged);
        };
        ensure!(code == response::SUCCESS, "a send was answered {code}: {:?}", frame.header()?.remark);
        let header = frame.header()?;
        let offset = header.ext.number::<u64>("queueOffset").context("queueOffset")?;
        ensure!(header.ext.number::<u32>("queueId") == Some(queue), "stored in another queue");
        acknowledged.push(((queue, offset), number));
    }
}

/// Reads every queue from its verified offset on and compares; returns how many messages were read.
async fn verify(
    broker: SocketAddr,
    acknowledged: &Acknowledged,
    verified: &mut BTreeMap<u32, u64>,
    sent: u64,
) -> Result<u64> {
    let mut wire = Wire::connect(broker).await?;
    let mut seen = HashSet::new();
    let mut read = 0;
    for (queue, next) in verified.iter_mut() {
        let expected: BTreeMap<u64, u64> = acknowledged
            .range((*queue, *next)..=(*queue, u64::MAX))
            .map(|((_, offset), number)| (*offset, *number))
            .collect();
        let last = expected.keys().next_back().copied();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let messages = pull(&mut wire, *queue, *next).await?;
            if messages.is_empty() {
                // Dispatch may still be catching up right after the start.
                if last.is_none_or(|last| *next > last) {
                    break;
                }
                ensure!(
                    Instant::now() < deadline,
                    "queue {queue}: acknowledged offset {last:?} is missing, the queue ends at {next}"
                );
                continue;
            }
            for (offset, bytes) in messages {
                ensure!(offset == *next, "queue {queue}: offset {offset} where {next} should be");
                let number = u64::from_be_bytes(*bytes.first_chunk().context("a body too short")?);
                ensure!(
                    number < sent && bytes == body(number),
                    "queue {queue} offset {offset}: the body is not what was sent"
                );
                ensure!(seen.insert(number), "message {number} is there twice");
                if let Some(wanted) = expected.get(&offset) {
                    ensure!(
                        *wanted == number,
                        "queue {queue} offset {offset} was acknowledged as {wanted}, now holds {number}"
                    );
                }
                *next += 1;
                read += 1;
            }
        }
    }
    Ok(read)
}

async fn pull(wire: &mut Wire, queue: u32, offset: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", "crash-reader"),
        ("topic", TOPIC),
        ("queueId", &queue),
        ("queueOffset", &offset),
        ("maxMsgNums", "512"),
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "50"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    let (code, frame) = wire.call(request::PULL_MESSAGE, &fields, b"").await?;
    match code {
        response::SUCCESS => {}
        response::PULL_NOT_FOUND | response::TOPIC_NOT_EXIST => return Ok(Vec::new()),
        _ => bail!("a pull of queue {queue} at {offset} was answered {code}: {:?}", frame.header()?.remark),
    }
    let body = frame.body();
    let mut rest = &body[..];
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let record = RecordView::parse(rest)?;
        let QueueOffset(at) = record.message().queue_offset;
        messages.push((at, record.body().to_vec()));
        rest = &rest[record.size()..];
    }
    Ok(messages)
}
