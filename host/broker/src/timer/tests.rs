//! Timers on a simulated disk and a clock that stands still, with an oracle outside: what was acknowledged and not recalled
//! is delivered once and never before its time; what was recalled with SUCCESS never.
//!
//! `GANTRY_SEEDS=2000` for a campaign, `GANTRY_SEED=n` for one seed.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk,
        sim::{Fault, Operation, Reboot, SimDisk, SplitMix64},
    },
    watermark::Watermark,
};
use gantry_model::{
    name::TIMER_TOPIC,
    offset::{PhysicalOffset, QueueOffset},
    properties,
    topic::{Perm, TopicConfig},
};
use gantry_protocol::{
    code::response,
    recall_handle::RecallHandle,
    record::{Peek, RecordView, peek},
};
use gantry_store::{Background, Flush, Health, Options, Queue, QueueEntry, Step, Store, Wait};

use super::{
    engine::{Engine, Outlook, TimerError},
    service::{TimerMetrics, Timers},
    wish::Timed,
};
use crate::{message::Outgoing, options::BrokerOptions, topics::TopicTable};

const DATA: &str = "/data/store";
const BEGIN_MS: u64 = 1_700_000_000_300;
const TOPIC: &str = "orders";

/// One life of a broker's timers.
struct Life {
    store: Store,
    topics: TopicTable,
    engine: Engine,
    hold: Watermark,
}

/// What outlives it.
struct World {
    disk: SimDisk,
    clock: Clock,
    options: Options,
    seal_after: u64,
}

impl World {
    fn new(seed: u64, flush: Flush) -> Self {
        let clock = Clock::manual(BEGIN_MS);
        let options = Options {
            flush,
            segment_size_bytes: 16_384,
            queue_file_entries: 64,
            allocate_ahead_bytes: 4_096,
            background: Background::Stepped,
            clock: clock.clone(),
            ..Options::default()
        };
        let world = World { disk: SimDisk::new(seed), clock, options, seal_after: 20 };
        // The topic is there before anything can crash.
        drop(world.open().unwrap());
        world.disk.crash();
        world.disk.reboot(Reboot::Kill);
        world
    }

    fn open(&self) -> Result<Life, String> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let (store, _) = Store::open(disk.clone(), Path::new(DATA), self.options.clone(), &mut |_| {})
            .map_err(|error| error.to_string())?;
        let mut options = BrokerOptions::new("c", "b", ([127, 0, 0, 1], 10911).into(), DATA.into());
        options.clock = self.clock.clone();
        disk.create_dir_all(&options.data.join("config")).map_err(|error| error.to_string())?;
        let topics = TopicTable::open(store.clone(), disk.clone(), &options).map_err(|error| error.to_string())?;
        if topics.get(TOPIC).is_none() {
            topics.update(TopicConfig::new(TOPIC, 2, Perm::READ_WRITE)).map_err(|error| error.to_string())?;
        }
        let (metrics, hold) = (Arc::new(TimerMetrics::default()), Watermark::new(0));
        let mut engine = Engine::open(store.clone(), disk, Arc::new(options), metrics, hold.clone())
            .map_err(|error| error.to_string())?;
        engine.seal_after = self.seal_after;
        Ok(Life { store, topics, engine, hold })
    }

    /// Zeroes entries of the timer queue.
    fn lose_entries(&self, lost: &[u64]) {
        let queue = Path::new(DATA).join("consumequeue").join(TIMER_TOPIC).join("0");
        let file = queue.join(&self.disk.list(&queue).unwrap()[0].name);
        let file = self.disk.open(&file, false).unwrap();
        lost.iter().for_each(|nth| file.write_at(&[0; 20], 20 * nth).unwrap());
    }

    fn advance(&self, ms: u64) {
        self.clock.set(self.clock.now_ms() + ms);
    }
}

impl Life {
    /// Sends a timed message as the send path does; where the log must be durable for it to be acknowledged.
    fn send(&self, key: &str, due_ms: u64) -> Option<u64> {
        let mut message = Outgoing::internal(&self.engine.options, format!("body of {key}").into_bytes());
        message.set_property(properties::UNIQ_KEY, key);
        Timed { due_ms }.push_properties(TOPIC, (due_ms % 2) as u32, &mut message.properties);
        message.append(&self.store, &self.engine.queue).ok().map(|placed| placed.end)
    }

    fn recall(&mut self, key: &str, due_ms: u64) -> Result<u64, i32> {
        let handle = RecallHandle {
            topic: TOPIC.into(),
            broker_name: "b".into(),
            timestamp_ms: due_ms as i64,
            unique_key: key.into(),
        };
        let peer = ([10, 0, 0, 1], 4000).into();
        self.engine.recall(&handle, Some("group"), peer).map_err(|refusal| refusal.code)
    }

    fn step(&mut self) -> Result<Outlook, TimerError> {
        self.engine.step(&self.topics)
    }

    /// Everything, until there is nothing to do.
    fn settle(&mut self) -> Outlook {
        for _ in 0..10_000 {
            while self.store.step(Step::Flush) || self.store.step(Step::Dispatch) {}
            let outlook = self.step().unwrap();
            let quiet = self.store.flushed().get() == self.store.appended().get();
            if quiet
                && !outlook.busy
                && outlook.dispatched.is_none()
                && outlook.next_offset > self.engine.queue.end().get()
            {
                return outlook;
            }
        }
        panic!("the timers do not come to rest");
    }

    /// Keys with the store times of their deliveries.
    fn delivered(&self) -> BTreeMap<String, Vec<u64>> {
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for queue in &self.topics.get(TOPIC).unwrap().queues {
            for (record, _) in records(&self.store, queue) {
                let record = RecordView::parse(&record).unwrap();
                let key = properties::find_str(record.properties(), properties::UNIQ_KEY).unwrap();
                assert_eq!(record.body(), format!("body of {key}").as_bytes());
                assert_eq!(properties::find(record.properties(), properties::REAL_TOPIC), None);
                found.entry(key.to_owned()).or_default().push(record.store_ms() as u64);
            }
        }
        found
    }

    fn keys(&self) -> Vec<String> {
        let mut order = Vec::new();
        for (key, times) in self.delivered() {
            order.extend(times.into_iter().map(|time| (time, key.clone())));
        }
        order.sort();
        order.into_iter().map(|(_, key)| key).collect()
    }
}

/// All records of the log.
fn log(store: &Store) -> Vec<Vec<u8>> {
    let (mut at, end) = (store.min_physical_offset().0, store.appended().get());
    let mut records = Vec::new();
    while at + 8 <= end {
        let read = |len: usize| {
            let mut bytes = Vec::new();
            store.read(PhysicalOffset(at), len, Wait::Allowed, &mut bytes).unwrap();
            bytes
        };
        match peek(&read(8)) {
            Peek::Record { size } => {
                records.push(read(size));
                at += size as u64;
            }
            Peek::Blank { size } => at += size as u64,
            other => panic!("{other:?} at {at}"),
        }
    }
    records
}

fn records(store: &Store, queue: &Queue) -> Vec<(Vec<u8>, QueueEntry)> {
    let mut entries = Vec::new();
    let from = queue.min_offset().0;
    for nth in from..queue.end().get() {
        queue.entries_unchecked(QueueOffset(nth), 1, Wait::Allowed, &mut entries).unwrap();
    }
    let read = |entry: QueueEntry| {
        let mut bytes = Vec::new();
        store.read(entry.physical_offset, entry.size as usize, Wait::Allowed, &mut bytes).unwrap();
        (bytes, entry)
    };
    entries.into_iter().map(read).collect()
}

#[test]
fn messages_come_at_their_millisecond_in_order() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    for (key, after) in [("c", 3_000), ("a", 1_700), ("b", 1_701), ("past", 0), ("far", 86_400_000)] {
        life.send(key, BEGIN_MS + after).unwrap();
    }
    assert_eq!(life.settle().next_due_ms, Some(BEGIN_MS + 1_700));
    assert_eq!(life.keys(), ["past"]);
    world.advance(1_699);
    life.settle();
    assert_eq!(life.keys(), ["past"]);
    world.advance(1);
    life.settle();
    assert_eq!(life.keys(), ["past", "a"]);
    world.advance(5_000);
    life.settle();
    assert_eq!(life.keys(), ["past", "a", "b", "c"]);
    assert_eq!(life.settle().next_due_ms, Some(BEGIN_MS + 86_400_000));
    assert_eq!((life.engine.metrics.pending.get(), life.engine.metrics.fired.get()), (1, 4));
    // `b` and `c` came 4,999 and 3,700 ms late.
    assert_eq!(life.engine.metrics.late.get(), 2);
}

#[test]
fn a_late_start_delivers_what_fell_due_no_faster_than_it_is_dispatched() {
    let world = World { seal_after: 100_000, ..World::new(1, Flush::Sync) };
    let mut life = world.open().unwrap();
    for nth in 0..5_000 {
        life.send(&format!("{nth:05}"), BEGIN_MS + 1 + nth * 7 % 999).unwrap();
    }
    life.settle();
    drop(life);
    world.advance(60_000);
    let mut life = world.open().unwrap();
    let mut outlook = life.step().unwrap();
    while outlook.busy {
        outlook = life.step().unwrap();
    }
    assert!(outlook.dispatched.is_some(), "{outlook:?}");
    assert_eq!(life.engine.metrics.fired.get(), 4 * 512);
    life.settle();
    let expected: Vec<_> = (0..5_000).map(|nth| format!("{nth:05}")).collect();
    assert_eq!(life.delivered().into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(life.engine.metrics.fired.get(), 5_000);
}

#[test]
fn a_recall_counts_from_its_append_on_and_over_restarts() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    let due = |after: u64| BEGIN_MS + after;
    for (key, after) in [("near", 100), ("same second", 150), ("later", 5_000), ("last", 5_100), ("not", 5_100)] {
        life.send(key, due(after)).unwrap();
    }
    life.settle();
    assert_eq!(life.recall("too late", due(0)), Err(response::ILLEGAL_OPERATION));
    assert_eq!(life.recall("too far", due(366 * 86_400_000)), Err(response::ILLEGAL_OPERATION));
    // Not even dispatched when the time comes.
    life.recall("near", due(100)).unwrap();
    world.advance(200);
    life.step().unwrap();
    assert_eq!(life.engine.metrics.recalled.get(), 1);
    life.settle();
    assert_eq!(life.keys(), ["same second"]);
    assert_eq!(life.recall("same second", due(150)), Err(response::ILLEGAL_OPERATION), "it is delivered");
    life.recall("later", due(5_000)).unwrap();
    life.recall("unknown", due(5_000)).unwrap();
    life.recall("last", due(5_100)).unwrap();
    for reboot in [Reboot::Kill, Reboot::PowerLoss] {
        life.settle();
        drop(life);
        world.disk.crash();
        world.disk.reboot(reboot);
        life = world.open().unwrap();
    }
    // `fired` enters their second, a restart finds itself in it, and a message of it is still to come.
    life.send("before", due(4_990)).unwrap();
    life.settle();
    world.advance(4_795);
    life.settle();
    life.engine.seal_after = 1;
    life.settle();
    drop(life);
    let mut life = world.open().unwrap();
    world.advance(60_000);
    life.settle();
    assert_eq!(life.keys(), ["same second", "before", "not"]);
}

#[test]
fn a_recall_outlives_a_power_loss_after_batches_of_which_nothing_was_delivered() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    let due = [("a", BEGIN_MS + 100), ("b", BEGIN_MS + 5_000), ("c", BEGIN_MS + 9_000)];
    for (key, due_ms) in due {
        life.send(key, due_ms).unwrap();
    }
    life.engine.seal_after = 1;
    life.settle();
    // The messages are in a file of the index, their recalls in memory.
    life.engine.seal_after = 100;
    for (key, due_ms) in due {
        life.recall(key, due_ms).unwrap();
    }
    life.settle();
    for _ in 0..2 {
        world.advance(5_000);
        life.settle();
    }
    assert_eq!((life.engine.metrics.recalled.get(), life.delivered().len()), (3, 0));
    life.engine.seal_after = 1;
    life.step().unwrap();
    drop(life);
    world.disk.crash();
    world.disk.reboot(Reboot::PowerLoss);
    let mut life = world.open().unwrap();
    life.settle();
    assert_eq!(life.keys(), Vec::<String>::new());
    // Once it is on disk that they are dealt with, their recalls are forgotten.
    for key in ["d", "e"] {
        life.send(key, world.clock.now_ms() + 2_000).unwrap();
        life.settle();
        world.advance(2_000);
        life.settle();
    }
    assert_eq!(life.keys(), ["d", "e"]);
    assert!(life.engine.recalls.is_empty());
}

#[test]
fn a_clock_that_goes_back_makes_nothing_early() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    life.send("a", BEGIN_MS + 1_000).unwrap();
    world.advance(1_000);
    life.settle();
    assert_eq!(life.keys(), ["a"]);
    world.clock.set(BEGIN_MS - 3_600_000);
    life.send("b", BEGIN_MS - 3_600_000 + 500).unwrap();
    life.send("c", BEGIN_MS - 3_600_000 + 900).unwrap();
    life.send("recalled", BEGIN_MS - 3_600_000 + 901).unwrap();
    life.settle();
    assert_eq!(life.keys(), ["a"]);
    drop(life);
    let mut life = world.open().unwrap();
    let outlook = life.settle();
    assert_eq!(outlook.next_due_ms, Some(BEGIN_MS - 3_600_000 + 500));
    assert_eq!(life.keys(), ["a"]);
    world.advance(500);
    life.settle();
    assert_eq!(life.delivered().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    world.advance(500);
    life.settle();
    drop(life);
    let mut life = world.open().unwrap();
    life.settle();
    assert_eq!(life.delivered().into_values().map(|times| times.len()).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn what_rocketmq_left_is_taken_over() {
    let world = World::new(1, Flush::Sync);
    let life = world.open().unwrap();
    let send = |life: &Life, key: &str, out_ms: u64| {
        let mut message = Outgoing::internal(&life.engine.options, format!("body of {key}").into_bytes());
        for (name, value) in
            [("UNIQ_KEY", key), ("TIMER_OUT_MS", &*out_ms.to_string()), ("REAL_TOPIC", TOPIC), ("REAL_QID", "1")]
        {
            message.set_property(name, value);
        }
        message.append(&life.store, &life.engine.queue).unwrap();
    };
    let second = BEGIN_MS / 1_000 * 1_000;
    // The one before `second` is delivered, says the checkpoint; the last one was not even looked at.
    for (key, out_ms) in
        [("done", second - 1_000), ("next", second), ("pending", second + 5_000), ("new", second - 2_000)]
    {
        send(&life, key, out_ms);
    }
    while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
    drop(life);
    let mut check = [0; 56];
    check[..8].copy_from_slice(&second.to_be_bytes());
    check[16..24].copy_from_slice(&3u64.to_be_bytes());
    let file = world.disk.open(&Path::new(DATA).join("config/timercheck"), true).unwrap();
    file.write_at(&check, 0).unwrap();

    let mut life = world.open().unwrap();
    life.settle();
    assert_eq!(life.keys(), ["new"]);
    world.clock.set(second + 999);
    life.settle();
    assert_eq!(life.keys(), ["new"], "RocketMQ's times are floored");
    world.clock.set(second + 1_000);
    life.settle();
    drop(life);
    let mut life = world.open().unwrap();
    world.clock.set(second + 6_000);
    life.settle();
    assert_eq!(life.keys(), ["new", "next", "pending"]);
}

#[test]
fn what_waits_longer_than_the_log_is_kept_is_stored_anew() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    for (key, after) in [("far", 3_600_000), ("recalled", 3_600_000), ("recalled later", 3_600_000), ("near", 10)] {
        life.send(key, BEGIN_MS + after).unwrap();
    }
    life.recall("recalled", BEGIN_MS + 3_600_000).unwrap();
    world.advance(10);
    life.settle();
    for round in 1..=3 {
        let expiring = life.store.appended().get();
        life.store.expiring().advance(expiring);
        let step = life.step().unwrap();
        assert!(step.busy && life.hold.get() < expiring, "the copies are not on disk yet");
        life.settle();
        assert_eq!(life.hold.get(), expiring);
        // The two that wait, both recalls' target too, and the recall.
        assert_eq!(life.engine.metrics.rolled.get(), 4);
        let waiting = records(&life.store, &life.engine.queue);
        let copies = waiting.iter().filter(|(_, entry)| entry.physical_offset.0 >= expiring);
        for (record, _) in copies {
            let record = RecordView::parse(record).unwrap();
            let times = properties::find_str(record.properties(), properties::TIMER_ROLL_TIMES);
            assert_eq!(times, Some(&*round.to_string()));
        }
        drop(life);
        life = world.open().unwrap();
        life.settle();
    }
    life.recall("recalled later", BEGIN_MS + 3_600_000).unwrap();
    world.advance(3_600_000);
    life.settle();
    assert_eq!(life.keys(), ["near", "far"]);
}

#[test]
fn what_was_accepted_is_stored_anew_and_delivered_under_a_lower_limit_for_senders() {
    let mut world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    let long = "long".repeat(500);
    life.send(&long, BEGIN_MS + 60_000).unwrap();
    life.send("short", BEGIN_MS + 60_001).unwrap();
    life.settle();
    drop(life);
    world.options.record_size_max_bytes = 1_000;
    let mut life = world.open().unwrap();
    assert_eq!(life.send(&long, BEGIN_MS + 60_000), None);
    life.store.expiring().advance(life.store.appended().get());
    life.settle();
    assert_eq!(life.hold.get(), life.store.expiring().get());
    world.advance(60_001);
    life.settle();
    assert_eq!(life.keys(), [&*long, "short"]);
}

#[test]
fn a_roll_that_waits_for_a_full_index_waits_at_rest() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    life.engine.unsealed_max = 2;
    for key in ["a", "b", "c", "d"] {
        life.send(key, BEGIN_MS + 60_000).unwrap();
        life.settle();
    }
    life.store.expiring().advance(life.store.appended().get());
    assert_eq!((life.settle().next_offset, life.engine.ingested, life.hold.get()), (u64::MAX, 2, 0));
    life.engine.unsealed_max = 100;
    life.settle();
    assert_eq!((life.engine.metrics.rolled.get(), life.hold.get()), (4, life.store.expiring().get()));
}

#[test]
fn what_is_held_besides_a_full_scan_is_stored_anew_too() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    life.engine.scan_max = 4;
    life.send("first", BEGIN_MS + 1_000).unwrap();
    world.advance(1_000);
    life.settle();
    let back = BEGIN_MS - 3_600_000;
    world.clock.set(back);
    for key in ["held 1", "held 2", "held 3"] {
        life.send(key, back + 500).unwrap();
    }
    for key in ["far 1", "far 2", "far 3"] {
        life.send(key, BEGIN_MS + 3_600_000).unwrap();
    }
    life.settle();
    life.store.expiring().advance(life.store.appended().get());
    life.settle();
    assert_eq!(life.hold.get(), life.store.expiring().get());
    assert_eq!(life.engine.metrics.rolled.get(), 6);
    drop(life);
    let mut life = world.open().unwrap();
    world.clock.set(BEGIN_MS + 3_600_000);
    life.settle();
    let times: BTreeMap<_, _> = life.delivered().into_iter().map(|(key, times)| (key, times.len())).collect();
    let all = ["first", "held 1", "held 2", "held 3", "far 1", "far 2", "far 3"];
    assert_eq!(times, all.map(|key| (key.to_owned(), 1)).into());
}

/// Reads of the log that fail until the disk is told otherwise.
fn unreadable_log() -> Fault {
    Fault { path_contains: "commitlog".into(), times: u64::MAX, ..Fault::once(Operation::Read) }
}

#[test]
fn what_could_be_read_again_after_a_start_is_remembered_by_the_next_one() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    life.send("late to be read", BEGIN_MS + 5_000).unwrap();
    while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
    world.disk.fail(unreadable_log());
    life.step().unwrap();
    world.disk.clear_faults();
    assert_eq!(life.engine.held.len(), 1);
    life.engine.seal_after = 1;
    life.settle();
    drop(life);
    let mut life = world.open().unwrap();
    life.send("other", BEGIN_MS + 1_000).unwrap();
    world.advance(1_000);
    life.settle();
    assert_eq!(life.keys(), ["other"]);
    drop(life);
    // A file of the index has it from here on, and the last note names it still.
    let mut life = world.open().unwrap();
    life.engine.seal_after = 1;
    life.settle();
    drop(life);
    let mut life = world.open().unwrap();
    world.advance(4_000);
    life.settle();
    assert_eq!(life.keys(), ["other", "late to be read"]);
}

#[test]
fn what_cannot_be_read_when_it_is_looked_at_again_is_neither_lost_nor_repeated() {
    for restart in [false, true] {
        let world = World::new(1, Flush::Sync);
        let mut life = world.open().unwrap();
        life.send("done", BEGIN_MS + 100).unwrap();
        life.send("waits", BEGIN_MS + 50_000).unwrap();
        world.advance(100);
        life.settle();
        assert_eq!(life.keys(), ["done"]);
        drop(life);
        let mut life = world.open().unwrap();
        world.disk.fail(unreadable_log());
        life.step().unwrap();
        world.disk.clear_faults();
        assert_eq!(life.engine.held.len(), 2, "nobody knows what they were");
        life.engine.seal_after = 1;
        life.settle();
        if restart {
            drop(life);
            life = world.open().unwrap();
        }
        life.store.expiring().advance(life.store.appended().get());
        world.advance(60_000);
        life.settle();
        assert_eq!(life.keys(), ["done", "waits"]);
        assert_eq!((life.engine.metrics.rolled.get() < 2, life.engine.held.len()), (true, 0));
    }
}

#[test]
fn entries_that_the_timer_queue_lost_are_made_again() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    for nth in 0..9 {
        life.send(&nth.to_string(), BEGIN_MS + 1_000 + nth).unwrap();
    }
    while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
    world.lose_entries(&[3, 4]);
    assert_eq!(life.settle().next_due_ms, Some(BEGIN_MS + 1_000));
    // A roll looks for the first place that stays by bisection.
    world.lose_entries(&[2, 4, 6]);
    life.store.expiring().advance(life.store.appended().get());
    life.settle();
    assert_eq!(life.engine.metrics.rolled.get(), 9);
    world.advance(2_000);
    life.settle();
    assert_eq!(life.keys(), (0..9).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_record_that_is_lost_with_its_entry_keeps_no_other_back() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    for nth in 0..9 {
        life.send(&nth.to_string(), BEGIN_MS + 1_000 + nth).unwrap();
    }
    while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
    let at = records(&life.store, &life.engine.queue)[4].1.physical_offset.0;
    let log = Path::new(DATA).join("commitlog");
    let file = log.join(&world.disk.list(&log).unwrap()[0].name);
    world.disk.open(&file, false).unwrap().write_at(&[0xA5; 90], at).unwrap();
    world.lose_entries(&[4]);
    world.advance(2_000);
    life.settle();
    assert_eq!((life.delivered().len(), life.engine.held.len()), (8, 1));
    // Also where the next start finds it noted.
    life.engine.seal_after = 1;
    life.settle();
    life.store.step(Step::Checkpoint);
    drop(life);
    world.lose_entries(&[4]);
    let mut life = world.open().unwrap();
    life.settle();
    assert_eq!((life.delivered().len(), life.engine.held.len()), (8, 1));
}

#[test]
fn a_damaged_index_is_built_again() {
    let world = World::new(1, Flush::Sync);
    let mut life = world.open().unwrap();
    for nth in 0..600 {
        life.send(&format!("{nth:03}"), BEGIN_MS + 1 + nth * 10).unwrap();
    }
    life.settle();
    world.advance(3_000);
    life.settle();
    drop(life);
    let folder = Path::new(DATA).join("timers");
    for entry in world.disk.list(&folder).unwrap() {
        let file = world.disk.open(&folder.join(entry.name), false).unwrap();
        if file.len().unwrap() > 5_000 {
            file.write_at(&[0xA5; 64], 5_000).unwrap();
        }
    }
    let mut life = world.open().unwrap();
    world.advance(10_000);
    life.settle();
    let times: Vec<_> = life.delivered().into_values().map(|times| times.len()).collect();
    assert_eq!(times, [1; 600]);
}

#[test]
fn damage_met_in_the_middle_of_a_batch_stops_nothing() {
    let world = World { seal_after: 2_500, ..World::new(1, Flush::Sync) };
    let mut life = world.open().unwrap();
    for nth in 0..2_600 {
        life.send(&format!("{nth:04}"), BEGIN_MS + 1 + nth % 50).unwrap();
    }
    life.settle();
    // Read with the second piece of the run, which the fifth batch begins to need when it has some entries already.
    for entry in world.disk.list(&Path::new(DATA).join("timers")).unwrap() {
        let file = world.disk.open(&Path::new(DATA).join("timers").join(entry.name), false).unwrap();
        if file.len().unwrap() > 17 * 4_096 {
            file.write_at(&[0xA5; 64], 16 * 4_096 + 100).unwrap();
        }
    }
    world.advance(1_000);
    life.settle();
    assert_eq!(life.engine.metrics.fired.get(), 2_600);
    assert_eq!(life.delivered().len(), 2_600);
}

#[test]
fn timers_that_failed_within_begin_again_from_the_log() {
    let world = World::new(1, Flush::Sync);
    let Life { store, topics, engine, hold } = world.open().unwrap();
    let disk = Arc::new(world.disk.clone());
    let timers = Timers::open(store.clone(), disk, engine.options.clone(), hold.clone()).unwrap();
    let life = Life { store, topics, engine, hold };
    let settle = || {
        for _ in 0..10 {
            while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
            timers.engine().step(&life.topics).unwrap();
        }
    };
    life.send("a", BEGIN_MS + 100).unwrap();
    life.send("b", BEGIN_MS + 200).unwrap();
    world.advance(100);
    settle();
    // As a panic between the move of the progress and the append would leave it.
    timers.engine().progress.fired.due_ms = BEGIN_MS + 200;
    timers.reopen().unwrap();
    world.advance(100);
    settle();
    assert_eq!(life.keys(), ["a", "b"]);
}

/// What the oracle knows of a message.
#[derive(Debug, Clone)]
struct Message {
    due_ms: u64,
    /// Acknowledged once the log is durable up to here; `None`: the append failed.
    end: Option<u64>,
    acknowledged: bool,
    /// Appended recall, and whether it was answered SUCCESS.
    recall: Option<u64>,
    recalled: bool,
}

struct Run {
    world: World,
    rng: SplitMix64,
    messages: BTreeMap<String, Message>,
    clock_goes_back: bool,
}

impl Run {
    fn new(seed: u64, flush: Flush) -> Self {
        Run {
            world: World::new(seed, flush),
            rng: SplitMix64::new(seed ^ 0x7157),
            messages: BTreeMap::new(),
            clock_goes_back: seed.is_multiple_of(3),
        }
    }

    /// A number of seeded steps, until the disk crashes.
    fn live(&mut self, life: &mut Life, steps: u64) -> Result<(), String> {
        for _ in 0..steps {
            if self.world.disk.crashed() || life.store.health() != Health::Healthy {
                break;
            }
            let now_ms = self.world.clock.now_ms();
            match self.rng.below(20) {
                0..5 => {
                    for _ in 0..1 + self.rng.below(6) {
                        let key = format!("{:05}", self.messages.len());
                        let due_ms = match self.rng.below(5) {
                            0 => now_ms + 1 + self.rng.below(60_000),
                            _ => now_ms + self.rng.below(3_000),
                        };
                        let end = life.send(&key, due_ms);
                        let message = Message { due_ms, end, acknowledged: false, recall: None, recalled: false };
                        self.messages.insert(key, message);
                    }
                }
                5..7 => self.recall(life),
                7..9 => drop(life.store.step(Step::Flush)),
                9..12 => drop(life.store.step(Step::Dispatch)),
                12 => drop(life.store.step(Step::Checkpoint)),
                13 => {
                    let segment = self.world.options.segment_size_bytes;
                    life.store.expiring().advance(life.store.dispatched().get() / segment * segment);
                }
                14 if self.clock_goes_back => {
                    self.world.clock.set(now_ms - self.rng.below(2_000));
                }
                14 | 15 => self.world.advance(self.rng.below(700)),
                _ => drop(life.step()),
            }
            self.look(life)?;
        }
        Ok(())
    }

    fn recall(&mut self, life: &mut Life) {
        if self.messages.is_empty() {
            return;
        }
        let recent = self.messages.len() as u64 - self.rng.below(12.min(self.messages.len() as u64));
        let key = format!("{:05}", recent - 1);
        let Some(message) = self.messages.get_mut(&key) else { return };
        if let Ok(end) = life.recall(&key, message.due_ms) {
            message.recall.get_or_insert(end);
        }
    }

    /// Notes what is acknowledged by now, and checks the hold.
    fn look(&mut self, life: &Life) -> Result<(), String> {
        let flushed = life.store.flushed().get();
        for message in self.messages.values_mut() {
            message.acknowledged |= message.end.is_some_and(|end| end <= flushed);
            message.recalled |= message.recall.is_some_and(|end| end <= flushed);
        }
        let hold = life.hold.get();
        if hold > 0 && !self.world.disk.crashed() {
            let mut kept = std::collections::BTreeSet::new();
            for record in log(&life.store) {
                let record = RecordView::parse(&record).unwrap();
                let Some(key) = properties::find_str(record.properties(), properties::UNIQ_KEY) else { continue };
                let at = record.physical_offset().0;
                let durable = at + record.size() as u64 <= flushed;
                if record.topic() != TIMER_TOPIC || (durable && at >= hold) {
                    kept.insert(key.to_owned());
                }
            }
            for (key, message) in &self.messages {
                if message.acknowledged && message.recall.is_none() && !kept.contains(key) {
                    return Err(format!("{key} waits below the hold at {hold} only"));
                }
            }
        }
        Ok(())
    }

    fn crash(&mut self, life: Life, reboot: Reboot) {
        drop(life);
        self.world.disk.crash();
        self.world.disk.reboot(reboot);
        for message in self.messages.values_mut() {
            // What is not acknowledged may be lost; a recall of this life is not repeated.
            if !message.recalled {
                message.recall = message.recall.map(|_| u64::MAX);
            }
            message.end = None;
        }
    }

    /// In peace, long after everything fell due.
    fn judge(&mut self) -> Result<usize, String> {
        self.world.clock.set(self.world.clock.now_ms().max(BEGIN_MS) + 10_000_000);
        let mut life = self.world.open()?;
        life.settle();
        let delivered = life.delivered();
        for (key, times) in &delivered {
            let message = self.messages.get(key).ok_or_else(|| format!("{key} was never sent"))?;
            if times.len() > 1 {
                return Err(format!("{key} is delivered {} times", times.len()));
            }
            if times[0] < message.due_ms {
                return Err(format!("{key}, due at {}, came at {}", message.due_ms, times[0]));
            }
            if message.recalled {
                return Err(format!("{key} is delivered although it was recalled"));
            }
        }
        for (key, message) in &self.messages {
            if message.acknowledged && message.recall.is_none() && !delivered.contains_key(key) {
                return Err(format!("{key} is lost"));
            }
        }
        Ok(delivered.len())
    }
}

const FLUSHES: [Flush; 2] = [Flush::Sync, Flush::Async { interval_ms: 500 }];

#[test]
fn seeded_lives_lose_repeat_and_hurry_nothing() {
    let env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match env("GANTRY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("GANTRY_SEEDS").unwrap_or(40),
    };
    let (mut delivered, mut recalled, mut sent) = (0, 0, 0);
    for seed in seeds.clone() {
        let mut run = Run::new(seed, FLUSHES[(seed % 2) as usize]);
        let done = (|| {
            for _ in 0..4 {
                if run.rng.below(3) > 0 {
                    run.world.disk.crash_at(run.world.disk.operations() + 1 + run.rng.below(300));
                }
                let reboot = if run.rng.coin() { Reboot::Kill } else { Reboot::PowerLoss };
                match run.world.open() {
                    Ok(mut life) => {
                        let steps = run.rng.below(250);
                        run.live(&mut life, steps)?;
                        run.crash(life, reboot);
                    }
                    Err(_) if run.world.disk.crashed() => run.world.disk.reboot(reboot),
                    Err(error) => return Err(error),
                }
            }
            run.judge()
        })();
        delivered += done.unwrap_or_else(|problem| panic!("GANTRY_SEED={seed}: {problem}"));
        recalled += run.messages.values().filter(|message| message.recalled).count();
        sent += run.messages.len();
    }
    println!("{sent} sent, {delivered} delivered, {recalled} recalled");
    assert!(seeds.end - seeds.start < 40 || (delivered > 1_000 && recalled > 100));
}

#[test]
fn a_crash_at_every_call_of_a_delivery_is_made_up_for() {
    for flush in FLUSHES {
        let script = |run: &mut Run, life: &mut Life| {
            for nth in 0..40 {
                let (key, due_ms) = (format!("{nth:05}"), BEGIN_MS + 1 + nth * 13 % 40);
                let end = life.send(&key, due_ms);
                let message = Message { due_ms, end, acknowledged: false, recall: None, recalled: false };
                run.messages.insert(key, message);
            }
            for key in ["00003", "00017"] {
                let end = life.recall(key, run.messages[key].due_ms).ok();
                run.messages.get_mut(key).unwrap().recall = end;
            }
            for _ in 0..3 {
                while life.store.step(Step::Flush) || life.store.step(Step::Dispatch) {}
                run.look(life)?;
                for _ in 0..6 {
                    drop(life.step());
                }
                run.world.advance(17);
                life.store.expiring().advance(life.store.dispatched().get());
                life.engine.seal_after = 1;
            }
            Ok::<(), String>(())
        };
        let mut run = Run::new(7, flush);
        let mut life = run.world.open().unwrap();
        let from = run.world.disk.operations();
        script(&mut run, &mut life).unwrap();
        let to = run.world.disk.operations();
        assert!(to - from > 20, "{from} to {to}");
        for at in from + 1..=to + 1 {
            for (seed, reboot) in [(7, Reboot::Kill), (7, Reboot::PowerLoss), (8, Reboot::PowerLoss)] {
                let mut run = Run::new(seed, flush);
                let mut life = run.world.open().unwrap();
                run.world.disk.crash_at(at);
                script(&mut run, &mut life)
                    .and_then(|()| {
                        run.crash(life, reboot);
                        run.judge()
                    })
                    .unwrap_or_else(|problem| panic!("{flush:?}, call {at}, {reboot:?}, seed {seed}: {problem}"));
            }
        }
    }
}
