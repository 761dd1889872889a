//! What the producing benchmarks have in common.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use gantry_protocol::frame::Codec;

use crate::{
    bench::{produce::Load, producer::Run, target::Target, template::Shape},
    exit::{Exit, Failure, Outcome},
};

/// Load of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// Connections at once
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = count)]
    pub(crate) connections: usize,
    /// Requests in flight on each connection
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = count)]
    window: usize,
    /// Bytes of a message's body
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// Messages in a request; above 1 they are sent as batches
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = count)]
    batch: usize,
    /// Encoding of request headers
    #[arg(long, value_enum, default_value_t = Header::Binary)]
    header: Header,
    /// Seconds to send, unless --count is given [default: 10]
    #[arg(long, value_name = "SECONDS", conflicts_with = "count")]
    duration: Option<f64>,
    /// Messages to send
    #[arg(long, value_name = "MESSAGES")]
    count: Option<u64>,
    /// Messages a second over all connections, sent when due whatever became of earlier ones; latency counts from then
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<f64>,
    /// Seconds before measuring begins
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warmup: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Header {
    /// As Java sends it
    Json,
    /// RocketMQ's binary encoding
    Binary,
}

impl LoadArgs {
    /// The load on `targets`.
    pub(crate) fn load(&self, topic: &str, targets: Vec<Target>) -> Load {
        let codec = match self.header {
            Header::Json => Codec::Json,
            Header::Binary => Codec::Binary,
        };
        let shape = Shape { codec, topic: topic.to_owned(), size: self.size, batch: self.batch, due: None };
        let topics = Vec::new();
        Load {
            targets,
            shape,
            topics,
            connections: self.connections,
            window: self.window,
            rate: self.rate,
            count: self.count,
        }
    }

    /// Seconds of a run with a duration.
    pub(crate) fn seconds(&self) -> f64 {
        self.duration.unwrap_or(10.0)
    }

    /// Seconds before measuring begins; a run with a count is measured whole.
    pub(crate) fn warmup(&self) -> Outcome<Duration> {
        let seconds = if self.count.is_some() { 0.0 } else { self.warmup };
        duration("--warmup", seconds)
    }

    /// A run that begins now.
    pub(crate) fn start(&self) -> Outcome<Arc<Run>> {
        let until = if self.count.is_some() { None } else { Some(duration("--duration", self.seconds())?) };
        Ok(Arc::new(Run::start(self.warmup()?, until)))
    }
}

/// A number of connections or the like.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "give 1 to 100000".to_owned())
}

/// A duration of the command line.
pub(crate) fn duration(flag: &str, seconds: f64) -> Outcome<Duration> {
    let refused = |_| Failure::new(Exit::Usage, format!("{flag} is {seconds}; give seconds, at most a year"));
    Duration::try_from_secs_f64(seconds.min(31_536_000.0)).map_err(refused)
}

/// Number of the first producer of this run: different from run to run, so that stamps of runs on one topic do not mix.
pub(crate) fn base_id() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The lowest bits are left to the connections.
    (now.as_millis() as u32 ^ std::process::id()) << 10
}
