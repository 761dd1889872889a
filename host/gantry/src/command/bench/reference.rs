//! `gantry bench reference`.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    bench::{backlog::Spec, reference::Reference},
    exit::Outcome,
    output,
};

/// Serve as the bare reference: frame, append, answer, and nothing else
///
/// What no broker can be faster than on this machine. It runs until it is killed; `bench versus-reference` runs it beside a
/// broker.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port on the loopback; 0 = any free one
    #[arg(long, value_name = "PORT", default_value_t = 10_999)]
    port: u16,
    /// File that requests are appended to; it is emptied first
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Threads that serve [default: one a core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Messages to make when it starts, for `bench consume`; then it answers pulls, too
    #[arg(long, value_name = "MESSAGES")]
    backlog: Option<u64>,
    /// Topic of the backlog
    #[arg(long, value_name = "NAME", default_value = "gantry-bench")]
    topic: String,
    /// Queues of the backlog
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    queues: u32,
    /// Bytes of a message's body in the backlog
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,
    /// Write where it listens as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (topic, queues, size) = (args.topic.clone(), args.queues, args.size);
    let backlog = args.backlog.map(|messages| Spec { topic, messages, queues, size });
    let reference = Reference::bind(args.port, &args.file, backlog.as_ref())?;
    let address = reference.address()?;
    if args.json {
        output::json(&json!({ "address": address }))?;
    } else {
        output::line(&format!("reference server on {address}, appends to {}", args.file.display()))?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(reference.serve(args.threads.unwrap_or(cores).max(1))?)
}
