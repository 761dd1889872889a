//! `gantry store`: a broker's files, looked at from outside.

mod check;
mod dump;
mod skip;

use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, Outcome};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Check(check::Args),
    Dump(dump::Args),
    Skip(skip::Args),
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Skip(args) => skip::run(&args),
    }
}

pub(crate) use skip::unknown as unknown_damage;

/// The folder of a broker: `dir` itself, or the only one in the data directory `dir` of a node.
fn store_folder(dir: &Path) -> Outcome<PathBuf> {
    if dir.join("commitlog").is_dir() {
        return Ok(dir.to_path_buf());
    }
    let unusable = |text: String| Failure::new(Exit::Usage, text);
    let entries = std::fs::read_dir(dir).map_err(|error| unusable(format!("{}: {error}", dir.display())))?;
    let mut found: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("commitlog").is_dir()).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(unusable(format!("{} holds no store: no folder commitlog in it or one level below", dir.display()))),
        several => {
            let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(unusable(format!("{} holds several stores; name one of {}", dir.display(), names.join(", "))))
        }
    }
}
