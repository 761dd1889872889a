//! The gantry binary: command line, cluster file, wiring of a node, control socket, benchmark, demo.
//!
//! Nothing of the message system itself is decided here. [`command`] has a file per command, [`config`] reads the cluster
//! file, [`node`] puts name server, store, broker and plugin host together and takes them apart in order, [`control`] is how
//! a running node is asked and told, [`bench`] measures one.

mod bench;
mod cli;
mod command;
mod config;
mod control;
mod exit;
mod node;
mod output;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::start(cli.log.as_deref()) {
        eprintln!("gantry: {error:#}");
        return exit::Exit::Usage.into();
    }
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gantry: {:#}", failure.error);
            failure.exit.into()
        }
    }
}
