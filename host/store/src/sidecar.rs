//! `checksums.gantry`: what files of the store that do not change any more should be like.
//!
//! ```text
//! {
//!   "gantryChecksum": "…",                    of this file itself, see gantry_base::sealed
//!   "checkedFrom": 0,                         from this physical offset on every record has its checksum property
//!   "scrub": {"position": …, "finishedMs": …},
//!   "files": {"consumequeue/orders/0/00000000000000000000": {"length": 6000000, "crc32": "9f3c01aa"}}
//! }
//! ```
//!
//! Text and not binary: it is small (one line for 300,000 messages of a queue), it is written rarely and as a whole, and an
//! operator who asks which file is bad can read it. Files that change often carry their checksum themselves: records of the log,
//! slots of `checkpoint.gantry`, JSON under `config/`. A file that is not listed is compared with the log and then listed, so
//! losing the sidecar costs time and nothing else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::{
    disk::Disk,
    durable,
    sealed::{self, Seal},
};
use serde::{Deserialize, Serialize};

use crate::error::{DiskError, While};

pub(crate) const FILE_NAME: &str = "checksums.gantry";
/// Longest file that is read: a million sealed files.
const FILE_LEN_MAX: u64 = 256 << 20;

/// What a sealed file should be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) length: u64,
    pub(crate) crc32: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Text {
    checked_from: Option<u64>,
    scrub: Progress,
    files: BTreeMap<String, SumText>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SumText {
    length: u64,
    crc32: String,
}

/// How far scrubbing came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Progress {
    /// The pass that runs has checked the log up to here.
    pub(crate) position: u64,
    /// When the last whole pass ended, ms since 1970.
    pub(crate) finished_ms: u64,
}

pub(crate) struct Sidecar {
    path: PathBuf,
    pub(crate) checked_from: Option<u64>,
    pub(crate) progress: Progress,
    files: BTreeMap<String, Sum>,
    changed: bool,
}

impl Sidecar {
    /// Reads it; one that is damaged begins anew, because everything in it can be found again.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, DiskError> {
        let path = dir.join(FILE_NAME);
        let bytes = durable::read(disk, &path, FILE_LEN_MAX).doing("read", &path)?;
        let found = bytes.and_then(|bytes| match (sealed::check(&bytes), serde_json::from_slice::<Text>(&bytes)) {
            (Seal::Whole, Ok(text)) => Some(text),
            (seal, parsed) => {
                let error = parsed.err().map(|error| error.to_string());
                tracing::warn!(file = %path.display(), %seal, error, "checksums of sealed files are taken anew from the log");
                None
            }
        });
        let text = found.unwrap_or_default();
        let files = text.files.into_iter().filter_map(|(name, sum)| {
            let crc32 = u32::from_str_radix(&sum.crc32, 16).ok()?;
            Some((name, Sum { length: sum.length, crc32 }))
        });
        let (checked_from, progress) = (text.checked_from, text.scrub);
        Ok(Sidecar { path, checked_from, progress, files: files.collect(), changed: false })
    }

    pub(crate) fn get(&self, name: &str) -> Option<Sum> {
        self.files.get(name).copied()
    }

    pub(crate) fn set(&mut self, name: &str, sum: Sum) {
        self.changed |= self.files.insert(name.to_owned(), sum) != Some(sum);
    }

    pub(crate) fn set_checked_from(&mut self, checked_from: u64) {
        self.changed |= self.checked_from.replace(checked_from) != Some(checked_from);
    }

    pub(crate) fn set_progress(&mut self, progress: Progress) {
        self.changed |= progress != self.progress;
        self.progress = progress;
    }

    /// Forgets files that `keep` refuses: they are gone.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let before = self.files.len();
        self.files.retain(|name, _| keep(name));
        self.changed |= self.files.len() != before;
    }

    /// Every file and what it should be like.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, Sum)> {
        self.files.iter().map(|(name, sum)| (name.as_str(), *sum))
    }

    /// Writes it, if anything changed.
    pub(crate) fn save(&mut self, disk: &Arc<dyn Disk>) -> Result<(), DiskError> {
        if !self.changed {
            return Ok(());
        }
        let files = self
            .files
            .iter()
            .map(|(name, sum)| (name.clone(), SumText { length: sum.length, crc32: format!("{:08x}", sum.crc32) }));
        let text = Text { checked_from: self.checked_from, scrub: self.progress, files: files.collect() };
        let bytes = serde_json::to_vec_pretty(&text).unwrap_or_default();
        durable::replace(&**disk, &self.path, &sealed::seal(&bytes), false).doing("replace", &self.path)?;
        self.changed = false;
        Ok(())
    }
}
