//! `gantry bench e2e`.

use super::{
    consume, interrupted,
    load::{LoadArgs, base_id},
    produce::{self, runtime},
    threads,
};
use crate::{
    bench::{e2e, target::Where, watch::Watcher},
    exit::{Exit, Failure, Outcome},
    output,
};

/// Send and receive at once, and hold every message received against what was sent
///
/// Fails when an acknowledged message is missing, or one came twice, altered or out of order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    load: LoadArgs,
    /// Consumer group
    #[arg(long, value_name = "NAME", default_value = "GANTRY_BENCH")]
    group: String,
    /// Write the report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let client = args.place.client();
    let targets = runtime()?.block_on(args.place.targets(&client))?;
    let load = args.load.load(&args.place.topic, targets);
    let run = args.load.start()?;
    let watcher = Watcher::start(&run, "producing and consuming")?;
    let report = e2e::run(&client, &load, &args.group, &run, threads(load.connections), base_id())?;
    let stopped = watcher.interrupted();
    drop(watcher);
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&produce::text(&report.produce))?;
        output::line(&consume::text(&report.consume))?;
    }
    if stopped {
        return Err(interrupted());
    }
    if !report.sound {
        return Err(Failure::new(Exit::Failed, "messages were lost, repeated, altered or disordered; see the report"));
    }
    produce::complete(&report.produce)
}
