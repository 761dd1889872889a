//! Which compiler can make wasm here.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The one target of plugins: no system interface, nothing to link against.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// What a Debian machine needs where rustup's servers are out of reach.
pub const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LIBRARY_SOURCE: &str = "/usr/lib/rustlib/src/rust/library";
/// Linkers that Debian and others install under these names, newest first.
const LINKERS: [&str; 8] =
    ["wasm-ld", "rust-lld", "wasm-ld-20", "wasm-ld-19", "wasm-ld-18", "wasm-ld-17", "wasm-ld-16", "wasm-ld-14"];
/// Set by an outer cargo for its own build; they would change this one.
const OUTER_CARGO: [&str; 6] =
    ["RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

/// A cargo that builds for [`TARGET`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// The installed toolchain has the target's standard library.
    Installed,
    /// Debian's compiler builds the standard library itself and links with this linker.
    Debian {
        /// An LLD that links wasm.
        linker: PathBuf,
    },
}

/// No compiler can make wasm here; the text says what to install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Neither way is open.
    #[error(
        "no Rust compiler for {TARGET} is installed. Install it with `rustup target add {TARGET}`; on a Debian machine that \
         does not reach rustup's servers with `apt-get install -y --no-install-recommends {}`",
        DEBIAN_PACKAGES.join(" ")
    )]
    Compiler,
    /// Debian's packages are there, but nothing links.
    #[error(
        "Debian's compiler for {TARGET} is installed, but no linker for wasm is: install the package lld, or a Rust \
         toolchain with rustup, which brings rust-lld"
    )]
    Linker,
}

impl Toolchain {
    /// Looks for a compiler; `project` matters because it may choose its own toolchain.
    pub fn find(project: &Path) -> Result<Self, Missing> {
        if has_target(project) {
            return Ok(Toolchain::Installed);
        }
        if ![DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_LIBRARY_SOURCE].iter().all(|path| Path::new(path).exists()) {
            return Err(Missing::Compiler);
        }
        match linker(project) {
            Some(linker) => Ok(Toolchain::Debian { linker }),
            None => Err(Missing::Linker),
        }
    }

    /// A cargo command in `project`, complete but for the subcommand's own arguments.
    pub(crate) fn cargo(&self, project: &Path, subcommand: &str) -> Command {
        let mut command = Command::new(match self {
            Toolchain::Installed => "cargo",
            Toolchain::Debian { .. } => DEBIAN_CARGO,
        });
        for name in OUTER_CARGO {
            command.env_remove(name);
        }
        command.current_dir(project).args([subcommand, "--target", TARGET]);
        if let Toolchain::Debian { linker } = self {
            // -Z is for nightly compilers; Debian's stable one takes it under this variable.
            command.args(["-Z", "build-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }
}

fn has_target(project: &Path) -> bool {
    let Some(folder) = rustc(project, &["--print", "target-libdir", "--target", TARGET]) else { return false };
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_std))
}

/// LLD of the project's own toolchain, else one on the path.
fn linker(project: &Path) -> Option<PathBuf> {
    let bundled = rustc(project, &["--print", "sysroot"]).and_then(|sysroot| {
        let hosts = fs::read_dir(Path::new(&sysroot).join("lib/rustlib")).ok()?;
        hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|path| path.is_file())
    });
    let on_path = || {
        let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
        let named = |name: &&str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        LINKERS.iter().find_map(named)
    };
    bundled.or_else(on_path)
}

fn rustc(project: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("rustc").args(arguments).current_dir(project).env_remove("RUSTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
