//! Open files of all consume queues of a store, so many at most.
//!
//! A store may have hundreds of thousands of queues and each wants at least one file, while a process has some thousands
//! of descriptors. So a queue holds none: it asks here by number, and what was not asked for lately is closed. The order is
//! that of a clock with a second chance, which is as good as least-recently-used here and costs a hit one flag.
//!
//! Closing loses nothing: a reader keeps its handle for as long as it reads, and an fsync reaches the file's bytes through
//! any handle, so a queue whose file was closed before its sync opens it once more (see
//! [`QueueFiles::sync`](super::QueueFiles::sync)).

use std::{
    collections::hash_map::Entry,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use gantry_base::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::metrics::StoreMetrics;

/// Parts with a lock of their own, so that pulls of different queues rarely meet.
const SHARDS_MAX: usize = 16;

/// A file of a queue: the number that the cache gave the queue, and the file's number in the queue.
pub(crate) type Key = (u32, u64);

/// What all consume queues of a store share: the disk, where they lie, how long their files are, and which are open.
pub(crate) struct FileCache {
    pub(crate) disk: Arc<dyn Disk>,
    /// Folder of all topics.
    pub(crate) root: PathBuf,
    pub(crate) entries_per_file: u64,
    next_number: AtomicU32,
    shards: Box<[Mutex<Shard>]>,
    metrics: Arc<StoreMetrics>,
}

struct Shard {
    open_max: usize,
    slots: Vec<Slot>,
    by_key: FxHashMap<Key, usize>,
    hand: usize,
}

struct Slot {
    key: Key,
    file: Arc<dyn DiskFile>,
    /// Asked for since the hand passed.
    used: bool,
}

impl FileCache {
    /// `open_max` is at least 1.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        root: PathBuf,
        entries_per_file: u32,
        open_max: usize,
        metrics: Arc<StoreMetrics>,
    ) -> Self {
        let count = (open_max / 64).clamp(1, SHARDS_MAX);
        let shard = |_| Mutex::new(Shard::new((open_max / count).max(1)));
        FileCache {
            disk,
            root,
            entries_per_file: entries_per_file.into(),
            next_number: AtomicU32::new(0),
            shards: (0..count).map(shard).collect(),
            metrics,
        }
    }

    /// A number for a queue, not used before. Numbers come from making queues and wrap after four billion.
    pub(crate) fn number(&self) -> u32 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, key: Key) -> Option<Arc<dyn DiskFile>> {
        self.shard(key).lock().get(key)
    }

    /// Keeps a file that was just opened. When another thread was faster, its handle is the one that stays.
    pub(crate) fn keep(&self, key: Key, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        self.metrics.queue_files_opened.add(1);
        // What is closed is dropped behind the lock: a close may take its time.
        let (kept, closed) = self.shard(key).lock().keep(key, file);
        self.metrics.queue_files_closed.add(u64::from(closed.is_some()));
        kept
    }

    pub(crate) fn close(&self, key: Key) {
        let closed = self.shard(key).lock().remove(key);
        drop(closed);
    }

    /// Closes all files of the queues with these numbers. Looks at every open file, so it is for deletions.
    pub(crate) fn close_all_of(&self, of: impl Fn(u32) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let keys: Vec<_> = shard.slots.iter().map(|slot| slot.key).filter(|(queue, _)| of(*queue)).collect();
            let closed: Vec<_> = keys.into_iter().map(|key| shard.remove(key)).collect();
            drop(shard);
            drop(closed);
        }
    }

    /// How many are open now.
    #[cfg(test)]
    pub(crate) fn open(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().slots.len()).sum()
    }

    fn shard(&self, (queue, file): Key) -> &Mutex<Shard> {
        // Neighbouring queues lie in different parts, and so do neighbouring files.
        &self.shards[(queue as usize).wrapping_add(file as usize) % self.shards.len()]
    }
}

impl Shard {
    fn new(open_max: usize) -> Self {
        Shard { open_max, slots: Vec::new(), by_key: FxHashMap::default(), hand: 0 }
    }

    fn get(&mut self, key: Key) -> Option<Arc<dyn DiskFile>> {
        let slot = &mut self.slots[*self.by_key.get(&key)?];
        slot.used = true;
        Some(slot.file.clone())
    }

    /// The handle kept under the key, and the one that had to go for it.
    fn keep(&mut self, key: Key, file: Arc<dyn DiskFile>) -> (Arc<dyn DiskFile>, Option<Arc<dyn DiskFile>>) {
        let full = self.slots.len() >= self.open_max;
        let index = match self.by_key.entry(key) {
            Entry::Occupied(found) => return (self.slots[*found.get()].file.clone(), None),
            Entry::Vacant(place) if !full => {
                place.insert(self.slots.len());
                self.slots.push(Slot { key, file: file.clone(), used: true });
                return (file, None);
            }
            Entry::Vacant(_) => self.least_used(),
        };
        self.by_key.insert(key, index);
        let gone = std::mem::replace(&mut self.slots[index], Slot { key, file: file.clone(), used: true });
        self.by_key.remove(&gone.key);
        (file, Some(gone.file))
    }

    /// The first from the hand on that nobody asked for since the hand was there; ends within two rounds.
    fn least_used(&mut self) -> usize {
        loop {
            let index = self.hand % self.slots.len();
            self.hand = index + 1;
            if !std::mem::take(&mut self.slots[index].used) {
                return index;
            }
        }
    }

    fn remove(&mut self, key: Key) -> Option<Arc<dyn DiskFile>> {
        let index = self.by_key.remove(&key)?;
        let gone = self.slots.swap_remove(index);
        if let Some(moved) = self.slots.get(index) {
            self.by_key.insert(moved.key, index);
        }
        Some(gone.file)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gantry_base::disk::sim::{SimDisk, SplitMix64};

    use super::*;

    fn cache(open_max: usize) -> (SimDisk, FileCache) {
        let disk = SimDisk::new(1);
        let cache =
            FileCache::new(Arc::new(disk.clone()), "/q".into(), 10, open_max, Arc::new(StoreMetrics::default()));
        (disk, cache)
    }

    fn open(disk: &SimDisk, key: Key) -> Arc<dyn DiskFile> {
        disk.open(Path::new(&format!("/{}-{}", key.0, key.1)), true).unwrap()
    }

    #[test]
    fn what_is_asked_for_stays_and_the_bound_holds() {
        let (disk, cache) = cache(3);
        for queue in 0..3 {
            cache.keep((queue, 0), open(&disk, (queue, 0)));
        }
        // All are used; the hand clears the flags in its first round and takes the first in its second.
        cache.keep((3, 0), open(&disk, (3, 0)));
        assert!(cache.get((0, 0)).is_none());
        // 1 is asked for, 2 is not.
        assert!(cache.get((1, 0)).is_some());
        cache.keep((4, 0), open(&disk, (4, 0)));
        assert!(cache.get((1, 0)).is_some() && cache.get((2, 0)).is_none());
        assert_eq!((cache.open(), disk.open_files()), (3, 3), "a handle that is not kept is closed");
    }

    #[test]
    fn a_reader_keeps_what_is_closed_meanwhile() {
        let (disk, cache) = cache(1);
        let reader = cache.keep((0, 0), open(&disk, (0, 0)));
        reader.write_at(b"x", 0).unwrap();
        cache.keep((1, 0), open(&disk, (1, 0)));
        assert!(cache.get((0, 0)).is_none());
        assert_eq!(reader.len().unwrap(), 1);
        assert_eq!(disk.open_files(), 2);
        drop(reader);
        assert_eq!(disk.open_files(), 1);
    }

    #[test]
    fn the_first_of_two_that_open_at_once_wins() {
        let (disk, cache) = cache(8);
        let first = cache.keep((0, 0), open(&disk, (0, 0)));
        let second = cache.keep((0, 0), open(&disk, (0, 0)));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(cache.open(), 1);
    }

    /// Whatever is done, the map and the slots agree, and never more than the bound are open.
    #[test]
    fn slots_and_keys_agree_after_anything() {
        for open_max in [1, 2, 5, 200] {
            let (disk, cache) = cache(open_max);
            let mut rng = SplitMix64::new(open_max as u64);
            for _ in 0..3_000 {
                let key = (rng.below(40) as u32, rng.below(9));
                match rng.below(20) {
                    0..12 => drop(cache.keep(key, open(&disk, key))),
                    12..17 => drop(cache.get(key)),
                    17..19 => cache.close(key),
                    _ => cache.close_all_of(|queue| queue == key.0),
                }
                assert!(cache.open() <= open_max && disk.open_files() == cache.open());
                for shard in &cache.shards {
                    let shard = shard.lock();
                    assert_eq!(shard.by_key.len(), shard.slots.len());
                    assert!(shard.by_key.iter().all(|(key, index)| shard.slots[*index].key == *key));
                }
            }
        }
    }
}
