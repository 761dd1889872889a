//! The queues of the store, by topic and number.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::disk::Disk;
use gantry_model::{name, topic::QUEUES_MAX};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::{
    error::{DiskError, QueueError, While},
    queue::{Extent, Queue, QueueFiles},
};

/// All queues. A queue costs memory from its first use and files from its first message.
pub(crate) struct Queues {
    disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    entries_per_file: u32,
    topics: RwLock<FxHashMap<Arc<str>, Topic>>,
}

#[derive(Default)]
struct Topic {
    queues: BTreeMap<u32, Arc<Queue>>,
    /// A deletion is under way: nobody gets a queue of it.
    deleting: bool,
}

impl Queues {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, entries_per_file: u32) -> Self {
        Queues { disk, folder, entries_per_file, topics: RwLock::default() }
    }

    pub(crate) fn get(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        let topics = self.topics.read();
        let topic = topics.get(topic).filter(|topic| !topic.deleting)?;
        topic.queues.get(&id).cloned()
    }

    pub(crate) fn get_or_create(&self, topic: &str, id: u32) -> Result<Arc<Queue>, QueueError> {
        match self.get(topic, id) {
            Some(found) => Ok(found),
            None => self.create(topic, id, false),
        }
    }

    /// The same for dispatch, which goes on for a hidden topic: as long as its deletion is not recorded, a restart may
    /// bring it back.
    pub(crate) fn for_dispatch(&self, topic: &str, id: u32) -> Result<Arc<Queue>, QueueError> {
        self.create(topic, id, true)
    }

    fn create(&self, topic: &str, id: u32, hidden_too: bool) -> Result<Arc<Queue>, QueueError> {
        // The name becomes a folder.
        name::check_topic(topic)?;
        if id >= QUEUES_MAX {
            return Err(QueueError::QueueId { found: id });
        }
        let mut topics = self.topics.write();
        let name = topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone());
        let entry = topics.entry(Arc::clone(&name)).or_default();
        if entry.deleting && !hidden_too {
            return Err(QueueError::Deleting { topic: topic.to_owned() });
        }
        let queue = entry.queues.entry(id).or_insert_with(|| {
            let files = self.files(topic, id);
            Arc::new(Queue::new(name, id, files, Extent::default()))
        });
        Ok(queue.clone())
    }

    pub(crate) fn insert(&self, topic: &str, id: u32, files: QueueFiles, extent: Extent) {
        let mut topics = self.topics.write();
        let name: Arc<str> = topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone());
        let queue = Arc::new(Queue::new(name.clone(), id, files, extent));
        topics.entry(name).or_default().queues.insert(id, queue);
    }

    pub(crate) fn files(&self, topic: &str, id: u32) -> QueueFiles {
        let folder = self.topic_folder(topic).join(id.to_string());
        QueueFiles::new(self.disk.clone(), folder, self.entries_per_file)
    }

    pub(crate) fn topic_folder(&self, topic: &str) -> PathBuf {
        self.folder.join(topic)
    }

    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        let topics = self.topics.read();
        let mut names: Vec<_> =
            topics.iter().filter(|(_, topic)| !topic.deleting).map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Every queue, in a fixed order.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let topics = self.topics.read();
        let mut queues: Vec<_> = topics.values().flat_map(|topic| topic.queues.values().cloned()).collect();
        queues.sort_by(|a, b| (a.topic(), a.id()).cmp(&(b.topic(), b.id())));
        queues
    }

    pub(crate) fn clear(&self) {
        self.topics.write().clear();
    }

    /// Hides a topic and gives its queues; none when it has none.
    pub(crate) fn hide(&self, topic: &str) -> Vec<Arc<Queue>> {
        let mut topics = self.topics.write();
        let Some(found) = topics.get_mut(topic) else { return Vec::new() };
        found.deleting = true;
        found.queues.values().cloned().collect()
    }

    pub(crate) fn unhide(&self, topic: &str) {
        if let Some(found) = self.topics.write().get_mut(topic) {
            found.deleting = false;
        }
    }

    pub(crate) fn forget(&self, topic: &str) {
        self.topics.write().remove(topic);
    }

    /// Topics and queue numbers that have folders.
    pub(crate) fn on_disk(&self) -> Result<BTreeSet<(String, u32)>, DiskError> {
        let mut found = BTreeSet::new();
        for topic in self.folders_in(&self.folder)?.into_iter().filter(|topic| name::check_topic(topic).is_ok()) {
            for id in self.folders_in(&self.topic_folder(&topic))? {
                if let Some(number) =
                    id.parse().ok().filter(|number: &u32| *number < QUEUES_MAX && number.to_string() == id)
                {
                    found.insert((topic.clone(), number));
                }
            }
        }
        Ok(found)
    }

    fn folders_in(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        match self.disk.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let entries = entries.doing("list", path)?;
                Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
            }
        }
    }
}
