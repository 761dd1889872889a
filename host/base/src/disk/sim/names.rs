//! Folders: what they hold, and what of it would survive.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path},
};

use super::{DirEntry, SplitMix64};

const ROOT: usize = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir(usize),
    File(usize),
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, Node),
    Unset(String),
    Move(String, String),
}

type Entries = BTreeMap<String, Node>;

#[derive(Debug, Default, Clone)]
struct Dir {
    now: Entries,
    durable: Entries,
    /// Changes since the last sync, oldest first; a power loss keeps a prefix.
    pending: Vec<Change>,
}

impl Dir {
    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }
}

fn apply(entries: &mut Entries, change: &Change) {
    match change {
        Change::Set(name, node) => {
            entries.insert(name.clone(), *node);
        }
        Change::Unset(name) => {
            entries.remove(name);
        }
        Change::Move(from, to) => {
            if let Some(node) = entries.remove(from) {
                entries.insert(to.clone(), node);
            }
        }
    }
}

/// All folders, by number; files are numbers of the disk.
#[derive(Clone)]
pub(super) struct Names {
    dirs: Vec<Dir>,
}

impl Names {
    pub(super) fn new() -> Self {
        Names { dirs: vec![Dir::default()] }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.find(path)? {
            Node::File(id) => Ok(id),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        matches!(self.find(path), Ok(Node::Dir(_)))
    }

    pub(super) fn create_file(&mut self, path: &Path, id: usize) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.dirs[dir].change(Change::Set(name, Node::File(id)));
        Ok(())
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        for name in parts(path)? {
            dir = match self.dirs[dir].now.get(name) {
                Some(Node::Dir(next)) => *next,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let next = self.dirs.len();
                    self.dirs.push(Dir::default());
                    self.dirs[dir].change(Change::Set(name.into(), Node::Dir(next)));
                    next
                }
            };
        }
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.dir(path)?;
        let entry =
            |(name, node): (&String, &Node)| DirEntry { name: name.clone(), is_dir: matches!(node, Node::Dir(_)) };
        Ok(self.dirs[dir].now.iter().map(entry).collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let ((from_dir, from_name), (to_dir, to_name)) = (self.parent(from)?, self.parent(to)?);
        if from_dir == to_dir {
            self.dirs[from_dir].change(Change::Move(from_name, to_name));
        } else {
            self.dirs[from_dir].change(Change::Unset(from_name));
            self.dirs[to_dir].change(Change::Set(to_name, node));
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let (dir, name) = self.parent(path)?;
        self.dirs[dir].change(Change::Unset(name));
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.dirs[dir].change(Change::Unset(name));
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        let dir = &mut self.dirs[dir];
        dir.pending.clear();
        dir.durable = dir.now.clone();
        Ok(())
    }

    pub(super) fn sync_all(&mut self) {
        for dir in &mut self.dirs {
            dir.pending.clear();
            dir.durable = dir.now.clone();
        }
    }

    pub(super) fn power_loss(&mut self, rng: &mut SplitMix64) {
        for dir in &mut self.dirs {
            let kept = rng.below(dir.pending.len() as u64 + 1) as usize;
            for change in dir.pending.drain(..).take(kept) {
                apply(&mut dir.durable, &change);
            }
            dir.now = dir.durable.clone();
        }
    }

    /// Files that a name leads to, now or, as long as the power may still go, before an unsynced removal.
    pub(super) fn reachable_files(&self) -> BTreeSet<usize> {
        let (mut files, mut seen) = (BTreeSet::new(), BTreeSet::from([ROOT]));
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            let dir = &self.dirs[dir];
            let pending = dir.pending.iter().filter_map(|change| match change {
                Change::Set(_, node) => Some(node),
                _ => None,
            });
            for node in dir.now.values().chain(dir.durable.values()).chain(pending) {
                match *node {
                    Node::File(id) => {
                        files.insert(id);
                    }
                    Node::Dir(id) => {
                        if seen.insert(id) {
                            open.push(id);
                        }
                    }
                }
            }
        }
        files
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Dir(ROOT);
        for name in parts(path)? {
            let Node::Dir(dir) = node else { return Err(io::ErrorKind::NotADirectory.into()) };
            node = *self.dirs[dir].now.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn dir(&self, path: &Path) -> io::Result<usize> {
        match self.find(path)? {
            Node::Dir(id) => Ok(id),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = *parts(path)?.last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.dir(path.parent().unwrap_or(Path::new("")))?, name.to_owned()))
    }
}

fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    path.components()
        .filter(|part| normal(*part) || matches!(part, Component::ParentDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str().ok_or_else(|| io::ErrorKind::InvalidInput.into()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        })
        .collect()
}
