//! `gantry plugin build`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Result, bail};
use gantry_plugin_build::{Output, Toolchain};

/// Build the plugins of a project into .wasm files
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Write the list of files as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if !args.project.join("Cargo.toml").is_file() {
        bail!("{} has no Cargo.toml; `gantry plugin new NAME` starts a project", args.project.display());
    }
    let toolchain = Toolchain::find(&args.project)?;
    let built = toolchain.build(&args.project, None, Output::Shown)?;
    let mut out = io::stdout();
    if args.json {
        let files: Vec<_> =
            built.iter().map(|built| serde_json::json!({ "plugin": built.package, "file": built.file })).collect();
        writeln!(out, "{}", serde_json::Value::from(files))?;
        return Ok(());
    }
    for built in built {
        writeln!(out, "{}", built.file.display())?;
    }
    Ok(())
}
