//! Chores of this repository, in Rust so that a fresh machine needs nothing but cargo.
//!
//! `cargo xtask demo` shows Gantry at work; `cargo xtask test` runs every test; the others are their parts.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod faults;
mod run;
mod wasm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    faults::Faults,
    run::{binary, cargo, workspace},
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, tests and shows Gantry; brings the wasm toolchain when it is missing")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything and run the demo: a node, a filter, and the filter replaced while it serves
    Demo {
        /// Passed on to `gantry demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test of the workspace and of the shipped plugins
    Test,
    /// Build the shipped plugins into target/plugins
    Plugins,
    /// Run the official Java, Go and Rust clients against a node started for it
    Interop {
        /// Passed on to host/testkit/interop/run.sh, for example --quick or --only java
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the fault campaign: the store on a simulated disk that fails in every way, then kills of real nodes
    Faults(Faults),
    /// Kill a node under traffic, restart it, and compare with what it had acknowledged
    Crash {
        /// Passed on, for example --rounds 200
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Open one directory with Apache RocketMQ and with Gantry in turn; each must find all that the other stored
    Exchange {
        /// Passed on, for example --quick or --messages 10000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure Gantry beside Apache RocketMQ, a bare server, the disk, and itself when it has more to do
    Compare {
        /// Passed on: nothing, durable, backlog or growth; --quick, --json, --flush sync
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Replace plugins of all four kinds under load; audit every message against the version that judged it, and every order
    Swap {
        /// Passed on, for example --reloads 200 --rate 20000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Load two hundred hostile plugins beside honest groups
    Hostile {
        /// Passed on, for example --plugins 200 --seconds 10
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fill the disk of a node under traffic and make space again; mounts a small file system, which takes root
    Full,
    /// Have Prometheus' own tool read a busy node's metrics, and a real Alertmanager take alerts
    Telemetry,
    /// Send bad input to every listener of a node and see that honest clients do not notice
    Abuse {
        /// Passed on, for example --connections 10000
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Demo { arguments } => {
            wasm::build_plugins()?;
            let gantry = binary("gantry", "gantry")?;
            run::command(gantry).arg("demo").arg("--plugin-dir").arg(wasm::plugin_dir()?).args(arguments).run()
        }
        Task::Test => {
            // Tests load real plugins, and tests of the command line start the real binary.
            wasm::build_plugins()?;
            cargo(["test", "--workspace", "--no-fail-fast"]).run()?;
            cargo(["test", "--package", "gantry-store", "--features", "planted-bugs", "--test", "it", "--"])
                .args(["retention::", "planted_integrity::"])
                .run()?;
            cargo(["test", "--package", "gantry-faults", "--features", "planted-bugs", "--test", "planted"]).run()?;
            cargo(["test", "--workspace", "--no-fail-fast", "--manifest-path", "plugins/Cargo.toml"]).run()
        }
        Task::Plugins => wasm::build_plugins(),
        Task::Interop { arguments } => with_node("interop", &arguments),
        Task::Faults(faults) => faults.run(),
        Task::Crash { arguments } => with_node("crash", &arguments),
        Task::Exchange { arguments } => with_node("exchange", &arguments),
        Task::Compare { arguments } => with_node("compare", &arguments),
        Task::Swap { mut arguments } => {
            wasm::build_plugins()?;
            arguments.extend(["--plugins".to_owned(), wasm::plugin_dir()?.display().to_string()]);
            arguments.extend(["--guest".to_owned(), wasm::build_versioned_guest()?.display().to_string()]);
            with_node("swap", &arguments)
        }
        Task::Hostile { mut arguments } => {
            arguments.extend(["--guest".to_owned(), wasm::build_hostile_guest()?.display().to_string()]);
            with_node("hostile", &arguments)
        }
        Task::Full => with_node("full", &[]),
        Task::Telemetry => with_node("telemetry", &[]),
        Task::Abuse { arguments } => with_node("abuse", &arguments),
    }
}

/// Runs one of the testkit's programs, which start the nodes they need from the release binary.
pub(crate) fn with_node(program: &str, arguments: &[String]) -> Result<()> {
    let gantry = binary("gantry", "gantry")?;
    let testkit = binary("gantry-testkit", program)?;
    run::command(testkit).env("GANTRY_BIN", gantry).args(arguments).current_dir(workspace()).run()
}
