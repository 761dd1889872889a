//! Reading: a backlog that lies in the page cache against a bare server that sends one, and a consumer at the tail while
//! another one reads what the page cache has lost.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use gantry_testkit::node::{Node, NodeOptions, gantry_binary};
use rustix::fs::Advice;
use serde_json::Value;

use crate::{
    bench::{bench, bench_aside, config, median, number},
    say,
    table::{Table, Wanted},
};

const TOPIC: &str = "backlog";
const SIZE: &str = "1024";
const QUEUES: u32 = 8;
/// Short segments, so that what is read cold is not the one that is written.
const CONFIG: &str = "[broker]\nflush = \"async\"\n[store]\nsegment_size_bytes = 67108864\n";
/// Messages a second at the tail: what neither disk nor processor feels.
const TAIL_RATE: &str = "5000";

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<()> {
    let (messages, rounds, seconds) = if quick { (200_000, 1, "4") } else { (1_500_000, 3, "15") };
    let folder = tempfile::tempdir()?;
    let options = NodeOptions {
        data: folder.path().join("data"),
        config: Some(config(folder.path(), CONFIG)?),
        ..NodeOptions::default()
    };
    let node = Node::start(&options)?;
    let count = messages.to_string();
    say(&format!("storing {messages} messages of {SIZE} B"));
    client(node.broker, &["produce", "--topic", TOPIC, "--connections", "4", "--size", SIZE, "--count", &count])?;
    warm_backlog(table, folder.path(), node.broker, messages, rounds)?;
    tail_beside_a_cold_reader(table, folder.path(), &node, seconds, rounds)
}

/// Runs `gantry bench` against a broker.
fn client(broker: SocketAddr, arguments: &[&str]) -> Result<Value> {
    bench(&at(broker, arguments))
}

fn at(broker: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    all.extend(["--broker".to_owned(), broker.to_string()]);
    all
}

fn warm_backlog(table: &mut Table, folder: &Path, broker: SocketAddr, messages: u64, rounds: usize) -> Result<()> {
    let reference = Reference::start(folder, messages)?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        for (rates, address) in [(&mut theirs, reference.address), (&mut ours, broker)] {
            let arguments = ["consume", "--topic", TOPIC, "--connections", "4", "--group", "WARM"];
            let rate = number(&client(address, &arguments)?["body_bytes_per_s"])? / 1e6;
            say(&format!("backlog from {address}: {rate:.0} MB/s"));
            // The first round brings everything into memory.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let what = format!("backlog of {messages} x {SIZE} B, 4 connections: MB/s of bodies, beside the bare server");
    table.row(what, median(theirs), median(ours), Wanted::AtLeast(0.8));
    Ok(())
}

/// The p99 of a consumer at the tail: alone, beside one that reads what is in memory, and beside one whose messages come from
/// the device. The second tells what of the third is only the processor that they share with their clients.
fn tail_beside_a_cold_reader(
    table: &mut Table,
    folder: &Path,
    node: &Node,
    seconds: &str,
    rounds: usize,
) -> Result<()> {
    let log = folder.join("data/broker-a/commitlog");
    let (mut alone, mut warm, mut cold) = (Vec::new(), Vec::new(), Vec::new());
    let before = read_from_device(node.pid())?;
    let mut passes = 0;
    for _ in 0..rounds {
        alone.push(tail_p99_us(node, seconds)?);
        warm.push(beside_a_reader(node, seconds, || Ok(()))?.0);
        let (p99_us, read) = beside_a_reader(node, seconds, || evict(&log))?;
        cold.push(p99_us);
        passes += read;
    }
    let device_mb = (read_from_device(node.pid())? - before) as f64 / 1e6;
    let (alone, warm, cold) = (median(alone), median(warm), median(cold));
    say(&format!("tail p99: alone {alone:.0} us, beside a warm reader {warm:.0} us, beside a cold one {cold:.0} us"));
    let what = format!("tail at {TAIL_RATE} msg/s: p99 from send to receipt, us, beside a cold reader against alone");
    let read = format!("{passes} cold passes, {device_mb:.0} MB came from the device");
    let note = format!("{warm:.0} us beside a reader of what is in memory; {read}");
    table.row_with(what, alone, cold, Wanted::AtMost(1.5), note);
    Ok(())
}

fn tail_p99_us(node: &Node, seconds: &str) -> Result<f64> {
    let load = ["e2e", "--topic", "tail", "--rate", TAIL_RATE, "--connections", "1"];
    let rest = ["--duration", seconds, "--group", "TAIL"];
    number(&client(node.broker, &[&load[..], &rest].concat())?["consume"]["latency"]["p99_us"])
}

/// The same while another client reads the backlog again and again, each time after `before`; and how often it did.
fn beside_a_reader(node: &Node, seconds: &str, before: impl Fn() -> Result<()> + Sync) -> Result<(f64, u64)> {
    let (stop, passes) = (AtomicBool::new(false), AtomicU64::new(0));
    let p99_us = std::thread::scope(|scope| -> Result<f64> {
        let reader = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                before()?;
                let load = ["consume", "--topic", TOPIC, "--connections", "1", "--group", "COLD"];
                bench_aside(&at(node.broker, &load))?;
                passes.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        // The reader is to be in the middle of it.
        std::thread::sleep(Duration::from_millis(300));
        let measured = tail_p99_us(node, seconds);
        stop.store(true, Ordering::Relaxed);
        reader.join().map_err(|_| anyhow::anyhow!("the reader beside it died"))??;
        measured
    })?;
    Ok((p99_us, passes.into_inner()))
}

/// Drops what the page cache has of the log, but of the segments at its end, that the tail is about.
fn evict(log: &Path) -> Result<()> {
    let mut segments: Vec<_> =
        std::fs::read_dir(log)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    segments.sort();
    segments.truncate(segments.len().saturating_sub(2));
    for segment in segments {
        let file = std::fs::File::open(segment)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// Bytes that a process has had read from a device so far.
fn read_from_device(pid: u32) -> Result<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).context("read_bytes")?;
    Ok(line.trim().parse()?)
}

/// A bare server with a backlog; ended when dropped.
struct Reference {
    child: Child,
    address: SocketAddr,
}

impl Reference {
    fn start(folder: &Path, messages: u64) -> Result<Reference> {
        let mut command = Command::new(gantry_binary()?);
        command.args(["bench", "reference", "--json", "--port", "0", "--topic", TOPIC, "--size", SIZE]);
        command.args(["--backlog", &messages.to_string(), "--queues", &QUEUES.to_string()]);
        command.arg("--file").arg(folder.join("reference"));
        let mut child = command.stdout(Stdio::piped()).spawn().context("could not start the bare server")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout is piped")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the bare server did not say where it listens")?;
        let address = said["address"].as_str().context("an address")?.parse()?;
        Ok(Reference { child, address })
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
