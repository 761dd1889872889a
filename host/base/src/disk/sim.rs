//! A disk in memory that fails as real ones do, by seed.
//!
//! **What it may do, and what it may not.** The model is that of a journaling file system on a drive with a write cache:
//!
//! - *Writes* are in the page cache at once and on the platter after [`sync`](DiskFile::sync). At a power loss every
//!   sector written since its last sync keeps, independently, the new bytes, the old ones or one of the states between: so
//!   writes are lost, torn inside and reordered. One sector (512 bytes, configurable) is never torn itself.
//! - *Lengths* behave alike: after a power loss a file has its synced length or the one before the loss. A file that was
//!   cut and grew back to its synced length has no new length to sync, so that the bytes cut off may come back.
//! - *Names* (new files and folders, renames, removals) are durable after [`sync_dir`](Disk::sync_dir) on their folder. At a
//!   power loss each folder keeps a prefix of what was done in it since; a rename within a folder is atomic. A synced file
//!   whose name was lost is lost.
//! - *A failed sync* makes the written sectors clean without the drive having all of them: they read back well until the
//!   power goes, and a later sync that succeeds does not mend them. (What Linux does; a caller that retries is wrong.)
//! - *Full*: with a [capacity](SimDisk::set_capacity) a write stops at the first block that does not fit, having written
//!   the ones before. Blocks once written or allocated can be overwritten.
//! - *Errors* on the nth call of a kind ([`fail`](SimDisk::fail)); a failing write leaves a prefix behind.
//! - *Crash*: at the nth changing call ([`crash_at`](SimDisk::crash_at)), which may take effect in part; every later call
//!   fails until [`reboot`](SimDisk::reboot), which says whether only the process died or the power went. Handles and
//!   locks from before a reboot stay dead.
//! - *Removal*: a file that is still open somewhere keeps its bytes and blocks until the last handle goes.
//!
//! It does not flip bits in what was synced, and it does not return stale reads while it has power.

mod data;
mod fault;
mod names;
mod rng;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};

pub use fault::{Fault, Operation};
pub use rng::SplitMix64;

use self::{
    data::{Blocks, Data},
    fault::Faults,
    names::Names,
};
use super::{DirEntry, Disk, DiskFile, Space, Volume};

/// Bytes that a block takes of the capacity.
pub const BLOCK_LEN: u64 = 4096;

/// How the next life begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// Only the process died (kill -9): the page cache is still there.
    Kill,
    /// The power went: unsynced writes and names are lost in part.
    PowerLoss,
}

/// The simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    rng: SplitMix64,
    names: Names,
    files: Vec<Option<Data>>,
    /// Under which name each file was made.
    paths: Vec<PathBuf>,
    faults: Faults,
    /// Whether power losses show them, and what the device holds of removed files, by name.
    stale: Option<BTreeMap<PathBuf, Blocks>>,
    capacity_bytes: Option<u64>,
    cold_reads_per_mille: u64,
    sector_len: u64,
    locked: Vec<usize>,
    /// Handles of this life by file.
    handles: HashMap<usize, usize>,
    /// Files without a name that wait for their last handle.
    removed_open: BTreeSet<usize>,
    /// Counts reboots, so that handles of an earlier life are told apart.
    life: u64,
    /// Counts power losses.
    boots: u64,
}

impl SimDisk {
    /// An empty disk with 512-byte sectors and no capacity limit; `seed` decides every choice it makes.
    pub fn new(seed: u64) -> Self {
        Self::with_sector_len(seed, 512)
    }

    /// The same with sectors of another length; shorter ones tear more.
    pub fn with_sector_len(seed: u64, sector_len: u64) -> Self {
        assert!(
            (1..=BLOCK_LEN).contains(&sector_len) && BLOCK_LEN.is_multiple_of(sector_len),
            "sectors divide a block"
        );
        SimDisk(Arc::new(Mutex::new(State {
            rng: SplitMix64::new(seed),
            names: Names::new(),
            files: Vec::new(),
            paths: Vec::new(),
            faults: Faults::default(),
            stale: None,
            capacity_bytes: None,
            cold_reads_per_mille: 0,
            sector_len,
            locked: Vec::new(),
            handles: HashMap::new(),
            removed_open: BTreeSet::new(),
            life: 0,
            boots: 0,
        })))
    }

    /// Bounds the bytes of all blocks; `None` is no bound. A bound below what is used only stops new blocks.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity_bytes = bytes;
    }

    /// Bytes of all blocks that files have written or allocated.
    pub fn used_bytes(&self) -> u64 {
        self.0.lock().used_bytes()
    }

    /// Files that are open now: what a process would need descriptors for.
    pub fn open_files(&self) -> usize {
        self.0.lock().handles.values().sum()
    }

    /// How many of a thousand [`try_read_at`](DiskFile::try_read_at) calls find their pages not in memory.
    pub fn set_cold_reads(&self, per_mille: u64) {
        self.0.lock().cold_reads_per_mille = per_mille;
    }

    /// Another disk that holds the same, names and bytes, durable or not; open handles and locks stay behind. Cheap: blocks
    /// are shared until one of the two writes them.
    pub fn fork(&self) -> SimDisk {
        let mut state = self.0.lock().clone();
        state.life += 1;
        state.locked.clear();
        state.handles.clear();
        state.removed_open.clear();
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// Lets power losses from now on show old contents of the device in blocks that were given to a file by a
    /// write, not by an allocation before it, and not settled.
    pub fn show_stale_blocks(&self) {
        self.0.lock().stale.get_or_insert_default();
    }

    /// Calls of a kind so far.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.0.lock().faults.calls(operation)
    }

    /// Arranged errors that have happened so far.
    pub fn faults_happened(&self) -> u64 {
        self.0.lock().faults.happened()
    }

    /// Changing calls (writes, syncs, names) so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().faults.operations()
    }

    /// Crashes at the changing call that makes [`operations`](Self::operations) equal `operation`.
    pub fn crash_at(&self, operation: u64) {
        self.0.lock().faults.crash_at(operation);
    }

    /// Crashes between two calls.
    pub fn crash(&self) {
        self.0.lock().faults.crash();
    }

    /// Whether it crashed and waits for a [`reboot`](Self::reboot).
    pub fn crashed(&self) -> bool {
        self.0.lock().faults.crashed()
    }

    /// Arranges an error.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.add(fault);
    }

    /// Whether every arranged error has happened as often as it should.
    pub fn faults_spent(&self) -> bool {
        self.0.lock().faults.spent()
    }

    /// Forgets arranged errors and crashes.
    pub fn clear_faults(&self) {
        self.0.lock().faults.clear();
    }

    /// Starts the next life, after a crash or without one. Arranged errors and crashes are forgotten.
    pub fn reboot(&self, reboot: Reboot) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.life += 1;
        state.locked.clear();
        state.handles.clear();
        state.removed_open.clear();
        state.faults.clear();
        if reboot == Reboot::PowerLoss {
            state.boots += 1;
            // Some losses take everything, some nothing, most a share.
            let kept_per_mille = [0, 1000, 500, 900, 100][state.rng.below(5) as usize];
            for data in state.files.iter_mut().flatten() {
                data.power_loss(&mut state.rng, kept_per_mille, state.stale.is_some());
            }
            state.names.power_loss(&mut state.rng);
        }
        let reachable = state.names.reachable_files();
        for id in (0..state.files.len()).filter(|id| !reachable.contains(id)) {
            state.free(id);
        }
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.files.iter().flatten().map(|data| data.blocks() * BLOCK_LEN).sum()
    }

    fn free_blocks(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()) / BLOCK_LEN)
    }

    /// Counts a change to names and does it, unless a fault says otherwise.
    fn change_names<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        change: impl FnOnce(&mut Names) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.faults.change(operation, path) {
            Ok(()) => change(&mut self.names),
            Err(failure) => {
                if failure.crashed && self.rng.coin() {
                    // The call took effect and nobody heard of it.
                    let _ = change(&mut self.names);
                }
                Err(failure.error)
            }
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.faults.read(Operation::Open, path)?;
        let id = match state.names.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                let id = state.files.len();
                let data = Data::new(state.sector_len, state.blocks_for(path));
                state.files.push(Some(data));
                state.paths.push(path.into());
                state.change_names(Operation::Create, path, |names| names.create_file(path, id))?;
                id
            }
            found => found?,
        };
        *state.handles.entry(id).or_default() += 1;
        Ok(Arc::new(SimFile { disk: self.clone(), id, life: state.life, path: path.into() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.names.is_dir(path) {
            return state.faults.read(Operation::Open, path);
        }
        state.change_names(Operation::Create, path, |names| names.create_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.0.lock();
        state.faults.read(Operation::List, path)?;
        state.names.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change_names(Operation::Rename, to, |names| names.rename(from, to))?;
        state.free_unreachable();
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.names.file(path)?;
        state.change_names(Operation::Remove, path, |names| names.remove_file(path))?;
        state.free_unreachable();
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.names.is_dir(path) {
            return state.faults.alive();
        }
        state.change_names(Operation::Remove, path, |names| names.remove_dir(path))?;
        state.free_unreachable();
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change_names(Operation::SyncDir, path, |names| names.sync_dir(path))?;
        state.free_unreachable();
        Ok(())
    }

    fn volume(&self, path: &Path) -> io::Result<Arc<dyn Volume>> {
        let mut state = self.0.lock();
        state.faults.read(Operation::Open, path)?;
        Ok(Arc::new(SimVolume { disk: self.clone(), life: state.life, path: path.into() }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let mut state = self.0.lock();
        state.faults.read(Operation::Space, path)?;
        let used_bytes = state.used_bytes();
        let capacity = state.capacity_bytes.unwrap_or(u64::MAX / 2);
        Ok(Space { used_bytes, available_bytes: capacity.saturating_sub(used_bytes) })
    }

    fn boot(&self) -> String {
        format!("boot-{}", self.0.lock().boots)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.open(path, true)?;
        let mut state = self.0.lock();
        let id = state.names.file(path)?;
        if state.locked.contains(&id) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked.push(id);
        Ok(Box::new(SimLock { disk: self.clone(), id, life: state.life }))
    }
}

impl State {
    /// Empties files whose removal is durable and that nobody has open.
    fn free_unreachable(&mut self) {
        let reachable = self.names.reachable_files();
        for id in 0..self.files.len() {
            if reachable.contains(&id) || self.files[id].as_ref().is_none_or(|data| data.blocks() == 0) {
                continue;
            }
            if self.handles.contains_key(&id) {
                self.removed_open.insert(id);
            } else {
                self.free(id);
            }
        }
    }

    /// Gives the blocks of a file back to the device, which does not wipe them.
    fn free(&mut self, id: usize) {
        if let (Some(data), Some(stale)) = (self.files[id].take(), &mut self.stale) {
            stale.entry(self.paths[id].clone()).or_default().extend(data.into_stale());
        }
    }

    /// What a new file finds in the blocks that it will be given: those of a file of its name that was removed before, or of
    /// any other.
    fn blocks_for(&mut self, path: &Path) -> Blocks {
        let Some(stale) = &self.stale else { return Blocks::new() };
        if let Some(blocks) = stale.get(path).filter(|_| self.rng.coin()) {
            return blocks.clone();
        }
        let other = self.rng.below(stale.len() as u64) as usize;
        stale.values().nth(other).cloned().unwrap_or_default()
    }
}

struct SimLock {
    disk: SimDisk,
    id: usize,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.life == self.life {
            state.locked.retain(|id| *id != self.id);
        }
    }
}

struct SimVolume {
    disk: SimDisk,
    life: u64,
    path: std::path::PathBuf,
}

impl Volume for SimVolume {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.faults.alive()?;
        if state.life != self.life {
            return Err(io::Error::other("the volume was opened before the simulated reboot"));
        }
        let State { rng, files, faults, names, .. } = &mut *state;
        match faults.change(Operation::Sync, &self.path) {
            Ok(()) => {
                files.iter_mut().flatten().for_each(Data::sync);
                names.sync_all();
                state.free_unreachable();
                Ok(())
            }
            Err(failure) => {
                if !failure.crashed {
                    files.iter_mut().flatten().for_each(|data| data.fail_sync(rng));
                }
                Err(failure.error)
            }
        }
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
    life: u64,
    path: PathBuf,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.0.lock();
        state.faults.alive()?;
        if state.life != self.life {
            return Err(io::Error::other("the file was opened before the simulated reboot"));
        }
        Ok(state)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.life != self.life {
            return;
        }
        let last = state.handles.get_mut(&self.id).is_some_and(|count| {
            *count -= 1;
            *count == 0
        });
        if last {
            state.handles.remove(&self.id);
            if state.removed_open.remove(&self.id) {
                state.free_unreachable();
            }
        }
    }
}

fn data(files: &mut [Option<Data>], id: usize) -> io::Result<&mut Data> {
    files.get_mut(id).and_then(Option::as_mut).ok_or_else(|| io::Error::other("the file is gone"))
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        state.faults.read(Operation::Read, &self.path)?;
        Ok(data(&mut state.files, self.id)?.read(buf, offset))
    }

    fn try_read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let mut state = self.state()?;
        state.faults.read(Operation::Read, &self.path)?;
        let cold = state.cold_reads_per_mille;
        if cold > 0 && state.rng.below(1000) < cold {
            return Ok(None);
        }
        Ok(Some(data(&mut state.files, self.id)?.read(buf, offset)))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let State { rng, files, faults, .. } = &mut *state;
        if let Err(failure) = faults.change(Operation::Write, &self.path) {
            let written = rng.below(buf.len() as u64 + 1) as usize;
            data(files, self.id)?.write(&buf[..written], offset);
            return Err(failure.error);
        }
        let free = state.free_blocks();
        let data = data(&mut state.files, self.id)?;
        let fits = data.reserve(offset, buf.len() as u64, free);
        data.write(&buf[..fits as usize], offset);
        if fits < buf.len() as u64 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let State { rng, files, faults, .. } = &mut *state;
        match faults.change(Operation::Sync, &self.path) {
            Ok(()) => data(files, self.id)?.sync(),
            Err(failure) => {
                if !failure.crashed {
                    data(files, self.id)?.fail_sync(rng);
                }
                return Err(failure.error);
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.faults.read(Operation::Length, &self.path)?;
        Ok(data(&mut state.files, self.id)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let State { rng, files, faults, .. } = &mut *state;
        let allowed = faults.change(Operation::SetLen, &self.path);
        if allowed.is_ok() || allowed.as_ref().is_err_and(|failure| failure.crashed && rng.coin()) {
            data(files, self.id)?.set_len(len);
        }
        allowed.map_err(|failure| failure.error)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.faults.change(Operation::Allocate, &self.path).map_err(|failure| failure.error)?;
        let free = state.free_blocks();
        let data = data(&mut state.files, self.id)?;
        if data.missing_blocks(offset, len) > free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        data.allocate(offset, len, free);
        Ok(())
    }
}
