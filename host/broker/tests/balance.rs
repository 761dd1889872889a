//! What clients see of somebody who decides about queues: a served broker, real frames.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    borrow::Cow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use gantry_balance::{AssignQuestion, Decider, Deciders, Decision, Fault, FindDecider, QueueBoard, Weighing};
use gantry_base::{disk::sim::SimDisk, watermark::Watermark};
use gantry_broker::{Broker, BrokerOptions};
use gantry_model::subscription::Subscription;
use gantry_plugin::{HostOptions, PluginHost};
use gantry_protocol::{
    batch::{self, BatchMessage},
    body::{
        assignment::{Assignments, QueryAssignment, RequestMode, RequestModeConfig},
        heartbeat::{ConsumerData, Heartbeat},
    },
    code::{request::*, response},
    frame::OwnedFrame,
    request::send::SendRequest,
};
use gantry_remoting::{Connection, Inbox, Limits, Server};
use gantry_store::{Options, Store};
use tokio::sync::mpsc::Receiver;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const LONG: Duration = Duration::from_secs(30);

/// Sends everything to the last queue and gives everything to the first member, while it is on.
#[derive(Default)]
struct Last {
    on: AtomicBool,
    retargets: AtomicBool,
    version: AtomicU64,
    changes: Watermark,
}

#[derive(Clone, Default)]
struct Script(Arc<Last>);

impl Script {
    fn set(&self, flag: &AtomicBool, to: bool) {
        flag.store(to, Ordering::SeqCst);
        let version = self.0.version.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.changes.advance(version);
    }
}

impl Decider for Script {
    fn version(&self) -> u64 {
        self.0.version.load(Ordering::SeqCst)
    }

    fn retargets(&self) -> bool {
        self.0.retargets.load(Ordering::SeqCst)
    }

    fn weigh(&self, board: &QueueBoard) -> Result<Weighing, Fault> {
        let last = board.queues.len() - 1;
        Ok(Weighing::Weights((0..=last).map(|queue| u32::from(queue == last)).collect()))
    }

    fn assign(&self, question: &AssignQuestion) -> Result<Vec<Vec<u32>>, Fault> {
        let mut shares = vec![Vec::new(); question.members.len()];
        shares[0] = (0..question.queues.len() as u32).collect();
        Ok(shares)
    }
}

impl FindDecider for Script {
    fn find(&self, _: Decision, _: &str, _: Option<&str>) -> Option<Arc<dyn Decider>> {
        self.0.on.load(Ordering::SeqCst).then(|| Arc::new(self.clone()) as Arc<dyn Decider>)
    }

    fn changes(&self) -> &Watermark {
        &self.0.changes
    }
}

struct Rig {
    script: Script,
    broker: Arc<Broker>,
    address: String,
    client: Client,
    cancel: CancellationToken,
}

/// A connection and what the broker says over it unasked.
struct Client(Connection, Receiver<OwnedFrame>);

impl Rig {
    async fn new() -> Rig {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Limits::default()).unwrap();
        let (script, disk, data) = (Script::default(), Arc::new(SimDisk::new(1)), Path::new("/data/broker-a"));
        let mut options = BrokerOptions::new("c", "broker-a", server.local_addr(), data.into());
        options.deciders = Deciders::new(Arc::new(script.clone()));
        let store = Options { segment_size_bytes: 1 << 20, ..Options::default() };
        let (store, _) = Store::open(disk.clone(), data, store, &mut |_| {}).unwrap();
        let broker = Broker::open(options, disk, store, PluginHost::start(HostOptions::default()).unwrap()).unwrap();
        let (address, cancel) = (server.local_addr().to_string(), CancellationToken::new());
        tokio::spawn(server.serve(Arc::new(broker.service()), cancel.clone()));
        broker.start(&TaskTracker::new(), &cancel);
        let client = Client::connect(&address).await;
        Rig { script, broker, address, client, cancel }
    }

    /// Sends one message, or a batch of messages with these properties; the queue where it went.
    async fn send(&self, queue_id: i32, properties: &[&str]) -> i32 {
        let mut body = BytesMut::from(&b"x"[..]);
        if properties.len() > 1 {
            body.clear();
            for properties in properties {
                assert!(batch::push(
                    &mut body,
                    &BatchMessage { flag: 0, body: b"x", properties: properties.as_bytes() }
                ));
            }
        }
        let request = SendRequest {
            producer_group: "p".into(),
            topic: "t".into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: 4,
            queue_id,
            sys_flag: 0,
            born_ms: 1,
            flag: 0,
            properties: Cow::Borrowed(if let [one] = properties { one } else { "" }),
            reconsume_times: 0,
            unit_mode: false,
            max_reconsume_times: None,
            is_batch: properties.len() > 1,
        };
        let answer = self.client.0.call(SEND_MESSAGE_V2, |ext| request.write(ext), &body, LONG).await.unwrap();
        let header = answer.header().unwrap();
        assert_eq!(header.code, response::SUCCESS, "{:?}", header.remark);
        header.ext.number("queueId").unwrap()
    }

    /// Sends open messages until the plan is in effect: the last queue several times in a row.
    async fn until_planned(&self) {
        let begun = Instant::now();
        while [self.send(-1, &[""]).await, self.send(-1, &[""]).await, self.send(-1, &[""]).await] != [3, 3, 3] {
            assert!(begun.elapsed() < LONG);
        }
    }
}

impl Client {
    async fn connect(address: &str) -> Client {
        let (inbox, told) = Inbox::new(64);
        Client(Connection::connect(address, LONG, Limits::default(), Arc::new(inbox)).await.unwrap(), told)
    }

    async fn call(&self, code: i32, body: &[u8]) -> OwnedFrame {
        self.0.call(code, |_| (), body, LONG).await.unwrap()
    }

    async fn join(&self, client_id: &str) {
        let consumer = ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: vec![Subscription::from_tags("t", "*")],
            ..ConsumerData::default()
        };
        let heartbeat =
            Heartbeat { client_id: client_id.to_owned(), consumer_data_set: vec![consumer], ..Heartbeat::default() };
        let answer = self.call(HEART_BEAT, &heartbeat.to_json().unwrap()).await;
        assert_eq!(answer.header().unwrap().code, response::SUCCESS);
    }

    async fn queues(&self, client_id: &str) -> Vec<i32> {
        let query = QueryAssignment {
            client_id: client_id.to_owned(),
            consumer_group: "g".to_owned(),
            topic: "t".to_owned(),
            strategy_name: "AVG".to_owned(),
            ..QueryAssignment::default()
        };
        let answer = self.call(QUERY_ASSIGNMENT, &query.to_json().unwrap()).await;
        let found = Assignments::parse(&answer.body()).unwrap().message_queue_assignments.unwrap();
        found.into_iter().map(|found| found.message_queue.queue_id).collect()
    }

    /// Waits until the broker says that the group's members changed.
    async fn told(&mut self) {
        let told = tokio::time::timeout(LONG, self.1.recv()).await.unwrap().unwrap();
        assert_eq!(told.header().unwrap().code, NOTIFY_CONSUMER_IDS_CHANGED);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

const KEYED: &str = "__SHARDINGKEY\u{1}order-7\u{2}";
const KEYED_BY_GO: &str = "SHARDING_KEY\u{1}order-7\u{2}";

#[tokio::test(flavor = "multi_thread")]
async fn open_messages_follow_the_plan_and_orders_stay() {
    let rig = Rig::new().await;
    let turns = [rig.send(-1, &[""]).await, rig.send(-1, &[""]).await, rig.send(-1, &[""]).await];
    assert_eq!(turns, [0, 1, 2]);
    rig.script.set(&rig.script.0.on, true);
    rig.until_planned().await;
    assert_eq!(rig.send(-1, &["", ""]).await, 3, "a batch");
    assert_eq!(rig.send(1, &[""]).await, 1, "named");
    assert_eq!(rig.send(-1, &[KEYED]).await, 3);
    rig.script.set(&rig.script.0.retargets, true);
    let begun = Instant::now();
    while rig.send(1, &[""]).await != 3 {
        assert!(begun.elapsed() < LONG);
    }
    assert_eq!(rig.send(1, &["", ""]).await, 3);
    for ordered in [&[KEYED][..], &[KEYED_BY_GO], &["", KEYED]] {
        assert_eq!(rig.send(1, ordered).await, 1, "{ordered:?}");
    }
    assert!(rig.broker.select_metrics().retargeted.get() >= 2);
    // The end of the plan: the order stays where it is, also in a batch and from another client.
    rig.script.set(&rig.script.0.on, false);
    let begun = Instant::now();
    while rig.send(-1, &[""]).await == 3 || rig.send(-1, &[""]).await == 3 {
        assert!(begun.elapsed() < LONG);
    }
    for ordered in [&[KEYED][..], &[KEYED_BY_GO], &["", KEYED], &[KEYED]] {
        assert_eq!(rig.send(-1, ordered).await, 3, "{ordered:?}");
    }
    assert_eq!(rig.broker.select_metrics().faults.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_told_when_somebody_goes_and_when_somebody_else_decides() {
    let mut rig = Rig::new().await;
    rig.send(-1, &[""]).await;
    let second = Client::connect(&rig.address).await;
    rig.client.join("c1").await;
    rig.client.told().await;
    second.join("c2").await;
    rig.client.told().await;
    assert_eq!((rig.client.queues("c1").await, second.queues("c2").await), (vec![0, 1], vec![2, 3]));
    rig.script.set(&rig.script.0.on, true);
    rig.client.told().await;
    assert_eq!((rig.client.queues("c1").await, second.queues("c2").await), (vec![0, 1, 2, 3], vec![]));
    rig.script.set(&rig.script.0.on, false);
    rig.client.told().await;
    // Killed, not gone in order.
    let begun = Instant::now();
    drop(second);
    rig.client.told().await;
    assert_eq!(rig.client.queues("c1").await, [0, 1, 2, 3]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((rig.broker.assign_metrics().asked.get(), rig.broker.assign_metrics().faults.get()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pop_is_chosen_by_whoever_may_change_topics() {
    let rig = Rig::new().await;
    rig.send(-1, &[""]).await;
    rig.client.join("c1").await;
    let mode = RequestModeConfig {
        topic: "t".to_owned(),
        consumer_group: "g".to_owned(),
        mode: RequestMode::Pop,
        pop_share_queue_num: 0,
    };
    let set = rig.client.call(SET_MESSAGE_REQUEST_MODE, &mode.to_json().unwrap()).await;
    assert_eq!(set.header().unwrap().code, response::SUCCESS);
    assert_eq!(rig.client.queues("c1").await, [-1]);
    for (code, body) in [(SET_MESSAGE_REQUEST_MODE, &b"{"[..]), (QUERY_ASSIGNMENT, b"nonsense")] {
        let refused = rig.client.call(code, body).await;
        assert_eq!(refused.header().unwrap().code, response::SYSTEM_ERROR, "{code}");
    }
    // Taken back with the topic.
    let delete = |ext: &mut gantry_protocol::frame::FrameWriter<'_, '_>| _ = ext.ext("topic", "t");
    let deleted = rig.client.0.call(DELETE_TOPIC_IN_BROKER, delete, b"", LONG).await.unwrap();
    assert_eq!(deleted.header().unwrap().code, response::SUCCESS);
    rig.send(-1, &[""]).await;
    assert_eq!(rig.client.queues("c1").await, [0, 1, 2, 3]);
}
