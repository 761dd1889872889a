//! `gantry store check`.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::disk::{Disk, RealDisk};
use gantry_store::inspect::{self, CheckReport};
use indicatif::{ProgressBar, ProgressStyle};

use super::store_folder;
use crate::{
    exit::{Exit, Failure, Outcome},
    output,
};

/// Between two looks of the progress bar.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Read every file of a stopped store and say what is wrong; nothing is changed
///
/// Checks every record of the log against its checksum, consume queues against the log in both directions, files against
/// their checksums, and whether configuration files can be read. Directories of Apache RocketMQ are read too.
/// Exit codes: 0 nothing is wrong, 1 something is, 2 it could not be checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker's folder, or the data directory of a node with one broker
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Check what the newest checkpoint covers while a process works on the directory
    #[arg(long)]
    running: bool,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let dir = store_folder(&args.dir)?;
    let disk = RealDisk;
    // Held while it reads, so that no node starts meanwhile. Who may not write here could not start one either.
    let lock = if dir.join("lock").exists() { Some(disk.lock(&dir.join("lock"))) } else { None };
    if let Some(Err(error)) = &lock
        && error.kind() == std::io::ErrorKind::WouldBlock
        && !args.running
    {
        let text = format!(
            "{} is in use by a running process; stop it, or check what its newest checkpoint covers with --running",
            dir.display()
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let begun = Instant::now();
    let mut drawn = begun;
    let bar = std::io::stderr().is_terminal().then(|| {
        // The template is a constant that parses.
        let style =
            ProgressStyle::with_template("checking {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let report = inspect::check(Arc::new(disk), &dir, args.running, &mut |progress| {
        if let Some(bar) = bar.as_ref().filter(|_| drawn.elapsed() >= DRAW_EVERY) {
            drawn = Instant::now();
            bar.set_length(progress.total);
            bar.set_position(progress.done);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let report = report.map_err(|error| Failure::new(Exit::Usage, format!("it could not be checked: {error}")))?;
    if args.json {
        output::json(&report)?;
    } else {
        output::line(&text(&report, begun.elapsed()))?;
    }
    match report.problems_total {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, "1 problem was found")),
        count => Err(Failure::new(Exit::Failed, format!("{count} problems were found"))),
    }
}

fn text(report: &CheckReport, took: Duration) -> String {
    let bytes = report.end - report.min.min(report.end);
    let rate = bytes as f64 / 1e9 / took.as_secs_f64().max(1e-9);
    let mut out = format!(
        "log         {} to {}: {} records, {} with a checksum over all of them\nqueues      {}, {} entries compared with the log",
        report.min, report.end, report.records, report.records_checked_whole, report.queues, report.entries
    );
    if report.undispatched > 0 {
        out += &format!(", {} messages to be dispatched at the next start", report.undispatched);
    }
    out += &format!("\nchecksums   {} files", report.files_with_checksum);
    let end = if report.clean { "shut down in order" } else { "not shut down in order, or running" };
    match report.checkpoint {
        Some(position) => out += &format!("\ncheckpoint  {position}, {end}"),
        None => out += &format!("\ncheckpoint  none of Gantry's, {end}"),
    }
    out += &format!("\ntook        {:.1} s, {rate:.2} GB/s", took.as_secs_f64());
    for note in &report.notes {
        out += &format!("\nnote        {note}");
    }
    for problem in &report.problems {
        let label = if problem.skipped { "given up" } else { "PROBLEM " };
        out += &format!("\n{label}    {}, position {}: {}", problem.file, problem.position, problem.problem);
    }
    let skipped = report.problems.iter().filter(|problem| problem.skipped).count() as u64;
    let unlisted = report.problems_total.saturating_sub(report.problems.len() as u64 - skipped);
    if unlisted > 0 {
        out += &format!("\n            and {unlisted} more");
    }
    out += if report.problems_total == 0 { "\nnothing is wrong" } else { "" };
    out
}
