//! Requests as brokers, clients and tools send them, through real frames in both encodings; and one over sockets.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use gantry_base::{access::AccessList, clock::Clock};
use gantry_model::topic::{Perm, TopicConfig};
use gantry_protocol::frame::Codec;
use gantry_remoting::{Connection, Limits, NoRequests, Server};

use super::*;

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: i32,
    pub(crate) remark: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A name server and one connection to it.
pub(crate) struct Rig {
    pub(crate) server: NameServer,
    pub(crate) session: Session,
    pub(crate) codec: Codec,
    pub(crate) clock: Clock,
}

impl Rig {
    fn new(codec: Codec) -> Self {
        Rig::with(NameServerOptions::default(), codec, "127.0.0.1:1")
    }

    pub(crate) fn with(options: NameServerOptions, codec: Codec, peer: &str) -> Self {
        let clock = Clock::manual(1_000);
        let server = NameServer::new(NameServerOptions { clock: clock.clone(), ..options });
        let session = connect(&server, peer);
        Rig { server, session, codec, clock }
    }

    /// The same name server over another connection.
    pub(crate) fn beside(&self, codec: Codec, peer: &str) -> Self {
        Rig { server: self.server.clone(), session: connect(&self.server, peer), codec, clock: self.clock.clone() }
    }

    pub(crate) fn ask(&mut self, code: i32, fields: &[(&str, &str)], body: &str) -> Reply {
        let head = Head::request(code, 77);
        let (mut request, mut out) = (BytesMut::new(), BytesMut::new());
        let mut writer = FrameWriter::new(&mut request, self.codec, &head);
        for (name, value) in fields {
            writer.ext(name, *value);
        }
        writer.finish(body.as_bytes());
        let (frame, _) = Frame::parse(&request, FRAME_BYTES_MAX).unwrap().unwrap();
        encode(&frame.header, self.server.answer(&mut self.session, &frame), &mut out);
        let (answer, len) = Frame::parse(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        let header = &answer.header;
        assert_eq!((len, header.opaque, header.is_response(), header.codec), (out.len(), 77, true, self.codec));
        let mut told = BTreeMap::new();
        header.ext.for_each(|name, value| drop(told.insert(name.to_owned(), value.into_owned())));
        Reply {
            code: header.code,
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            fields: told,
            body: String::from_utf8(answer.body.to_vec()).unwrap(),
        }
    }

    pub(crate) fn register(&mut self, name: &str, port: u16, id: &str, topics: &[&str]) -> Reply {
        let body = registration(topics);
        let crc = (crc32fast::hash(body.as_bytes()) & 0x7FFF_FFFF).to_string();
        let address = format!("127.0.0.1:{port}");
        let fields = [
            ("brokerAddr", &*address),
            ("brokerId", id),
            ("brokerName", name),
            ("clusterName", "DefaultCluster"),
            ("haServerAddr", "127.0.0.1:10912"),
            ("compressed", "false"),
            ("bodyCrc32", &crc),
        ];
        self.ask(REGISTER_BROKER, &fields, &body)
    }

    pub(crate) fn route(&mut self, topic: &str) -> Reply {
        self.ask(GET_ROUTEINFO_BY_TOPIC, &[("topic", topic), ("acceptStandardJsonOnly", "true")], "")
    }
}

fn connect(server: &NameServer, peer: &str) -> Session {
    server.open(&Peer::detached(peer.parse().unwrap()))
}

fn registration(topics: &[&str]) -> String {
    let table = topics.iter().map(|name| ((*name).to_owned(), TopicConfig::new(*name, 4, Perm::READ_WRITE)));
    let version = DataVersion { counter: 1, state_version: 0, timestamp: 1_700_000_000_000 };
    String::from_utf8(RegisterBrokerBody::new(version, table.collect()).to_json().unwrap()).unwrap()
}

#[test]
fn a_broker_registers_and_clients_find_it() {
    for codec in [Codec::Json, Codec::Binary] {
        let mut rig = Rig::new(codec);
        let nothing = rig.route("TopicTest");
        assert_eq!(
            (nothing.code, &*nothing.remark),
            (17, "No topic route info in name server for the topic: TopicTest")
        );
        let registered = rig.register("broker-a", 10911, "0", &["TopicTest", "TBW102"]);
        assert_eq!((registered.code, registered.fields.len()), (0, 0), "{registered:?}");
        let replica = rig.register("broker-a", 10921, "1", &[]);
        assert_eq!(replica.fields["masterAddr"], "127.0.0.1:10911");
        assert_eq!(replica.fields["haServerAddr"], "127.0.0.1:10912");
        assert_eq!(
            rig.route("TopicTest").body,
            r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911","1":"127.0.0.1:10921"},"brokerName":"broker-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}"#
        );
        assert_eq!(
            rig.ask(GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[], "").body,
            r#"{"topicList":["TBW102","TopicTest"]}"#
        );
        let of_cluster = rig.ask(GET_TOPICS_BY_CLUSTER, &[("cluster", "DefaultCluster")], "");
        assert_eq!(of_cluster.body, r#"{"topicList":["TBW102","TopicTest"]}"#);
        let fields = [
            ("brokerName", "broker-a"),
            ("brokerAddr", "127.0.0.1:10911"),
            ("clusterName", "DefaultCluster"),
            ("brokerId", "0"),
        ];
        assert_eq!(rig.ask(UNREGISTER_BROKER, &fields, "").code, 0);
        assert_eq!(rig.ask(UNREGISTER_BROKER, &fields, "").code, 0, "a second time does no harm");
        assert!(rig.route("TopicTest").body.contains(r#"{"1":"127.0.0.1:10921"}"#));
    }
}

#[test]
fn what_java_brokers_send_is_taken() {
    let mut rig = Rig::new(Codec::Json);
    let body = r#"{"filterServerList":[],"topicConfigSerializeWrapper":{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"topicConfigTable":{"TopicTest":{"attributes":{"message.type":"NORMAL"},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"TopicTest","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}}"#;
    let fields = |crc| {
        [
            ("brokerName", "broker-a"),
            ("brokerAddr", "10.0.0.1:10911"),
            ("clusterName", "DefaultCluster"),
            ("haServerAddr", "10.0.0.1:10912"),
            ("brokerId", "0"),
            ("heartbeatTimeoutMillis", "10000"),
            ("enableActingMaster", "false"),
            ("compressed", "false"),
            ("bodyCrc32", crc),
        ]
    };
    assert_eq!(rig.ask(REGISTER_BROKER, &fields("109958646"), body).code, 0, "the CRC is Java's");
    let refused = rig.ask(REGISTER_BROKER, &fields("109958647"), body);
    assert_eq!((refused.code, &*refused.remark), (1, "the body's CRC is 109958646, the header says 109958647"));
    assert_eq!(rig.route("TopicTest").code, 0);

    let compressed = [("compressed", "true"), ("brokerName", "b"), ("brokerAddr", "h:1"), ("clusterName", "c")];
    assert!(rig.ask(REGISTER_BROKER, &compressed, body).remark.contains("compressedRegister=false"));
    assert!(rig.ask(REGISTER_BROKER, &fields("0"), "{").remark.contains("malformed"));
    assert_eq!(rig.ask(REGISTER_BROKER, &fields("0")[1..], body).remark, "the request lacks the field brokerName");
    rig.server.options.clock.set(11_001);
    assert_eq!(rig.server.table.write().expire(11_001), ["10.0.0.1:10911"], "it asked for 10 s");
}

#[test]
fn versions_and_heartbeats_keep_a_broker() {
    let mut rig = Rig::new(Codec::Json);
    let fields =
        [("brokerName", "a"), ("brokerAddr", "127.0.0.1:1"), ("clusterName", "DefaultCluster"), ("brokerId", "0")];
    let version = r#"{"counter":1,"stateVersion":0,"timestamp":1700000000000}"#;
    let unknown = rig.ask(QUERY_DATA_VERSION, &fields, version);
    assert_eq!((unknown.code, &*unknown.fields["changed"], &*unknown.body), (0, "true", ""));
    rig.register("a", 1, "0", &["t", "u"]);
    let same = rig.ask(QUERY_DATA_VERSION, &fields, version);
    assert_eq!((&*same.fields["changed"], &*same.body), ("false", version));
    let other = rig.ask(QUERY_DATA_VERSION, &fields, &version.replace(":1,", ":2,"));
    assert_eq!((&*other.fields["changed"], &*other.body), ("true", version));
    assert_eq!(rig.ask(QUERY_DATA_VERSION, &fields, "").fields["changed"], "true");

    rig.server.options.clock.set(121_000);
    assert_eq!(rig.ask(BROKER_HEARTBEAT, &fields, "").code, 0);
    assert!(rig.server.table.write().expire(200_000).is_empty());
    rig.server.options.clock.set(200_000);
    rig.ask(QUERY_DATA_VERSION, &fields, version);
    assert!(rig.server.table.write().expire(320_000).is_empty());
    assert_eq!(rig.server.table.write().expire(320_001), ["127.0.0.1:1"]);
    assert_eq!(rig.ask(BROKER_HEARTBEAT, &fields, "").code, 0, "unknown brokers are not told so");
}

#[test]
fn tools_change_topics_from_allowed_addresses_only() {
    let route = r#"{"brokerDatas":[],"queueDatas":[{"brokerName":"a","perm":6,"readQueueNums":2,"topicSysFlag":0,"writeQueueNums":2},{"brokerName":"unknown","perm":6,"readQueueNums":2,"topicSysFlag":0,"writeQueueNums":2}]}"#;
    let mut rig = Rig::new(Codec::Json);
    rig.register("a", 1, "0", &["t", "u"]);
    assert_eq!(rig.ask(REGISTER_TOPIC_IN_NAMESRV, &[("topic", "made")], route).code, 0);
    assert!(rig.route("made").body.contains(r#""queueDatas":[{"brokerName":"a""#));
    assert_eq!(rig.ask(REGISTER_TOPIC_IN_NAMESRV, &[("topic", "../made")], route).code, 1);
    let bad = route.replace("\"perm\":6", "\"perm\":9");
    assert!(rig.ask(REGISTER_TOPIC_IN_NAMESRV, &[("topic", "bad")], &bad).remark.contains("permission"));
    assert_eq!(rig.ask(DELETE_TOPIC_IN_NAMESRV, &[("topic", "t"), ("clusterName", "Other")], "").code, 0);
    assert_eq!(rig.route("t").code, 0, "another cluster's deletion");
    assert_eq!(rig.ask(DELETE_TOPIC_IN_NAMESRV, &[("topic", "t"), ("clusterName", "DefaultCluster")], "").code, 0);
    assert_eq!(rig.route("t").code, 17);

    let admin = AccessList::parse(&["10.1.0.0/16"]).unwrap();
    for (peer, code) in [("10.1.2.3:5", 0), ("10.2.0.1:5", 16), ("[::1]:5", 0)] {
        let options = NameServerOptions { admin: admin.clone(), ..NameServerOptions::default() };
        let mut rig = Rig::with(options, Codec::Json, peer);
        assert_eq!(rig.ask(DELETE_TOPIC_IN_NAMESRV, &[("topic", "t")], "").code, code, "{peer}");
        assert_eq!(rig.ask(REGISTER_TOPIC_IN_NAMESRV, &[("topic", "t")], route).code, code, "{peer}");
    }
}

#[test]
fn unknown_and_incomplete_requests_are_answered() {
    let mut rig = Rig::new(Codec::Json);
    let unknown = rig.ask(9_999, &[], "");
    assert_eq!((unknown.code, &*unknown.remark), (3, " request type 9999 not supported"));
    let lacking = rig.ask(GET_ROUTEINFO_BY_TOPIC, &[], "");
    assert_eq!((lacking.code, &*lacking.remark), (1, "the request lacks the field topic"));
    let long = rig.route(&"x".repeat(100_000));
    assert!(long.code == 17 && long.remark.len() < 400);
}

#[test]
fn an_answer_that_no_frame_takes_is_refused() {
    let mut rig = Rig::with(
        NameServerOptions { topics_max: 200_000, ..NameServerOptions::default() },
        Codec::Json,
        "127.0.0.1:1",
    );
    for broker in 0..4 {
        let names: Vec<String> = (0..33_000).map(|number| format!("{}{broker}-{number:05}", "t".repeat(120))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(rig.register(&format!("b{broker}"), 1 + broker, "0", &names).code, 0);
    }
    let refused = rig.ask(GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &[], "");
    assert!(refused.code == 1 && refused.remark.contains("a frame takes"), "{refused:?}");
}

#[test]
fn only_the_connection_of_a_broker_takes_it_along() {
    let mut rig = Rig::new(Codec::Json);
    rig.register("a", 1, "0", &["t", "u"]);
    let client = connect(&rig.server, "127.0.0.1:2");
    rig.server.close(client);
    assert_eq!(rig.route("t").code, 0);
    let next = connect(&rig.server, "127.0.0.1:3");
    let old = std::mem::replace(&mut rig.session, next);
    rig.register("a", 1, "0", &["t", "u"]);
    rig.server.close(old);
    assert_eq!(rig.route("t").code, 0, "it had registered anew over another connection");
    let next = connect(&rig.server, "127.0.0.1:4");
    let old = std::mem::replace(&mut rig.session, next);
    rig.server.close(old);
    assert_eq!(rig.route("t").code, 17);
}

#[tokio::test]
async fn over_sockets_a_lost_broker_is_gone_at_once() {
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Limits::default()).unwrap();
    let (address, cancel) = (server.local_addr().to_string(), CancellationToken::new());
    let name_server = NameServer::new(NameServerOptions::default());
    let serving = tokio::spawn(server.serve(Arc::new(name_server.clone()), cancel.clone()));
    let expiring = tokio::spawn(name_server.expire(cancel.clone()));
    let wait = Duration::from_secs(10);
    let connect = async || Connection::connect(&address, wait, Limits::default(), Arc::new(NoRequests)).await.unwrap();
    let (broker, client) = (connect().await, connect().await);

    let fields = |writer: &mut FrameWriter<'_, '_>| {
        writer.ext("brokerAddr", "127.0.0.1:10911").ext("brokerId", 0).ext("brokerName", "a").ext("clusterName", "c");
    };
    let body = registration(&["t", "u"]);
    let registered = broker.call(REGISTER_BROKER, fields, body.as_bytes(), wait).await.unwrap();
    assert_eq!(registered.header().unwrap().code, 0);
    let route = async || {
        let topic = |writer: &mut FrameWriter<'_, '_>| {
            writer.ext("topic", "t");
        };
        client.call(GET_ROUTEINFO_BY_TOPIC, topic, b"", wait).await.unwrap().header().unwrap().code
    };
    assert_eq!(route().await, 0);
    drop(broker);
    tokio::time::timeout(wait, async { while route().await != 17 {} })
        .await
        .expect("the route goes with the connection");
    cancel.cancel();
    drop(client);
    serving.await.unwrap();
    expiring.await.unwrap();
}
