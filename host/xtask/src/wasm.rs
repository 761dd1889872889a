//! The wasm toolchain and the plugins that ship with Gantry.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use gantry_plugin_build::{DEBIAN_PACKAGES, Output, TARGET, Toolchain};

use crate::run::{command, target, workspace};

/// Builds every plugin of `plugins/` into [`plugin_dir`], as `<package>.wasm`. Brings a compiler first when there is none.
pub(crate) fn build_plugins() -> Result<()> {
    build("plugins").map(drop)
}

/// Builds the filter whose verdicts a campaign writes into its bytes; its path.
pub(crate) fn build_versioned_guest() -> Result<PathBuf> {
    build("host/testkit/guests/versioned")?.pop().context("the guest's project builds nothing")
}

/// Builds the guest that misbehaves as it is told; its path.
pub(crate) fn build_hostile_guest() -> Result<PathBuf> {
    build("host/plugin/tests/guests/hostile")?.pop().context("the guest's project builds nothing")
}

fn build(project: &str) -> Result<Vec<PathBuf>> {
    let project = workspace().join(project);
    let toolchain = match Toolchain::find(&project) {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            println!("{missing}\nTrying to install it now.");
            install();
            Toolchain::find(&project)?
        }
    };
    println!("Building {} with {}.", project.display(), toolchain.describe());
    let folder = plugin_dir()?;
    let mut files = Vec::new();
    for built in toolchain.build(&project, Some(&folder), Output::Shown)? {
        let to = folder.join(format!("{}.wasm", built.package));
        // Written beside and renamed, for a node may be watching the file.
        let beside = to.with_extension("wasm.new");
        fs::copy(&built.file, &beside)
            .and_then(|_| fs::rename(&beside, &to))
            .with_context(|| to.display().to_string())?;
        let cases = built.file.with_extension("cases.json");
        if cases.exists() {
            fs::copy(&cases, to.with_extension("cases.json")).with_context(|| cases.display().to_string())?;
        }
        println!("  {}", to.display());
        files.push(to);
    }
    Ok(files)
}

/// Where the built plugins are.
pub(crate) fn plugin_dir() -> Result<PathBuf> {
    let folder = target().join("plugins");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Tries rustup, then Debian's packages. What matters is whether a compiler is found afterwards.
fn install() {
    match command("rustup").args(["target", "add", TARGET]).run() {
        Ok(()) => return,
        Err(error) => println!("rustup did not bring it: {error:#}"),
    }
    if let Err(error) = install_debian() {
        println!("Debian's packages did not bring it: {error:#}");
    }
}

fn install_debian() -> Result<()> {
    let available = Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success());
    if !available {
        bail!("this machine has no apt-get");
    }
    command("apt-get").arg("update").run()?;
    command("apt-get").args(["install", "-y", "--no-install-recommends"]).args(DEBIAN_PACKAGES).run()
}
