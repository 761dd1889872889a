//! `gantry plugin`.

mod build;
mod check;
mod list;
mod new;
mod reload;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    List(list::Args),
    Reload(reload::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::New(args) => Ok(new::run(args)?),
        Command::Build(args) => Ok(build::run(args)?),
        Command::Check(args) => Ok(check::run(args)?),
        Command::List(args) => list::run(&args),
        Command::Reload(args) => reload::run(&args),
    }
}
