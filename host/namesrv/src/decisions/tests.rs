//! What clients are told of a topic while somebody decides about it.

use std::sync::atomic::{AtomicU64, Ordering};

use gantry_balance::{Fault, FindDecider};
use gantry_base::{access::AccessList, clock::Clock, watermark::Watermark};
use gantry_protocol::{code::request::*, frame::Codec};

use super::*;
use crate::{
    NameServerOptions,
    service::tests::{Reply, Rig},
};

type Answer = Box<dyn Fn(&RouteQuestion) -> Result<Vec<bool>, Fault> + Send + Sync>;

/// Decides about every topic but those that begin with `free`.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    version: AtomicU64,
    answer: Mutex<Answer>,
    asked: Mutex<Vec<RouteQuestion>>,
    changes: Watermark,
}

impl Scripted {
    fn new(answer: impl Fn(&RouteQuestion) -> Result<Vec<bool>, Fault> + Send + Sync + 'static) -> Self {
        Scripted(Arc::new(Script {
            version: AtomicU64::new(1),
            answer: Mutex::new(Box::new(answer)),
            asked: Mutex::default(),
            changes: Watermark::new(0),
        }))
    }

    fn last(&self) -> RouteQuestion {
        self.0.asked.lock().last().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.0.asked.lock().len()
    }
}

impl Decider for Scripted {
    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Relaxed)
    }

    fn route(&self, question: &RouteQuestion) -> Result<Vec<bool>, Fault> {
        self.0.asked.lock().push(question.clone());
        (self.0.answer.lock())(question)
    }
}

impl FindDecider for Scripted {
    fn find(&self, decision: Decision, topic: &str, group: Option<&str>) -> Option<Arc<dyn Decider>> {
        let asked = decision == Decision::Route && group.is_none() && !topic.starts_with("free");
        asked.then(|| Arc::new(self.clone()) as Arc<dyn Decider>)
    }

    fn changes(&self) -> &Watermark {
        &self.0.changes
    }
}

/// Two brokers, each over its own connection.
fn rig(decider: &Scripted, topics: &[&str]) -> (Rig, Rig, Clock) {
    let options = NameServerOptions {
        deciders: Deciders::new(Arc::new(decider.clone())),
        admin: AccessList::default(),
        ..NameServerOptions::default()
    };
    let mut a = Rig::with(options, Codec::Json, "127.0.0.1:1");
    let mut b = a.beside(Codec::Binary, "127.0.0.1:2");
    assert_eq!(a.register("broker-a", 10_911, "0", topics).code, 0);
    assert_eq!(b.register("broker-b", 10_921, "0", topics).code, 0);
    let clock = a.clock.clone();
    (a, b, clock)
}

/// Permission and queue counts of each broker, as clients read them.
fn told(reply: &Reply) -> Vec<(String, u32, u32, u32)> {
    let route: TopicRoute = serde_json::from_str(&reply.body).unwrap();
    let told = route
        .queue_datas
        .into_iter()
        .map(|data| (data.broker_name, data.perm.0, data.read_queue_nums, data.write_queue_nums));
    told.collect()
}

fn perms(reply: &Reply) -> Vec<u32> {
    told(reply).into_iter().map(|(_, perm, ..)| perm).collect()
}

fn heartbeat(rig: &mut Rig, name: &str, port: u16, extra: &[(&str, &str)]) {
    let address = format!("127.0.0.1:{port}");
    let mut fields = vec![("brokerName", name), ("brokerAddr", &address), ("clusterName", "DefaultCluster")];
    fields.extend_from_slice(extra);
    assert_eq!(rig.ask(BROKER_HEARTBEAT, &fields, "").code, 0);
}

#[test]
fn only_the_permission_to_write_is_taken_and_never_the_last() {
    let decider =
        Scripted::new(|question| Ok(question.brokers.iter().map(|broker| &*broker.name != "broker-a").collect()));
    let (mut rig, mut b, _) = rig(&decider, &["t", "free", "%RETRY%g", "TBW102"]);
    for topic in ["t", "TBW102"] {
        let expected = [("broker-a".to_owned(), 4, 4, 4), ("broker-b".to_owned(), 6, 4, 4)];
        assert_eq!(told(&rig.route(topic)), expected, "{topic}");
    }
    assert_eq!(perms(&rig.route("free")), [6, 6]);
    assert_eq!(perms(&rig.route("%RETRY%g")), [6, 6], "retries go where they must");
    assert_eq!(decider.count(), 2);
    // The other one goes: what was decided no longer holds.
    let fields = [("brokerName", "broker-b"), ("brokerAddr", "127.0.0.1:10921"), ("clusterName", "DefaultCluster")];
    assert_eq!(b.ask(UNREGISTER_BROKER, &fields, "").code, 0);
    assert_eq!(perms(&rig.route("t")), [6]);
    let metrics = rig.server.metrics();
    assert_eq!((metrics.asked.get(), metrics.faults.get(), metrics.overruled.get()), (3, 0, 1));
}

#[test]
fn topics_in_order_are_not_decided_about() {
    let decider = Scripted::new(|_| Ok(vec![false, true]));
    let (mut rig, ..) = rig(&decider, &["t"]);
    let ordered = r#"{"topicConfigSerializeWrapper":{"dataVersion":{"counter":9},"topicConfigTable":{"t":{"order":true,"perm":6,"readQueueNums":4,"topicName":"t","writeQueueNums":4}}}}"#;
    let fields = [
        ("brokerName", "broker-a"),
        ("brokerAddr", "127.0.0.1:10911"),
        ("clusterName", "DefaultCluster"),
        ("brokerId", "0"),
    ];
    assert_eq!(perms(&rig.route("t")), [4, 6]);
    assert_eq!(rig.ask(REGISTER_BROKER, &fields, ordered).code, 0);
    assert_eq!(perms(&rig.route("t")), [6, 6], "one broker that says so is enough");
    // A tool that tells the queues again does not know of the order.
    let route =
        r#"{"brokerDatas":[],"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":8,"writeQueueNums":8}]}"#;
    assert_eq!(rig.ask(REGISTER_TOPIC_IN_NAMESRV, &[("topic", "t")], route).code, 0);
    assert_eq!(perms(&rig.route("t")), [6, 6]);
}

#[test]
fn an_answer_is_kept_until_something_changes() {
    let decider = Scripted::new(|_| Ok(vec![true, false]));
    let (mut rig, mut b, clock) = rig(&decider, &["t"]);
    let asked_after = |what: &str, times: usize, rig: &mut Rig| {
        for _ in 0..3 {
            assert_eq!(perms(&rig.route("t")), [6, 4]);
        }
        assert_eq!(decider.count(), times, "{what}");
    };
    asked_after("the first question", 1, &mut rig);
    clock.set(clock.now_ms() + 60_000);
    asked_after("a minute", 1, &mut rig);
    b.register("broker-b", 10_921, "0", &["t"]);
    asked_after("a registration that says nothing new", 1, &mut rig);
    b.register("broker-b", 10_921, "0", &["t", "other"]);
    asked_after("a registration of another topic", 2, &mut rig);
    heartbeat(&mut b, "broker-b", 10_921, &[("gantryInFlight", "7")]);
    asked_after("a load within the same second", 2, &mut rig);
    clock.set(clock.now_ms() + 1_000);
    asked_after("a load, a second later", 3, &mut rig);
    clock.set(clock.now_ms() + 1_000);
    heartbeat(&mut b, "broker-b", 10_921, &[("gantryInFlight", "7")]);
    asked_after("the same load again", 3, &mut rig);
    decider.0.version.store(2, Ordering::Relaxed);
    asked_after("another version", 4, &mut rig);
    heartbeat(&mut b, "broker-b", 10_921, &[("gantryInFlight", "7"), ("gantryLabels", "canary=true")]);
    asked_after("a label", 5, &mut rig);
}

#[test]
fn a_fault_leaves_the_route_as_it_is_and_is_asked_about_again() {
    let decider = Scripted::new(|_| Ok(vec![false]));
    let (mut rig, _, clock) = rig(&decider, &["t"]);
    for _ in 0..3 {
        assert_eq!(perms(&rig.route("t")), [6, 6]);
    }
    assert_eq!((decider.count(), rig.server.metrics().faults.get()), (1, 1));
    *decider.0.answer.lock() = Box::new(|_| Ok(vec![false, true]));
    clock.set(clock.now_ms() + 999);
    assert_eq!(perms(&rig.route("t")), [6, 6]);
    clock.set(clock.now_ms() + 1);
    assert_eq!(perms(&rig.route("t")), [4, 6]);
}

#[test]
fn brokers_are_known_by_what_they_say_over_their_own_connection() {
    let decider = Scripted::new(|_| Ok(vec![true, true]));
    let (mut rig, mut b, clock) = rig(&decider, &["t"]);
    let body = r#"{"topicConfigSerializeWrapper":{"topicConfigTable":{"t":{"perm":6,"readQueueNums":4,"topicName":"t","writeQueueNums":4}}}}"#;
    let fields = [
        ("brokerName", "broker-a"),
        ("brokerAddr", "127.0.0.1:10911"),
        ("clusterName", "DefaultCluster"),
        ("brokerId", "0"),
        ("__ZONE_NAME", "az1"),
    ];
    assert_eq!(rig.ask(REGISTER_BROKER, &fields, body).code, 0);
    let said = [
        ("gantryLabels", "disk=nvme"),
        ("gantryInFlight", "7"),
        ("gantrySendMicros", "120"),
        ("gantryDiskUsedPercent", "999"),
    ];
    heartbeat(&mut rig, "broker-a", 10_911, &said);
    // Nobody speaks for another, and a broker lives whatever nonsense it says.
    heartbeat(&mut rig, "broker-b", 10_921, &said);
    heartbeat(&mut b, "broker-b", 10_921, &[("gantryLabels", "no label"), ("gantryInFlight", "many")]);
    rig.route("t");
    let question = decider.last();
    let [a, other] = question.brokers.as_slice() else { panic!("{question:?}") };
    assert_eq!((a.zone.as_deref(), a.labels.to_string()), (Some("az1"), "disk=nvme".to_owned()));
    let load = a.load.unwrap();
    assert_eq!((load.in_flight, load.send_micros, load.disk_used_percent, load.recent_errors), (7, 120, 100, 0));
    assert_eq!((other.zone.as_deref(), other.labels.is_empty(), other.load), (None, true, None));
    assert_eq!((&*a.cluster, a.writable, a.read_queues, a.write_queues), ("DefaultCluster", true, 4, 4));
    let info = rig.ask(GET_BROKER_CLUSTER_INFO, &[], "").body;
    assert!(info.contains(r#""enableActingMaster":false,"zoneName":"az1"}"#), "{info}");
    assert_eq!(info.matches("zoneName").count(), 1, "{info}");
    // A load that is not told again says nothing any more.
    clock.set(clock.now_ms() + 10_001);
    b.register("broker-b", 10_921, "0", &["t", "new"]);
    rig.route("t");
    assert_eq!(decider.last().brokers[0].load, None);
    assert_eq!(decider.last().brokers[0].labels.to_string(), "disk=nvme");
}

#[test]
fn an_operator_takes_a_broker_out_and_gives_it_back() {
    let decider = Scripted::new(|_| Ok(vec![true, false]));
    let (mut rig, _, _) = rig(&decider, &["t", "free", "u"]);
    let wipe = |rig: &mut Rig, code| rig.ask(code, &[("brokerName", "broker-a")], "");
    let mut stranger = rig.beside(Codec::Json, "10.0.0.9:1");
    assert_eq!(wipe(&mut stranger, WIPE_WRITE_PERM_OF_BROKER).code, 16);
    assert_eq!(wipe(&mut rig, WIPE_WRITE_PERM_OF_BROKER).fields["wipeTopicCount"], "3");
    assert_eq!(perms(&rig.route("free")), [4, 6]);
    assert_eq!(perms(&rig.route("t")), [4, 6], "the last one that is left is not taken");
    assert!(!decider.last().brokers[0].writable);
    rig.register("broker-a", 10_911, "0", &["t", "free", "u", "v"]);
    assert_eq!(perms(&rig.route("free")), [4, 6], "a new topic does not undo it");
    assert_eq!(wipe(&mut rig, ADD_WRITE_PERM_OF_BROKER).fields["addTopicCount"], "4");
    assert_eq!(perms(&rig.route("free")), [6, 6]);
    assert_eq!(perms(&rig.route("t")), [6, 4]);
    wipe(&mut rig, WIPE_WRITE_PERM_OF_BROKER);
    let fields = [("brokerName", "broker-a"), ("brokerAddr", "127.0.0.1:10911"), ("clusterName", "DefaultCluster")];
    rig.ask(UNREGISTER_BROKER, &fields, "");
    rig.register("broker-a", 10_911, "0", &["t", "free"]);
    assert_eq!(perms(&rig.route("free")), [6, 6], "a restart undoes it");
    assert_eq!(rig.ask(WIPE_WRITE_PERM_OF_BROKER, &[("brokerName", "nobody")], "").fields["wipeTopicCount"], "0");
}
