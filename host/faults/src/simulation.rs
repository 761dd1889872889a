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
//! While a life goes on, too: what consumers may see reads well unless the disk refuses, a log that stopped acknowledges nothing and
//! takes nothing any more, and one that was only full goes on when there is space.
//!
//! The store is stepped, not threaded, so a seed replays its run exactly.

mod keys;
mod oracle;

use std::{path::Path, sync::Arc};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk,
        sim::{Fault, Operation, Reboot, SimDisk, SplitMix64},
    },
};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

pub use self::oracle::Oracle;

const TOPICS: [&str; 3] = ["alpha", "beta", "%RETRY%gamma"];
const QUEUES: u64 = 3;
/// Makes a record of 256 bytes: it ends where sectors and blocks do, so that what a crash brings back behind it is a whole one.
const UNIFORM_TEXT_LEN: u64 = 91;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By the seed's choice: in order, killed, or with a power loss, between two calls or inside one.
    Random,
    /// At this changing call to the disk of the run's first life, counted from its start.
    At(u64, Reboot),
}

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides everything that is left open here.
    pub seed: u64,
    /// Of the store.
    pub options: Options,
    /// Lives before the last judgement.
    pub lives: usize,
    /// Steps of a life; at most, with [`End::Random`].
    pub steps: u64,
    /// How lives end.
    pub end: End,
    /// Whether all messages are alike but for their number, so that records of different lives begin at the same places.
    pub uniform: bool,
    /// Whether the disk fills, fails and refuses to sync by the seed's choice.
    pub trouble: bool,
    /// An error arranged for the first life.
    pub fault: Option<Fault>,
    /// Bytes that the disk has in the first life.
    pub capacity: Option<u64>,
    /// Whether a power loss shows stale blocks.
    pub stale: bool,
    /// Whether flushes are rare, so that much is lost and much of an earlier life lies behind the end.
    pub lazy: bool,
}

impl Plan {
    /// Much is written and lost again at the same places, on a file system that shows stale blocks: records of earlier lives and
    /// of other files lie where new ones go, all of the same length.
    pub fn reusing(seed: u64) -> Self {
        let mut plan = Plan::random(seed);
        plan.options.segment_size_bytes = [8192, 16_384, 65_536][(seed % 3) as usize];
        plan.options.flush = Flush::Async { interval_ms: 500 };
        (plan.uniform, plan.stale, plan.lazy) = (true, true, true);
        // Many short lives: it takes two losses at one place.
        (plan.lives, plan.steps) = (12, 30);
        plan
    }

    /// All choices by seed; no stale blocks.
    pub fn random(seed: u64) -> Self {
        let mut rng = SplitMix64::new(seed ^ 0xA5A5);
        let flush = if rng.coin() { Flush::Sync } else { Flush::Async { interval_ms: 500 } };
        Plan {
            seed,
            options: Options {
                flush,
                segment_size_bytes: [2048, 4096, 16_384][rng.below(3) as usize],
                queue_file_entries: [3, 16, 64][rng.below(3) as usize],
                queue_files_open_max: [1, 2, 4096][(seed % 3) as usize],
                queue_syncs_max: [256, 256, 2, 0][(seed % 4) as usize],
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
            stale: false,
            lazy: false,
        }
    }
}

/// What a run did, so that a campaign can show that it did something.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    /// Messages appended.
    pub appended: u64,
    /// Messages known to be durable at the end of the last life.
    pub acknowledged: u64,
    /// Cuts of the log by recoveries.
    pub cut: u64,
    /// Appends refused for want of space.
    pub refused_full: u64,
    /// Lives in which the log stopped.
    pub failed_lives: u64,
    /// Openings that ended in a crash or an arranged error.
    pub crashed_opens: u64,
    /// Topics deleted, or nearly.
    pub deletions: u64,
    /// Changing calls of the first life.
    pub operations: u64,
    /// Calls of the first life, by [`Operation::ALL`].
    pub calls: [u64; Operation::ALL.len()],
}

/// Runs a plan; the error says what the oracle found, with the seed.
pub fn run(plan: &Plan) -> Result<Summary, String> {
    // Short sectors tear inside records and entries.
    let mut rng = SplitMix64::new(plan.seed);
    let sector_len = [512, 64, 16][rng.below(3) as usize];
    let disk = SimDisk::with_sector_len(plan.seed, sector_len);
    if plan.stale {
        disk.show_stale_blocks();
    }
    let oracle = Oracle::new(plan.options.flush);
    let mut world = World { plan, disk, rng, oracle, summary: Summary::default(), crash_is_due: false };
    world.run().map_err(|violation| format!("{violation}\n{plan:?}"))?;
    Ok(world.summary)
}

struct World<'a> {
    plan: &'a Plan,
    disk: SimDisk,
    rng: SplitMix64,
    oracle: Oracle,
    summary: Summary,
    /// A crash is arranged for this life.
    crash_is_due: bool,
}

impl World<'_> {
    fn run(&mut self) -> Result<(), String> {
        for life in 0..self.plan.lives {
            let Some(store) = self.open_or_crash(life)? else { continue };
            self.live(&store, life)?;
            let reboot = self.die(&store, life);
            self.oracle.life_ended(&store, reboot);
            drop(store);
            self.disk.reboot(reboot.unwrap_or(Reboot::Kill));
            if self.plan.end == End::Random && self.rng.below(4) == 0 {
                self.mislay_heads();
            }
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

    /// Takes the file away that says where queues end: the store must find that by itself.
    fn mislay_heads(&self) {
        let dir = Path::new("/data/store");
        if self.disk.remove_file(&dir.join("queueHeads.gantry")).is_ok() {
            self.disk.sync_dir(dir).ok();
        }
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
        self.crash_is_due = true;
        if let (End::At(operation, _), true) = (self.plan.end, first) {
            self.disk.crash_at(operation);
            self.crash_is_due = operation < u64::MAX;
        } else if self.plan.end == End::Random && self.rng.below(4) == 0 {
            self.disk.crash_at(self.disk.operations() + 1 + self.rng.below(60));
        } else {
            self.crash_is_due = false;
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
            Err(_) if self.disk.crashed() || self.disk.faults_happened() > 0 => {
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

    /// The step between calls that a flusher takes, when it takes it.
    fn flush(&mut self, store: &Store) {
        if !self.plan.lazy || self.rng.below(6) == 0 {
            store.step(Step::Flush);
        }
    }

    fn live(&mut self, store: &Store, life: usize) -> Result<(), String> {
        let steps = if self.plan.end == End::Random { self.rng.below(self.plan.steps) } else { self.plan.steps };
        let mut stopped_at = None;
        for _ in 0..steps {
            if self.disk.crashed() {
                break;
            }
            if self.plan.trouble && self.rng.below(25) == 0 {
                self.make_trouble();
            }
            match self.rng.below(100) {
                0..45 => self.append(store)?,
                45..60 => self.flush(store),
                60..78 => {
                    store.step(Step::Dispatch);
                    if self.rng.coin() {
                        store.step(Step::Index);
                    }
                }
                78..84 => drop(store.step(Step::Checkpoint)),
                84..90 => drop(store.step(Step::Prepare)),
                90..98 => self.consume(store)?,
                _ => self.delete(store),
            }
            self.oracle.acknowledge(store);
            let flushed = store.flushed().get();
            if let Some(position) = stopped_at.filter(|position| *position != flushed) {
                return Err(format!("the log stopped at {position} and acknowledges up to {flushed} now"));
            }
            if store.health() != Health::Healthy {
                stopped_at.get_or_insert(flushed);
            }
        }
        if life == 0 {
            self.summary.operations = self.disk.operations();
            self.summary.calls = Operation::ALL.map(|operation| self.disk.calls(operation));
        }
        self.summary.acknowledged = self.oracle.acknowledged();
        self.summary.failed_lives += u64::from(stopped_at.is_some());
        if !self.disk.crashed() && !self.crash_is_due {
            self.disk.set_capacity(None);
            self.disk.clear_faults();
            // A log that stopped goes on to be read, one that did not goes on.
            self.consume(store)?;
            self.append(store)?;
            self.oracle.acknowledge(store);
        }
        Ok(())
    }

    /// Reads what consumers may see: only the disk's own refusal may keep it from them.
    fn consume(&mut self, store: &Store) -> Result<(), String> {
        let before = self.disk.faults_happened();
        match self.oracle.deliver(store) {
            Err(_) if self.disk.crashed() || self.disk.faults_happened() > before => Ok(()),
            read => read.map_err(|problem| format!("a consumer meets: {problem}")),
        }
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

    fn append(&mut self, store: &Store) -> Result<(), String> {
        let most = if self.rng.below(8) == 0 { 24 } else { 5 };
        let count = 1 + self.rng.below(most);
        let mut messages = Vec::new();
        for _ in 0..count {
            let topics = if self.plan.uniform { 1 } else { TOPICS.len() as u64 };
            let (topic, id) = (TOPICS[self.rng.below(topics) as usize], self.rng.below(QUEUES) as u32);
            // A topic whose deletion was interrupted gives no queues.
            let Ok(queue) = store.queue_or_create(topic, id) else { continue };
            let len = if self.rng.below(10) == 0 { self.rng.below(900) } else { self.rng.below(120) };
            let len = if self.plan.uniform { UNIFORM_TEXT_LEN } else { len };
            messages.push((queue, self.oracle.new_body(len as usize)));
        }
        let too_large = self.rng.below(40) == 0;
        if let Some((_, body)) = messages.last_mut().filter(|_| too_large) {
            body.resize(3000, b'!');
        }
        let number = |body: &[u8]| String::from_utf8_lossy(&body[..8]).into_owned();
        let properties: Vec<_> =
            messages.iter().map(|(_, body)| keys::properties(&number(body), self.plan.uniform)).collect();
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
        let stopped = store.health() != Health::Healthy;
        match store.append(&drafts, &mut placed) {
            Ok(()) if stopped && !messages.is_empty() => return Err("a log that stopped takes an append".to_owned()),
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
        Ok(())
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

/// Offsets that a reader finds in a queue.
pub fn offsets(queue: &Queue) -> std::ops::Range<u64> {
    let QueueOffset(min) = queue.min_offset();
    min..queue.end().get()
}
