//! A broker and the bare reference server, measured in turns on one machine: what the broker's own work costs.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Options};
use serde::Serialize;

use super::{
    child::Server,
    e2e,
    produce::{self, Load, ProduceReport},
    producer::Run,
    target::Target,
};

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    /// The load of both; its targets are filled in.
    pub(crate) load: Load,
    /// `sync` or `async`, for the broker.
    pub(crate) flush: &'static str,
    /// Queues of the topic.
    pub(crate) queues: u32,
    /// Turns of each server.
    pub(crate) rounds: usize,
    /// Of each turn, before it is measured.
    pub(crate) warmup: Duration,
    /// Of each turn.
    pub(crate) duration: Duration,
    /// Threads of the client.
    pub(crate) threads: usize,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct VersusReport {
    pub(crate) gantry: Side,
    pub(crate) reference: Side,
    /// Messages a second of the broker by those of the reference.
    pub(crate) ratio: f64,
}

/// One server's rounds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Side {
    /// Messages a second, in the order of the rounds.
    pub(crate) rounds: Vec<f64>,
    /// Their median.
    pub(crate) messages_per_s: f64,
    /// Processor time of the server per message, microseconds, over all rounds.
    pub(crate) processor_us_per_message: f64,
    /// Median latencies of the round with the median rate.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    #[serde(skip)]
    reports: Vec<ProduceReport>,
}

/// Starts both servers in `folder` and lets them take turns. `said` hears of each round.
pub(crate) fn run(setup: &Match, folder: &Path, run_id: u32, mut said: impl FnMut(&str)) -> Result<VersusReport> {
    let config = folder.join("versus.toml");
    std::fs::write(&config, format!("[broker]\nflush = \"{}\"\n", setup.flush))?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the temporary folder's path is not UTF-8");
    let (config, data) = (text(&config)?, text(&folder.join("data"))?);
    let ports = ["--namesrv-port", "0", "--port", "0", "--http-port", "0"];
    let mut arguments = vec!["run", "--json", "--config", &config, "--data", &data];
    arguments.extend(ports);
    let gantry = Server::start(&arguments, &folder.join("gantry.log"))?;
    let file = text(&folder.join("reference.log"))?;
    let reference = Server::start(
        &["bench", "reference", "--json", "--port", "0", "--file", &file],
        &folder.join("reference.err"),
    )?;

    let target = |server: &Server, key: &str| -> Result<Target> {
        let address = server.ready[key].as_str().and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("no {key} in {}", server.ready))?;
        Ok(Target { name: String::new(), address, queues: setup.queues })
    };
    let (broker, bare) = (target(&gantry, "broker")?, target(&reference, "address")?);
    let client = Client::new(Vec::new(), Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topic = setup.load.shape.topic.clone();
    runtime.block_on(client.put_topic(
        &broker.address.to_string(),
        &gantry_model::topic::TopicConfig::new(&topic, setup.queues, gantry_model::topic::Perm::READ_WRITE),
    ))?;

    let (mut ours, mut theirs) = (Side::default(), Side::default());
    for round in 0..setup.rounds {
        for (side, target, name) in [(&mut theirs, &bare, "reference"), (&mut ours, &broker, "gantry")] {
            let load = Load { targets: vec![target.clone()], ..setup.load.clone() };
            let run = Arc::new(Run::start(setup.warmup, Some(setup.duration)));
            let base = run_id.wrapping_add((round as u32) << 8);
            let begin =
                if name == "gantry" { runtime.block_on(e2e::ends(&client, &load.targets, &topic))? } else { vec![] };
            let (report, _) = produce::produce(&load, &run, setup.threads, base)?;
            if report.stored != report.sent {
                bail!(
                    "{name}: {} of {} messages were not stored; codes {:?}",
                    report.sent - report.stored,
                    report.sent,
                    report.refused
                );
            }
            if name == "gantry" {
                // Not before every message can be delivered: dispatch that lags behind would only move work out of sight.
                runtime.block_on(e2e::dispatched(&client, &load, &topic, &begin, report.stored))?;
            }
            said(&format!("round {} {name:9} {:>9.0} msg/s  {}", round + 1, report.messages_per_s, report.latency));
            side.reports.push(report);
        }
    }
    ours.sum_up(&gantry);
    theirs.sum_up(&reference);
    let ratio = ours.messages_per_s / theirs.messages_per_s;
    Ok(VersusReport { gantry: ours, reference: theirs, ratio })
}

impl Side {
    fn sum_up(&mut self, server: &Server) {
        self.rounds = self.reports.iter().map(|report| report.messages_per_s).collect();
        let stored: u64 = self.reports.iter().map(|report| report.stored).sum();
        let seconds = server.processor_seconds().unwrap_or_default();
        self.processor_us_per_message = seconds * 1e6 / stored.max(1) as f64;
        self.reports.sort_by(|a, b| a.messages_per_s.total_cmp(&b.messages_per_s));
        if let Some(median) = self.reports.get(self.reports.len() / 2) {
            self.messages_per_s = median.messages_per_s;
            (self.p50_us, self.p99_us) = (median.latency.p50_us, median.latency.p99_us);
        }
    }
}
