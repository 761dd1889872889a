//! The wasm toolchain and the plugins that ship with Gantry.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use gantry_plugin_build::{DEBIAN_PACKAGES, Output, TARGET, Toolchain};

use crate::run::{command, target, workspace};

/// Builds every plugin of `plugins/` into [`plugin_dir`], as `<package>.wasm`. Brings a compiler first when there is none.
pub(crate) fn build_plugins() -> Result<()> {
    let project = workspace().join("plugins");
    let toolchain = match Toolchain::find(&project) {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            println!("{missing}\nTrying to install it now.");
            install();
            Toolchain::find(&project)?
        }
    };
    println!("Building the plugins with {}.", toolchain.describe());
    let folder = plugin_dir()?;
    for built in toolchain.build(&project, Some(&folder), Output::Shown)? {
        let to = folder.join(format!("{}.wasm", built.package));
        // Written beside and renamed, for a node may be watching the file.
        let beside = to.with_extension("wasm.new");
        fs::copy(&built.file, &beside).and_then(|_| fs::rename(&beside, &to)).with_context(|| to.display().to_string())?;
        println!("  {}", to.display());
    }
    Ok(())
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
