//! `gantry plugin dev`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use gantry_plugin::cases_file;
use gantry_plugin_build::{Output, Toolchain};
use notify::{RecursiveMode, Watcher};

use crate::{
    control::{Request, Target, client},
    output,
};

/// How long sources must be left alone before they are built.
const SETTLE: Duration = Duration::from_millis(150);

/// Build a plugin whenever its sources change, and put each build in service on a running node
///
/// The node must have the plugin in its cluster file; the build replaces the file that is named there. Ends with Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Name of the plugin in the cluster file; the package's own when left out
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Build and load once, then end
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let toolchain = Toolchain::find(&args.project)?;
    step(args, &toolchain)?;
    if args.once {
        return Ok(());
    }
    let (events, changes) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the sources, as the compiler does, is no change.
        if event.as_ref().is_ok_and(|event| !event.kind.is_access()) {
            // The other end is gone only when the command ends.
            let _ = events.send(());
        }
    })?;
    for part in ["src", "Cargo.toml"] {
        watcher.watch(&args.project.join(part), RecursiveMode::Recursive)?;
    }
    output::line("waiting for changes")?;
    while changes.recv().is_ok() {
        while changes.recv_timeout(SETTLE).is_ok() {}
        if let Err(error) = step(args, &toolchain) {
            output::line(&format!("not in service: {error:#}"))?;
        }
    }
    Ok(())
}

/// Builds, replaces the node's file and loads it.
fn step(args: &Args, toolchain: &Toolchain) -> Result<()> {
    let mut built = toolchain.build(&args.project, None, Output::Shown)?;
    let [built] = built.as_mut_slice() else {
        bail!("the project builds {} plugins; give the folder of one", built.len());
    };
    let name = args.name.clone().unwrap_or_else(|| built.package.clone());
    let file = file_of(args, &name)?;
    let replaced = |built: &Path, file: &Path| {
        replace(built, file).with_context(|| format!("{} cannot be replaced", file.display()))
    };
    let cases = cases_file(&built.file);
    if cases.is_file() {
        replaced(&cases, &cases_file(&file))?;
    }
    replaced(&built.file, &file)?;
    let answer = client::ask(&args.target, &Request::PluginReload { name }).map_err(|failure| failure.error)?;
    output::line(&format!("in service: {}", answer["serves"].as_str().unwrap_or_default()))?;
    Ok(())
}

/// The file that the node loads the plugin from.
fn file_of(args: &Args, name: &str) -> Result<PathBuf> {
    let plugins = client::ask(&args.target, &Request::PluginList).map_err(|failure| failure.error)?;
    let found = plugins.as_array().into_iter().flatten().find(|plugin| plugin["name"] == name);
    let file = found.and_then(|plugin| plugin["file"].as_str()).map(PathBuf::from);
    file.with_context(|| {
        format!("the node has no plugin {name:?}: add a [[plugin]] of this name to its cluster file, or give --name")
    })
}

/// As a careful writer does: a broker never sees half of it.
fn replace(built: &Path, file: &Path) -> std::io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    fs::copy(built, &beside)?;
    fs::rename(&beside, file)
}
