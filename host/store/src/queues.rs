//! The queues of the store, by topic and number.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_base::disk::Disk;
use gantry_model::{name, topic::QUEUES_MAX};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use crate::{
    error::{DiskError, QueueError, While},
    heads::Head,
    metrics::StoreMetrics,
    options::Options,
    queue::{
        Extent, Queue, QueueFiles,
        cache::FileCache,
        sums::{Blocks, Sums},
    },
};

/// All queues. A queue costs memory from its first use and files from its first message.
pub(crate) struct Queues {
    disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    files: Arc<FileCache>,
    /// Topics were deleted since the last call of [`take_deleted`](Self::take_deleted).
    deleted: AtomicBool,
    topics: RwLock<FxHashMap<Arc<str>, Topic>>,
}

#[derive(Default)]
struct Topic {
    queues: BTreeMap<u32, Arc<Queue>>,
    /// A deletion is under way: nobody gets a queue of it.
    deleting: bool,
}

impl Queues {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, options: &Options, metrics: Arc<StoreMetrics>) -> Self {
        let (entries, open_max) = (options.queue_file_entries, options.queue_files_open_max);
        let files = FileCache::new(disk.clone(), folder.clone(), entries, open_max, metrics);
        Queues { disk, folder, files: Arc::new(files), deleted: AtomicBool::new(false), topics: RwLock::default() }
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
            let files = QueueFiles::new(self.files.clone(), name, id);
            Arc::new(Queue::new(files, Extent::default()))
        });
        Ok(queue.clone())
    }

    pub(crate) fn insert(&self, files: QueueFiles, extent: Extent) {
        let (topic, id) = (files.topic.clone(), files.id);
        let queue = Arc::new(Queue::new(files, extent));
        self.topics.write().entry(topic).or_default().queues.insert(id, queue);
    }

    /// Makes the queues of a topic as their heads say.
    pub(crate) fn insert_heads(&self, topic: &str, heads: impl Iterator<Item = (Head, Sums)>) -> usize {
        let mut topics = self.topics.write();
        let name: Arc<str> = topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone());
        let mut made = BTreeMap::new();
        for (head, sums) in heads {
            let files = QueueFiles::new(self.files.clone(), name.clone(), head.id);
            let queue = Queue::new(files, Extent { min: head.min, end: head.end });
            queue.note_first_position(head.first_position);
            queue.set_sums(sums);
            made.insert(head.id, Arc::new(queue));
        }
        let count = made.len();
        if count > 0 {
            topics.entry(name).or_default().queues = made;
        }
        count
    }

    /// Which entries have a checksum in common.
    pub(crate) fn blocks(&self) -> Blocks {
        Blocks { entries_per_file: self.files.entries_per_file }
    }

    /// The files of a queue; queues of one topic share its name.
    pub(crate) fn files(&self, topic: &str, id: u32) -> QueueFiles {
        let known = self.topics.read().get_key_value(topic).map(|(name, _)| name.clone());
        QueueFiles::new(self.files.clone(), known.unwrap_or_else(|| topic.into()), id)
    }

    /// These queues are gone: their files are closed, and none is opened under their names for them.
    pub(crate) fn shut(&self, queues: &[Arc<Queue>]) {
        queues.iter().for_each(|queue| queue.files.shut());
        let numbers: BTreeSet<_> = queues.iter().map(|queue| queue.files.number()).collect();
        self.files.close_all_of(|number| numbers.contains(&number));
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether topics were deleted since the last call.
    pub(crate) fn take_deleted(&self) -> bool {
        self.deleted.swap(false, Ordering::AcqRel)
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

    /// Every queue, in any order: for many queues much quicker than [`all`](Self::all).
    pub(crate) fn for_each(&self, each: impl FnMut(&Arc<Queue>)) {
        self.topics.read().values().flat_map(|topic| topic.queues.values()).for_each(each);
    }

    pub(crate) fn clear(&self) {
        self.topics.write().clear();
        self.files.close_all_of(|_| true);
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
        for topic in self.topics_on_disk()? {
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

    /// Topics that have folders.
    pub(crate) fn topics_on_disk(&self) -> Result<Vec<String>, DiskError> {
        let names = self.folders_in(&self.folder)?;
        Ok(names.into_iter().filter(|topic| name::check_topic(topic).is_ok()).collect())
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
