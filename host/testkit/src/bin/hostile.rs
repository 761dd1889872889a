//! Two hundred hostile plugins beside honest groups: each is contained, and honest groups do not notice.
//!
//! One guest has the exports of every world and misbehaves as its parameters say; here it is loaded under two hundred names:
//! filters that loop, trap, recurse, hoard memory, flood the host with calls or answer nonsense, in each of their calls;
//! balancers and hooks that do the same. Consumers pull through the filters all the time, producers leave their queues to the
//! balancers. A node without any of it takes turns with the hostile one, and a second time with itself, which says how much
//! two equal runs differ on this machine.
//!
//! Arguments: `--guest FILE`, `--seconds S` of each turn, `--plugins N`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use gantry_protocol::code::{request, response};
use gantry_testkit::{
    node::{Node, NodeOptions, gantry_binary},
    wire::Wire,
};
use serde_json::Value;

/// What a guest does.
const DEEDS: [&str; 7] = ["loop", "trap", "recurse", "hoard", "shout", "flood", "nonsense"];
/// When a guest of each world does it, and how many of ten plugins are of the world.
const WORLDS: [(&str, &[&str], u64); 4] = [
    ("message-filter", &["evaluate", "open", "init", "self-check"], 6),
    ("queue-balancer", &["place", "select", "route"], 2),
    ("metric-hook", &["tick", "added"], 1),
    ("alert-hook", &["tick", "wants"], 1),
];
/// Memory of one hostile instance.
const MEMORY_LIMIT_MIB: u64 = 2;
/// What the node itself may take beside the instances.
const NODE_RSS_MAX_MIB: u64 = 512;
/// Connections that pull through hostile filters.
const PULLERS: usize = 8;

struct Arguments {
    guest: PathBuf,
    seconds: u64,
    plugins: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    std::fs::copy(&arguments.guest, folder.path().join("hostile.wasm"))
        .with_context(|| arguments.guest.display().to_string())?;
    let quiet = start(folder.path(), "quiet", "")?;
    let hostile = start(folder.path(), "hostile", &cluster_file(arguments.plugins))?;
    let refused = settled(&folder.path().join("hostile"), arguments.plugins).await?;
    println!("{} plugins: {refused} refused before they served, the others serve", arguments.plugins);

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let filters: Vec<u64> = (0..arguments.plugins).filter(|number| world_of(*number).0 == "message-filter").collect();
    seed(hostile.broker, &filters).await?;
    let pullers: Vec<_> = (0..PULLERS)
        .map(|puller| {
            let own = filters.iter().copied().skip(puller).step_by(PULLERS).collect();
            tokio::spawn(pull_all(hostile.broker, own, stop.clone(), answered.clone()))
        })
        .collect();

    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (turn, node) in turns.iter_mut().zip([&quiet, &quiet, &hostile]) {
            turn.push(honest(node, arguments.seconds)?);
        }
    }
    let [first, second, beside] = turns.map(median);
    stop.store(true, Ordering::Relaxed);
    for puller in pullers {
        puller.await??;
    }

    let rss_mib = hostile.resident_kib()?.0 / 1024;
    let allowed_mib = NODE_RSS_MAX_MIB + arguments.plugins * 2 * MEMORY_LIMIT_MIB;
    let faults = faults(&folder.path().join("hostile"))?;
    println!(
        "honest, alone: {first:.0} msg/s, again {second:.0} ({:.2}); beside hostile plugins {beside:.0} ({:.2})",
        second / first,
        beside / first
    );
    println!("{} pulls through hostile filters answered, {faults} faults contained", answered.load(Ordering::Relaxed));
    println!("RSS {rss_mib} MiB, allowed {allowed_mib} MiB");
    ensure!(rss_mib <= allowed_mib, "the node takes {rss_mib} MiB, allowed are {allowed_mib}");
    ensure!(faults > 0, "no plugin did anything");
    ensure!(hostile.terminate()?.success() && quiet.terminate()?.success(), "a node did not drain cleanly");
    println!("hostile: {} passed, 0 failed", arguments.plugins);
    Ok(())
}

fn arguments() -> Result<Arguments> {
    let mut found = Arguments { guest: PathBuf::new(), seconds: 10, plugins: 200 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} takes a value"))?;
        match word.as_str() {
            "--guest" => found.guest = value.into(),
            "--seconds" => found.seconds = value.parse()?,
            "--plugins" => found.plugins = value.parse()?,
            _ => bail!("unknown argument {word}"),
        }
    }
    Ok(found)
}

fn world_of(number: u64) -> (&'static str, &'static [&'static str]) {
    let mut place = number % 10;
    for (world, calls, count) in WORLDS {
        if place < count {
            return (world, calls);
        }
        place -= count;
    }
    (WORLDS[0].0, WORLDS[0].1)
}

fn cluster_file(plugins: u64) -> String {
    let mut text = String::from("[telemetry]\ntick_ms = 500\n");
    for number in 0..plugins {
        let (world, calls) = world_of(number);
        let at = calls[(number / 10) as usize % calls.len()];
        let deed = DEEDS[number as usize % DEEDS.len()];
        let _ = write!(
            text,
            "[[plugin]]\nname = \"h{number}\"\nfile = \"hostile.wasm\"\nworld = \"{world}\"\nmemory_limit_mib = \
             {MEMORY_LIMIT_MIB}\nparams = {{ at = \"{at}\", do = \"{deed}\", placement = \"per-message\" }}\n"
        );
        let _ = match world {
            "message-filter" => {
                write!(text, "[[filter]]\ntopic = \"h{number}\"\ngroup = \"hostile\"\nplugin = \"h{number}\"\n")
            }
            "queue-balancer" => write!(
                text,
                "[[balancer]]\ntopic = \"h{number}\"\nplugin = \"h{number}\"\ndecides = [\"select-queue\", \"route\"]\n"
            ),
            _ => Ok(()),
        };
    }
    text
}

fn start(folder: &Path, name: &str, text: &str) -> Result<Node> {
    let config = folder.join(format!("{name}.toml"));
    let head = "[broker]\nflush = \"async\"\n[node.one]\nnameserver = {}\nbrokers = [{ name = \"broker-a\" }]\n";
    std::fs::write(&config, format!("{head}{text}"))?;
    Node::start(&NodeOptions { data: folder.join(name), config: Some(config), ..NodeOptions::default() })
}

fn plugins(data: &Path) -> Result<Vec<Value>> {
    let output = Command::new(gantry_binary()?).args(["plugin", "list", "--json", "--data"]).arg(data).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until every plugin serves or was refused; how many were refused, wholly or for what they are bound to.
async fn settled(data: &Path, count: u64) -> Result<usize> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
    loop {
        let plugins = plugins(data)?;
        let open = plugins.iter().filter(|plugin| plugin["state"] == "loading").count();
        if plugins.len() as u64 == count && open == 0 {
            let is_refused = |plugin: &&Value| {
                let bindings = plugin["bindings"].as_array().into_iter().flatten();
                plugin["state"] == "refused" || bindings.into_iter().any(|binding| !binding["problem"].is_null())
            };
            return Ok(plugins.iter().filter(is_refused).count());
        }
        ensure!(tokio::time::Instant::now() < deadline, "{open} plugins are still being loaded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A message that sets each filter off, and some that do not.
async fn seed(broker: SocketAddr, filters: &[u64]) -> Result<()> {
    let mut wire = Wire::connect(broker).await?;
    for number in filters {
        let topic = format!("h{number}");
        for properties in ["", "poison\u{1}1\u{2}", ""] {
            let fields = [
                ("a", "hostile"),
                ("b", topic.as_str()),
                ("c", "TBW102"),
                ("d", "1"),
                ("e", "0"),
                ("f", "0"),
                ("g", "1700000000000"),
                ("h", "0"),
                ("i", properties),
                ("j", "0"),
                ("k", "false"),
                ("m", "false"),
            ];
            let (code, _) = wire.call(request::SEND_MESSAGE_V2, &fields, b"body").await?;
            ensure!(code == response::SUCCESS, "a send to {topic} was answered {code}");
        }
    }
    Ok(())
}

/// Pulls through every one of these filters, again and again.
async fn pull_all(
    broker: SocketAddr,
    filters: Vec<u64>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Result<()> {
    let mut wire = Wire::connect(broker).await?;
    while !stop.load(Ordering::Relaxed) {
        for number in &filters {
            let topic = format!("h{number}");
            let fields = [
                ("consumerGroup", "hostile"),
                ("topic", topic.as_str()),
                ("queueId", "0"),
                ("queueOffset", "0"),
                ("maxMsgNums", "32"),
                ("sysFlag", "4"),
                ("commitOffset", "0"),
                ("suspendTimeoutMillis", "0"),
                ("subscription", "*"),
                ("subVersion", "0"),
                ("expressionType", "TAG"),
            ];
            wire.call(request::PULL_MESSAGE, &fields, b"").await?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        // As consumers whose pulls are held do.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What honest producers and consumers get done in a second.
fn honest(node: &Node, seconds: u64) -> Result<f64> {
    let output = Command::new(gantry_binary()?)
        .args(["bench", "e2e", "--topic", "honest", "--connections", "4", "--window", "64", "--size", "128", "--json"])
        .args(["--duration", &seconds.to_string(), "--namesrv", &node.name_server.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(output.status.success(), "bench e2e: {}", String::from_utf8_lossy(&output.stderr));
    report["produce"]["messages_per_s"].as_f64().context("messages_per_s in the report of bench e2e")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Faults of all bindings.
fn faults(data: &Path) -> Result<u64> {
    let plugins = plugins(data)?;
    let bindings = plugins.iter().flat_map(|plugin| plugin["bindings"].as_array().into_iter().flatten());
    let of = |binding: &Value| ["trap", "deadline", "memory", "result"].map(|cause| binding["faults"][cause].as_u64());
    Ok(bindings.flat_map(of).flatten().sum())
}
