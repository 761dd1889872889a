//! Whether a send costs the same with many topics and a long log as with few and a short one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gantry_testkit::node::{Node, NodeOptions};
use serde_json::json;

use crate::{
    bench::{Load, config, median, produce},
    say,
    table::{Table, Wanted},
};

const TOPICS: [usize; 3] = [1, 100, 10_000];
/// Gigabytes of log at which it is measured; more are measured when the disk has room, up to the last.
const LOG_GB: [u64; 4] = [1, 5, 10, 50];
/// What has to stay free.
const SPARE_GB: u64 = 8;
/// A body that fills the log fast.
const FILL_SIZE: usize = 64 * 1024;
const GB: u64 = 1 << 30;

pub(crate) fn run(table: &mut Table, quick: bool) -> Result<()> {
    let (seconds, rounds) = if quick { (2.0, 1) } else { (5.0, 3) };
    topics(table, seconds, rounds)?;
    log_length(table, seconds, rounds, if quick { 1 } else { LOG_GB[LOG_GB.len() - 1] })
}

fn topics(table: &mut Table, seconds: f64, rounds: usize) -> Result<()> {
    // All at once, and in turns, so that a change of the machine's mood hits all.
    let folder = tempfile::tempdir()?;
    make_topics(folder.path())?;
    let node = start(folder.path())?;
    let mut rates = vec![Vec::new(); TOPICS.len()];
    for _ in 0..rounds {
        for (rates, topics) in rates.iter_mut().zip(TOPICS) {
            let load = Load { topics, ..Load::new(&format!("growth-{topics}"), 16, 64, 128, seconds) };
            let report = produce(node.broker, &load)?;
            ensure!(report.refused == 0, "{} messages were refused with {topics} topics", report.refused);
            say(&format!("{topics} topics: {:.0} msg/s", report.messages_per_s));
            rates.push(report.messages_per_s);
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for (rate, topics) in rates.iter().zip(TOPICS).skip(1) {
        table.row(
            format!("async, 128 B, 16 x 64, {topics} topics: msg/s beside 1 topic"),
            rates[0],
            *rate,
            Wanted::AtLeast(0.85),
        );
    }
    Ok(())
}

/// Writes the topics as a broker would have saved them; making ten thousand one by one takes minutes. Each has one queue.
fn make_topics(folder: &Path) -> Result<()> {
    let mut table = serde_json::Map::new();
    for topics in TOPICS {
        let name =
            |index: usize| if topics == 1 { format!("growth-{topics}") } else { format!("growth-{topics}-{index}") };
        for name in (0..topics).map(name) {
            let config = json!({
                "attributes": {}, "order": false, "perm": 6, "readQueueNums": 1, "writeQueueNums": 1,
                "topicFilterType": "SINGLE_TAG", "topicName": name, "topicSysFlag": 0,
            });
            table.insert(name, config);
        }
    }
    let file = json!({
        "dataVersion": { "counter": 1, "stateVersion": 0, "timestamp": 1_700_000_000_000_u64 }, "topicConfigTable": table,
    });
    let path = folder.join("data/broker-a/config/topics.json");
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    Ok(std::fs::write(path, serde_json::to_vec(&file)?)?)
}

fn log_length(table: &mut Table, seconds: f64, rounds: usize, most_gb: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let free = free_gb(folder.path())?;
    let node = start(folder.path())?;
    let (mut first, mut written, mut reached) = (None, 0, 0);
    for gb in LOG_GB.into_iter().filter(|gb| *gb <= most_gb && gb + SPARE_GB < free) {
        while written < gb * GB {
            let report = produce(node.broker, &Load::new("fill", 4, 16, FILL_SIZE, 1.0))?;
            ensure!(report.stored > 0, "nothing was stored while the log was filled");
            written += report.stored * FILL_SIZE as u64;
        }
        let mut rates = Vec::new();
        for _ in 0..rounds {
            let report = produce(node.broker, &Load::new("growth", 16, 64, 128, seconds))?;
            ensure!(report.refused == 0, "{} messages were refused", report.refused);
            written += report.stored * 300;
            rates.push(report.messages_per_s);
        }
        let rate = median(rates);
        say(&format!("{gb} GB of log: {rate:.0} msg/s"));
        match first {
            None => first = Some(rate),
            Some(first) => table.row(
                format!("async, 128 B, 16 x 64, {gb} GB of log: msg/s beside 1 GB"),
                first,
                rate,
                Wanted::AtLeast(0.85),
            ),
        }
        reached = gb;
    }
    table.note(format!(
        "the disk had {free} GB free, of which {SPARE_GB} GB are spared: the log was measured up to {reached} GB"
    ));
    Ok(())
}

fn start(folder: &Path) -> Result<Node> {
    let config = config(folder, "[broker]\nflush = \"async\"\n")?;
    Node::start(&NodeOptions { data: folder.join("data"), config: Some(config), ..NodeOptions::default() })
}

fn free_gb(folder: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize) / GB)
}
