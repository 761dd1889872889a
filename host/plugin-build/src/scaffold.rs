//! A new plugin project: a plugin of the chosen world that works, tests of it, its cases, and the SDK beside it.
//!
//! The SDK travels in this program and is written into the project's `sdk/`: the project then builds with this program and
//! cargo's registry alone, against exactly the contract that this program speaks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Files of a project, with `{{name}}` for its name and `{{lib}}` for the name of its module, in paths too.
type Template = [(&'static str, &'static str); 3];

macro_rules! template {
    ($world:literal) => {
        [
            ("README.md", include_str!(concat!("../templates/", $world, "/README.md"))),
            ("src/lib.rs", include_str!(concat!("../templates/", $world, "/src/lib.rs"))),
            ("{{lib}}.cases.json", include_str!(concat!("../templates/", $world, "/cases.json"))),
        ]
    };
}
/// What a plugin is for; the contract calls it its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Decides which messages a consumer group sees.
    MessageFilter,
    /// Decides where messages go and who consumes them.
    QueueBalancer,
    /// Makes metrics of metrics.
    MetricHook,
    /// Makes alerts of metrics.
    AlertHook,
}

impl World {
    /// All of them.
    pub const ALL: [World; 4] = [World::MessageFilter, World::QueueBalancer, World::MetricHook, World::AlertHook];

    /// As the contract and the configuration spell it.
    pub fn name(self) -> &'static str {
        match self {
            World::MessageFilter => "message-filter",
            World::QueueBalancer => "queue-balancer",
            World::MetricHook => "metric-hook",
            World::AlertHook => "alert-hook",
        }
    }

    fn template(self) -> Template {
        match self {
            World::MessageFilter => template!("message-filter"),
            World::QueueBalancer => template!("queue-balancer"),
            World::MetricHook => template!("metric-hook"),
            World::AlertHook => template!("alert-hook"),
        }
    }
}

/// Files that are the same in every world.
const SHARED: [(&str, &str); 2] =
    [("Cargo.toml", include_str!("../templates/Cargo.toml.in")), (".gitignore", "target/\n")];

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

/// Makes the project `name`, a plugin of `world`, in the folder `parent` and returns its path.
pub fn new_project(parent: &Path, name: &str, world: World) -> Result<PathBuf, ScaffoldError> {
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
    let fill = |text: &str| text.replace("{{name}}", name).replace("{{lib}}", &name.replace('-', "_"));
    for (path, text) in SHARED.into_iter().chain(world.template()) {
        write(&project.join(fill(path)), &fill(text))?;
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
            let refused = new_project(folder.path(), bad, World::MessageFilter);
            assert!(matches!(refused, Err(ScaffoldError::Name(_))), "{bad}");
        }
        let project = new_project(folder.path(), "eu-orders", World::MessageFilter).unwrap();
        assert!(fs::read_to_string(project.join("Cargo.toml")).unwrap().contains("name = \"eu-orders\""));
        let again = new_project(folder.path(), "eu-orders", World::AlertHook);
        assert!(matches!(again, Err(ScaffoldError::Exists(_))));
    }

    #[test]
    fn every_world_has_its_template() {
        let folder = tempfile::tempdir().unwrap();
        for world in World::ALL {
            let project = new_project(folder.path(), &format!("my-{}", world.name()), world).unwrap();
            let lib = format!("my_{}", world.name().replace('-', "_"));
            let readme = fs::read_to_string(project.join("README.md")).unwrap();
            assert!(readme.contains(&format!("world = \"{}\"", world.name())), "{readme}");
            assert!(project.join(format!("{lib}.cases.json")).is_file());
            let mut found = Vec::new();
            files_under(&project, "", &mut found);
            for path in found.iter().filter(|path| !path.starts_with("sdk/")) {
                let text = fs::read_to_string(project.join(path)).unwrap();
                assert!(!path.contains("{{") && !text.contains("{{name") && !text.contains("{{lib"), "{path}");
            }
        }
    }
}
