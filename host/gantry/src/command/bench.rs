//! `gantry bench`.

mod consume;
mod e2e;
mod load;
mod produce;
mod reference;
mod timers;
mod versus;

use crate::exit::{Exit, Failure, Outcome};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Produce(produce::Args),
    Consume(consume::Args),
    E2e(e2e::Args),
    Timers(timers::Args),
    Reference(reference::Args),
    VersusReference(versus::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::E2e(args) => e2e::run(&args),
        Command::Timers(args) => timers::run(&args),
        Command::Reference(args) => reference::run(&args),
        Command::VersusReference(args) => versus::run(&args),
    }
}

/// What an interrupted run ends with, after its report.
fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; the report covers what was done until then")
}

/// Threads of a client: the cores, since a connection never moves between threads.
fn threads(connections: usize) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(connections.max(1))
}
