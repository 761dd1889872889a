//! A decider that answers as a test says, and a broker whose every decision it makes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use gantry_balance::{AssignQuestion, Decider, Deciders, Decision, Fault, FindDecider, QueueBoard, Unplaced, Weighing};
use gantry_base::{clock::Clock, disk::Disk, disk::sim::SimDisk, watermark::Watermark};
use gantry_plugin::{HostOptions, PluginHost};
use gantry_store::{Background, Options, Step, Store};
use parking_lot::Mutex;

use crate::{broker::Broker, options::BrokerOptions};

type Answer<Q, A> = Mutex<Box<dyn Fn(Q) -> Result<A, Fault> + Send + Sync>>;

/// Clones share the script.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Script>);

struct Script {
    version: AtomicU64,
    bound: AtomicBool,
    retargets: AtomicBool,
    weigh: Answer<QueueBoard, Weighing>,
    select: Answer<Vec<u8>, Option<u32>>,
    assign: Answer<AssignQuestion, Vec<Vec<u32>>>,
    changes: Watermark,
}

impl Scripted {
    /// Bound, without any answer.
    pub(crate) fn new() -> Self {
        fn none<Q, A>() -> Answer<Q, A> {
            Mutex::new(Box::new(|_| Err(Fault("no script".to_owned()))))
        }
        Scripted(Arc::new(Script {
            version: AtomicU64::new(1),
            bound: AtomicBool::new(true),
            retargets: AtomicBool::new(false),
            weigh: none(),
            select: none(),
            assign: none(),
            changes: Watermark::new(0),
        }))
    }

    pub(crate) fn weigh(&self, answer: impl Fn(QueueBoard) -> Result<Weighing, Fault> + Send + Sync + 'static) {
        *self.0.weigh.lock() = Box::new(answer);
    }

    pub(crate) fn select(&self, answer: impl Fn(Vec<u8>) -> Result<Option<u32>, Fault> + Send + Sync + 'static) {
        *self.0.select.lock() = Box::new(answer);
    }

    pub(crate) fn assign(
        &self,
        answer: impl Fn(AssignQuestion) -> Result<Vec<Vec<u32>>, Fault> + Send + Sync + 'static,
    ) {
        *self.0.assign.lock() = Box::new(answer);
    }

    pub(crate) fn retarget(&self, on: bool) {
        self.0.retargets.store(on, Ordering::SeqCst);
        self.swap();
    }

    /// Another version, or the same one bound or not.
    pub(crate) fn bind(&self, bound: bool) {
        self.0.bound.store(bound, Ordering::SeqCst);
        self.swap();
    }

    pub(crate) fn swap(&self) {
        let version = self.0.version.fetch_add(1, Ordering::SeqCst);
        self.0.changes.advance(version);
    }
}

impl Decider for Scripted {
    fn version(&self) -> u64 {
        self.0.version.load(Ordering::SeqCst)
    }

    fn retargets(&self) -> bool {
        self.0.retargets.load(Ordering::SeqCst)
    }

    fn weigh(&self, board: &QueueBoard) -> Result<Weighing, Fault> {
        (self.0.weigh.lock())(board.clone())
    }

    fn select(&self, message: &Unplaced<'_>) -> Result<Option<u32>, Fault> {
        (self.0.select.lock())(message.sharding_key.to_vec())
    }

    fn assign(&self, question: &AssignQuestion) -> Result<Vec<Vec<u32>>, Fault> {
        (self.0.assign.lock())(question.clone())
    }
}

impl FindDecider for Scripted {
    fn find(&self, decision: Decision, _: &str, group: Option<&str>) -> Option<Arc<dyn Decider>> {
        let asked = group.is_some() == (decision == Decision::Assign) && self.0.bound.load(Ordering::SeqCst);
        asked.then(|| Arc::new(self.clone()) as Arc<dyn Decider>)
    }

    fn changes(&self) -> &Watermark {
        &self.0.changes
    }
}

/// A broker over a simulated disk; its log moves when it is stepped.
pub(crate) fn broker(decider: &Scripted) -> Arc<Broker> {
    broker_with(decider, |_| ())
}

/// The same with other options.
pub(crate) fn broker_with(decider: &Scripted, change: impl FnOnce(&mut BrokerOptions)) -> Arc<Broker> {
    let data = "/data/broker-a";
    let (disk, clock): (Arc<dyn Disk>, _) = (Arc::new(SimDisk::new(1)), Clock::manual(1_700_000_000_000));
    let store = Options {
        segment_size_bytes: 1 << 20,
        background: Background::Stepped,
        clock: clock.clone(),
        ..Options::default()
    };
    let (store, _) = Store::open(disk.clone(), data.as_ref(), store, &mut |_| {}).unwrap();
    let mut options = BrokerOptions::new("c", "broker-a", ([127, 0, 0, 1], 1).into(), data.into());
    (options.clock, options.deciders) = (clock, Deciders::new(Arc::new(decider.clone())));
    change(&mut options);
    Broker::open(options, disk, store, PluginHost::start(HostOptions::default()).unwrap()).unwrap()
}

/// Lets everything that was appended be read.
pub(crate) fn settle(broker: &Broker) {
    while broker.store.step(Step::Flush) || broker.store.step(Step::Dispatch) {}
}
