//! Delayed messages over a simulated disk whose store is stepped by hand.

use std::path::Path;

use gantry_base::{
    clock::Clock,
    disk::sim::{Fault, Operation, SimDisk},
};
use gantry_model::{
    properties,
    topic::{Perm, TopicConfig},
};
use gantry_plugin::{HostOptions, PluginHost};
use gantry_store::{Background, Options, Step, Store};

use super::*;
use crate::options::BrokerOptions;

const DATA: &str = "/data/broker-a";
const RETRY: &str = "%RETRY%group";

struct Rig {
    disk: SimDisk,
    broker: Arc<Broker>,
    level: DelayLevel,
    queue: Arc<Queue>,
}

impl Rig {
    fn new() -> Rig {
        let (disk, clock) = (SimDisk::new(1), Clock::manual(1_700_000_000_000));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let store = Options {
            segment_size_bytes: 65_536,
            allocate_ahead_bytes: 4_096,
            queue_file_entries: 64,
            background: Background::Stepped,
            clock: clock.clone(),
            ..Options::default()
        };
        let (store, _) = Store::open(shared.clone(), Path::new(DATA), store, &mut |_| {}).unwrap();
        let mut options = BrokerOptions::new("c", "broker-a", ([127, 0, 0, 1], 1).into(), DATA.into());
        (options.clock, options.flush_timeout_ms) = (clock, 5);
        let plugins = PluginHost::start(HostOptions::default()).unwrap();
        let broker = Broker::open(options, shared, store, plugins).unwrap();
        broker.topics.update(TopicConfig::new("t", 1, Perm::READ_WRITE)).unwrap();
        let level = levels().next().unwrap();
        let queue = broker.topics.get(SCHEDULE_TOPIC).unwrap().queue(level.queue_id() as i32).unwrap().clone();
        Rig { disk, broker, level, queue }
    }

    /// Messages that are due for these topics.
    fn wait_for(&self, topics: &[&str]) {
        for topic in topics {
            let mut message = Outgoing::internal(&self.broker.options, topic.as_bytes().to_vec());
            message.set_property(properties::REAL_TOPIC, topic);
            message.set_property(properties::REAL_QID, "0");
            message.append(&self.broker.store, &self.queue).unwrap();
        }
        self.settle();
    }

    fn settle(&self) {
        while self.broker.store.step(Step::Flush) || self.broker.store.step(Step::Dispatch) {}
    }

    fn deliver(&self, from: u64) -> io::Result<u64> {
        deliver_due(&self.broker, &self.queue, self.level, QueueOffset(from)).map(|(after, _)| after.0)
    }

    /// How many messages a topic has got.
    fn count(&self, topic: &str) -> Option<u64> {
        Some(self.broker.topics.get(topic)?.queues[0].next_offset().0)
    }
}

#[test]
fn a_retry_topic_that_cannot_be_made_just_now_is_waited_for() {
    let rig = Rig::new();
    rig.wait_for(&[RETRY, "gone"]);
    let path_contains = "topics.json".into();
    rig.disk.fail(Fault { path_contains, times: u64::MAX, ..Fault::once(Operation::Rename) });
    let refused = rig.deliver(0).unwrap_err();
    assert!(refused.to_string().contains(RETRY), "{refused}");
    rig.disk.clear_faults();
    assert_eq!(rig.deliver(0).unwrap(), 2);
    assert_eq!((rig.count(RETRY), rig.count("gone")), (Some(1), None));
}

#[test]
fn what_was_delivered_before_an_error_is_not_delivered_again() {
    let rig = Rig::new();
    rig.wait_for(&["t", "t", RETRY, "t"]);
    let path_contains = "topics.json".into();
    rig.disk.fail(Fault { path_contains, times: u64::MAX, ..Fault::once(Operation::Rename) });
    assert_eq!(rig.deliver(0).unwrap(), 2);
    rig.deliver(2).unwrap_err();
    assert_eq!(rig.count("t"), Some(2));
    rig.disk.clear_faults();
    assert_eq!(rig.deliver(2).unwrap(), 4);
    assert_eq!((rig.count("t"), rig.count(RETRY)), (Some(3), Some(1)));
}

/// On a clock that moves only when nothing is left to do: waiting takes no time, and none of it is guessed.
#[tokio::test(start_paused = true)]
async fn a_slow_disk_makes_nothing_be_delivered_twice() {
    let rig = Rig::new();
    rig.wait_for(&["t"]);
    let cancel = CancellationToken::new();
    let following = tokio::spawn(follow(rig.broker.clone(), rig.level, cancel.clone()));
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while rig.count("t") == Some(0) {
        assert!(tokio::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Many times flush_timeout_ms.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((rig.count("t"), rig.broker.delivered.get(rig.level).0), (Some(1), 0));
    rig.settle();
    while rig.broker.delivered.get(rig.level).0 == 0 {
        assert!(tokio::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.count("t"), Some(1));
    cancel.cancel();
    following.await.unwrap();
}
