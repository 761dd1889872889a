//! What the look for damage needs of the index: which files do not change any more.

use super::{Index, file::file_name};

impl Index {
    /// Numbers and names of the full files, oldest first; their bytes stay as they are.
    pub(crate) fn sealed_files(&self) -> Vec<(u64, String)> {
        let state = self.state.lock();
        state.sealed.iter().map(|sealed| (sealed.file.name, file_name(sealed.file.name))).collect()
    }

    /// Whether the file is full still, and there.
    pub(crate) fn is_sealed(&self, name: u64) -> bool {
        self.state.lock().sealed.iter().any(|sealed| sealed.file.name == name)
    }

    /// Names of the files that were full and take keys again, or are removed and may come again with other keys, since
    /// it was asked last; after opening, of the newest, which may have been full.
    pub(crate) fn take_unsealed(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unsealed).into_iter().map(file_name).collect()
    }
}
