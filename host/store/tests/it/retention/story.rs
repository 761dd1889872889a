//! Stories that a planted bug must break.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

use gantry_base::{
    disk::{
        DirEntry, Disk, DiskFile, Space, Volume,
        sim::{Reboot, SimDisk},
    },
    watermark::Watermark,
};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

use super::rig::{Rig, SEGMENT, never};
use crate::rig::flush_and_dispatch;

/// Everything is due, and two owners need parts of it.
pub(crate) fn hold_story(options: &Options) -> Result<(), String> {
    let (timers, journal) = (Watermark::new(0), Watermark::new(5 * SEGMENT + 7));
    let mut options = options.clone();
    options.retention = RetentionOptions { size_bytes: 1, segments_per_pass_max: 100, ..never() };
    options.holds = vec![Hold::new("timers", timers.clone()), Hold::new("journal", journal.clone())];
    let mut rig = Rig::new(3, options);
    rig.fill("t", 2, 200);
    rig.settle();
    let due = rig.store.appended().get() / SEGMENT * SEGMENT;

    let expect = |rig: &Rig, min: u64, held_by: Option<&'static str>| {
        rig.retain_all();
        rig.check(min)?;
        let status = rig.store.retention();
        if (status.min, status.expiring, status.held_by) != (min, due, held_by) {
            return Err(format!("expected {min} and {held_by:?}, found {status:?}"));
        }
        Ok(())
    };
    expect(&rig, 0, Some("timers"))?;
    timers.advance(3 * SEGMENT - 1);
    expect(&rig, 2 * SEGMENT, Some("timers"))?;
    timers.advance(due);
    expect(&rig, 5 * SEGMENT, Some("journal"))?;
    journal.advance(u64::MAX);
    expect(&rig, due, None)
}

/// A disk that looks at the store whenever a segment's file goes.
struct WatchDisk {
    disk: SimDisk,
    store: OnceLock<Store>,
    violations: Mutex<Vec<String>>,
}

impl WatchDisk {
    fn look(&self, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (Some(store), Ok(base)) = (self.store.get(), name.parse::<u64>()) else { return };
        if !path.to_string_lossy().contains("commitlog") {
            return;
        }
        let mut violations = self.violations.lock().unwrap();
        if store.min_physical_offset().0 < base + SEGMENT {
            violations.push(format!("segment {base} goes while the log begins at {}", store.min_physical_offset()));
        }
        for topic in store.topics() {
            for queue in (0..2).filter_map(|id| store.queue(&topic, id)) {
                let mut first = Vec::new();
                queue.entries_unchecked(queue.min_offset(), 1, Wait::Allowed, &mut first).unwrap();
                if first.first().is_some_and(|entry| entry.physical_offset.0 < base + SEGMENT) {
                    violations.push(format!("segment {base} goes while {queue:?} still offers {first:?}"));
                }
            }
        }
    }
}

/// The part of it that a store uses.
struct Watching(Arc<WatchDisk>);

impl Disk for Watching {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.0.disk.open(path, create)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.look(path);
        self.0.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.disk.sync_dir(path)
    }
    fn volume(&self, path: &Path) -> io::Result<Arc<dyn Volume>> {
        self.0.disk.volume(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.disk.space(path)
    }
    fn boot(&self) -> String {
        self.0.disk.boot()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.0.disk.lock(path)
    }
}

/// Whenever a segment's file goes, nobody is sent there any more.
pub(crate) fn order_story(options: &Options) -> Result<(), String> {
    let mut options = options.clone();
    options.retention = RetentionOptions { size_bytes: 2 * SEGMENT, ..never() };
    let disk = SimDisk::new(5);
    let watch = Arc::new(WatchDisk { disk: disk.clone(), store: OnceLock::new(), violations: Mutex::default() });
    let mut rig = Rig::watched(disk, Arc::new(Watching(watch.clone())), options);
    watch.store.set(rig.store.clone()).map_err(|_| "set twice")?;
    rig.fill("t", 2, 300);
    rig.fill("u", 1, 1);
    rig.settle();
    rig.retain_all();
    rig.check(rig.store.min_physical_offset().0)?;
    if rig.store.min_physical_offset().0 < 5 * SEGMENT {
        return Err("nothing was deleted".to_owned());
    }
    let violations = watch.violations.lock().unwrap();
    violations.first().map_or(Ok(()), |first| Err(first.clone()))
}

/// A pass that crashes at each of its calls, with and without power, and what is found afterwards.
/// With `heads_lost` the file with the queues' ends is gone after the crash, so that they come from the queues' files.
pub(crate) fn crash_story(seed: u64, options: &Options, heads_lost: bool) -> Result<(), String> {
    let mut options = options.clone();
    options.retention = RetentionOptions { size_bytes: 3 * SEGMENT, segments_per_pass_max: 4, ..never() };
    let prepared = |seed: u64| {
        let mut rig = Rig::new(seed, options.clone());
        rig.fill("drained", 2, 16);
        rig.fill("t", 2, 30 + seed * 7);
        rig.settle();
        // Dispatched and flushed, but in no checkpoint.
        rig.fill("late", 1, 3);
        rig.fill("t", 2, 80);
        flush_and_dispatch(&rig.store);
        rig
    };
    let whole = prepared(seed);
    let before = whole.disk.operations();
    while whole.store.step(Step::Retain) {}
    let (calls, expiring) = (whole.disk.operations() - before, whole.store.expiring().get());
    whole.check(expiring)?;
    if whole.store.min_physical_offset().0 == 0 || calls < 4 {
        return Err(format!("the pass did nothing: {calls} calls"));
    }
    for call in 1..=calls + 1 {
        for reboot in [Reboot::Kill, Reboot::PowerLoss] {
            let mut rig = prepared(seed);
            rig.disk.crash_at(rig.disk.operations() + call);
            while rig.store.step(Step::Retain) {}
            let wanted = rig.store.expiring().get();
            let told = |problem: String| format!("seed {seed}, crash at call {call}, {reboot:?}: {problem}");
            rig.lose_heads = heads_lost;
            rig.reopen(Some(reboot)).map_err(told)?;
            rig.lose_heads = false;
            rig.check(wanted).map_err(told)?;
            // It goes on: the rest is deleted, messages are taken, and a clean restart finds the same.
            rig.settle();
            rig.retain_all();
            rig.fill("t", 2, 2);
            rig.fill("drained", 2, 1);
            rig.settle();
            rig.check(rig.store.expiring().get()).map_err(told)?;
            let queue = rig.store.queue("drained", 0).ok_or("lost")?;
            if queue.min_offset() == QueueOffset(0) {
                return Err(told("nothing was deleted afterwards".to_owned()));
            }
            rig.reopen(None).map_err(told)?;
            rig.check(rig.store.min_physical_offset().0).map_err(told)?;
        }
    }
    Ok(())
}
