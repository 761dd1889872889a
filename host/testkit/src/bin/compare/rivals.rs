//! Apache RocketMQ and Gantry in turns: same machine, same disk, same flush mode, same client.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use gantry_protocol::code::response;
use gantry_testkit::{
    node::{Node, NodeOptions, gantry_binary, processor_seconds},
    rocketmq::{BrokerSettings, RocketMq},
    wire::Wire,
};
use serde_json::Value;

use crate::{
    bench::{self, Load, Produced, bench, median, produce},
    say,
    table::{Table, Wanted},
};

/// Connections and frames in flight on each.
const CLOSED_LOOPS: [(usize, usize); 3] = [(16, 64), (16, 1), (1, 1)];
/// Parts of what RocketMQ holds.
const OPEN_LOOPS: [(f64, &str); 3] = [(0.25, "a quarter"), (0.5, "half"), (0.9, "nine tenths")];
/// RocketMQ's heap, as its manual's smallest.
const HEAP: &str = "2g";
/// RocketMQ's request for its state, whose body says how far dispatch is behind.
const GET_BROKER_RUNTIME_INFO: i32 = 28;
/// How long dispatch and index may take to catch up after the last load.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take from its start to the first stored message.
const FIRST_WITHIN: Duration = Duration::from_secs(120);

/// How long everything takes.
struct Scale {
    warm: f64,
    seconds: f64,
    rounds: usize,
    starts: usize,
    sizes: &'static [usize],
}

const FULL: Scale = Scale { warm: 60.0, seconds: 5.0, rounds: 3, starts: 5, sizes: &[128, 1024] };
const QUICK: Scale = Scale { warm: 10.0, seconds: 2.0, rounds: 1, starts: 1, sizes: &[128] };

pub(crate) fn run(table: &mut Table, quick: bool, flush: &[&str]) -> Result<()> {
    let scale = if quick { QUICK } else { FULL };
    let begun = Instant::now();
    for flush in flush {
        for size in scale.sizes {
            // Each with an empty store, so that the disk does not fill.
            side_by_side(table, &scale, flush, *size)?;
        }
    }
    start_up(table, &scale)?;
    beside_the_bare_server(table, &scale)?;
    table.note(format!(
        "RocketMQ 5.3.3, -Xms{HEAP} -Xmx{HEAP}, warmed {:.0} s with the load itself; its name server is a process of its own and \
         not counted, Gantry's is counted. Medians of {} rounds of {:.0} s in turns. Took {:.0} s.",
        scale.warm,
        scale.rounds,
        scale.seconds,
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

struct Rivals {
    rocketmq: RocketMq,
    gantry: Node,
    _name_server: RocketMq,
}

fn side_by_side(table: &mut Table, scale: &Scale, flush: &str, size: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rivals = Rivals::start(folder.path(), flush)?;
    let label = format!("{flush}, {size} B");
    say(&format!("{label}: warming RocketMQ for {:.0} s", scale.warm));
    produce(rivals.rocketmq.address, &Load::new("compare", 16, 64, size, scale.warm))?;
    produce(rivals.gantry.broker, &Load::new("compare", 16, 64, size, 1.0))?;

    let mut held = 0.0;
    for (connections, window) in CLOSED_LOOPS {
        let load = Load::new("compare", connections, window, size, scale.seconds);
        let (theirs, ours) = rivals.in_turns(&load, scale.rounds)?;
        let what = format!("{label}, {connections} x {window}");
        let (their_rate, our_rate) = (rate(&theirs), rate(&ours));
        let (their_us, our_us) = (theirs.processor_us, ours.processor_us);
        table.row_with(format!("{what}: msg/s"), their_rate, our_rate, Wanted::AtLeast(3.0), refusals(&theirs, &ours));
        table.row(format!("{what}: p99, us"), p99(&theirs), p99(&ours), Wanted::AtMost(1.0 / 3.0));
        table.row(format!("{what}: processor time, us a message"), their_us, our_us, Wanted::AtMost(1.0));
        if (connections, window) == CLOSED_LOOPS[0] {
            held = their_rate;
        }
    }
    for (part, name) in OPEN_LOOPS {
        let load = Load { rate: Some(held * part), ..Load::new("compare", 16, 64, size, scale.seconds) };
        let (theirs, ours) = rivals.in_turns(&load, scale.rounds.min(2))?;
        let what = format!("{label}, {:.0} msg/s ({name}): p99 from when due, us", held * part);
        table.row_with(what, p99(&theirs), p99(&ours), Wanted::AtMost(1.0 / 3.0), refusals(&theirs, &ours));
    }
    let (behind_theirs, behind_ours) = (rivals.rocketmq_caught_up()?, rivals.gantry_caught_up(folder.path())?);
    let what = format!("{label}: dispatch and index level after the load, s");
    table.row_with(what, behind_theirs, behind_ours, Wanted::AtMost(1.0), "both are level".into());
    let ((their_rss, their_anon), (our_rss, our_anon)) =
        (rivals.rocketmq.resident_kib()?, rivals.gantry.resident_kib()?);
    for (what, theirs, ours) in [("RSS", their_rss, our_rss), ("RssAnon", their_anon, our_anon)] {
        let mib = |kib: u64| kib as f64 / 1024.0;
        table.row(format!("{label}: {what} after the load, MiB"), mib(theirs), mib(ours), Wanted::AtMost(0.1));
    }
    Ok(())
}

/// The rounds of one server.
#[derive(Default)]
struct Rounds {
    reports: Vec<Produced>,
    processor_us: f64,
}

fn rate(rounds: &Rounds) -> f64 {
    median(rounds.reports.iter().map(|report| report.messages_per_s).collect())
}

fn p99(rounds: &Rounds) -> f64 {
    median(rounds.reports.iter().map(|report| report.p99_us).collect())
}

fn refusals(theirs: &Rounds, ours: &Rounds) -> String {
    let sum = |rounds: &Rounds| rounds.reports.iter().map(|report| report.refused).sum::<u64>();
    match (sum(theirs), sum(ours)) {
        (0, 0) => String::new(),
        (theirs, ours) => format!("refused or unanswered: RocketMQ {theirs}, Gantry {ours}"),
    }
}

impl Rivals {
    fn start(folder: &Path, flush: &str) -> Result<Rivals> {
        let name_server = RocketMq::name_server(&folder.join("namesrv"))?;
        let flush_type = if flush == "sync" { "SYNC_FLUSH" } else { "ASYNC_FLUSH" };
        let mut settings = BrokerSettings::new(folder.join("store")).with("flushDiskType", flush_type);
        (settings.heap, settings.name_server) = (HEAP.into(), Some(name_server.address));
        let rocketmq = RocketMq::broker(&settings)?;
        let config = bench::config(folder, &format!("[broker]\nflush = \"{flush}\"\n"))?;
        let options = NodeOptions { data: folder.join("data"), config: Some(config), ..NodeOptions::default() };
        Ok(Rivals { rocketmq, gantry: Node::start(&options)?, _name_server: name_server })
    }

    /// One after the other, so that neither is loaded while the other is measured.
    fn in_turns(&self, load: &Load, rounds: usize) -> Result<(Rounds, Rounds)> {
        let (mut theirs, mut ours) = (Rounds::default(), Rounds::default());
        for _ in 0..rounds {
            theirs.take(self.rocketmq.address, self.rocketmq.pid(), load)?;
            ours.take(self.gantry.broker, self.gantry.pid(), load)?;
        }
        for rounds in [&mut theirs, &mut ours] {
            rounds.processor_us /= rounds.reports.iter().map(|report| report.stored).sum::<u64>().max(1) as f64;
        }
        say(&format!(
            "  {} x {}{}: RocketMQ {:.0} msg/s, p99 {:.0} us; Gantry {:.0} msg/s, p99 {:.0} us",
            load.connections,
            load.window,
            load.rate.map_or(String::new(), |rate| format!(" at {rate:.0}/s")),
            rate(&theirs),
            p99(&theirs),
            rate(&ours),
            p99(&ours)
        ));
        Ok((theirs, ours))
    }

    /// Seconds until RocketMQ has dispatched all; its index is part of its dispatch.
    fn rocketmq_caught_up(&self) -> Result<f64> {
        caught_up("RocketMQ", || {
            let body = call(self.rocketmq.address, GET_BROKER_RUNTIME_INFO)?;
            let info: Value = serde_json::from_slice(&body)?;
            let behind = info["table"]["dispatchBehindBytes"].as_str().context("dispatchBehindBytes")?;
            Ok(behind.parse::<i64>()? <= 0)
        })
    }

    /// Seconds until Gantry has dispatched and indexed all.
    fn gantry_caught_up(&self, folder: &Path) -> Result<f64> {
        caught_up("Gantry", || {
            let mut status = Command::new(gantry_binary()?);
            status.args(["status", "--json", "--data"]).arg(folder.join("data"));
            let output = status.output().context("could not start gantry status")?;
            let status: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            let broker = &status["brokers"][0];
            let level = broker["index"] == "level" && broker["dispatched"].is_u64();
            Ok(level && broker["dispatched"] == broker["appended"])
        })
    }
}

impl Rounds {
    fn take(&mut self, address: SocketAddr, pid: u32, load: &Load) -> Result<()> {
        let before = processor_seconds(pid)?;
        self.reports.push(produce(address, load)?);
        self.processor_us += (processor_seconds(pid)? - before) * 1e6;
        Ok(())
    }
}

fn caught_up(who: &str, level: impl Fn() -> Result<bool>) -> Result<f64> {
    let begun = Instant::now();
    while !level()? {
        ensure!(begun.elapsed() < CAUGHT_UP_WITHIN, "{who} is still behind {CAUGHT_UP_WITHIN:?} after the load");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn call(address: SocketAddr, code: i32) -> Result<Vec<u8>> {
    runtime()?.block_on(async {
        let (answer, frame) = Wire::connect(address).await?.call(code, &[], b"").await?;
        ensure!(answer == response::SUCCESS, "request {code} was answered {answer}");
        Ok(frame.body().to_vec())
    })
}

/// From starting a process on a store that ended in order to the first message that it stored.
fn start_up(table: &mut Table, scale: &Scale) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = BrokerSettings::new(folder.path().join("store"));
    settings.heap = HEAP.into();
    let config = Some(bench::config(folder.path(), "")?);
    let options = NodeOptions { data: folder.path().join("data"), config, ..NodeOptions::default() };
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    // The first start of each makes its files and is not counted.
    for round in 0..=scale.starts {
        let begun = Instant::now();
        let rocketmq = RocketMq::broker(&settings)?;
        first_message(rocketmq.address, begun)?;
        let their_time = begun.elapsed().as_secs_f64() * 1e3;
        rocketmq.terminate()?;
        let begun = Instant::now();
        let gantry = Node::start(&options)?;
        first_message(gantry.broker, begun)?;
        let our_time = begun.elapsed().as_secs_f64() * 1e3;
        ensure!(gantry.terminate()?.success(), "Gantry did not end in order");
        say(&format!("start-up: RocketMQ {their_time:.0} ms, Gantry {our_time:.0} ms"));
        if round > 0 {
            theirs.push(their_time);
            ours.push(our_time);
        }
    }
    let what = "start to first message stored, ms";
    table.row_with(what, median(theirs), median(ours), Wanted::AtMost(0.05), "RocketMQ without its name server".into());
    Ok(())
}

/// Tries until a message is stored.
fn first_message(address: SocketAddr, begun: Instant) -> Result<()> {
    runtime()?.block_on(async {
        loop {
            let sent = match Wire::connect(address).await {
                Ok(mut wire) => wire.send("start-up", b"first").await.map(|(code, _)| code),
                Err(error) => Err(error),
            };
            if matches!(sent, Ok(response::SUCCESS)) {
                return Ok(());
            }
            ensure!(begun.elapsed() < FIRST_WITHIN, "no message was stored within {FIRST_WITHIN:?}: {sent:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

/// What the broker's own work costs beside a server that only takes frames, writes them to a file and answers.
fn beside_the_bare_server(table: &mut Table, scale: &Scale) -> Result<()> {
    for size in scale.sizes {
        let (size, rounds, seconds) = (size.to_string(), scale.rounds.to_string(), scale.seconds.to_string());
        let arguments = [
            "versus-reference",
            "--flush",
            "async",
            "--connections",
            "16",
            "--window",
            "64",
            "--size",
            &size,
            "--rounds",
            &rounds,
            "--duration",
            &seconds,
        ];
        let report = bench(&arguments.map(str::to_owned))?;
        let rate = |side: &str| bench::number(&report[side]["messages_per_s"]);
        let what = format!("async, {size} B, 16 x 64: msg/s, beside the bare server");
        table.row(what, rate("reference")?, rate("gantry")?, Wanted::AtLeast(0.8));
    }
    Ok(())
}
