//! Places of the log that do not hold what was written there, and which of them an operator gave up.
//!
//! `damage.json` keeps them over restarts. It never decides what is served: a record is served when it is whole, whatever the
//! list says, and a damaged one is passed over only when it is damaged *and* listed as skipped. So a wrong list can stop a
//! queue, and cannot make a message vanish.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use gantry_base::{disk::Disk, durable, sealed};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    error::{DiskError, OpenError, While},
    lock,
};

/// Its name in the store's directory.
pub(crate) const FILE_NAME: &str = "damage.json";
/// Places that are kept. Further ones are refused to readers just the same and found again whenever they are read.
pub const DAMAGES_MAX: usize = 10_000;
/// Longest file that is read.
const FILE_LEN_MAX: u64 = 16 << 20;

/// A range of the log that reads wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file, relative to the store's directory.
    pub file: String,
    /// Physical offset of its first byte; by it an operator names it.
    pub position: u64,
    /// Bytes up to the next whole record.
    pub length: u64,
    /// What is wrong.
    pub reason: String,
    /// When it was found, ms since 1970.
    pub found_at_ms: u64,
    /// An operator gave up what was there: consumers pass over it.
    #[serde(default)]
    pub skipped: bool,
}

impl Damage {
    pub(crate) fn covers(&self, position: u64) -> bool {
        self.position <= position && position - self.position < self.length.max(1)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct DamageFile {
    #[serde(default)]
    damages: Vec<Damage>,
}

/// The known places.
pub(crate) struct DamageList {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    all: Mutex<Vec<Damage>>,
    /// How many there are, for the hot path.
    count: AtomicUsize,
}

/// What became of an operator's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// From now on it is passed over.
    Skipped(Damage),
    /// It was given up before.
    Already(Damage),
    /// No damage is known that begins at or covers the position; nothing was changed.
    Unknown,
}

impl DamageList {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, DiskError> {
        let path = dir.join(FILE_NAME);
        let bytes = durable::read(&*disk, &path, FILE_LEN_MAX).doing("read", &path)?;
        let file = match bytes.map(|bytes| serde_json::from_slice::<DamageFile>(&bytes)) {
            Some(Ok(file)) => file,
            Some(Err(error)) => {
                // Nothing is served for want of it; what was given up has to be given up once more.
                tracing::error!(
                    file = %path.display(), %error,
                    "the list of damaged places is unreadable and begins anew: places are found again when they are read, \
                     and those that were skipped stop their queues until they are skipped again"
                );
                DamageFile::default()
            }
            None => DamageFile::default(),
        };
        let count = AtomicUsize::new(file.damages.len());
        Ok(DamageList { disk, path, all: Mutex::new(file.damages), count })
    }

    /// How many are known; costs nothing.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Vec<Damage> {
        self.all.lock().clone()
    }

    /// Position and length of what was given up.
    pub(crate) fn skipped(&self) -> Vec<(u64, u64)> {
        self.all.lock().iter().filter(|damage| damage.skipped).map(|damage| (damage.position, damage.length)).collect()
    }

    /// Adds a place, unless it is known, and says it loudly; gives it as it is known. One that has become longer is no
    /// longer given up: nobody gave up what has come to it.
    pub(crate) fn note(&self, found: Damage) -> Damage {
        let mut all = self.all.lock();
        let known = all.iter().position(|known| known.position == found.position);
        if let Some(known) = known.map(|known| &all[known]).filter(|known| known.length >= found.length) {
            return known.clone();
        }
        tracing::error!(
            file = found.file,
            position = found.position,
            length = found.length,
            reason = found.reason,
            "the log is damaged: queues with a message there stop before it. Restore the file from a copy while the node is \
             stopped, or give the message up with `gantry store skip {}`",
            found.position
        );
        if let Some(known) = known {
            all[known] = found.clone();
            self.save(&all);
        } else if all.len() < DAMAGES_MAX {
            all.push(found.clone());
            all.sort_by_key(|damage| damage.position);
            self.save(&all);
        }
        found
    }

    /// Gives up what is at `position`. Durable when it returns.
    pub(crate) fn skip(&self, position: u64) -> Result<Skip, DiskError> {
        let mut all = self.all.lock();
        let Some(found) = all.iter().position(|damage| damage.covers(position)) else { return Ok(Skip::Unknown) };
        if all[found].skipped {
            return Ok(Skip::Already(all[found].clone()));
        }
        all[found].skipped = true;
        if let Err(error) = self.write(&all) {
            all[found].skipped = false;
            return Err(error);
        }
        let damage = all[found].clone();
        tracing::warn!(
            file = damage.file,
            position = damage.position,
            length = damage.length,
            "a damaged place is given up by the operator: consumers pass over it from now on"
        );
        Ok(Skip::Skipped(damage))
    }

    /// Forgets places that `keep` refuses: their files are gone, or they read well again.
    pub(crate) fn retain(&self, keep: impl Fn(&Damage) -> bool) {
        let mut all = self.all.lock();
        let before = all.len();
        all.retain(keep);
        if all.len() < before {
            self.save(&all);
        }
    }

    fn save(&self, all: &[Damage]) {
        if let Err(error) = self.write(all) {
            // It is known in memory, and found again after a restart.
            tracing::error!(%error, "the list of damaged places could not be saved");
        }
        self.count.store(all.len(), Ordering::Relaxed);
    }

    fn write(&self, all: &[Damage]) -> Result<(), DiskError> {
        let bytes = serde_json::to_vec_pretty(&DamageFile { damages: all.to_vec() }).unwrap_or_default();
        durable::replace(&*self.disk, &self.path, &sealed::seal(&bytes), false).doing("replace", &self.path)
    }
}

/// [`Store::skip`](crate::Store::skip) for a store that nobody has open. Takes its lock meanwhile.
pub fn skip_stopped(disk: Arc<dyn Disk>, dir: &Path, position: u64) -> Result<Skip, OpenError> {
    let _guard = lock::take(&*disk, dir)?;
    Ok(DamageList::open(disk, dir)?.skip(position)?)
}
