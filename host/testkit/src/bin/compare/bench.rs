//! The client of all comparisons: `gantry bench`, one run at a time.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use gantry_testkit::node::{ANY_DISK_WILL_DO, gantry_binary};
use serde_json::Value;

/// One run of `gantry bench produce`.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) topic: String,
    /// Topics that share the load; above 1 they are `topic-0`, `topic-1` ...
    pub(crate) topics: usize,
    pub(crate) connections: usize,
    pub(crate) window: usize,
    /// Bytes of a body.
    pub(crate) size: usize,
    /// Messages a second, sent when due; `None` = as fast as the window allows.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
}

impl Load {
    pub(crate) fn new(topic: &str, connections: usize, window: usize, size: usize, seconds: f64) -> Load {
        Load { topic: topic.into(), topics: 1, connections, window, size, rate: None, seconds }
    }
}

/// What it measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Produced {
    pub(crate) messages_per_s: f64,
    pub(crate) p99_us: f64,
    pub(crate) stored: u64,
    /// Refused or not answered.
    pub(crate) refused: u64,
}

/// Sends `load` to the broker at `address`.
pub(crate) fn produce(address: SocketAddr, load: &Load) -> Result<Produced> {
    let mut arguments = vec!["produce".to_owned()];
    let mut with = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    with("--broker", address.to_string());
    with("--topic", load.topic.clone());
    with("--topics", load.topics.to_string());
    with("--connections", load.connections.to_string());
    with("--window", load.window.to_string());
    with("--size", load.size.to_string());
    with("--duration", load.seconds.to_string());
    with("--warmup", "1".into());
    if let Some(rate) = load.rate {
        with("--rate", rate.to_string());
    }
    let report = bench(&arguments)?;
    let sum =
        |counts: &Value| counts.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum::<u64>();
    Ok(Produced {
        messages_per_s: number(&report["messages_per_s"])?,
        p99_us: number(&report["latency"]["p99_us"])?,
        stored: report["stored"].as_u64().context("stored")?,
        refused: sum(&report["refused"]) + report["unanswered"].as_u64().unwrap_or(0),
    })
}

/// Runs `gantry bench` and returns its report. Refused messages end it with an error after the report, which counts them.
pub(crate) fn bench(arguments: &[String]) -> Result<Value> {
    run(Command::new(gantry_binary()?), arguments)
}

/// The same for a client that stands for one on another machine: it takes only processor time that nobody else wants.
pub(crate) fn bench_aside(arguments: &[String]) -> Result<Value> {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(gantry_binary()?);
    run(command, arguments)
}

fn run(mut command: Command, arguments: &[String]) -> Result<Value> {
    let output = command
        .arg("bench")
        .args(arguments)
        .arg("--json")
        .stderr(Stdio::piped())
        .output()
        .context("could not start gantry bench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last().map(serde_json::from_str) {
        Some(Ok(report)) => Ok(report),
        _ => bail!("gantry bench {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim_end()),
    }
}

pub(crate) fn number(value: &Value) -> Result<f64> {
    value.as_f64().context("a number in the report of gantry bench")
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A cluster file that changes what a comparison needs. The disk may be nearly full of other things: it shall neither delete
/// nor refuse for that, as long as there is space at all.
pub(crate) fn config(folder: &Path, text: &str) -> Result<std::path::PathBuf> {
    let path = folder.join("compare.toml");
    std::fs::write(&path, format!("{text}{ANY_DISK_WILL_DO}"))?;
    Ok(path)
}
