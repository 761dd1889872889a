//! What of a plugin outlives the process: the bytes of versions to go back to, and whether it is disabled, which file is not
//! to be loaded again, and what happened.
//!
//! A folder a plugin, only for the owner, under the node's data. Without a folder everything is forgotten with the process.
//! That it cannot be written is a warning and nothing worse: plugins serve from their own files.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use gantry_base::{disk::RealDisk, durable};
use serde::{Deserialize, Serialize};

use crate::{
    code::{self, FILE_MAX_BYTES},
    history::Event,
};

const STATE_FILE: &str = "state.json";
/// Largest state that is read.
const STATE_BYTES_MAX: u64 = 1 << 20;
/// Most versions that are remembered not to be loaded.
const SHUNNED_MAX: usize = 16;

/// What is remembered besides bytes. Hashes are SHA-256 in hex.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShelfState {
    pub(crate) disabled: bool,
    /// The version that served last.
    pub(crate) serving: Option<String>,
    /// Versions to go back to, latest last.
    pub(crate) former: Vec<String>,
    /// Versions that are loaded only when asked for.
    shunned: Vec<String>,
    pub(crate) history: Vec<Event>,
}

impl ShelfState {
    pub(crate) fn shuns(&self, sha256: &str) -> bool {
        self.shunned.iter().any(|shunned| shunned == sha256)
    }

    pub(crate) fn shun(&mut self, sha256: &str) {
        self.forgive(sha256);
        self.shunned.push(sha256.to_owned());
        if self.shunned.len() > SHUNNED_MAX {
            self.shunned.remove(0);
        }
    }

    pub(crate) fn forgive(&mut self, sha256: &str) {
        self.shunned.retain(|shunned| shunned != sha256);
    }
}

/// One plugin's folder.
pub(crate) struct Shelf(Option<PathBuf>);

impl Shelf {
    /// Makes the folder `<root>/<name>.plugin`. The name was checked; the suffix keeps `..` from being a folder's.
    pub(crate) fn open(root: Option<&Path>, name: &str) -> Self {
        let folder = root.map(|root| root.join(format!("{name}.plugin")));
        let made = |folder: &PathBuf| match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    folder = %folder.display(),
                    "versions of the plugin {name} cannot be kept over a restart: {error}"
                );
                false
            }
        };
        Shelf(folder.filter(made))
    }

    /// What an earlier process left; nothing when there is none or it cannot be read.
    pub(crate) fn state(&self) -> ShelfState {
        let Some(folder) = &self.0 else { return ShelfState::default() };
        let file = folder.join(STATE_FILE);
        let read = durable::read(&RealDisk, &file, STATE_BYTES_MAX)
            .and_then(|bytes| bytes.map_or(Ok(None), |bytes| Ok(Some(serde_json::from_slice(&bytes)?))));
        match read {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(
                    file = %file.display(),
                    "not readable ({error}): that the plugin was disabled, or which version was given up, is forgotten"
                );
                ShelfState::default()
            }
        }
    }

    /// Writes the state, and removes versions that it does not name.
    pub(crate) fn save(&self, state: &ShelfState) {
        let Some(folder) = &self.0 else { return };
        let saved = serde_json::to_vec_pretty(state)
            .map_err(io::Error::other)
            .and_then(|bytes| durable::replace(&RealDisk, &folder.join(STATE_FILE), &bytes, false))
            .and_then(|()| self.prune(folder, state));
        if let Err(error) = saved {
            tracing::warn!(folder = %folder.display(), "the plugin's state cannot be kept over a restart: {error}");
        }
    }

    fn prune(&self, folder: &Path, state: &ShelfState) -> io::Result<()> {
        let named: BTreeSet<String> =
            state.former.iter().chain(&state.serving).map(|sha256| format!("{sha256}.wasm")).collect();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".wasm") && !named.contains(&name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Keeps a version's bytes.
    pub(crate) fn put(&self, sha256: &str, bytes: &[u8]) {
        let Some(folder) = &self.0 else { return };
        let file = folder.join(format!("{sha256}.wasm"));
        if file.exists() {
            return;
        }
        if let Err(error) = durable::replace(&RealDisk, &file, bytes, false) {
            tracing::warn!(file = %file.display(), "this version of the plugin cannot be kept over a restart: {error}");
        }
    }

    /// A version's bytes, if they are there and are what their name says.
    pub(crate) fn get(&self, sha256: &str) -> Option<Vec<u8>> {
        let file = self.0.as_ref()?.join(format!("{sha256}.wasm"));
        let bytes = durable::read(&RealDisk, &file, FILE_MAX_BYTES).ok()??;
        (code::sha256_hex(&bytes) == sha256).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(Some(root.path()), "..");
        let hashes = [b"one", b"two"].map(|bytes| {
            let sha256 = code::sha256_hex(bytes);
            shelf.put(&sha256, bytes);
            sha256
        });
        let mut state = ShelfState { disabled: true, former: vec![hashes[0].clone()], ..ShelfState::default() };
        state.shun(&hashes[1]);
        shelf.save(&state);
        let again = Shelf::open(Some(root.path()), "..");
        let found = again.state();
        assert!(found.disabled && found.shuns(&hashes[1]) && !found.shuns(&hashes[0]));
        assert_eq!(again.get(&hashes[0]).as_deref(), Some(b"one".as_slice()));
        assert_eq!(again.get(&hashes[1]), None, "no longer named, so removed");
        fs::write(root.path().join("...plugin").join(format!("{}.wasm", hashes[0])), b"forged").unwrap();
        assert_eq!(again.get(&hashes[0]), None, "other bytes under its name");
    }

    #[test]
    fn only_so_many_versions_are_shunned() {
        let mut state = ShelfState::default();
        (0..20).for_each(|number| state.shun(&number.to_string()));
        assert!(!state.shuns("3") && state.shuns("4") && state.shuns("19"));
        state.forgive("19");
        assert!(!state.shuns("19"));
    }
}
