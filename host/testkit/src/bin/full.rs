//! `cargo xtask full`: a node whose disk fills under traffic. It sends into a small file system of its own until sends are
//! refused, sees that pulls and commits go on, makes space, sees that sends go on without a restart, and reads everything
//! back. Then the same with a log that deletes its oldest part in time. Mounting takes root.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
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
    node::{Node, NodeOptions, gantry_binary},
    wire::Wire,
};
use tokio::task::JoinSet;

const TOPIC: &str = "full";
const GROUP: &str = "full-reader";
const QUEUES: u32 = 4;
const SENDERS: usize = 6;
const SIZE_MIB: u64 = 64;
const BALLAST_MIB: u64 = 16;
/// Refused sends that are waited for, so that the state is not a passing one.
const REFUSALS_MIN: u64 = 50;
/// Sends that must succeed once there is space.
const RESUMED_MIN: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(std::env::args().len() == 1, "usage: full");
    full_to_the_last_block().await.context("a disk without space")?;
    full_to_the_level().await.context("a disk over disk_refuse_percent")?;
    kept_below_the_level().await.context("a disk kept below its levels")?;
    println!("full: 4 passed, 0 failed");
    Ok(())
}

/// A file system of its own.
struct SmallDisk {
    folder: tempfile::TempDir,
    kind: &'static str,
}

impl SmallDisk {
    /// An ext4 in a file, or a tmpfs where that cannot be mounted.
    fn mount() -> Result<SmallDisk> {
        let folder = tempfile::tempdir()?;
        let (image, point) = (folder.path().join("image"), folder.path().join("data"));
        std::fs::create_dir(&point)?;
        std::fs::File::create(&image)?.set_len(SIZE_MIB << 20)?;
        let ext4 = ran(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
            .and_then(|()| ran(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point)));
        if ext4.is_ok() {
            return Ok(SmallDisk { folder, kind: "ext4" });
        }
        let size = format!("size={SIZE_MIB}m");
        let tmpfs = ran(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&point));
        match (ext4, tmpfs) {
            (_, Ok(())) => Ok(SmallDisk { folder, kind: "tmpfs" }),
            (Err(ext4), Err(tmpfs)) => {
                bail!("a small file system must be mounted, which takes root; ext4: {ext4:#}; tmpfs: {tmpfs:#}")
            }
            (Ok(()), Err(_)) => unreachable!("returned above"),
        }
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl SmallDisk {
    /// What the nodes on it said last.
    fn log_tail(&self) -> String {
        let logs = [self.folder.path().join("data.log"), self.point().join("node.log")];
        let text: String = logs.iter().filter_map(|log| std::fs::read_to_string(log).ok()).collect();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, lest a process that is just ending keeps it.
        let _ = ran(Command::new("umount").arg("-l").arg(self.point()));
    }
}

fn ran(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// A node on the disk, with the smallest files there are.
fn options(disk: &SmallDisk, retention: &str, log_on_disk: bool) -> Result<NodeOptions> {
    let config = disk.folder.path().join("full.toml");
    let text = format!(
        "[broker]\nmessage_bytes_max = 65536\n[store]\nsegment_size_bytes = 1048576\nallocate_ahead_bytes = 1048576\n\
         queue_file_entries = 1000\n[retention]\nage_hours = 0\ninterval_ms = 100\n{retention}\n\
         [node.full]\nnameserver = {{}}\nbrokers = [{{ name = \"broker-a\" }}]\n"
    );
    std::fs::write(&config, text)?;
    // What the node says goes beside its data directory.
    let data = if log_on_disk { disk.point().join("node") } else { disk.point() };
    Ok(NodeOptions { data, config: Some(config), ..NodeOptions::default() })
}

/// What the senders did, together.
#[derive(Default)]
struct Traffic {
    next: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

/// Acknowledged messages: queue and offset to the message's number.
type Acknowledged = BTreeMap<(u32, u64), u64>;

/// Sends until told to stop; a refusal is counted, its remark must say `why`.
async fn send(broker: SocketAddr, traffic: Arc<Traffic>, why: &'static str) -> Result<Acknowledged> {
    let mut acknowledged = Acknowledged::new();
    let mut wire = Wire::connect(broker).await?;
    while !traffic.stop.load(Relaxed) {
        let number = traffic.next.fetch_add(1, Relaxed);
        let queue = (number % u64::from(QUEUES)) as u32;
        let id = queue.to_string();
        let fields = [
            ("a", "full"),
            ("b", TOPIC),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &*id),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let (code, frame) = wire.call(request::SEND_MESSAGE_V2, &fields, &body(number)).await?;
        let header = frame.header()?;
        match code {
            response::SUCCESS => {
                let offset = header.ext.number::<u64>("queueOffset").context("queueOffset")?;
                acknowledged.insert((queue, offset), number);
                traffic.sent.fetch_add(1, Relaxed);
            }
            response::SERVICE_NOT_AVAILABLE => {
                let remark = header.remark.as_deref().unwrap_or_default();
                ensure!(remark.contains(why), "a refusal says {remark:?}, not {why:?}");
                traffic.refused.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => bail!("a send was answered {code}: {:?}", header.remark),
        }
    }
    Ok(acknowledged)
}

fn start_senders(node: &Node, traffic: &Arc<Traffic>, why: &'static str) -> JoinSet<Result<Acknowledged>> {
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(node.broker, traffic.clone(), why));
    }
    senders
}

/// Waits for a count to grow by `more`, as long as the senders are well.
async fn grows(
    count: &AtomicU64,
    more: u64,
    what: &str,
    senders: &mut JoinSet<Result<Acknowledged>>,
) -> Result<Duration> {
    let (begun, from) = (Instant::now(), count.load(Relaxed));
    while count.load(Relaxed) < from + more {
        ensure!(begun.elapsed() < PATIENCE, "{what}: only {} of {more} in {PATIENCE:?}", count.load(Relaxed) - from);
        if let Some(ended) = senders.try_join_next() {
            ended?.context("a sender ended")?;
            bail!("a sender ended by itself");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed())
}

/// The body of message `number`: made from it, so that any change shows.
fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let len = 2_000 + (state >> 50) as usize;
    let mut body = number.to_be_bytes().to_vec();
    while body.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend(state.to_be_bytes());
    }
    body
}

async fn full_to_the_last_block() -> Result<()> {
    let never = "disk_clean_percent = 75\ndisk_force_percent = 101\ndisk_refuse_percent = 101";
    // Its own log cannot be written either then, which must not matter.
    fills_and_resumes(never, "the disk is full", true).await?;
    fills_and_resumes(never, "the disk is full", false).await
}

async fn full_to_the_level() -> Result<()> {
    let level = "disk_clean_percent = 75\ndisk_force_percent = 101\ndisk_refuse_percent = 90";
    fills_and_resumes(level, "disk_refuse_percent = 90", false).await
}

async fn fills_and_resumes(retention: &str, why: &'static str, log_on_disk: bool) -> Result<()> {
    let disk = SmallDisk::mount()?;
    let options = options(&disk, retention, log_on_disk)?;
    fill_and_resume(&disk, &options, why).await.with_context(|| format!("the node said:\n{}", disk.log_tail()))
}

async fn fill_and_resume(disk: &SmallDisk, options: &NodeOptions, why: &'static str) -> Result<()> {
    let ballast = disk.point().join("ballast");
    std::fs::write(&ballast, vec![1; (BALLAST_MIB << 20) as usize])?;
    let node = Node::start(options)?;
    let traffic = Arc::new(Traffic::default());
    let mut senders = start_senders(&node, &traffic, why);
    grows(&traffic.sent, 20, "the first sends", &mut senders).await?;
    // The group is made by its first pull, which takes space that there is not later.
    let mut reader = Wire::connect(node.broker).await?;
    read_some(&mut reader, 0).await?;

    grows(&traffic.refused, REFUSALS_MIN, "refusals", &mut senders).await?;
    let before = traffic.sent.load(Relaxed);
    // All that is answered from what is there goes on.
    let read = read_some(&mut reader, 0).await?;
    ensure!(read > 0, "nothing can be pulled while the disk is full");
    commit(&mut reader, 0, read).await?;
    ensure!(committed(&mut reader, 0).await? == read, "a commit is not there while the disk is full");
    let status = status(&options.data)?;
    let broker = &status["brokers"][0];
    ensure!(broker["health"] == "healthy", "a full disk is no failure: {broker}");
    let counted = broker["retention"]["refused_full"].as_u64().unwrap_or(0)
        + broker["retention"]["refused_pressure"].as_u64().unwrap_or(0);
    ensure!(counted >= REFUSALS_MIN, "gantry status does not count the refusals: {broker}");

    std::fs::remove_file(&ballast)?;
    let resumed = grows(&traffic.sent, RESUMED_MIN, "sends after there is space", &mut senders).await?;
    traffic.stop.store(true, Relaxed);
    let mut acknowledged = Acknowledged::new();
    for sender in senders.join_all().await {
        acknowledged.extend(sender?);
    }
    let sent = traffic.next.load(Relaxed);
    let found = verify(node.broker, &acknowledged, sent, 0).await?;
    // The journal has the commit by now, or the snapshot of an orderly end does.
    ensure!(node.terminate()?.success(), "the node did not end in order");
    let node = Node::start(options)?;
    ensure!(verify(node.broker, &acknowledged, sent, 0).await? == found, "a restart finds others");
    let mut reader = Wire::connect(node.broker).await?;
    ensure!(committed(&mut reader, 0).await? == read, "what was committed on the full disk is lost");
    node.kill()?;
    println!(
        "{} of {SIZE_MIB} MiB, {why:?}: {before} sent until it was full, {} refused, resumed with {RESUMED_MIN} more in {} ms, \
         {} acknowledged and {found} found, 0 missing, 0 twice, also after a restart",
        disk.kind,
        traffic.refused.load(Relaxed),
        resumed.as_millis(),
        acknowledged.len(),
    );
    Ok(())
}

async fn kept_below_the_level() -> Result<()> {
    let disk = SmallDisk::mount()?;
    let options = options(&disk, "disk_clean_percent = 50\ndisk_force_percent = 60\ndisk_refuse_percent = 90", false)?;
    let node = Node::start(&options)?;
    let traffic = Arc::new(Traffic::default());
    let mut senders = start_senders(&node, &traffic, "disk_refuse_percent = 90");
    // Twice what the disk holds; the mean body has ten thousand bytes.
    let total = 2 * (SIZE_MIB << 20) / 10_000;
    grows(&traffic.sent, total, "sends", &mut senders).await?;
    traffic.stop.store(true, Relaxed);
    let mut acknowledged = Acknowledged::new();
    for sender in senders.join_all().await {
        acknowledged.extend(sender?);
    }
    let mut reader = Wire::connect(node.broker).await?;
    let min = number(&mut reader, request::GET_MIN_OFFSET, 0).await?;
    ensure!(min > 0, "nothing was deleted of a log of twice its disk");
    let (code, frame) = pull(&mut reader, 0, 0).await?;
    let next = frame.header()?.ext.number::<u64>("nextBeginOffset").context("nextBeginOffset")?;
    ensure!(code == response::PULL_OFFSET_MOVED && next >= min, "a pull below the minimum: {code}, next {next}");
    let sent = traffic.next.load(Relaxed);
    let found = verify(node.broker, &acknowledged, sent, u64::MAX).await?;
    let status = status(&options.data)?;
    let retention = status["brokers"][0]["retention"].clone();
    node.kill()?;
    println!(
        "{} of {SIZE_MIB} MiB, forced deletion: {} acknowledged, {} refused, {} segments deleted, {found} kept and found, \
         disk at the end {} %",
        disk.kind,
        acknowledged.len(),
        traffic.refused.load(Relaxed),
        retention["segments_deleted"],
        retention["disk_used_percent"],
    );
    Ok(())
}

fn status(data: &Path) -> Result<serde_json::Value> {
    let output = Command::new(gantry_binary()?).args(["status", "--json", "--data"]).arg(data).output()?;
    ensure!(output.status.success(), "gantry status: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Reads every queue from its minimum on, which may be at most `min_max`, and compares; returns how many messages there are.
async fn verify(broker: SocketAddr, acknowledged: &Acknowledged, sent: u64, min_max: u64) -> Result<u64> {
    let mut wire = Wire::connect(broker).await?;
    let (mut seen, mut found) = (HashSet::new(), 0);
    for queue in 0..QUEUES {
        let min = number(&mut wire, request::GET_MIN_OFFSET, queue).await?;
        ensure!(min <= min_max, "queue {queue} begins at {min}");
        let last = acknowledged.range((queue, 0)..=(queue, u64::MAX)).next_back().map(|((_, offset), _)| *offset);
        let (mut next, deadline) = (min, Instant::now() + PATIENCE);
        loop {
            let (code, frame) = pull(&mut wire, queue, next).await?;
            if code == response::PULL_NOT_FOUND {
                if last.is_none_or(|last| next > last) {
                    break;
                }
                ensure!(
                    Instant::now() < deadline,
                    "queue {queue}: acknowledged offset {last:?} is missing, end {next}"
                );
                continue;
            }
            ensure!(code == response::SUCCESS, "a pull of queue {queue} at {next} was answered {code}");
            let body_of_answer = frame.body();
            let mut rest = &body_of_answer[..];
            while !rest.is_empty() {
                let record = RecordView::parse(rest)?;
                let QueueOffset(at) = record.message().queue_offset;
                ensure!(at == next, "queue {queue}: offset {at} where {next} should be");
                let number = u64::from_be_bytes(*record.body().first_chunk().context("a body too short")?);
                ensure!(number < sent && record.body() == body(number), "queue {queue} offset {at}: not what was sent");
                ensure!(seen.insert(number), "message {number} is there twice");
                if let Some(wanted) = acknowledged.get(&(queue, at)) {
                    ensure!(
                        *wanted == number,
                        "queue {queue} offset {at} was acknowledged as {wanted}, holds {number}"
                    );
                }
                rest = &rest[record.size()..];
                next += 1;
                found += 1;
            }
        }
    }
    Ok(found)
}

async fn pull(wire: &mut Wire, queue: u32, offset: u64) -> Result<(i32, gantry_protocol::frame::OwnedFrame)> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", GROUP),
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
    wire.call(request::PULL_MESSAGE, &fields, b"").await
}

/// Pulls a queue from its beginning; where the answer ends.
async fn read_some(wire: &mut Wire, queue: u32) -> Result<u64> {
    let (code, frame) = pull(wire, queue, 0).await?;
    ensure!(code == response::SUCCESS, "a pull was answered {code}: {:?}", frame.header()?.remark);
    frame.header()?.ext.number::<u64>("nextBeginOffset").context("nextBeginOffset")
}

async fn commit(wire: &mut Wire, queue: u32, offset: u64) -> Result<()> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [("consumerGroup", GROUP), ("topic", TOPIC), ("queueId", &*queue), ("commitOffset", &*offset)];
    let (code, frame) = wire.call(request::UPDATE_CONSUMER_OFFSET, &fields, b"").await?;
    ensure!(code == response::SUCCESS, "a commit was answered {code}: {:?}", frame.header()?.remark);
    Ok(())
}

async fn committed(wire: &mut Wire, queue: u32) -> Result<u64> {
    number(wire, request::QUERY_CONSUMER_OFFSET, queue).await
}

/// The offset that a request about a queue is answered with.
async fn number(wire: &mut Wire, code: i32, queue: u32) -> Result<u64> {
    let queue = queue.to_string();
    let fields = [("consumerGroup", GROUP), ("topic", TOPIC), ("queueId", &*queue)];
    let (code, frame) = wire.call(code, &fields, b"").await?;
    ensure!(code == response::SUCCESS, "answered {code}: {:?}", frame.header()?.remark);
    frame.header()?.ext.number::<u64>("offset").context("offset")
}
