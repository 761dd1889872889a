//! A store under random traffic and crashes, and an oracle outside of it that knows what must be there.
//!
//! One run is one disk and several lives of a store on it. In a life a seeded choice of steps is taken: append a batch,
//! flush, dispatch, checkpoint, prepare, read, delete a topic. The disk may fill, fail or crash in any of them, in
//! recovery too. After each life the disk reboots, with or without power loss, the store is opened again, and everything in
//! it is compared with what the oracle noted:
//!
//! - *must*: acknowledged (its end was below `flushed`), or delivered under synchronous flush, or appended and only the
//!   process died, or found after an earlier recovery. It is there, once, unchanged, in its place.
//! - *cached*: must, until the power goes before a recovery is through.
//! - *may*: appended, not acknowledged; or in an append that failed for another reason than space. It is there unchanged, or
//!   not at all.
//! - *never*: refused for want of space, found missing after a recovery, or of a deleted topic. It is not in any queue.
//!
//! The store is stepped, not threaded, so a seed replays its run exactly.

mod keys;
mod oracle;

use std::{path::Path, sync::Arc};

use gantry_base::{
    clock::Clock,
    disk::sim::{Fault, Operation, Reboot, SimDisk, SplitMix64},
};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

pub(crate) use oracle::Oracle;

const TOPICS: [&str; 3] = ["alpha", "beta", "%RETRY%gamma"];
const QUEUES: u64 = 3;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By the seed's choice: in order, killed, or with a power loss, between two calls or inside one.
    Random,
    /// At this changing call to the disk of the run's first life, counted from its start.
    At(u64, Reboot),
}

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) lives: usize,
    pub(crate) steps: u64,
    pub(crate) end: End,
    /// Whether all messages are alike but for their number, so that records of different lives begin at the same places.
    pub(crate) uniform: bool,
    /// Whether the disk fills, fails and refuses to sync by the seed's choice.
    pub(crate) trouble: bool,
    /// An error arranged for the first life.
    pub(crate) fault: Option<Fault>,
    pub(crate) capacity: Option<u64>,
}

impl Plan {
    /// All choices by seed.
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed ^ 0xA5A5);
        let flush = if rng.coin() { Flush::Sync } else { Flush::Async { interval_ms: 500 } };
        Plan {
            seed,
            options: Options {
                flush,
                segment_size_bytes: [2048, 4096, 16_384][rng.below(3) as usize],
                queue_file_entries: [3, 16, 64][rng.below(3) as usize],
                allocate_ahead_bytes: [512, 4096][rng.below(2) as usize],
                index_file_slots: [1, 7, 1500][(seed % 3) as usize],
                index_file_entries: [5, 40, 1000][(seed / 3 % 3) as usize],
                index_unsettled_max: [1, 10, 10_000][(seed / 9 % 3) as usize],
                record_size_max_bytes: 1500,
                background: Background::Stepped,
                clock: Clock::manual(1_700_000_000_000),
                ..Options::default()
            },
            lives: 4,
            steps: 20 + rng.below(120),
            end: End::Random,
            uniform: rng.below(3) == 0,
            trouble: rng.below(3) == 0,
            fault: None,
            capacity: None,
        }
    }
}

/// What a run did, so that a test can see that it did something.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) appended: u64,
    pub(crate) acknowledged: u64,
    pub(crate) cut: u64,
    pub(crate) refused_full: u64,
    pub(crate) failed_lives: u64,
    pub(crate) crashed_opens: u64,
    pub(crate) deletions: u64,
    /// Changing calls of the first life.
    pub(crate) operations: u64,
}

/// Runs a plan; the error says what the oracle found, with the seed.
pub(crate) fn run(plan: &Plan) -> Result<Summary, String> {
    // Short sectors tear inside records and entries.
    let mut rng = SplitMix64::new(plan.seed);
    let sector_len = [512, 64, 16][rng.below(3) as usize];
    let disk = SimDisk::with_sector_len(plan.seed, sector_len);
    let mut world = World { plan, disk, rng, oracle: Oracle::new(plan.options.flush), summary: Summary::default() };
    world.run().map_err(|violation| format!("seed {}: {violation}\n{plan:?}", plan.seed))?;
    Ok(world.summary)
}

struct World<'a> {
    plan: &'a Plan,
    disk: SimDisk,
    rng: SplitMix64,
    oracle: Oracle,
    summary: Summary,
}

impl World<'_> {
    fn run(&mut self) -> Result<(), String> {
        for life in 0..self.plan.lives {
            let Some(store) = self.open_or_crash(life)? else { continue };
            self.live(&store, life);
            let reboot = self.die(&store, life);
            self.oracle.life_ended(&store, reboot);
            drop(store);
            self.disk.reboot(reboot.unwrap_or(Reboot::Kill));
        }
        // The last judgement: with power, without faults.
        self.disk.set_capacity(None);
        let store = self.open()?;
        self.oracle.judge(&store)?;
        while store.step(Step::Index) {}
        if store.index_state() != IndexState::Level {
            return Err(format!("the index does not catch up: {:?}", store.index_state()));
        }
        keys::judge(&store)?;
        store.shutdown().map_err(|error| format!("a store without trouble shuts down: {error}"))?;
        drop(store);
        let (store, report) = self.try_open().map_err(|error| error.to_string())?;
        if !report.clean || report.records > 0 || !report.cut.is_empty() {
            return Err(format!("the open after a clean shutdown had to recover: {report:?}"));
        }
        self.oracle.judge(&store)?;
        if store.index_state() != IndexState::Level {
            return Err(format!("the index after a clean shutdown: {:?}", store.index_state()));
        }
        keys::judge(&store)
    }

    fn try_open(&self) -> Result<(Store, RecoveryReport), OpenError> {
        Store::open(Arc::new(self.disk.clone()), Path::new("/data/store"), self.plan.options.clone(), &mut |_| {})
    }

    fn open(&mut self) -> Result<Store, String> {
        let (store, report) = self.try_open().map_err(|error| format!("the store does not open: {error}"))?;
        self.summary.cut += report.cut.len() as u64;
        Ok(store)
    }

    /// Opens and judges; sometimes it crashes in the middle of recovery and there is no store in this life.
    fn open_or_crash(&mut self, life: usize) -> Result<Option<Store>, String> {
        let first = life == 0 && self.plan.end != End::Random;
        if let (End::At(operation, _), true) = (self.plan.end, first) {
            self.disk.crash_at(operation);
        } else if self.plan.end == End::Random && self.rng.below(4) == 0 {
            self.disk.crash_at(self.disk.operations() + 1 + self.rng.below(60));
        }
        if let (Some(fault), 0) = (&self.plan.fault, life) {
            self.disk.fail(fault.clone());
        }
        match self.try_open() {
            Ok((store, report)) => {
                self.summary.cut += report.cut.len() as u64;
                // Reading for the judgement would meet the arranged crash, which belongs to the life.
                if !self.disk.crashed() {
                    self.oracle.judge(&store)?;
                    keys::judge(&store)?;
                }
                if life == 0 {
                    self.disk.set_capacity(self.plan.capacity);
                }
                Ok(Some(store))
            }
            Err(_) if self.disk.crashed() || (life == 0 && self.plan.fault.is_some()) => {
                self.summary.crashed_opens += 1;
                let reboot = self.reboot_kind();
                self.oracle.life_without_store(reboot);
                self.disk.reboot(reboot);
                Ok(None)
            }
            Err(error) => Err(format!("the store does not open: {error}")),
        }
    }

    fn reboot_kind(&mut self) -> Reboot {
        match self.plan.end {
            End::At(_, reboot) => reboot,
            End::Random if self.rng.below(3) == 0 => Reboot::Kill,
            End::Random => Reboot::PowerLoss,
        }
    }

    fn live(&mut self, store: &Store, life: usize) {
        let steps = if self.plan.end == End::Random { self.rng.below(self.plan.steps) } else { self.plan.steps };
        for _ in 0..steps {
            if self.disk.crashed() {
                break;
            }
            if self.plan.trouble && self.rng.below(25) == 0 {
                self.make_trouble();
            }
            match self.rng.below(100) {
                0..45 => self.append(store),
                45..60 => drop(store.step(Step::Flush)),
                60..78 => {
                    store.step(Step::Dispatch);
                    if self.rng.coin() {
                        store.step(Step::Index);
                    }
                }
                78..84 => drop(store.step(Step::Checkpoint)),
                84..90 => drop(store.step(Step::Prepare)),
                90..98 => self.oracle.deliver(store),
                _ => self.delete(store),
            }
            self.oracle.acknowledge(store);
        }
        if life == 0 {
            self.summary.operations = self.disk.operations();
        }
        self.summary.acknowledged = self.oracle.acknowledged();
        self.summary.failed_lives += u64::from(store.health() != Health::Healthy);
    }

    /// Ends the life: `None` for an orderly end.
    fn die(&mut self, store: &Store, life: usize) -> Option<Reboot> {
        self.disk.set_capacity(None);
        let orderly = matches!(self.plan.end, End::Random) && !self.disk.crashed() && self.rng.below(6) == 0;
        let crash_was_meant = life == 0 && self.plan.end != End::Random;
        if orderly || (crash_was_meant && !self.disk.crashed()) {
            let down = store.shutdown();
            self.oracle.acknowledge(store);
            if down.is_ok() && store.health() == Health::Healthy && !self.disk.crashed() {
                return None;
            }
        }
        self.disk.crash();
        Some(self.reboot_kind())
    }

    fn append(&mut self, store: &Store) {
        let most = if self.rng.below(8) == 0 { 24 } else { 5 };
        let count = 1 + self.rng.below(most);
        let mut messages = Vec::new();
        for _ in 0..count {
            let topics = if self.plan.uniform { 1 } else { TOPICS.len() as u64 };
            let (topic, id) = (TOPICS[self.rng.below(topics) as usize], self.rng.below(QUEUES) as u32);
            // A topic whose deletion was interrupted gives no queues.
            let Ok(queue) = store.queue_or_create(topic, id) else { continue };
            let len = if self.rng.below(10) == 0 { self.rng.below(900) } else { self.rng.below(120) };
            let len = if self.plan.uniform { 40 } else { len };
            messages.push((queue, self.oracle.new_body(len as usize)));
        }
        let too_large = self.rng.below(40) == 0;
        if let Some((_, body)) = messages.last_mut().filter(|_| too_large) {
            body.resize(3000, b'!');
        }
        let number = |body: &[u8]| String::from_utf8_lossy(&body[..8]).into_owned();
        let properties: Vec<_> = messages.iter().map(|(_, body)| keys::properties(&number(body))).collect();
        let properties: Vec<[&[u8]; 1]> = properties.iter().map(|properties| [&properties[..]]).collect();
        let drafts: Vec<_> = messages
            .iter()
            .zip(&properties)
            .map(|((queue, body), properties)| Draft {
                queue,
                flag: 0,
                sys_flag: 0,
                born_ms: 1,
                born_host: ([10, 0, 0, 1], 4000).into(),
                store_host: ([10, 0, 0, 2], 10911).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body,
                properties,
            })
            .collect();
        let mut placed = Vec::new();
        match store.append(&drafts, &mut placed) {
            Ok(()) => {
                self.summary.appended += placed.len() as u64;
                self.oracle.appended(&messages, &placed);
            }
            Err(AppendError::Failed(_)) => self.oracle.append_failed(&messages),
            Err(error) => {
                self.summary.refused_full += u64::from(matches!(error, AppendError::Full(_)));
                self.oracle.append_refused(&messages);
            }
        }
    }

    fn delete(&mut self, store: &Store) {
        let topic = TOPICS[self.rng.below(3) as usize];
        let deleted = store.delete_topic(topic);
        self.summary.deletions += 1;
        match deleted {
            Ok(()) => self.oracle.deleted(topic),
            Err(_) => self.oracle.maybe_deleted(topic),
        }
    }

    fn make_trouble(&mut self) {
        let errno = 5;
        let fault = |operation| Fault { errno, ..Fault::once(operation) };
        match self.rng.below(6) {
            0 => self.disk.fail(fault(Operation::Sync)),
            1 => self.disk.fail(Fault { errno: 28, after: self.rng.below(3), ..fault(Operation::Write) }),
            2 => self
                .disk
                .fail(fault([Operation::Write, Operation::SyncDir, Operation::Create][self.rng.below(3) as usize])),
            3 => self.disk.set_capacity(Some(self.disk.used_bytes() + self.rng.below(4) * 4096)),
            _ => {
                self.disk.set_capacity(None);
                self.disk.clear_faults();
            }
        }
    }
}

/// Every queue's end, for a reader that starts anywhere.
pub(crate) fn offsets(queue: &Queue) -> std::ops::Range<u64> {
    let QueueOffset(min) = queue.min_offset();
    min..queue.end().get()
}
