//! `gantry plugin`.

mod bench;
mod build;
mod check;
mod dev;
mod inspect;
mod list;
mod new;
mod open;
mod order;
mod push;
mod test;

use crate::exit::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Test(test::Args),
    Bench(bench::Args),
    Dev(dev::Args),
    List(list::Args),
    /// Show everything that a running node knows of a plugin: versions, bindings, costs, faults
    Inspect(inspect::Args),
    /// Show what became of a plugin's versions, latest last
    History(inspect::Args),
    /// Make a running node load a plugin's file now, changed or not
    ///
    /// Without this command a changed file is noticed by itself.
    Reload(order::Args),
    /// Take a plugin out of service until it is enabled, also over a restart
    ///
    /// Its filters hold their groups (or deliver marked, as on_error says), balancers leave everything to the broker, hooks rest.
    Disable(order::Args),
    /// Put a disabled plugin back in service
    Enable(order::Args),
    Rollback(order::Rollback),
    Push(push::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::New(args) => Ok(new::run(args)?),
        Command::Build(args) => Ok(build::run(args)?),
        Command::Check(args) => Ok(check::run(args)?),
        Command::Test(args) => Ok(test::run(&args)?),
        Command::Bench(args) => Ok(bench::run(&args)?),
        Command::Dev(args) => Ok(dev::run(&args)?),
        Command::List(args) => list::run(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::History(args) => inspect::history(&args),
        Command::Reload(args) => order::reload(&args),
        Command::Disable(args) => order::enable(&args, false),
        Command::Enable(args) => order::enable(&args, true),
        Command::Rollback(args) => order::rollback(&args),
        Command::Push(args) => Ok(push::run(&args)?),
    }
}
