//! What the process says about itself: events to stderr.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Filter when nothing else is said.
const DEFAULT: &str = "info";

/// Logs events that pass `filter`, else GANTRY_LOG, else everything from `info` on.
pub(crate) fn start(filter: Option<&str>) -> Result<()> {
    let from_environment = std::env::var("GANTRY_LOG").ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or(DEFAULT);
    let parsed = EnvFilter::try_new(filter).with_context(|| {
        format!("log filter {filter:?} (--log or GANTRY_LOG); give a level such as info, or levels by module")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // stderr is often a file on the disk that fills. Told of its own failure it would print that to stderr, and panic in
        // whatever thread had something to say.
        .log_internal_errors(false)
        .init();
    Ok(())
}
