//! Whether a directory is one that Gantry can serve, told before anything in it is changed.
//!
//! Apache RocketMQ has stores of several kinds. What lies in `commitlog/` and `consumequeue/` is read as it is; the other
//! kinds keep messages, queues or settings where Gantry does not look, so serving such a directory would silently leave a
//! part of it out. Sources: RocketMQ `StorePathConfigHelper`, `RocksDBConsumeQueueStore`, `RocksDBTopicConfigManager`,
//! `ConfigStorage`, `DLedgerCommitLog`, `CompactionStore`.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_base::disk::{DirEntry, Disk};

use crate::{
    error::{DiskError, OpenError, While},
    log::segment::parse_file_name,
    options::Options,
    queue::ENTRY_LEN,
};

/// Queues whose files are measured; RocketMQ gives those of all queues one length.
const QUEUES_MEASURED: usize = 16;

/// Refuses what cannot be served whole, and files of other lengths than the settings say.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, options: &Options) -> Result<(), OpenError> {
    refuse_other_kinds(disk, dir)?;
    check_log_files(disk, dir, options.segment_size_bytes)?;
    check_queue_files(disk, dir, u64::from(options.queue_file_entries) * ENTRY_LEN as u64)
}

fn refuse_other_kinds(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    let refuse = |file: PathBuf, found: &'static str, expected: &'static str, advice: &'static str| {
        Err(OpenError::Layout { file, found: found.into(), expected: expected.into(), advice })
    };
    for entry in list(disk, dir)? {
        if entry.is_dir && entry.name.starts_with("dledger-") {
            return refuse(
                dir.join(entry.name),
                "the commit log of a DLedger group (enableDLegerCommitLog)",
                "a commit log of plain records in commitlog/",
                "its records are wrapped in DLedger entries, which Gantry does not read; nothing was changed; copy the \
                 messages over with a consumer and a producer, or start Gantry on an empty directory",
            );
        }
    }
    let queues = dir.join("consumequeue");
    if is_rocksdb(disk, &queues)? {
        return refuse(
            queues,
            "consume queues in RocksDB (storeType=defaultRocksDB)",
            "consume queue files",
            "Gantry does not read RocksDB; nothing was changed; move this folder away, and Gantry builds the consume \
             queues anew from the commit log, for the messages that it still holds",
        );
    }
    let config = dir.join("config");
    for table in ["topics", "subscriptionGroups", "consumerOffsets", "rdb"] {
        if is_rocksdb(disk, &config.join(table))? {
            return refuse(
                config.join(table),
                "topics, groups and offsets in RocksDB (configManagerVersion)",
                "config/topics.json, subscriptionGroup.json and consumerOffset.json",
                "Gantry does not read RocksDB; nothing was changed; write them as JSON with `mqadmin rocksDBConfigToJson` \
                 and move this folder away",
            );
        }
    }
    for (folder, found, advice) in [
        (
            "batchconsumequeue",
            "queues of batches (topic attribute queue.type=BatchCQ)",
            "Gantry does not read batch consume queues, so their topics would look empty; nothing was changed; consume or \
             delete those topics in RocketMQ, or move this folder away to go on without them",
        ),
        (
            "compaction/compactionLog",
            "logs of compacted topics (topic attribute cleanup.policy=COMPACTION)",
            "Gantry does not read compacted logs, so older keys of those topics would be missing; nothing was changed; \
             delete those topics in RocketMQ, or move the folder `compaction` away to go on without them",
        ),
    ] {
        let path = dir.join(folder);
        if !list(disk, &path)?.is_empty() {
            return refuse(path, found, "none, or an empty folder", advice);
        }
    }
    Ok(())
}

/// A RocksDB database has a file `CURRENT` that names its manifest.
fn is_rocksdb(disk: &dyn Disk, folder: &Path) -> Result<bool, DiskError> {
    let entries = list(disk, folder)?;
    let has = |is: &dyn Fn(&str) -> bool| entries.iter().any(|entry| !entry.is_dir && is(&entry.name));
    Ok(has(&|name| name == "CURRENT") && has(&|name| name.starts_with("MANIFEST-")))
}

fn check_log_files(disk: &dyn Disk, dir: &Path, size: u64) -> Result<(), OpenError> {
    // Without this file it is RocketMQ's directory, whose files have their full length. Gantry's last may be short.
    let own = list(disk, dir)?.iter().any(|entry| entry.name == "checkpoint.gantry");
    let folder = dir.join("commitlog");
    let files: Vec<(u64, String)> = files(disk, &folder)?;
    for (index, (base, name)) in files.iter().enumerate() {
        let path = folder.join(name);
        let len = length(disk, &path)?;
        // RocketMQ removes an empty last file, too.
        let short = len < size && !own && !(len == 0 && index + 1 == files.len());
        if base % size != 0 || len > size || short {
            return Err(OpenError::Layout {
                file: path,
                found: format!("begins at {base} and has {len} bytes"),
                expected: format!("files of {size} bytes (store.segment_size_bytes)"),
                advice: "set segment_size_bytes to what the directory was made with (in RocketMQ mappedFileSizeCommitLog); \
                         nothing was changed",
            });
        }
    }
    Ok(())
}

fn check_queue_files(disk: &dyn Disk, dir: &Path, size: u64) -> Result<(), OpenError> {
    let folder = dir.join("consumequeue");
    let mut measured = 0;
    for topic in list(disk, &folder)?.into_iter().filter(|entry| entry.is_dir) {
        let topic = folder.join(topic.name);
        for queue in list(disk, &topic)?.into_iter().filter(|entry| entry.is_dir) {
            let queue = topic.join(queue.name);
            let Some((base, name)) = files(disk, &queue)?.into_iter().next() else { continue };
            let path = queue.join(name);
            let len = length(disk, &path)?;
            if base % size != 0 || len > size {
                return Err(OpenError::Layout {
                    file: path,
                    found: format!("begins at {base} and has {len} bytes"),
                    expected: format!("files of {size} bytes (store.queue_file_entries, 20 bytes each)"),
                    advice: "set queue_file_entries to what the directory was made with (in RocketMQ \
                             mappedFileSizeConsumeQueue, divided by 20); nothing was changed",
                });
            }
            measured += 1;
            if measured == QUEUES_MEASURED {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The files that are named by an offset, ascending.
fn files(disk: &dyn Disk, folder: &Path) -> Result<Vec<(u64, String)>, DiskError> {
    let entries = list(disk, folder)?.into_iter().filter(|entry| !entry.is_dir);
    Ok(entries.filter_map(|entry| Some((parse_file_name(&entry.name)?, entry.name))).collect())
}

fn length(disk: &dyn Disk, path: &Path) -> Result<u64, DiskError> {
    disk.open(path, false).doing("open", path)?.len().doing("look at", path)
}

/// Nothing for a folder that is absent.
fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<DirEntry>, DiskError> {
    match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        // A file of that name: not a folder of RocketMQ's.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        entries => entries.doing("list", folder),
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;

    use super::*;

    fn found(files: &[&str]) -> Result<(), String> {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        disk.create_dir_all(dir).unwrap();
        for file in files {
            let path = dir.join(file);
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.open(&path, true).unwrap();
        }
        let before = everything(&disk, dir);
        let checked = check(&disk, dir, &Options::default()).map_err(|error| error.to_string());
        assert_eq!(everything(&disk, dir), before, "nothing was changed");
        checked
    }

    fn everything(disk: &SimDisk, folder: &Path) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for entry in disk.list(folder).unwrap() {
            let path = folder.join(entry.name);
            if entry.is_dir {
                all.extend(everything(disk, &path));
            }
            all.push(path);
        }
        all
    }

    #[test]
    fn a_plain_store_passes() {
        assert_eq!(found(&[]), Ok(()));
        let plain = ["commitlog/00000000000000000000", "consumequeue/t/0/00000000000000000000", "config/topics.json"];
        assert_eq!(found(&plain), Ok(()));
        // A topic may be called so, and ACLs are not the store's.
        assert_eq!(found(&["consumequeue/CURRENT/0/00000000000000000000", "config/users/CURRENT"]), Ok(()));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for (files, name) in [
            (&["dledger-n0/data/00000000000000000000"][..], "DLedger"),
            (&["consumequeue/CURRENT", "consumequeue/MANIFEST-000004"], "storeType=defaultRocksDB"),
            (&["config/topics/CURRENT", "config/topics/MANIFEST-000004"], "configManagerVersion"),
            (&["config/rdb/CURRENT", "config/rdb/MANIFEST-000004"], "configManagerVersion"),
            (&["batchconsumequeue/t/0/00000000000000000000"], "queue.type=BatchCQ"),
            (&["compaction/compactionLog/t/0/00000000000000000000"], "cleanup.policy=COMPACTION"),
        ] {
            let refusal = found(files).unwrap_err();
            assert!(refusal.contains(name) && refusal.contains("nothing was changed"), "{refusal}");
        }
    }

    #[test]
    fn files_of_other_lengths_name_their_key() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/s");
        for (file, len, key) in [
            ("commitlog/00000000000000000000", 64 << 20, "segment_size_bytes"),
            ("consumequeue/t/0/00000000000000000000", 6_000_020, "queue_file_entries"),
        ] {
            let path = dir.join(file);
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.open(&path, true).unwrap().set_len(len).unwrap();
            let refusal = check(&disk, dir, &Options::default()).unwrap_err().to_string();
            assert!(refusal.contains(key) && refusal.contains(&len.to_string()), "{refusal}");
            disk.remove_file(&path).unwrap();
        }
    }
}
