//! Running other programs: loudly, and stopping at the first that fails.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The folder of the top-level Cargo.toml.
pub(crate) fn workspace() -> &'static Path {
    // host/xtask is two levels below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// A command that says what it ran when it fails.
pub(crate) struct Run(Command);

pub(crate) fn command(program: impl AsRef<OsStr>) -> Run {
    Run(Command::new(program))
}

/// The cargo that runs this.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Run {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(arguments).current_dir(workspace())
}

impl Run {
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn current_dir(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let shown = format!("{:?}", self.0).replace('"', "");
        let status = self.0.status().with_context(|| format!("could not start {shown}"))?;
        if !status.success() {
            bail!("{shown} ended with {status}");
        }
        Ok(())
    }
}

/// Builds one program of a package in release mode and returns its path.
pub(crate) fn binary(package: &str, name: &str) -> Result<PathBuf> {
    cargo(["build", "--release", "--package", package, "--bin", name]).run()?;
    Ok(target().join("release").join(name))
}
