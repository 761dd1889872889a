//! A new plugin project: a filter that works, a test of it, and the SDK beside it.
//!
//! The SDK travels in this program and is written into the project's `sdk/`: the project then builds with this program and
//! cargo's registry alone, against exactly the contract that this program speaks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Files of the project, with `{{name}}` for its name and `{{lib}}` for the name of its module.
const TEMPLATE: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("../templates/Cargo.toml.in")),
    ("README.md", include_str!("../templates/README.md")),
    (".gitignore", "target/\n"),
    ("src/lib.rs", include_str!("../templates/src/lib.rs")),
];

macro_rules! sdk {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../sdk-wasm/", $path)))),*]
    };
}

/// Every file of the SDK.
const SDK: &[(&str, &str)] = &sdk![
    "Cargo.toml",
    "README.md",
    "macros/Cargo.toml",
    "macros/src/columns.rs",
    "macros/src/lib.rs",
    "macros/src/plugin.rs",
    "src/alert.rs",
    "src/balancer.rs",
    "src/bindings.rs",
    "src/bindings/alert.rs",
    "src/bindings/balancer.rs",
    "src/bindings/filter.rs",
    "src/bindings/metric.rs",
    "src/column.rs",
    "src/export.rs",
    "src/export/alert.rs",
    "src/export/balancer.rs",
    "src/export/filter.rs",
    "src/export/hook.rs",
    "src/export/metric.rs",
    "src/feed.rs",
    "src/filter.rs",
    "src/growth.rs",
    "src/hash.rs",
    "src/host.rs",
    "src/lib.rs",
    "src/message.rs",
    "src/metric.rs",
    "src/params.rs",
    "src/rendezvous.rs",
    "src/testing.rs",
    "src/testing/balancer.rs",
    "src/testing/filter.rs",
    "src/testing/hook.rs",
    "wit/plugin.wit",
];

/// The project was not made.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Not a crate's name.
    #[error("{0:?} cannot be a plugin's name; use 1 to {NAME_LEN_MAX} of a-z, 0-9, - and _, beginning with a letter")]
    Name(String),
    /// Something is there already.
    #[error("{} exists already and is left as it is; choose another name or remove it", .0.display())]
    Exists(PathBuf),
    /// The file system said no.
    #[error("{} cannot be written: {error}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Makes the project `name` in the folder `parent` and returns its path.
pub fn new_project(parent: &Path, name: &str) -> Result<PathBuf, ScaffoldError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    // A package of these names would collide with what every project depends on.
    let taken = name == "test" || name.replace('_', "-").starts_with("gantry-plugin-");
    if !begins_well || name.len() > NAME_LEN_MAX || !name.chars().all(legal) || taken {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let project = parent.join(name);
    if project.exists() {
        return Err(ScaffoldError::Exists(project));
    }
    for (path, text) in TEMPLATE {
        write(&project.join(path), &text.replace("{{name}}", name).replace("{{lib}}", &name.replace('-', "_")))?;
    }
    for (path, text) in SDK {
        write(&project.join("sdk").join(path), text)?;
    }
    Ok(project)
}

fn write(path: &Path, text: &str) -> Result<(), ScaffoldError> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|error| ScaffoldError::Write { path: path.to_path_buf(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_under(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => files_under(&entry.path(), &format!("{name}/"), found),
                false => found.push(name),
            }
        }
    }

    #[test]
    fn the_whole_sdk_travels() {
        let mut found = Vec::new();
        files_under(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk-wasm")), "", &mut found);
        // Its own tests stay at home: they use what a plugin's project does not have.
        found.retain(|path| !path.starts_with("tests/"));
        found.sort();
        let travelling: Vec<_> = SDK.iter().map(|(path, _)| *path).collect();
        assert_eq!(found, travelling, "the list in scaffold.rs is every file of sdk-wasm, sorted");
    }

    #[test]
    fn names_are_checked_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "Orders", "1st", "a/b", "..", "naïve", "gantry-plugin-sdk", &"n".repeat(65)] {
            assert!(matches!(new_project(folder.path(), bad), Err(ScaffoldError::Name(_))), "{bad}");
        }
        let project = new_project(folder.path(), "eu-orders").unwrap();
        assert!(fs::read_to_string(project.join("Cargo.toml")).unwrap().contains("name = \"eu-orders\""));
        assert!(matches!(new_project(folder.path(), "eu-orders"), Err(ScaffoldError::Exists(_))));
    }
}
