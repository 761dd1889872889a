//! The table's rules, and the JSON that clients parse by hand, byte for byte.

use std::{collections::BTreeSet, time::Duration};

use gantry_base::clock::Clock;
use gantry_model::topic::{Perm, TopicConfig};
use proptest::prelude::*;

use super::{change::Registered, *};
use crate::NameServerOptions;

/// A table with its options.
struct Rig {
    options: NameServerOptions,
    table: Table,
}

/// A registration that owns its parts.
#[derive(Clone)]
struct Told {
    cluster: &'static str,
    group: String,
    id: u64,
    address: String,
    ha_address: String,
    zone: Option<&'static str>,
    expiry_ms: Option<u64>,
    connection: u64,
    version: DataVersion,
    topics: BTreeMap<String, TopicConfig>,
}

/// Broker `group` at a port of this machine, with `id` and topics of four queues.
fn told(group: &str, port: u16, id: u64, topics: &[&str]) -> Told {
    Told {
        cluster: "DefaultCluster",
        group: group.to_owned(),
        id,
        address: format!("127.0.0.1:{port}"),
        ha_address: String::new(),
        zone: None,
        expiry_ms: None,
        connection: 1,
        version: DataVersion::default(),
        topics: topics.iter().map(|name| ((*name).to_owned(), TopicConfig::new(*name, 4, Perm::READ_WRITE))).collect(),
    }
}

impl Rig {
    fn new() -> Self {
        let options = NameServerOptions { clock: Clock::manual(1_000), ..NameServerOptions::default() };
        Rig { options, table: Table::default() }
    }

    fn register(&mut self, told: &Told) -> Result<Registered, Refused> {
        let registration = Registration {
            cluster: told.cluster,
            group: &told.group,
            id: told.id,
            address: &told.address,
            ha_address: &told.ha_address,
            zone: told.zone,
            expiry_ms: told.expiry_ms,
            connection: told.connection,
            version: &told.version,
            topics: &told.topics,
        };
        let changes = self.table.check(&self.options, &registration)?;
        Ok(self.table.register(&self.options, &registration, changes))
    }

    fn addresses(&self, group: &str) -> BTreeMap<u64, String> {
        self.table.cluster_info().broker_addr_table[group].broker_addrs.clone()
    }

    fn topics(&self) -> String {
        serde_json::to_string(&self.table.topics()).unwrap()
    }
}

#[test]
fn routes_and_clusters_are_the_json_that_every_client_parses() {
    let mut rig = Rig::new();
    rig.register(&told("broker-a", 10911, 0, &["TopicTest"])).unwrap();
    rig.register(&Told { connection: 2, ..told("broker-a", 10921, 1, &["TopicTest"]) }).unwrap();
    let json = serde_json::to_string(&rig.table.route("TopicTest").unwrap()).unwrap();
    assert_eq!(
        json,
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911","1":"127.0.0.1:10921"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#
    );
    assert_eq!(
        serde_json::to_string(&rig.table.cluster_info()).unwrap(),
        r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{"0":"127.0.0.1:10911","1":"127.0.0.1:10921"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}},"clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#
    );
    assert_eq!(rig.topics(), r#"{"topicList":["TopicTest"]}"#);
    assert_eq!(
        serde_json::to_string(&rig.table.system_topics()).unwrap(),
        r#"{"brokerAddr":"127.0.0.1:10911","topicList":["DefaultCluster","broker-a"]}"#
    );
}

#[test]
fn several_brokers_and_clusters_share_a_topic() {
    let mut rig = Rig::new();
    rig.register(&told("a", 1, 0, &["t", "only-a"])).unwrap();
    rig.register(&Told { connection: 2, ..told("b", 2, 0, &["t", "only-b"]) }).unwrap();
    rig.register(&Told { cluster: "Other", ..told("c", 3, 0, &["t", "only-c"]) }).unwrap();
    let route = rig.table.route("t").unwrap();
    let brokers: Vec<_> = route.broker_datas.iter().map(|broker| (&*broker.broker_name, &*broker.cluster)).collect();
    assert_eq!(brokers, [("a", "DefaultCluster"), ("b", "DefaultCluster"), ("c", "Other")]);
    assert_eq!(route.queue_datas.len(), 3);
    let of_cluster = |rig: &Rig, cluster| serde_json::to_string(&rig.table.topics_of_cluster(cluster)).unwrap();
    assert_eq!(of_cluster(&rig, "Other"), r#"{"topicList":["only-c","t"]}"#);
    assert_eq!(of_cluster(&rig, "Unknown"), r#"{"topicList":[]}"#);
    rig.table.delete_topic("t", Some("Other"));
    assert_eq!(rig.table.route("t").unwrap().queue_datas.len(), 2);
    rig.table.delete_topic("t", None);
    assert!(rig.table.route("t").is_none());
    rig.register(&told("a", 1, 0, &["t"])).unwrap();
    assert_eq!(rig.table.route("t").unwrap().queue_datas.len(), 1, "a broker that has it tells it again");
}

#[test]
fn a_broker_ends_with_its_connection_its_silence_or_its_word() {
    let mut rig = Rig::new();
    rig.options.broker_expiry = Duration::from_millis(500);
    rig.register(&Told { connection: 7, ..told("a", 1, 0, &["t", "only-a"]) }).unwrap();
    rig.register(&Told { connection: 8, ..told("b", 2, 0, &["t", "x"]) }).unwrap();
    assert_eq!(rig.table.disconnected(7), ["127.0.0.1:1"]);
    assert!(rig.table.route("only-a").is_none());
    assert_eq!(rig.table.route("t").unwrap().queue_datas.len(), 1);
    assert!(rig.table.heartbeat("b", "127.0.0.1:2", 1_400).is_some());
    assert!(rig.table.expire(1_900).is_empty());
    assert_eq!(rig.table.expire(1_901), ["127.0.0.1:2"]);
    assert!(rig.table.heartbeat("b", "127.0.0.1:2", 1_902).is_none(), "a broker that is gone must register again");
    rig.register(&Told { connection: 9, ..told("b", 2, 0, &["t"]) }).unwrap();
    rig.table.unregister("b", "127.0.0.1:2");
    assert!(rig.table.route("t").is_none() && rig.table.cluster_info().cluster_addr_table.is_empty());
}

#[test]
fn a_broker_may_ask_for_its_own_time_within_reason() {
    let mut rig = Rig::new();
    rig.register(&Told { expiry_ms: Some(10), ..told("a", 1, 0, &[]) }).unwrap();
    rig.register(&Told { expiry_ms: Some(u64::MAX), ..told("b", 2, 0, &[]) }).unwrap();
    rig.register(&Told { expiry_ms: Some(0), ..told("c", 3, 0, &[]) }).unwrap();
    assert_eq!(rig.table.expire(1_011), ["127.0.0.1:1"]);
    assert_eq!(rig.table.expire(121_001), ["127.0.0.1:3"], "0 asks for the usual 120 s");
    assert_eq!(rig.table.expire(3_601_001), ["127.0.0.1:2"], "nobody stays longer than an hour");
}

#[test]
fn an_address_has_one_id_and_an_id_one_address() {
    let mut rig = Rig::new();
    rig.register(&told("a", 1, 0, &["t"])).unwrap();
    let moved = rig.register(&told("a", 1, 2, &[])).unwrap();
    assert_eq!((moved, rig.addresses("a")), (Registered::default(), BTreeMap::from([(2, "127.0.0.1:1".to_owned())])));
    let other = rig.register(&Told { connection: 2, ..told("a", 5, 2, &[]) }).unwrap();
    assert_eq!((other.new, other.replaced.as_deref()), (true, Some("127.0.0.1:1")));
    assert_eq!(rig.addresses("a"), BTreeMap::from([(2, "127.0.0.1:5".to_owned())]));
    assert!(rig.table.disconnected(1).is_empty(), "the replaced address went with its replacement");
}

#[test]
fn an_older_epoch_does_not_take_a_newer_ones_place() {
    let mut rig = Rig::new();
    let newer = DataVersion { state_version: 3, ..DataVersion::default() };
    rig.register(&Told { version: newer, ..told("a", 1, 0, &[]) }).unwrap();
    let refused = rig.register(&told("a", 2, 0, &[])).unwrap_err();
    assert!(refused.0.contains("epoch"), "{refused}");
    rig.register(&told("a", 1, 0, &[])).unwrap();
    rig.register(&told("a", 2, 0, &[])).unwrap();
}

#[test]
fn a_replica_learns_its_master_and_tells_no_topics() {
    let mut rig = Rig::new();
    let alone = rig.register(&told("a", 2, 1, &["replica-only", "t"])).unwrap();
    assert_eq!((alone.master, rig.topics()), (None, r#"{"topicList":[]}"#.to_owned()));
    rig.register(&Told { ha_address: "127.0.0.1:10912".to_owned(), ..told("a", 1, 0, &["t", "x"]) }).unwrap();
    let told = rig.register(&told("a", 2, 1, &[])).unwrap();
    assert_eq!(told.master, Some(("127.0.0.1:1".to_owned(), "127.0.0.1:10912".to_owned())));
    rig.table.unregister("a", "127.0.0.1:1");
    assert_eq!(
        rig.table.route("t").unwrap().broker_datas[0].broker_addrs.len(),
        1,
        "consumers may read from the replica"
    );
}

#[test]
fn a_new_broker_with_one_topic_is_asked_for_the_rest() {
    let mut rig = Rig::new();
    rig.register(&told("a", 1, 0, &["t"])).unwrap();
    assert_eq!(rig.table.heartbeat("a", "127.0.0.1:1", 1_000), None);
    assert!(rig.table.route("t").is_some());
    rig.register(&told("a", 1, 0, &["t"])).unwrap();
    assert_eq!(rig.table.heartbeat("a", "127.0.0.1:1", 1_000), Some(DataVersion::default()));
}

#[test]
fn illegal_and_excessive_registrations_change_nothing() {
    let mut rig = Rig::new();
    (rig.options.brokers_max, rig.options.topics_max, rig.options.addresses_per_broker_max) = (1, 2, 2);
    rig.register(&told("a", 1, 0, &["t"])).unwrap();
    rig.register(&told("a", 2, 1, &[])).unwrap();
    let before = format!("{:?}", rig.table);
    let mut refused = |told: Told, sentence: &str| {
        let refused = rig.register(&told).unwrap_err();
        assert!(refused.0.contains(sentence), "{refused}, not {sentence}");
        assert!(refused.0.len() < 500, "what a peer chose is repeated in part");
    };
    refused(told("b", 2, 0, &[]), "brokers_max");
    refused(told("a", 3, 2, &[]), "addresses_per_broker_max");
    refused(told("a", 1, 0, &["x", "y"]), "topics_max");
    refused(told("a", 1, 0, &["../x"]), "../x");
    refused(told("a b", 1, 0, &[]), "broker name");
    refused(Told { cluster: "", ..told("a", 1, 0, &[]) }, "cluster name");
    let long = format!("{}:1", "h".repeat(10_000));
    for address in ["nohost", ":1", "h:0", "h:+1", "h:99999", "h\n:1", "a,b:1", "h :1", &long] {
        refused(Told { address: address.to_owned(), ..told("a", 1, 0, &[]) }, "is no host:port");
        refused(Told { ha_address: address.to_owned(), ..told("a", 1, 0, &[]) }, "replication address");
    }
    for (config, sentence) in [
        (TopicConfig { topic_name: "../x".to_owned(), ..TopicConfig::new("x", 4, Perm(6)) }, "own settings"),
        (TopicConfig::new("x", 4, Perm(8)), "permission 8"),
        (TopicConfig::new("x", 70_000, Perm(6)), "65536 queues"),
    ] {
        refused(Told { topics: BTreeMap::from([("x".to_owned(), config)]), ..told("a", 1, 0, &[]) }, sentence);
    }
    rig.options.queue_entries_max = 1;
    assert!(rig.register(&told("a", 1, 0, &["x"])).unwrap_err().0.contains("queue_entries_max"));
    assert_eq!(format!("{:?}", rig.table), before);
    assert_eq!(rig.topics(), r#"{"topicList":["t"]}"#);
}

#[derive(Debug, Clone)]
enum Step {
    Register { group: u8, port: u16, id: u64, connection: u64, topics: BTreeSet<u8> },
    Heartbeat { group: u8, port: u16 },
    Unregister { group: u8, port: u16 },
    Disconnect(u64),
    Pass(u64),
    Delete { topic: u8, in_cluster: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let topics = proptest::collection::btree_set(0_u8..6, 0..5);
    prop_oneof![
        4 => (0_u8..4, 1_u16..5, 0_u64..4, 1_u64..5, topics)
            .prop_map(|(group, port, id, connection, topics)| Step::Register { group, port, id, connection, topics }),
        1 => (0_u8..4, 1_u16..5).prop_map(|(group, port)| Step::Heartbeat { group, port }),
        1 => (0_u8..4, 1_u16..5).prop_map(|(group, port)| Step::Unregister { group, port }),
        1 => (1_u64..5).prop_map(Step::Disconnect),
        1 => (1_u64..80_000).prop_map(Step::Pass),
        1 => (0_u8..6, any::<bool>()).prop_map(|(topic, in_cluster)| Step::Delete { topic, in_cluster }),
    ]
}

/// What the head of `table.rs` promises, and that limits hold.
fn check_invariants(rig: &Rig) {
    let (table, options) = (&rig.table, &rig.options);
    for group in table.groups.values() {
        let addresses: BTreeSet<_> = group.members.values().map(|member| &member.address).collect();
        assert!(!addresses.is_empty() && addresses.len() == group.members.len());
        assert!(group.members.len() <= options.addresses_per_broker_max);
    }
    for (topic, queues) in &table.topics {
        assert!(!queues.is_empty() && queues.keys().all(|group| table.groups.contains_key(group)));
        let route = table.route(topic).unwrap();
        assert_eq!((route.broker_datas.len(), route.queue_datas.len()), (queues.len(), queues.len()));
    }
    assert_eq!(table.entries, table.topics.values().map(BTreeMap::len).sum::<usize>());
    assert!(table.groups.len() <= options.brokers_max && table.topics.len() <= options.topics_max);
    assert!(table.entries <= options.queue_entries_max);
}

proptest! {
    #[test]
    fn whatever_happens_the_table_is_whole(steps in proptest::collection::vec(step(), 1..60)) {
        let mut rig = Rig::new();
        (rig.options.brokers_max, rig.options.topics_max) = (3, 5);
        (rig.options.addresses_per_broker_max, rig.options.queue_entries_max) = (3, 9);
        let mut now_ms = 1_000;
        for step in steps {
            let name = |group: u8| format!("g{group}");
            match step {
                Step::Register { group, port, id, connection, topics } => {
                    let topics: Vec<String> = topics.iter().map(|topic| format!("t{topic}")).collect();
                    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                    let before = format!("{:?}", rig.table);
                    match rig.register(&Told { connection, ..told(&name(group), port, id, &topics) }) {
                        Ok(_) => {
                            prop_assert_eq!(&rig.addresses(&name(group))[&id], &format!("127.0.0.1:{port}"));
                            if id == 0 {
                                prop_assert!(topics.iter().all(|topic| rig.table.route(topic).is_some()));
                            }
                        }
                        Err(_) => prop_assert_eq!(format!("{:?}", rig.table), before),
                    }
                }
                Step::Heartbeat { group, port } => {
                    rig.table.heartbeat(&name(group), &format!("127.0.0.1:{port}"), now_ms);
                }
                Step::Unregister { group, port } => rig.table.unregister(&name(group), &format!("127.0.0.1:{port}")),
                Step::Disconnect(connection) => {
                    rig.table.disconnected(connection);
                    prop_assert!(rig.table.disconnected(connection).is_empty());
                }
                Step::Pass(ms) => {
                    now_ms += ms;
                    rig.options.clock.set(now_ms);
                    rig.table.expire(now_ms);
                    prop_assert!(rig.table.expire(now_ms).is_empty());
                }
                Step::Delete { topic, in_cluster } => {
                    let topic = format!("t{topic}");
                    rig.table.delete_topic(&topic, in_cluster.then_some("DefaultCluster"));
                    prop_assert!(rig.table.route(&topic).is_none());
                }
            }
            check_invariants(&rig);
        }
    }
}
