//! The program of the fault campaign on the simulated disk; `cargo xtask faults` builds and runs it.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{process::ExitCode, thread::available_parallelism};

use clap::Parser;
use gantry_faults::parts::{self, Scale};

#[derive(Parser)]
#[command(
    name = "faults",
    about = "The store on a simulated disk that fails in every way, and an oracle outside of it"
)]
struct Cli {
    /// Random runs of the part power-loss; the others follow from it or are exhaustive
    #[arg(long, default_value_t = 20_000)]
    rounds: u64,
    /// First seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this part
    #[arg(long)]
    only: Option<String>,
    /// Only this trial of the part, as a violation names it
    #[arg(long, requires = "only")]
    trial: Option<u64>,
    /// A slice for every change, minutes instead of an hour
    #[arg(long)]
    slice: bool,
    /// Show that each planted bug is noticed, by what and how fast
    #[arg(long)]
    planted: bool,
    /// Threads; as many as there are cores if not given
    #[arg(long)]
    threads: Option<usize>,
}

/// Random runs of a slice.
const SLICE_ROUNDS: u64 = 2_000;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = cli.threads.unwrap_or_else(|| available_parallelism().map_or(2, usize::from));
    let rounds = if cli.slice { cli.rounds.min(SLICE_ROUNDS) } else { cli.rounds };
    let scale = Scale { seed: cli.seed, rounds, slice: cli.slice };
    if cli.planted {
        return planted(Scale { slice: true, rounds: rounds.min(SLICE_ROUNDS), ..scale }, threads);
    }
    let parts: Vec<_> =
        parts::all(scale).into_iter().filter(|part| cli.only.as_ref().is_none_or(|only| only == part.name)).collect();
    if parts.is_empty() {
        let names: Vec<_> = parts::all(scale).iter().map(|part| part.name).collect();
        eprintln!("there is no such part; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    if let Some(trial) = cli.trial {
        return match parts[0].trial(trial) {
            Ok(tally) => {
                println!("{} {trial} holds: {tally}", parts[0].name);
                ExitCode::SUCCESS
            }
            Err(violation) => {
                println!("{} {trial}: {violation}", parts[0].name);
                ExitCode::FAILURE
            }
        };
    }
    let mut violated = 0;
    println!("{:<12} {:>9} {:>8} {:>8}  what happened", "part", "trials", "per s", "violated");
    for part in &parts {
        let outcome = part.run_all(threads, true);
        let rate = outcome.trials as f64 / outcome.elapsed.as_secs_f64().max(1e-9);
        println!(
            "{:<12} {:>9} {rate:>8.0} {:>8}  {}: {}",
            part.name,
            outcome.trials,
            outcome.violations.len(),
            part.about,
            outcome.tally
        );
        for (trial, violation) in &outcome.violations {
            println!("\n{} {trial}: {violation}", part.name);
            let slice = if cli.slice { " --slice" } else { "" };
            println!("replay: cargo xtask faults --seed {}{slice} --only {} --trial {trial}\n", cli.seed, part.name);
        }
        violated += outcome.violations.len();
    }
    println!("faults: {}", if violated == 0 { "no violation".to_owned() } else { format!("{violated} violations") });
    if violated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every bug through the parts of a slice; fails when one is not noticed.
#[cfg(feature = "planted-bugs")]
fn planted(scale: Scale, threads: usize) -> ExitCode {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use gantry_faults::planted::{ALL, notice};

    // A bug may be noticed by a panic, of which the oracle's words are enough.
    std::panic::set_hook(Box::new(|_| {}));
    let parts = parts::all(scale);
    let (next, noticed) = (AtomicUsize::new(0), Mutex::new(vec![None; ALL.len()]));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, planted)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, ALL.get(index)?)))
                {
                    let found = notice(planted.bug, &parts);
                    let short = found.as_ref().map_or("NOT NOTICED", |found| found.part);
                    eprintln!("  {:?}: {short}", planted.bug);
                    if let Ok(mut noticed) = noticed.lock() {
                        noticed[index] = found;
                    }
                }
            });
        }
    });
    let noticed = noticed.into_inner().unwrap_or_default();
    println!(
        "{:<24} {:<11} {:>6} {:>7} {:>8}  what it breaks: what the oracle said",
        "planted bug", "noticed by", "trial", "trials", "s"
    );
    for (planted, noticed) in ALL.iter().zip(&noticed) {
        let name = format!("{:?}", planted.bug);
        match noticed {
            Some(noticed) => {
                let said: String = noticed.violation.lines().next().unwrap_or_default().chars().take(100).collect();
                let seconds = noticed.elapsed.as_secs_f64();
                println!(
                    "{name:<24} {:<11} {:>6} {:>7} {seconds:>8.2}  {}: {said}",
                    noticed.part, noticed.trial, noticed.after, planted.breaks
                );
            }
            None => println!("{name:<24} NOT NOTICED                           {}", planted.breaks),
        }
    }
    let count = noticed.iter().flatten().count();
    println!("planted bugs: {count} of {} noticed", ALL.len());
    if count == ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "planted-bugs"))]
fn planted(_: Scale, _: usize) -> ExitCode {
    eprintln!(
        "this build has no planted bugs; build it with --features planted-bugs, as cargo xtask faults --planted does"
    );
    ExitCode::FAILURE
}
