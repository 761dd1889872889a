//! `gantry bench consume`.

use clap::ValueEnum;

use std::sync::{Arc, atomic::Ordering};

use super::{
    interrupted,
    load::{count, duration},
    produce::runtime,
    threads,
};
use crate::{
    bench::{
        consume::{self, ConsumeReport},
        e2e::ends,
        producer::Run,
        target::Where,
        watch::Watcher,
    },
    exit::{Exit, Failure, Outcome},
    output,
};

/// Pull all queues of a topic and check what `bench produce` put there
///
/// Ends at what the queues hold when it starts, or after --duration. Fails when a message is missing between others, came
/// twice, altered or out of order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// Consumer group
    #[arg(long, value_name = "NAME", default_value = "GANTRY_BENCH")]
    group: String,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::First)]
    from: From,
    /// Connections at once
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = count)]
    connections: usize,
    /// Seconds to go on for, waiting for new messages
    #[arg(long, value_name = "SECONDS", required_if_eq("from", "last"))]
    duration: Option<f64>,
    /// Write the report as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// The first message
    First,
    /// Behind the last message
    Last,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let client = args.place.client();
    let runtime = runtime()?;
    let targets = runtime.block_on(args.place.targets(&client))?;
    let end = runtime.block_on(ends(&client, &targets, &args.place.topic))?;
    let begin = match args.from {
        From::First => end.iter().map(|queues| vec![0; queues.len()]).collect(),
        From::Last => end.clone(),
    };
    let lots = consume::lots(&targets, &args.place.topic, &begin);
    let until = match args.duration {
        Some(seconds) => Some(duration("--duration", seconds)?),
        None => {
            for (lot, end) in lots.iter().zip(end.iter().flatten()) {
                lot.until.store(*end, Ordering::Release);
            }
            None
        }
    };
    let run = Arc::new(Run::start(std::time::Duration::ZERO, until));
    let watcher = Watcher::start(&run, "consuming")?;
    let consumed = consume::consume(&args.group, &lots, args.connections, threads(args.connections), &run)?;
    let stopped = watcher.interrupted();
    drop(watcher);
    let report = consumed.report(consumed.ledger.audit_alone());
    if args.json {
        output::json(&report)?
    } else {
        output::line(&text(&report))?
    }
    if stopped {
        return Err(interrupted());
    }
    let audit = report.audit;
    if audit.missing + audit.duplicated + audit.out_of_order + audit.altered > 0 {
        return Err(Failure::new(Exit::Failed, "not every message is as it was sent; see the report"));
    }
    Ok(())
}

pub(super) fn text(report: &ConsumeReport) -> String {
    let audit = &report.audit;
    format!(
        "consumed  {:.0} msg/s, {:.1} MB/s over {:.1} s; {} received, {} missing, {} duplicated, {} out of order, {} altered\n\
         age       {}",
        report.messages_per_s,
        report.body_bytes_per_s / 1e6,
        report.seconds,
        audit.received,
        audit.missing,
        audit.duplicated,
        audit.out_of_order,
        audit.altered,
        report.latency
    )
}
