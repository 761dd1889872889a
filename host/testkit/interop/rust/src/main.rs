//! Drives the Rust client through named cases and prints a line for each.

// The client's nested futures exceed the default of 128 when they are checked for Send.
#![recursion_limit = "512"]

mod cases;
mod client;
mod inbox;
mod payload;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

const CASE_LIMIT: Duration = Duration::from_secs(60);

/// What every case is told.
pub struct Settings {
    pub namesrv: String,
    /// Prefix of every topic and group, so that runs do not meet on a server that keeps its data.
    pub run: String,
    pub quick: bool,
}

fn main() -> ExitCode {
    let option = |name: &str| {
        let mut arguments = std::env::args().skip_while(|a| a != name);
        arguments.nth(1)
    };
    let only = option("--case");
    if only.as_deref() == Some("list") {
        cases::NAMES.iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let Some(namesrv) = option("--namesrv") else {
        eprintln!("usage: --namesrv HOST:PORT [--run ID] [--mode quick|full] [--case NAME]");
        return ExitCode::from(2);
    };
    let settings = Settings {
        namesrv,
        run: option("--run").unwrap_or_else(run_id),
        quick: option("--mode").as_deref() == Some("quick"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime starts");
    let mut failed = false;
    for name in cases::NAMES {
        if only.as_deref().is_none_or(|only| only == *name) {
            failed |= !runtime.block_on(passes(name, &settings));
        }
    }
    // The client may leave tasks behind; nothing waits for them.
    runtime.shutdown_background();
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn run_id() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    format!("it{}", now.map_or(0, |d| d.as_millis()))
}

async fn passes(name: &str, settings: &Settings) -> bool {
    let began = Instant::now();
    let outcome = tokio::time::timeout(CASE_LIMIT, cases::run(name, settings)).await;
    match outcome {
        Ok(Ok(detail)) => {
            println!("ok  rust/{name}  ({:.1}s) {detail}", began.elapsed().as_secs_f64());
            true
        }
        Ok(Err(reason)) => {
            println!("FAIL rust/{name} {}", reason.replace('\n', " "));
            false
        }
        Err(_) => {
            println!("FAIL rust/{name} not finished after {} s", CASE_LIMIT.as_secs());
            false
        }
    }
}
