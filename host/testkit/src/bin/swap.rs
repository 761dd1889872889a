//! Plugins of all four kinds are replaced again and again under load. Every pull answer names the version of the filter that
//! judged it; a puller audits each range of offsets against the verdicts of just that version: nothing lost, nothing delivered
//! against the verdict. Every other message leaves its queue to a balancer and belongs to an order: no order leaves its queue or
//! is broken, whichever version of the balancer placed it.
//!
//! Arguments: `--guest FILE` (the versioned filter's .wasm), `--plugins DIR` (the shipped plugins), `--reloads N`, `--seconds S`,
//! `--rate MESSAGES_PER_SECOND`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use gantry_model::{offset::QueueOffset, properties};
use gantry_protocol::{
    code::{request, response},
    frame::{Codec, FrameWriter},
    header::Head,
    record::RecordView,
};
use gantry_testkit::{
    node::{Node, NodeOptions, gantry_binary},
    report::quantile_ms,
    wire::Wire,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

const TOPIC: &str = "swap";
const GROUP: &str = "swap-audited";
const QUEUES: u32 = 4;
const PRODUCERS: u64 = 4;
/// Sends in flight on one producer's connection.
const WINDOW: u64 = 64;
/// How long a new file may take to judge its first answer: settling, compiling beside the load, the swap.
const IN_SERVICE_WITHIN: Duration = Duration::from_secs(20);
const MARK: &[u8] = b"gantry-swap-version:";

/// Plugins that are replaced beside the filter, with their worlds.
const OTHERS: [(&str, &str); 3] =
    [("consistent-hash", "queue-balancer"), ("topic-top-k", "metric-hook"), ("standard-alerts", "alert-hook")];
/// Orders that one producer sends.
const ORDERS: u64 = 16;

struct Arguments {
    guest: PathBuf,
    plugins: PathBuf,
    reloads: u64,
    seconds: u64,
    rate: u64,
}

/// What the campaign shares.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    /// First twelve hex digits of a file's SHA-256 → its version.
    versions: Mutex<HashMap<String, u64>>,
    /// Versions that judged at least one answer.
    judged: Mutex<HashMap<u64, u64>>,
    /// Order → its queue and the latest of its messages there.
    orders: Mutex<HashMap<u64, (u32, u64)>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = arguments()?;
    let guest = std::fs::read(&arguments.guest).with_context(|| format!("{}", arguments.guest.display()))?;
    let folder = tempfile::tempdir()?;
    let shared = Arc::new(Shared::default());
    let plugin = folder.path().join("versioned.wasm");
    install(&shared, &guest, 0, &plugin)?;
    let mut others = Vec::new();
    for (name, _) in OTHERS {
        let file = arguments.plugins.join(format!("{name}.wasm"));
        let module = std::fs::read(&file).with_context(|| format!("{}", file.display()))?;
        let other = Other { module, file: folder.path().join(format!("{name}.wasm")) };
        other.install(0)?;
        others.push(other);
    }
    let config = folder.path().join("swap.toml");
    let bound: String = OTHERS
        .iter()
        .map(|(name, world)| format!("[[plugin]]\nname = \"{name}\"\nfile = \"{name}.wasm\"\nworld = \"{world}\"\n\n"))
        .collect();
    let text = format!(
        "[broker]\nflush = \"async\"\n\n[node.one]\nhost = \"127.0.0.1\"\nnameserver = {{}}\nbrokers = [{{ name = \"broker-a\", id = 0 }}]\n\n\
         [[plugin]]\nname = \"versioned\"\nfile = \"versioned.wasm\"\nworld = \"message-filter\"\n\n\
         [[filter]]\ntopic = \"{TOPIC}\"\ngroup = \"{GROUP}\"\nplugin = \"versioned\"\non_error = \"hold\"\n\n\
         {bound}[[balancer]]\ntopic = \"{TOPIC}\"\nplugin = \"consistent-hash\"\ndecides = [\"select-queue\"]\n\n\
         [telemetry]\ntick_ms = 500\n"
    );
    std::fs::write(&config, text)?;
    let options = NodeOptions { data: folder.path().join("data"), config: Some(config), ..NodeOptions::default() };
    let node = Node::start(&options)?;
    // The topic exists before anybody pulls it.
    let (code, _) = Wire::connect(node.broker).await?.send(TOPIC, b"first").await?;
    ensure!(code == response::SUCCESS, "the first send was answered {code}");
    placed(node.broker).await?;

    let mut quiet = campaign(&node, &shared, &arguments, None).await?;
    let reload = Reload { guest: &guest, plugin: &plugin, others: &others };
    let mut loaded = campaign(&node, &shared, &arguments, Some(reload)).await?;
    let versions = shared.judged.lock().len();
    ensure!(
        versions as u64 > arguments.reloads / 2,
        "only {versions} versions judged anything: the reloads did not take effect"
    );
    for (name, count) in swaps(&options.data)? {
        println!("{name}: {count} versions were in service");
        ensure!(count > arguments.reloads / 2, "{name} was replaced {count} times only");
    }
    let orders = shared.orders.lock().len();
    println!("{orders} orders: each in one queue, none broken");
    println!(
        "{} reloads, {versions} versions judged; {} messages sent, {} offsets audited: 0 lost, 0 against the verdict, 0 client errors",
        arguments.reloads,
        shared.sent.load(Ordering::Relaxed),
        quiet.audited + loaded.audited
    );
    println!(
        "rate {:.0} msg/s; pull ms p50/p99: {:.2}/{:.2} without reloads, {:.2}/{:.2} with",
        loaded.rate,
        quantile_ms(&mut quiet.pulls, 0.5),
        quantile_ms(&mut quiet.pulls, 0.99),
        quantile_ms(&mut loaded.pulls, 0.5),
        quantile_ms(&mut loaded.pulls, 0.99),
    );
    ensure!(node.terminate()?.success(), "the node did not drain cleanly");
    println!("swap: {} passed, 0 failed", arguments.reloads);
    Ok(())
}

fn arguments() -> Result<Arguments> {
    let mut found =
        Arguments { guest: PathBuf::new(), plugins: PathBuf::new(), reloads: 200, seconds: 60, rate: 20_000 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} takes a value"))?;
        match word.as_str() {
            "--guest" => found.guest = value.into(),
            "--plugins" => found.plugins = value.into(),
            "--reloads" => found.reloads = value.parse()?,
            "--seconds" => found.seconds = value.parse()?,
            "--rate" => found.rate = value.parse()?,
            _ => bail!("unknown argument {word}"),
        }
    }
    Ok(found)
}

/// Puts version `version` of the guest where the node watches, by an atomic rename.
fn install(shared: &Shared, guest: &[u8], version: u64, plugin: &Path) -> Result<()> {
    let mut bytes = guest.to_vec();
    let at =
        bytes.windows(MARK.len()).position(|window| window == MARK).context("the guest carries no version mark")?
            + MARK.len();
    bytes[at..at + 12].copy_from_slice(format!("{version:012}").as_bytes());
    let digest: String = Sha256::digest(&bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    shared.versions.lock().insert(digest, version);
    let temporary = plugin.with_extension("new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, plugin)?;
    Ok(())
}

/// A plugin whose versions differ by their bytes alone.
struct Other {
    module: Vec<u8>,
    file: PathBuf,
}

impl Other {
    /// Puts version `version` where the node watches: the module with a custom section of its own.
    fn install(&self, version: u64) -> Result<()> {
        let text = format!("version {version:012}");
        let mut bytes = self.module.clone();
        bytes.extend([0, 1 + 4 + text.len() as u8, 4]);
        bytes.extend(b"note");
        bytes.extend(text.as_bytes());
        let temporary = self.file.with_extension("new");
        std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &self.file))?;
        Ok(())
    }
}

/// What is replaced while messages flow.
#[derive(Clone, Copy)]
struct Reload<'a> {
    guest: &'a [u8],
    plugin: &'a Path,
    others: &'a [Other],
}

/// How many versions of each of the other plugins the node put in service.
fn swaps(data: &Path) -> Result<Vec<(String, u64)>> {
    let mut list = Command::new(gantry_binary()?);
    let output = list.args(["plugin", "list", "--json", "--data"]).arg(data).output()?;
    let plugins: Vec<serde_json::Value> =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let of = |name: &str| {
        let plugin = plugins.iter().find(|plugin| plugin["name"] == name).context("a plugin is not listed")?;
        Ok((name.to_owned(), plugin["swaps"].as_u64().unwrap_or(0)))
    };
    OTHERS.iter().map(|(name, _)| of(name)).collect()
}

/// Waits until the balancer places orders: until then the broker gives open messages the queues in turn, as RocketMQ does.
async fn placed(broker: SocketAddr) -> Result<()> {
    let mut wire = Wire::connect(broker).await?;
    let deadline = Instant::now() + IN_SERVICE_WITHIN;
    let mut probe = Vec::new();
    properties::push(&mut probe, properties::SHARDING_KEY, "probe");
    let probe = String::from_utf8(probe)?;
    let fields = [
        ("a", "swap"),
        ("b", TOPIC),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "-1"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", probe.as_str()),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
    ];
    let (mut latest, mut alike) = (None, 0);
    // Twice around all queues.
    while alike < 2 * QUEUES {
        ensure!(Instant::now() < deadline, "the balancer placed nothing within {IN_SERVICE_WITHIN:?}");
        let (code, frame) = wire.call(request::SEND_MESSAGE_V2, &fields, b"probe").await?;
        ensure!(code == response::SUCCESS, "a probe was answered {code}");
        let queue = frame.header()?.ext.number::<u32>("queueId");
        alike = if queue == latest { alike + 1 } else { 0 };
        latest = queue;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

struct Outcome {
    pulls: Vec<Duration>,
    audited: u64,
    rate: f64,
}

/// Produces and audits for the campaign's time, with reloads spread over it when there is something to install.
async fn campaign(
    node: &Node,
    shared: &Arc<Shared>,
    arguments: &Arguments,
    reload: Option<Reload<'_>>,
) -> Result<Outcome> {
    shared.stop.store(false, Ordering::Relaxed);
    // Auditors begin at the beginning of their queues.
    shared.orders.lock().clear();
    let begun = Instant::now();
    let before = shared.sent.load(Ordering::Relaxed);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| tokio::spawn(produce(node.broker, shared.clone(), arguments.rate / PRODUCERS, producer)))
        .collect();
    let auditors: Vec<_> = (0..QUEUES)
        .map(|queue| {
            let found = audit(node.broker, shared.clone(), queue);
            // Said at once: the campaign itself would wait for a version to judge, in vain.
            tokio::spawn(async { found.await.inspect_err(|error| eprintln!("found: {error:#}")) })
        })
        .collect();
    let pause = Duration::from_secs(arguments.seconds);
    match reload {
        None => tokio::time::sleep(pause / 4).await,
        Some(Reload { guest, plugin, others }) => {
            for version in 1..=arguments.reloads {
                let due = Instant::now() + pause / arguments.reloads as u32;
                others.iter().try_for_each(|other| other.install(version))?;
                install(shared, guest, version, plugin)?;
                in_service(shared, version).await?;
                // The pace of the campaign, not a wait for something to have happened.
                tokio::time::sleep_until(due.into()).await;
            }
        }
    }
    shared.stop.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await??;
    }
    let rate = (shared.sent.load(Ordering::Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
    let mut outcome = Outcome { pulls: Vec::new(), audited: 0, rate };
    for auditor in auditors {
        let (pulls, audited) = auditor.await??;
        outcome.pulls.extend(pulls);
        outcome.audited += audited;
    }
    Ok(outcome)
}

/// Waits until a version has judged an answer: each reload then really is one.
async fn in_service(shared: &Shared, version: u64) -> Result<()> {
    let deadline = Instant::now() + IN_SERVICE_WITHIN;
    while !shared.judged.lock().contains_key(&version) {
        ensure!(
            Instant::now() < deadline,
            "version {version} judged nothing within {IN_SERVICE_WITHIN:?} of its installation"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Sends numbered messages at `rate` until told to stop; every one must be acknowledged.
async fn produce(broker: SocketAddr, shared: Arc<Shared>, rate: u64, producer: u64) -> Result<()> {
    let mut wire = Wire::connect(broker).await?;
    let begun = Instant::now();
    let mut sent = 0;
    let mut out = BytesMut::new();
    while !shared.stop.load(Ordering::Relaxed) {
        out.clear();
        for index in 0..WINDOW {
            let number = shared.sent.fetch_add(1, Ordering::Relaxed);
            let mut message_properties = Vec::new();
            properties::push(&mut message_properties, "n", &number.to_string());
            // Every other message belongs to an order and leaves the queue open.
            let order = (index % 2 == 0).then_some(producer * ORDERS + index / 2 % ORDERS);
            if let Some(order) = order {
                properties::push(&mut message_properties, properties::SHARDING_KEY, &order.to_string());
            }
            let queue = order.map_or((number % u64::from(QUEUES)) as i64, |_| -1);
            let head = Head::request(request::SEND_MESSAGE_V2, index as i32);
            let mut writer = FrameWriter::new(&mut out, Codec::Binary, &head);
            writer.ext("a", "swap").ext("b", TOPIC).ext("c", "TBW102").ext("d", 4).ext("e", queue);
            writer.ext("f", 0).ext("g", 1_700_000_000_000i64).ext("h", 0);
            writer.ext("i", std::str::from_utf8(&message_properties)?).ext("j", 0).ext("k", false).ext("m", false);
            writer.finish(&number.to_be_bytes());
        }
        wire.raw(&out).await?;
        for _ in 0..WINDOW {
            let frame = wire.frame().await?;
            let header = frame.header()?;
            ensure!(header.code == response::SUCCESS, "a send was answered {}: {:?}", header.code, header.remark);
        }
        sent += WINDOW;
        let due = begun + Duration::from_secs_f64(sent as f64 / rate.max(1) as f64);
        tokio::time::sleep_until(due.into()).await;
    }
    Ok(())
}

/// Pulls one queue through the filter and, beside it, without; compares every range with the verdicts of the version named.
async fn audit(broker: SocketAddr, shared: Arc<Shared>, queue: u32) -> Result<(Vec<Duration>, u64)> {
    let mut filtered = Wire::connect(broker).await?;
    let mut plain = Wire::connect(broker).await?;
    let (mut next, mut known) = (0, Vec::new());
    let (mut pulls, mut audited) = (Vec::new(), 0);
    loop {
        let stopping = shared.stop.load(Ordering::Relaxed);
        let begun = Instant::now();
        let answer = pull(&mut filtered, GROUP, queue, next).await?;
        if answer.code == response::SUCCESS {
            pulls.push(begun.elapsed());
        }
        while (known.len() as u64) < answer.next {
            let truth = pull(&mut plain, "swap-plain", queue, known.len() as u64).await?;
            for (_, number, order) in truth.messages {
                known.push(number);
                if let (Some(number), Some(order)) = (number, order) {
                    in_order(&shared, queue, order, number)?;
                }
            }
        }
        if answer.next > next {
            let label = answer.filter.context("an answer that moved on names no filter version")?;
            let digest = label.rsplit('@').next().unwrap_or_default();
            let version = *shared.versions.lock().get(digest).with_context(|| format!("unknown version {label}"))?;
            *shared.judged.lock().entry(version).or_default() += 1;
            let delivered: Vec<u64> = answer.messages.iter().map(|(offset, ..)| *offset).collect();
            let wanted: Vec<u64> = (next..answer.next)
                .filter(|offset| known[*offset as usize].is_some_and(|n| n % 7 != version % 7))
                .collect();
            ensure!(
                delivered == wanted,
                "queue {queue} offsets {next}..{}: {label} delivered {delivered:?}, its verdicts are {wanted:?}",
                answer.next
            );
            audited += answer.next - next;
            next = answer.next;
        } else if stopping && next == answer.max {
            return Ok((pulls, audited));
        }
    }
}

/// One more message of an order, as its queue has it.
fn in_order(shared: &Shared, queue: u32, order: u64, number: u64) -> Result<()> {
    if let Some((before, latest)) = shared.orders.lock().insert(order, (queue, number)) {
        ensure!(before == queue, "order {order} went from queue {before} to queue {queue} with message {number}");
        ensure!(latest < number, "order {order} has message {number} behind {latest} in queue {queue}");
    }
    Ok(())
}

struct Pulled {
    code: i32,
    next: u64,
    max: u64,
    filter: Option<String>,
    /// Queue offset, number and order; the first message has no number.
    messages: Vec<(u64, Option<u64>, Option<u64>)>,
}

async fn pull(wire: &mut Wire, group: &str, queue: u32, offset: u64) -> Result<Pulled> {
    let (queue, offset) = (queue.to_string(), offset.to_string());
    let fields = [
        ("consumerGroup", group),
        ("topic", TOPIC),
        ("queueId", &queue),
        ("queueOffset", &offset),
        ("maxMsgNums", "32"),
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "100"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
    ];
    let (code, frame) = wire.call(request::PULL_MESSAGE, &fields, b"").await?;
    let header = frame.header()?;
    let expected = matches!(code, response::SUCCESS | response::PULL_NOT_FOUND | response::PULL_RETRY_IMMEDIATELY);
    ensure!(expected, "a pull of queue {queue} at {offset} was answered {code}: {:?}", header.remark);
    let number = |name: &str| header.ext.number::<u64>(name).with_context(|| format!("{name} in a pull's answer"));
    let body = frame.body();
    let mut rest = &body[..];
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let record = RecordView::parse(rest)?;
        let QueueOffset(at) = record.queue_offset();
        let number = record.body().first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let order = record.message().property(properties::SHARDING_KEY).and_then(|order| order.parse().ok());
        messages.push((at, number, order));
        rest = &rest[record.size()..];
    }
    let filter = header.ext.get("gantryFilter").map(|label| label.into_owned());
    Ok(Pulled { code, next: number("nextBeginOffset")?, max: number("maxOffset")?, filter, messages })
}
