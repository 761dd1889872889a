//! `gantry bench produce`: many producing connections at once, and what they measured together.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    latency::{Latency, LatencySummary},
    pace::Pace,
    producer::{Produced, Producer, Run},
    target::Target,
    template::Shape,
};

/// The load of a run.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Where it goes; connections take them in turn.
    pub(crate) targets: Vec<Target>,
    /// What is sent.
    pub(crate) shape: Shape,
    /// Topics that share the load, if it is more than the shape's. Connections divide them among themselves.
    pub(crate) topics: Vec<String>,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Frames in flight on each.
    pub(crate) window: usize,
    /// Messages a second over all connections; `None` = closed loop.
    pub(crate) rate: Option<f64>,
    /// Messages to send, if the run ends with a count.
    pub(crate) count: Option<u64>,
}

impl Load {
    /// The topics that connection `index` sends to: every so manieth, one at least.
    fn topics_of(&self, index: usize) -> Vec<String> {
        if self.topics.is_empty() {
            return vec![self.shape.topic.clone()];
        }
        let first = index % self.topics.len();
        self.topics.iter().skip(first).step_by(self.connections.max(1)).cloned().collect()
    }
}

/// What a run measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProduceReport {
    /// Messages handed to sockets, warm-up included.
    pub(crate) sent: u64,
    /// Messages answered SEND_OK, warm-up included.
    pub(crate) stored: u64,
    /// Messages without an answer in time.
    pub(crate) unanswered: u64,
    /// Messages by answer code other than SEND_OK.
    pub(crate) refused: BTreeMap<i32, u64>,
    /// Seconds measured, warm-up excluded.
    pub(crate) seconds: f64,
    /// Messages stored a second.
    pub(crate) messages_per_s: f64,
    /// Body bytes stored a second.
    pub(crate) body_bytes_per_s: f64,
    /// From handing a message to the socket (open loop: from when it was due) to its answer.
    pub(crate) latency: LatencySummary,
}

/// Runs `load` on `threads` threads of its own.
pub(crate) fn produce(
    load: &Load,
    run: &Arc<Run>,
    threads: usize,
    base_id: u32,
) -> Result<(ProduceReport, Vec<Produced>)> {
    let batch = load.shape.batch as u64;
    let frames = load.count.map(|count| count.div_ceil(batch));
    let mut producers = Vec::new();
    for index in 0..load.connections {
        let pace = match load.rate {
            Some(rate) => Pace::open_loop(rate, load.shape.batch, load.connections, index)?,
            None => Pace::unlimited(),
        };
        let connections = load.connections as u64;
        let target = &load.targets[index % load.targets.len()];
        let producer = Producer {
            broker: target.address,
            shape: load.shape.clone(),
            topics: load.topics_of(index),
            queues: target.queues,
            window: load.window,
            pace,
            frames: frames.map(|frames| frames / connections + u64::from((index as u64) < frames % connections)),
            id: base_id.wrapping_add(index as u32),
            run: run.clone(),
        };
        producers.push(producer.run());
    }
    let produced = on_threads(threads, producers)?;
    Ok((report(load, run, &produced), produced))
}

fn report(load: &Load, run: &Run, produced: &[Produced]) -> ProduceReport {
    let mut latency = Latency::new();
    let mut refused = BTreeMap::new();
    for one in produced {
        latency.merge(&one.latency);
        for (code, count) in &one.refused {
            *refused.entry(*code).or_default() += count;
        }
    }
    let sum = |of: fn(&Produced) -> u64| produced.iter().map(of).sum::<u64>();
    let last_ns = produced.iter().map(|one| one.last_answer_ns).max().unwrap_or_default();
    let seconds = Duration::from_nanos(last_ns.saturating_sub(run.warmup_ns)).as_secs_f64();
    let per_s = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
    let measured = sum(|one| one.measured) as f64;
    ProduceReport {
        sent: sum(|one| one.sent),
        stored: sum(|one| one.stored),
        unanswered: sum(|one| one.unanswered),
        refused,
        seconds,
        messages_per_s: per_s(measured),
        body_bytes_per_s: per_s(measured * load.shape.size as f64),
        latency: latency.summary(),
    }
}

/// Runs futures on threads with one single-threaded runtime each, so that a connection never moves between cores.
pub(crate) fn on_threads<F, T>(threads: usize, futures: Vec<F>) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let mut shares: Vec<Vec<F>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
    let lanes = shares.len();
    for (index, future) in futures.into_iter().enumerate() {
        shares[index % lanes].push(future);
    }
    let mut handles = Vec::new();
    for share in shares.into_iter().filter(|share| !share.is_empty()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        handles.push(std::thread::Builder::new().name("bench".into()).spawn(move || {
            runtime.block_on(async move {
                let tasks: Vec<_> = share.into_iter().map(tokio::spawn).collect();
                let mut results = Vec::new();
                for task in tasks {
                    results.push(task.await.context("a connection's task died").and_then(|result| result));
                }
                results
            })
        })?);
    }
    let mut results = Vec::new();
    for handle in handles {
        let share = handle.join().map_err(|_| anyhow::anyhow!("a benchmark thread died"))?;
        results.extend(share);
    }
    results.into_iter().collect()
}
