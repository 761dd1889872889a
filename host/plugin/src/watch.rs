//! Noticing that a plugin's file changed: by events of its folders, and by looking now and then for what sends none.
//!
//! An event only says "look": what counts is the file's fingerprint. So renames over it, editors' temporary files, writes
//! in place, swapped symlinks and replaced folders are one case.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::{loader::Job, news::News};

/// Links followed from one path, like the kernel's own limit in spirit.
const LINKS_MAX: usize = 16;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fingerprint {
    Missing(io::ErrorKind),
    File { device: u64, inode: u64, size: u64, modified_s: i64, modified_ns: i64 },
}

impl Fingerprint {
    /// Of the file that `path` leads to, links followed.
    pub(crate) fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Err(error) => Fingerprint::Missing(error.kind()),
            Ok(found) => Fingerprint::File {
                device: found.dev(),
                inode: found.ino(),
                size: found.size(),
                modified_s: found.mtime(),
                modified_ns: found.mtime_nsec(),
            },
        }
    }
}

/// Watches folders; sends [`Job::Look`], one at a time.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Folders watched, with the inode that the watch is on: a folder that was replaced is watched anew.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    pending: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn new(news: News) -> Self {
        let pending = Arc::new(AtomicBool::new(false));
        let flag = pending.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            // Reading a plugin makes events, too; they are no news.
            let read_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !read_only && !flag.swap(true, Ordering::AcqRel) {
                news.send(Job::Look);
            }
        };
        let watcher = notify::recommended_watcher(on_event);
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!("plugin files cannot be watched ({error}); they are looked at every few seconds")
            })
            .ok();
        Watch { watcher, folders: BTreeMap::new(), pending }
    }

    /// A look begins: later events ask for another.
    pub(crate) fn begin_look(&self) {
        self.pending.store(false, Ordering::Release);
    }

    /// Watches exactly the folders in which a change can change what `files` lead to.
    pub(crate) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = BTreeMap::new();
        for folder in files.flat_map(folders_of) {
            if let Ok(found) = fs::metadata(&folder) {
                wanted.insert(folder, (found.dev(), found.ino()));
            }
        }
        self.folders.retain(|folder, identity| {
            let keep = wanted.get(folder) == Some(identity);
            if !keep {
                // An error means that the watch ended by itself, with its folder.
                let _ = watcher.unwatch(folder);
            }
            keep
        });
        for (folder, identity) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder, identity);
                }
                Err(error) => tracing::debug!("folder {} cannot be watched: {error}", folder.display()),
            }
        }
    }
}

/// The folder of the file, of each link on the way to it, and of what the links lead to.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut path = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    for _ in 0..LINKS_MAX {
        folders.extend(path.parent().map(Path::to_path_buf));
        let Some((link, rest)) = first_link(&path) else { break };
        folders.extend(link.parent().map(Path::to_path_buf));
        let Ok(target) = fs::read_link(&link) else { break };
        let base = link.parent().unwrap_or(Path::new("/"));
        path = base.join(target);
        if !rest.as_os_str().is_empty() {
            path = path.join(rest);
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

/// The first component of `path` that is a link, and what follows it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut walked = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        walked.push(component);
        if matches!(component, Component::Normal(_)) && walked.is_symlink() {
            return Some((walked, components.as_path().to_path_buf()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_on_the_way_is_followed() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("mount/..v1")).unwrap();
        fs::write(base.join("mount/..v1/p.wasm"), b"x").unwrap();
        symlink("..v1", base.join("mount/..data")).unwrap();
        symlink("..data/p.wasm", base.join("mount/p.wasm")).unwrap();
        symlink("mount", base.join("current")).unwrap();
        let folders = folders_of(&base.join("current/p.wasm"));
        for expected in [base.clone(), base.join("mount"), base.join("mount/..v1")] {
            assert!(folders.contains(&expected), "{} is not among {folders:?}", expected.display());
        }
    }

    #[test]
    fn a_circle_of_links_ends() {
        let base = tempfile::tempdir().unwrap();
        symlink("b", base.path().join("a")).unwrap();
        symlink("a", base.path().join("b")).unwrap();
        assert!(!folders_of(&base.path().join("a")).is_empty());
    }
}
