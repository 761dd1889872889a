//! Building a plugin project.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use serde_json::Value;

use crate::toolchain::{DEBIAN_PACKAGES, Toolchain};

/// Where cargo's own words go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To the terminal, as they come.
    Shown,
    /// Into the error, should there be one.
    Kept,
}

/// One plugin that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Name of the package.
    pub package: String,
    /// The `.wasm` file; the package's cases, if it has any, lie beside it as `<its name>.cases.json`.
    pub file: PathBuf,
    /// Folder of the package.
    pub folder: PathBuf,
}

/// The project did not become a plugin.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// cargo could not be run.
    #[error("cargo could not be started in {}: {error}", project.display())]
    Start {
        /// Folder of the project.
        project: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// cargo ran and failed.
    #[error("cargo could not build {} ({status}){words}", project.display())]
    Failed {
        /// Folder of the project.
        project: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
        /// What it said, if that was kept.
        words: String,
    },
    /// Everything compiled, but there is no module.
    #[error("{} built, but made no .wasm file; its Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]", project.display())]
    NoModule {
        /// Folder of the project.
        project: PathBuf,
    },
}

impl Toolchain {
    /// How it was found, in words for the terminal.
    pub fn describe(&self) -> String {
        match self {
            Toolchain::Installed => "the installed Rust toolchain".to_owned(),
            Toolchain::Debian { linker } => {
                format!("Debian's {}, linking with {}", DEBIAN_PACKAGES.join(", "), linker.display())
            }
        }
    }

    /// Builds every plugin of the project (or workspace) in release mode. `target_dir` is cargo's own when not given.
    pub fn build(&self, project: &Path, target_dir: Option<&Path>, output: Output) -> Result<Vec<Built>, BuildError> {
        let start_error = |error| BuildError::Start { project: project.to_path_buf(), error };
        let mut command = self.cargo(project, "build");
        command.args(["--release", "--message-format", "json-render-diagnostics"]);
        if let Some(target_dir) = target_dir {
            command.arg("--target-dir").arg(target_dir);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(if output == Output::Shown { Stdio::inherit() } else { Stdio::piped() });
        let mut cargo = command.spawn().map_err(start_error)?;
        // Read beside stdout: a full pipe would stop cargo.
        let words = cargo.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut words = Vec::new();
                stderr.read_to_end(&mut words).map(|_| String::from_utf8_lossy(&words).into_owned())
            })
        });
        let mut built = Vec::new();
        for line in cargo.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            built.extend(module(&line.map_err(start_error)?));
        }
        let status = cargo.wait().map_err(start_error)?;
        let words = words.and_then(|thread| thread.join().ok()?.ok()).unwrap_or_default();
        match (status.success(), built.is_empty()) {
            (false, _) => {
                Err(BuildError::Failed { project: project.to_path_buf(), status, words: format!("\n{words}") })
            }
            (true, true) => Err(BuildError::NoModule { project: project.to_path_buf() }),
            (true, false) => {
                built.iter().try_for_each(with_cases).map_err(start_error)?;
                Ok(built)
            }
        }
    }
}

/// Puts the cases of a package, `<its module>.cases.json` or `<its name>.cases.json`, beside the module: there whoever loads it
/// looks for them.
fn with_cases(built: &Built) -> std::io::Result<()> {
    let beside = built.file.with_extension("cases.json");
    let module = beside.file_name().map(Path::new).unwrap_or(Path::new("cases.json")).to_path_buf();
    let named = [module, format!("{}.cases.json", built.package).into()];
    match named.iter().map(|name| built.folder.join(name)).find(|cases| cases.is_file()) {
        Some(cases) => std::fs::copy(cases, beside).map(drop),
        None => Ok(()),
    }
}

/// The module that a line of cargo's messages tells of.
fn module(line: &str) -> Option<Built> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_cdylib = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "cdylib");
    if message["reason"] != "compiler-artifact" || !is_cdylib {
        return None;
    }
    let file =
        message["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
    // The target is named with underscores, the package as its author wrote it.
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(Built { package, file: file.into(), folder: folder.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_of_libraries_count() {
        let line = |kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/p/my-plugin/Cargo.toml","target":{{"kind":["{kind}","rlib"]}},"filenames":["{file}"]}}"#
            )
        };
        let built =
            Built { package: "my-plugin".into(), file: "/t/my_plugin.wasm".into(), folder: "/p/my-plugin".into() };
        assert_eq!(module(&line("cdylib", "/t/my_plugin.wasm")), Some(built));
        assert_eq!(module(&line("proc-macro", "/t/my_plugin.so")), None);
        assert_eq!(module("not json"), None);
    }
}
