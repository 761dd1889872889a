//! `gantry alert`.

mod list;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list::run(&args),
    }
}
