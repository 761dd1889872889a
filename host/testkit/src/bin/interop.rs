//! Starts a node and runs the official clients against it.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use gantry_testkit::node::{Node, NodeOptions};

/// A case of the suite that needs what is not built yet: consumer progress over the network.
const NOT_BUILT_YET: &str = "admin-progress";

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Node::start(&NodeOptions { data: folder.path().join("data"), ..NodeOptions::default() })?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/run.sh");
    let status = Command::new(&script)
        .args(["--namesrv", &node.name_server.to_string()])
        .args(std::env::args().skip(1))
        .env("INTEROP_EXCEPT", NOT_BUILT_YET)
        .status()
        .with_context(|| format!("could not start {}", script.display()))?;
    if !status.success() {
        bail!("official clients: {status}");
    }
    let end = node.terminate()?;
    if !end.success() {
        bail!("the node did not drain cleanly: {end}");
    }
    Ok(())
}
