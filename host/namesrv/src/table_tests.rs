//! The table's rules, and the JSON that clients parse by hand, byte for byte.

use std::time::Duration;

use gantry_base::clock::Clock;
use gantry_model::topic::Perm;

use super::*;

fn options() -> NameServerOptions {
    NameServerOptions { clock: Clock::manual(1_000), ..NameServerOptions::default() }
}

fn broker(name: &str, port: u16, id: u64) -> Broker {
    Broker { cluster: "DefaultCluster".to_owned(), name: name.to_owned(), address: format!("127.0.0.1:{port}"), id }
}

fn topics(names: &[&str]) -> BTreeMap<String, TopicConfig> {
    names.iter().map(|name| ((*name).to_owned(), TopicConfig::new(*name, 4, Perm::READ_WRITE))).collect()
}

fn register(
    table: &mut Table,
    options: &NameServerOptions,
    broker: &Broker,
    connection: u64,
    names: &[&str],
) -> Result<(), Refused> {
    table.register(options, broker, None, connection, DataVersion::default(), &topics(names))
}

#[test]
fn a_route_is_the_json_that_every_client_parses() {
    let (options, mut table) = (options(), Table::default());
    register(&mut table, &options, &broker("broker-a", 10911, 0), 1, &["TopicTest"]).unwrap();
    register(&mut table, &options, &broker("broker-a", 10921, 1), 2, &["TopicTest"]).unwrap();
    let json = serde_json::to_string(&table.route("TopicTest").unwrap()).unwrap();
    assert_eq!(
        json,
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911","1":"127.0.0.1:10921"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#
    );
    let info = serde_json::to_string(&table.cluster_info()).unwrap();
    assert!(info.ends_with(r#""clusterAddrTable":{"DefaultCluster":["broker-a"]}}"#), "{info}");
}

#[test]
fn a_broker_ends_with_its_connection_its_silence_or_its_word() {
    let (mut options, mut table) = (options(), Table::default());
    options.broker_expiry = Duration::from_millis(500);
    register(&mut table, &options, &broker("a", 1, 0), 7, &["t", "only-a"]).unwrap();
    register(&mut table, &options, &broker("b", 2, 0), 8, &["t"]).unwrap();
    assert_eq!(table.disconnected(7), ["127.0.0.1:1"]);
    assert!(table.route("only-a").is_none());
    assert_eq!(table.route("t").unwrap().queue_datas.len(), 1);
    assert!(table.heartbeat("b", "127.0.0.1:2", 1_400).is_some());
    assert!(table.expire(1_900).is_empty());
    assert_eq!(table.expire(1_901), ["127.0.0.1:2"]);
    assert!(table.heartbeat("b", "127.0.0.1:2", 1_902).is_none(), "a broker that is gone must register again");
    register(&mut table, &options, &broker("b", 2, 0), 9, &["t"]).unwrap();
    table.unregister("b", "127.0.0.1:2");
    assert!(table.route("t").is_none() && table.cluster_info().cluster_addr_table.is_empty());
}

#[test]
fn an_address_has_one_id_and_an_id_one_address() {
    let (options, mut table) = (options(), Table::default());
    register(&mut table, &options, &broker("a", 1, 0), 1, &["t"]).unwrap();
    register(&mut table, &options, &broker("a", 1, 2), 1, &[]).unwrap();
    let addresses = |table: &Table| table.cluster_info().broker_addr_table["a"].broker_addrs.clone();
    assert_eq!(addresses(&table), BTreeMap::from([(2, "127.0.0.1:1".to_owned())]));
    register(&mut table, &options, &broker("a", 5, 2), 2, &[]).unwrap();
    assert_eq!(addresses(&table), BTreeMap::from([(2, "127.0.0.1:5".to_owned())]));
    assert!(table.disconnected(1).is_empty(), "the replaced address went with its replacement");
}

#[test]
fn illegal_and_excessive_registrations_change_nothing() {
    let (mut options, mut table) = (options(), Table::default());
    options.brokers_max = 1;
    options.topics_max = 2;
    register(&mut table, &options, &broker("a", 1, 0), 1, &["t"]).unwrap();
    let mut refused = |broker: Broker, names: &[&str]| register(&mut table, &options, &broker, 2, names).unwrap_err().0;
    assert!(refused(broker("b", 2, 0), &[]).contains("brokers_max"));
    assert!(refused(broker("a", 1, 0), &["x", "y"]).contains("topics_max"));
    assert!(refused(broker("a", 1, 0), &["../x"]).contains("../x"));
    assert!(refused(broker("a b", 1, 0), &[]).contains("broker name"));
    for address in ["nohost", ":1", "h:0", "h:99999", "h\n:1", "a,b:1"] {
        assert!(
            refused(Broker { address: address.to_owned(), ..broker("a", 1, 0) }, &[]).contains("host:port"),
            "{address}"
        );
    }
    assert_eq!(table.topics().topic_list, BTreeSet::from(["t".to_owned()]));
}
