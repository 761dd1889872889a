//! `gantry bench produce`.

use anyhow::Result;

use super::{
    interrupted,
    load::{LoadArgs, base_id, count},
    threads,
};
use crate::{
    bench::{
        produce::{self, ProduceReport},
        target::Where,
        watch::Watcher,
    },
    exit::{Exit, Failure, Outcome},
    output,
};

/// Send messages as fast as the window allows, or at a given rate
///
/// Fails when a message was refused or not answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    load: LoadArgs,
    /// Topics that share the load; above 1 they are NAME-0, NAME-1 ..., with as many queues each as NAME-0 has
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = count)]
    topics: usize,
    /// Write the report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let client = args.place.client();
    let mut place = args.place.clone();
    let mut topics = Vec::new();
    if args.topics > 1 {
        topics.extend((0..args.topics).map(|index| format!("{}-{index}", place.topic)));
        place.topic.push_str("-0");
    }
    let runtime = runtime()?;
    let targets = runtime.block_on(place.targets(&client))?;
    runtime.block_on(place.make_missing(&client, &targets, &topics))?;
    let mut load = args.load.load(&place.topic, targets);
    load.topics = topics;
    let run = args.load.start()?;
    let watcher = Watcher::start(&run, "producing")?;
    let (report, _) = produce::produce(&load, &run, threads(load.connections), base_id())?;
    let stopped = watcher.interrupted();
    drop(watcher);
    if args.json {
        output::json(&report)?
    } else {
        output::line(&text(&report))?
    }
    if stopped {
        return Err(interrupted());
    }
    complete(&report)
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

pub(super) fn text(report: &ProduceReport) -> String {
    format!(
        "produced  {:.0} msg/s, {:.1} MB/s over {:.1} s; {} sent, {} stored\nlatency   {}",
        report.messages_per_s,
        report.body_bytes_per_s / 1e6,
        report.seconds,
        report.sent,
        report.stored,
        report.latency
    )
}

/// Fails unless everything was stored.
pub(super) fn complete(report: &ProduceReport) -> Outcome {
    if report.stored == report.sent {
        return Ok(());
    }
    let codes = report.refused.iter().map(|(code, count)| format!("code {code}: {count}")).collect::<Vec<_>>();
    let text = format!("{} messages were not answered; refused: [{}]", report.unanswered, codes.join(", "));
    Err(Failure::new(Exit::Failed, text))
}
