//! What a broker tells of itself after requests whose effect is known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::{
    clock::Clock,
    disk::sim::SimDisk,
    metric::{Distribution, Family, Labels, Sink},
};
use gantry_broker::{Broker, BrokerOptions};
use gantry_plugin::{HostOptions, PluginHost};
use gantry_protocol::{
    code::{
        request::{
            CONSUMER_SEND_MSG_BACK, HEART_BEAT, PULL_MESSAGE, SEND_MESSAGE_V2, UPDATE_AND_CREATE_TOPIC,
            UPDATE_CONSUMER_OFFSET,
        },
        response::SUCCESS,
    },
    frame::FrameWriter,
};
use gantry_remoting::{Connection, Limits, NoRequests, Server};
use gantry_store::{Options, Store};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const DATA: &str = "/data/broker-a";
const LONG: Duration = Duration::from_secs(30);
const BEGIN_MS: u64 = 1_700_000_000_000;

/// Everything told, as `name{label=value,...}`; of a distribution its count and its sum.
#[derive(Default)]
struct Told(BTreeMap<String, f64>);

fn shown(name: &str, labels: Labels<'_>) -> String {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

impl Sink for Told {
    fn number(&mut self, family: &Family, labels: Labels<'_>, value: f64) {
        let twice = self.0.insert(shown(&family.name, labels), value);
        assert_eq!(twice, None, "{} is told twice", shown(&family.name, labels));
    }

    fn distribution(&mut self, family: &Family, labels: Labels<'_>, value: &Distribution) {
        self.number(family, labels, value.count() as f64);
        self.0.insert(shown(&format!("{}_sum", family.name), labels), value.sum as f64);
    }
}

impl Told {
    fn of(broker: &Broker) -> Told {
        let mut told = Told::default();
        broker.collect(&mut told);
        told
    }

    #[track_caller]
    fn is(&self, series: &str, value: f64) {
        let name = series.split('{').next().unwrap();
        let near: Vec<_> = self.0.iter().filter(|(found, _)| found.starts_with(name)).collect();
        assert_eq!(self.0.get(series), Some(&value), "{series}; there are {near:#?}");
    }
}

struct Rig {
    store: Store,
    broker: Arc<Broker>,
    client: Connection,
    clock: Clock,
}

impl Rig {
    async fn new() -> Rig {
        let (disk, clock) = (Arc::new(SimDisk::new(1)), Clock::manual(BEGIN_MS));
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Limits::default()).unwrap();
        let address = server.local_addr();
        let options = BrokerOptions {
            clock: clock.clone(),
            default_topic_queues: 1,
            ..BrokerOptions::new("c", "broker-a", address, DATA.into())
        };
        let store = Options {
            segment_size_bytes: 1 << 20,
            record_size_max_bytes: 8_192,
            allocate_ahead_bytes: 4_096,
            holds: options.holds.of_store(),
            clock: clock.clone(),
            ..Options::default()
        };
        let (store, _) = Store::open(disk.clone(), Path::new(DATA), store, &mut |_| {}).unwrap();
        let plugins = PluginHost::start(HostOptions::default()).unwrap();
        let broker = Broker::open(options, disk, store.clone(), plugins).unwrap();
        let cancel = CancellationToken::new();
        tokio::spawn(server.serve(Arc::new(broker.service()), cancel.clone()));
        broker.start(&TaskTracker::new(), &cancel);
        let address = address.to_string();
        let client = Connection::connect(&address, LONG, Limits::default(), Arc::new(NoRequests)).await.unwrap();
        Rig { store, broker, client, clock }
    }

    async fn call(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> i32 {
        let write = |writer: &mut FrameWriter<'_, '_>| {
            for (name, value) in fields {
                writer.ext(name, *value);
            }
        };
        self.client.call(code, write, body, LONG).await.unwrap().header().unwrap().code
    }

    /// Sends and returns the size of what was stored.
    async fn send(&self, topic: &str, properties: &str) -> u64 {
        let before = self.store.metrics().appended_bytes.get();
        let fields = [
            ("a", "producer"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "1"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", properties),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        assert_eq!(self.call(SEND_MESSAGE_V2, &fields, &[b'x'; 900]).await, SUCCESS);
        self.store.metrics().appended_bytes.get() - before
    }

    async fn pull(&self, topic: &str, offset: &str, suspend_ms: &str) -> i32 {
        let fields = [
            ("consumerGroup", "group"),
            ("topic", topic),
            ("queueId", "0"),
            ("queueOffset", offset),
            ("maxMsgNums", "32"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", suspend_ms),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        self.call(PULL_MESSAGE, &fields, b"").await
    }

    async fn commit(&self, topic: &str, offset: &str) {
        let fields = [("topic", topic), ("queueId", "0"), ("consumerGroup", "group"), ("commitOffset", offset)];
        assert_eq!(self.call(UPDATE_CONSUMER_OFFSET, &fields, b"").await, SUCCESS);
    }

    async fn dispatched(&self, topic: &str, end: u64) {
        self.store.queue(topic, 0).unwrap().end().reached(end).await.unwrap();
    }

    fn told(&self) -> Told {
        Told::of(&self.broker)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_counted_by_topic_kind_and_group() {
    let rig = Rig::new().await;
    let mut normal = 0;
    for _ in 0..3 {
        normal += rig.send("orders", "").await;
    }
    let fifo = rig.send("orders", "__SHARDINGKEY\u{1}k\u{2}").await;
    let level = rig.send("orders", "DELAY\u{1}3\u{2}").await;
    rig.dispatched("orders", 4).await;
    rig.store.queue("SCHEDULE_TOPIC_XXXX", 2).unwrap().end().reached(1).await.unwrap();
    assert_eq!(rig.pull("orders", "0", "0").await, SUCCESS);

    let told = rig.told();
    let of = |kind: &str| format!("{{topic=orders,message_type={kind},is_system=false}}");
    for (kind, messages, bytes) in [("normal", 3.0, normal), ("fifo", 1.0, fifo), ("delay", 1.0, level)] {
        told.is(&format!("rocketmq_messages_in_total{}", of(kind)), messages);
        told.is(&format!("rocketmq_throughput_in_total{}", of(kind)), bytes as f64);
        told.is(&format!("rocketmq_message_size{}", of(kind)), messages);
        told.is(&format!("rocketmq_message_size_sum{}", of(kind)), bytes as f64);
    }
    let out = "{topic=orders,consumer_group=group,is_system=false}";
    told.is(&format!("rocketmq_messages_out_total{out}"), 4.0);
    told.is(&format!("rocketmq_throughput_out_total{out}"), (normal + fifo) as f64);
    told.is("gantry_delay_level_messages{level=3}", 1.0);
    let call = "protocol_type=remoting,request_code=send_message_v2,response_code=success,is_long_polling=false";
    told.is(&format!("rocketmq_rpc_latency{{{call},result=success}}"), 5.0);

    // Changed settings keep the counters.
    let fields = [("topic", "orders"), ("readQueueNums", "2"), ("writeQueueNums", "2"), ("perm", "6")];
    let fields = [&fields[..], &[("topicFilterType", "SINGLE_TAG"), ("defaultTopic", "TBW102")]].concat();
    assert_eq!(rig.call(UPDATE_AND_CREATE_TOPIC, &fields, b"").await, SUCCESS);
    let bad = [("topic", "no/topic"), ("readQueueNums", "1"), ("writeQueueNums", "1"), ("perm", "6")];
    let bad = [&bad[..], &[("topicFilterType", "SINGLE_TAG"), ("defaultTopic", "TBW102")]].concat();
    assert_ne!(rig.call(UPDATE_AND_CREATE_TOPIC, &bad, b"").await, SUCCESS);
    let told = rig.told();
    told.is(&format!("rocketmq_messages_in_total{}", of("normal")), 3.0);
    told.is("rocketmq_topic_create_execution_time{invocation_status=success,is_system=false}", 1.0);
    told.is("rocketmq_topic_create_execution_time{invocation_status=failure,is_system=false}", 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_what_is_in_flight_and_what_is_ready() {
    let rig = Rig::new().await;
    for _ in 0..4 {
        rig.send("orders", "").await;
    }
    rig.dispatched("orders", 4).await;
    rig.clock.set(BEGIN_MS + 3_000);
    rig.send("orders", "").await;
    rig.dispatched("orders", 5).await;
    let labels = "{consumer_group=group,topic=orders,is_retry=false,is_system=false}";
    let check = |lag: f64, in_flight: f64, ready: f64, age_ms: f64, queued_ms: f64| {
        let told = rig.told();
        told.is(&format!("rocketmq_consumer_lag_messages{labels}"), lag);
        told.is(&format!("rocketmq_consumer_inflight_messages{labels}"), in_flight);
        told.is(&format!("rocketmq_consumer_ready_messages{labels}"), ready);
        told.is(&format!("rocketmq_consumer_lag_latency{labels}"), age_ms);
        told.is(&format!("rocketmq_consumer_queueing_latency{labels}"), queued_ms);
        told.is("gantry_consumer_lag_ages_left_out_total{}", 0.0);
    };
    rig.pull("orders", "5", "0").await;
    assert!(!rig.told().0.keys().any(|series| series.starts_with("rocketmq_consumer_lag_messages")));

    // As if it had been given none of them: a consumer that was away.
    rig.commit("orders", "1").await;
    rig.clock.set(BEGIN_MS + 10_000);
    check(4.0, 4.0, 0.0, 10_000.0, 0.0);
    rig.send("orders", "").await;
    rig.dispatched("orders", 6).await;
    rig.clock.set(BEGIN_MS + 12_000);
    check(5.0, 4.0, 1.0, 12_000.0, 2_000.0);
    rig.commit("orders", "4").await;
    check(2.0, 1.0, 1.0, 9_000.0, 2_000.0);
    // Confirmed beyond what was given, as a reset to the end does; back again, and everything is ready or in flight.
    rig.commit("orders", "6").await;
    check(0.0, 0.0, 0.0, 0.0, 0.0);
    rig.commit("orders", "0").await;
    check(6.0, 5.0, 1.0, 12_000.0, 2_000.0);
    assert_eq!(rig.pull("orders", "5", "0").await, SUCCESS);
    rig.commit("orders", "6").await;
    check(0.0, 0.0, 0.0, 0.0, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_dead_letters_and_held_pulls_are_seen() {
    let rig = Rig::new().await;
    let heartbeat = r#"{"clientID":"10.0.0.1@1","consumerDataSet":[{"consumeType":"CONSUME_PASSIVELY","groupName":"group",
        "messageModel":"CLUSTERING","subscriptionDataSet":[{"subString":"*","topic":"orders"}]}],
        "producerDataSet":[{"groupName":"p"},{"groupName":"q"}]}"#;
    assert_eq!(rig.call(HEART_BEAT, &[], heartbeat.as_bytes()).await, SUCCESS);
    rig.send("orders", "").await;
    rig.dispatched("orders", 1).await;
    let fields =
        [("group", "group"), ("offset", "0"), ("delayLevel", "-1"), ("originTopic", "orders"), ("unitMode", "false")];
    assert_eq!(rig.call(CONSUMER_SEND_MSG_BACK, &fields, b"").await, SUCCESS);
    // A consumer whose send-back failed sends the message itself: it came in before.
    rig.send("%RETRY%group", "").await;
    rig.pull("orders", "1", "30").await;
    assert_ne!(rig.call(7_777, &[], b"").await, SUCCESS);

    let told = rig.told();
    told.is("rocketmq_producer_connections{language=rust,version=v5_3_3,protocol_type=remoting}", 2.0);
    let consumer = "consumer_group=group,language=rust,version=v5_3_3,consume_mode=push,protocol_type=remoting";
    told.is(&format!("rocketmq_consumer_connections{{{consumer},is_system=false}}"), 1.0);
    told.is("rocketmq_send_to_dlq_messages_total{consumer_group=group,topic=orders,is_system=false}", 1.0);
    let call = |request: &str, response: &str, polling: bool| {
        let codes = format!("protocol_type=remoting,request_code={request},response_code={response}");
        format!("rocketmq_rpc_latency{{{codes},is_long_polling={polling},result=success}}")
    };
    told.is(&call("pull_message", "pull_not_found", true), 1.0);
    told.is(&call("unknown", "request_code_not_supported", false), 1.0);
    told.is(&call("consumer_send_msg_back", "success", false), 1.0);
    let incoming: Vec<_> = told.0.keys().filter(|series| series.starts_with("rocketmq_messages_in_total")).collect();
    assert_eq!(incoming, ["rocketmq_messages_in_total{topic=orders,message_type=normal,is_system=false}"]);
    // It subscribes and has confirmed nothing: nothing is known to wait for it.
    told.is("rocketmq_consumer_lag_messages{consumer_group=group,topic=orders,is_retry=false,is_system=false}", 0.0);
    told.is("rocketmq_broker_permission{}", 6.0);
    told.is("rocketmq_consumer_group_number{}", 1.0);
    told.is("rocketmq_processor_watermark{processor=send}", 0.0);
    told.is("gantry_flush_backlog_bytes{}", 0.0);
    told.is("gantry_clients{}", 3.0);
    told.is("gantry_flow_limit{resource=group memberships,key=broker.clients_max,unit=members}", 100_000.0);
    for level in rig.broker.flow() {
        assert!(told.0.contains_key(&format!("{}{{}}", level.metric)), "{} is named and not shown", level.metric);
    }
    rig.clock.set(BEGIN_MS + 60_000);
    let told = rig.told();
    told.is("rocketmq_storage_message_reserve_time{storage_type=local,storage_medium=disk}", 60_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn timed_messages_are_seen_until_they_are_delivered() {
    let rig = Rig::new().await;
    for delay_s in [2, 90, 7_200] {
        rig.send("orders", &format!("TIMER_DELAY_SEC\u{1}{delay_s}\u{2}")).await;
    }
    let storage = "storage_type=local,storage_medium=disk";
    let begun = Instant::now();
    let until = async |what: &str, done: &dyn Fn(&Told) -> bool| loop {
        let told = rig.told();
        if done(&told) {
            return told;
        }
        assert!(begun.elapsed() < LONG, "{what}: {:#?}", told.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let pending = format!("rocketmq_timing_messages{{{storage}}}");
    let behind = format!("rocketmq_timer_enqueue_lag{{{storage}}}");
    // Messages count as pending a moment before their place counts as followed.
    let told = until("taken in", &|told| told.0[&pending] == 3.0 && told.0[&behind] == 0.0).await;
    told.is(&format!("rocketmq_timer_dequeue_latency{{{storage}}}"), 0.0);
    told.is(&format!("rocketmq_timer_enqueue_total{{{storage},topic=orders}}"), 3.0);
    told.is(&format!("rocketmq_delay_message_latency{{{storage},topic=orders}}"), 3.0);
    told.is(&format!("rocketmq_delay_message_latency_sum{{{storage},topic=orders}}"), 7_292.0);
    rig.clock.set(BEGIN_MS + 2_000);
    let delivered = format!("rocketmq_timer_dequeue_total{{{storage},topic=orders}}");
    let told = until("delivered", &|told| told.0[&delivered] == 1.0 && told.0[&pending] == 2.0).await;
    told.is("gantry_timer_fired_total{}", 1.0);
    // Counted at most every five seconds.
    let snapshot = |bound: &str| format!("rocketmq_timer_message_snapshot{{{storage},timer_bound_s={bound}}}");
    let told = until("counted anew", &|told| told.0.get(&snapshot("5")) == Some(&0.0)).await;
    told.is(&snapshot("300"), 1.0);
    told.is(&snapshot("14400"), 1.0);
    told.is(&format!("rocketmq_timer_dequeue_lag{{{storage}}}"), 0.0);
}
