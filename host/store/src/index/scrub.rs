//! What the look for damage needs of the index: which files do not change any more.

use super::{Index, file::file_name};

impl Index {
    /// Numbers and names of the full files, oldest first; their bytes stay as they are.
    pub(crate) fn sealed_files(&self) -> Vec<(u64, String)> {
        let state = self.state.lock();
        state.sealed.iter().map(|sealed| (sealed.file.name, file_name(sealed.file.name))).collect()
    }
}
