//! `gantry bench timers`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    interrupted,
    load::{LoadArgs, base_id, duration},
    produce::{self, runtime},
    threads,
};
use crate::{
    bench::{
        target::Where,
        timers::{self, DueWindow, TimersReport},
        watch::Watcher,
    },
    exit::{Exit, Failure, Outcome},
    output,
};

/// Send timed messages that fall due within one window, receive them, and say how late they came
///
/// Fails when one came early, or did not come, or twice.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    load: LoadArgs,
    /// Seconds over which the messages fall due
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    due_within: f64,
    /// Seconds from now to the first of them; all must be sent by then
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    lead: f64,
    /// Write the report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (lead, within) = (duration("--lead", args.lead)?, duration("--due-within", args.due_within)?);
    let client = args.place.client();
    let targets = runtime()?.block_on(args.place.targets(&client))?;
    let mut load = args.load.load(&args.place.topic, targets);
    if load.shape.batch > 1 {
        return Err(Failure::new(Exit::Usage, "timed messages cannot be sent as batches: leave --batch out"));
    }
    let count = *load.count.get_or_insert(1_000_000);
    let from = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + lead;
    let window = DueWindow {
        from_ms: from.as_millis() as u64,
        len_ms: within.as_millis() as u64,
        messages: count.div_ceil(load.connections as u64),
    };
    load.shape.due = Some(window);
    let run = std::sync::Arc::new(crate::bench::producer::Run::start(Duration::ZERO, None));
    let watcher = Watcher::start(&run, "sending timed messages")?;
    let report = timers::run(&client, &load, window, &run, threads(load.connections), base_id())?;
    let stopped = watcher.interrupted();
    drop(watcher);
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&text(&report))?;
    }
    if stopped {
        return Err(interrupted());
    }
    let audit = report.audit;
    if report.early + audit.missing + audit.duplicated + audit.altered > 0 {
        return Err(Failure::new(
            Exit::Failed,
            "timed messages came early, twice, altered or not at all; see the report",
        ));
    }
    if report.spare_s < 0.0 {
        return Err(Failure::new(
            Exit::Failed,
            "messages were still being sent when the first fell due: give a longer --lead",
        ));
    }
    produce::complete(&report.produce)
}

fn text(report: &TimersReport) -> String {
    let audit = report.audit;
    format!(
        "{}\nspare     {:.1} s between the last send and the first due time\nreceived  {}; early {}, missing {}, duplicated {}, \
         out of order {}\nstored    late by {}\nreceived  late by {}",
        produce::text(&report.produce),
        report.spare_s,
        audit.received,
        report.early,
        audit.missing,
        audit.duplicated,
        audit.out_of_order,
        report.stored_late,
        report.received_late
    )
}
