//! The command line: nouns, then verbs. Each command's arguments are declared beside what it does.

use clap::{Parser, Subcommand};

use crate::{
    command::{alert, bench, config, demo, plugin, reload, run, status, stop, store},
    exit::Outcome,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it was tried and did not work
  2    the command line or the configuration is wrong; nothing was tried
  3    the node, broker or name server cannot be reached
  130  interrupted before it was done

Environment:
  GANTRY_LOG   what is logged to stderr, for example info or gantry_broker=debug,warn; --log overrides it";

/// A message platform in one binary: RocketMQ's protocols, a durable log, and filters that are WebAssembly plugins
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What is logged to stderr: a level, or levels by module
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Status(status::Args),
    Reload(reload::Args),
    Stop(stop::Args),
    /// Check a cluster file, or explain what can be in one
    #[command(subcommand)]
    Config(config::Command),
    /// Write, build, check and watch plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// See what is wrong
    #[command(subcommand)]
    Alert(alert::Command),
    /// Check a store's files, show what is in them, give up what is damaged
    #[command(subcommand)]
    Store(store::Command),
    /// Measure a broker
    #[command(subcommand)]
    Bench(bench::Command),
}

impl Command {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Command::Run(args) => run::run(args),
            Command::Demo(args) => demo::run(args),
            Command::Status(args) => status::run(&args),
            Command::Reload(args) => reload::run(&args),
            Command::Stop(args) => stop::run(&args),
            Command::Config(command) => config::run(command),
            Command::Plugin(command) => plugin::run(command),
            Command::Alert(command) => alert::run(command),
            Command::Store(command) => store::run(command),
            Command::Bench(command) => bench::run(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
