//! A broker and its name server.

use std::collections::BTreeMap;

use gantry_client::registration::{BrokerIdentity, NameServerLink};
use gantry_model::{
    labels::Labels,
    load::BrokerLoad,
    topic::{Perm, TopicConfig},
    version::DataVersion,
};
use gantry_protocol::{
    body::register::RegisterBrokerBody,
    code::{request, response},
};

use crate::fake::{Fake, nobody, ok, refused, within};

fn link(name_server: &str) -> NameServerLink {
    let identity = BrokerIdentity {
        cluster: "c".into(),
        name: "b".into(),
        id: 1,
        address: "127.0.0.1:10911".into(),
        zone: Some("az1".into()),
        labels: Labels::parse("disk=nvme").unwrap(),
    };
    NameServerLink::new(name_server.to_owned(), identity)
}

fn topics() -> RegisterBrokerBody {
    let topics = BTreeMap::from([("t".to_owned(), TopicConfig::new("t", 4, Perm::READ_WRITE))]);
    RegisterBrokerBody::new(DataVersion::default(), topics)
}

#[tokio::test]
async fn it_registers_notices_the_end_and_registers_again() {
    let names = Fake::start(|_| ok());
    let mut link = link(&names.address);
    link.register(&topics()).await.unwrap();
    let asked = &names.asked(request::REGISTER_BROKER)[0];
    let fields = ["clusterName", "brokerName", "brokerId", "brokerAddr", "compressed", "__ZONE_NAME"];
    assert_eq!(fields.map(|name| asked.field(name)), ["c", "b", "1", "127.0.0.1:10911", "false", "az1"]);
    assert_eq!(RegisterBrokerBody::parse(&asked.body).unwrap(), topics());
    names.close_connections();
    within("the end is noticed", link.closed()).await;
    link.register(&topics()).await.unwrap();
    link.unregister().await.unwrap();
    assert_eq!(names.asked(request::UNREGISTER_BROKER)[0].field("brokerName"), "b");
    assert_eq!(names.asked(request::REGISTER_BROKER).len(), 2);
}

#[tokio::test]
async fn a_refusal_and_silence_are_told_apart() {
    let names = Fake::start(|_| refused(response::SYSTEM_ERROR, "the name is taken"));
    let error = link(&names.address).register(&topics()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(response::SYSTEM_ERROR));
    let nobody = nobody();
    let mut link = link(&nobody);
    let error = link.register(&topics()).await.unwrap_err().to_string();
    assert!(error.contains(&nobody), "{error}");
    within("there is no connection to wait for", link.closed()).await;
}

#[tokio::test]
async fn a_heartbeat_tells_the_load_and_needs_a_registration() {
    let names = Fake::start(|_| ok());
    let mut link = link(&names.address);
    let load = BrokerLoad { in_flight: 1, send_micros: 2, disk_used_percent: 55, ..BrokerLoad::default() };
    assert!(!link.heartbeat(load), "a name server drops a broker with the connection that it registered over");
    link.register(&topics()).await.unwrap();
    assert!(link.heartbeat(load));
    // Requests of one connection are read in their order.
    link.unregister().await.unwrap();
    let asked = &names.asked(request::BROKER_HEARTBEAT)[0];
    let fields = ["clusterName", "brokerName", "brokerId", "brokerAddr", "gantryLabels", "gantryInFlight"];
    assert_eq!(fields.map(|name| asked.field(name)), ["c", "b", "1", "127.0.0.1:10911", "disk=nvme", "1"]);
    let load = ["gantrySendMicros", "gantryDiskUsedPercent", "gantryFlushBacklogBytes", "gantryRecentErrors"];
    assert_eq!(load.map(|name| asked.field(name)), ["2", "55", "0", "0"]);
}
