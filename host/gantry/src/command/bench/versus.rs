//! `gantry bench versus-reference`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{
    load::{LoadArgs, base_id, duration},
    threads,
};
use crate::{
    bench::versus::{self, Match, VersusReport},
    exit::Outcome,
    output,
};

/// Measure a broker and the bare reference server in turns, and print the ratio
///
/// Starts both in a temporary folder and removes it. A round of the broker ends only when every message can be delivered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// When the broker acknowledges
    #[arg(long, value_enum, default_value_t = Flush::Async)]
    flush: Flush,
    /// Queues of the topic
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    queues: u32,
    /// Turns of each server
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: usize,
    /// Folder in which the temporary one is made: the disk that is measured
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the report as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Flush {
    /// On disk
    Sync,
    /// Handed to the system
    Async,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let load = args.load.load("versus", Vec::new());
    let setup = Match {
        flush: match args.flush {
            Flush::Sync => "sync",
            Flush::Async => "async",
        },
        queues: args.queues.max(1),
        rounds: args.rounds.max(1),
        warmup: args.load.warmup()?,
        duration: duration("--duration", args.load.seconds())?,
        threads: threads(load.connections),
        load,
    };
    let report = versus::run(&setup, folder.path(), base_id(), |round| eprintln!("{round}"))?;
    if args.json { output::json(&report) } else { Ok(output::line(&text(&report))?) }
}

fn text(report: &VersusReport) -> String {
    let side = |side: &versus::Side| {
        format!(
            "{:.0} msg/s (median), {:.2} us of the server's processor time a message, p50 {:.0} us, p99 {:.0} us",
            side.messages_per_s, side.processor_us_per_message, side.p50_us, side.p99_us
        )
    };
    format!(
        "gantry     {}\nreference  {}\nratio      {:.3}",
        side(&report.gantry),
        side(&report.reference),
        report.ratio
    )
}
