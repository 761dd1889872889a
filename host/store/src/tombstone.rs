//! Topics that were deleted, and from which position of the log on their name means something new.
//!
//! The messages of a deleted topic stay in the log until their segment goes. Were the deletion remembered only by the
//! absence of the topic's folder, recovery would dispatch them again. File `deletedTopics.json`, beside RocketMQ's files:
//! `{"topics": {"orders": {"below": 4711, "foldersRemoved": true}}}`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use gantry_base::{
    disk::Disk,
    durable,
    sealed::{self, Seal},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DiskError, While},
    planted::{self, PlantedBug},
};

/// Longest file that is read: a few hundred thousand deleted topics.
const FILE_LEN_MAX: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tombstone {
    /// Records of the topic before this physical offset are dead.
    pub(crate) below: u64,
    /// Whether the folders of its queues are gone durably, so that the name may be used again.
    pub(crate) folders_removed: bool,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct File {
    topics: BTreeMap<String, Tombstone>,
}

pub(crate) struct Tombstones {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    now: ArcSwap<BTreeMap<String, Tombstone>>,
    writing: Mutex<()>,
}

impl Tombstones {
    pub(crate) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self, DiskError> {
        let bytes = durable::read(&*disk, &path, FILE_LEN_MAX).doing("read", &path)?;
        let file: File = match bytes {
            Some(bytes) => match sealed::check(&bytes) {
                broken @ Seal::Broken { .. } => {
                    let error = std::io::Error::new(std::io::ErrorKind::InvalidData, broken.to_string());
                    return Err(error).doing("believe", &path);
                }
                _ => serde_json::from_slice(&bytes).map_err(std::io::Error::from).doing("understand", &path)?,
            },
            None => File::default(),
        };
        Ok(Tombstones { disk, path, now: ArcSwap::from_pointee(file.topics), writing: Mutex::new(()) })
    }

    pub(crate) fn all(&self) -> Arc<BTreeMap<String, Tombstone>> {
        self.now.load_full()
    }

    /// Records of `topic` before this position are dead; 0 for a topic that was never deleted.
    pub(crate) fn dead_below(&self, topic: &str) -> u64 {
        if planted::is(PlantedBug::RaiseDead) {
            return 0;
        }
        self.now.load().get(topic).map_or(0, |tombstone| tombstone.below)
    }

    pub(crate) fn set(&self, topic: &str, tombstone: Tombstone) -> Result<(), NotSet> {
        self.change(|topics| {
            topics.insert(topic.to_owned(), tombstone);
        })
    }

    /// The log lost its end behind `end`: what is appended there now may belong to a new topic of a deleted name.
    pub(crate) fn clamp(&self, end: u64) -> Result<(), NotSet> {
        if self.all().values().all(|tombstone| tombstone.below <= end) {
            return Ok(());
        }
        self.change(|topics| topics.values_mut().for_each(|tombstone| tombstone.below = tombstone.below.min(end)))
    }

    /// The log begins at `min` now: deletions of what lay before need not be remembered.
    pub(crate) fn drop_below(&self, min: u64) -> Result<(), NotSet> {
        let needless = |tombstone: &Tombstone| tombstone.folders_removed && tombstone.below <= min;
        if !self.all().values().any(needless) {
            return Ok(());
        }
        self.change(|topics| topics.retain(|_, tombstone| !needless(tombstone)))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Tombstone>)) -> Result<(), NotSet> {
        let _one = self.writing.lock();
        let mut topics = BTreeMap::clone(&self.now.load());
        change(&mut topics);
        let file = File { topics };
        let bytes = serde_json::to_vec_pretty(&file).map_err(std::io::Error::from).doing("encode", &self.path);
        let bytes = sealed::seal(&bytes.map_err(|source| NotSet { certain: true, source })?);
        if planted::is(PlantedBug::ReplaceInPlace) {
            let opened = self.disk.open(&self.path, true).doing("open", &self.path);
            let _ = opened.and_then(|opened| opened.write_at(&bytes, 0).doing("write", &self.path));
            self.now.store(Arc::new(file.topics));
            return Ok(());
        }
        durable::replace(&*self.disk, &self.path, &bytes, false).doing("replace", &self.path).map_err(|source| {
            // It may have failed after the rename. Before it, what is there is still the old file, now and later.
            let found = durable::read(&*self.disk, &self.path, FILE_LEN_MAX);
            NotSet { certain: found.is_ok_and(|found| found.as_ref() != Some(&bytes)), source }
        })?;
        self.now.store(Arc::new(file.topics));
        Ok(())
    }
}

/// The file could not be replaced.
#[derive(Debug)]
pub(crate) struct NotSet {
    /// Whether the change surely did not happen; else a restart may find it done.
    pub(crate) certain: bool,
    pub(crate) source: DiskError,
}

impl From<NotSet> for DiskError {
    fn from(error: NotSet) -> Self {
        error.source
    }
}
