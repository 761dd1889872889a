//! SQL92 subscriptions over the network: carried by pulls, told by heartbeats, checked before a consumer starts.

use std::{path::Path, time::Duration};

use gantry_client::{Client, ClientError, Message, Options, Pull, PullResult, PullStatus, Queue};
use gantry_model::{
    offset::QueueOffset,
    subscription::{Subscription, TYPE_SQL92},
    sys_flag,
    topic::{Perm, TopicConfig},
};
use gantry_protocol::{
    body::{
        client_config::CheckClientConfig,
        heartbeat::{ConsumerData, Heartbeat},
    },
    code::{request, response},
    record,
    request::pull::PullRequest,
};

use crate::process::{Node, PATIENCE, stdout_of};

const BROKER: &str = "broker-a";

/// A node with one topic of one queue, and a client of it.
struct Rig {
    node: Node,
    client: Client,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start(config: &str) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.toml");
        std::fs::write(&file, config).unwrap();
        let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
        let client = Client::new(vec![node.address("name_server")], Options::default());
        let rig = Rig { node, client, folder };
        rig.client.put_topic(&rig.address(), &TopicConfig::new("orders", 1, Perm::READ_WRITE)).await.unwrap();
        rig
    }

    fn address(&self) -> String {
        self.node.address("broker")
    }

    async fn send(&self, body: &str, pairs: &[(&str, &str)]) {
        self.send_to("orders", body, pairs).await;
    }

    /// Sends, and waits until the message can be pulled.
    async fn send_to(&self, topic: &str, body: &str, pairs: &[(&str, &str)]) {
        let message = Message::new(topic, body.to_owned());
        let message = pairs.iter().fold(message, |message, (name, value)| message.property(name, value));
        let sent = self.client.producer("p").send(&message).await.unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.client.max_offset(&sent.queue).await.unwrap() <= sent.queue_offset {
            assert!(tokio::time::Instant::now() < deadline, "{body} is not in its queue");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// One pull that carries its subscription.
    async fn pull(
        &self,
        from: u64,
        kind: &str,
        expression: &str,
        suspend: Duration,
    ) -> Result<PullResult, ClientError> {
        self.pull_of("orders", from, kind, expression, suspend).await
    }

    async fn pull_of(
        &self,
        topic: &str,
        from: u64,
        kind: &str,
        expression: &str,
        suspend: Duration,
    ) -> Result<PullResult, ClientError> {
        let pull = Pull {
            group: "g",
            queue: &Queue { topic: topic.to_owned(), broker: BROKER.to_owned(), id: 0 },
            offset: QueueOffset(from),
            messages_max: 32,
            suspend,
            subscription: &subscription(kind, expression, 0),
            commit: None,
        };
        self.client.pull_from(&self.address(), &pull).await
    }

    /// Code and remark of the answer to a request.
    async fn ask(&self, code: i32, body: &[u8]) -> (i32, String) {
        let answer = self.client.request(&self.address(), code, |_| {}, body, PATIENCE).await.unwrap();
        let header = answer.header().unwrap();
        (header.code, header.remark.map(|remark| remark.into_owned()).unwrap_or_default())
    }

    async fn heartbeat(&self, subscription: Subscription) {
        let consumer = ConsumerData {
            group_name: "g".into(),
            subscription_data_set: vec![subscription],
            ..ConsumerData::default()
        };
        let heartbeat = Heartbeat { client_id: "c".into(), consumer_data_set: vec![consumer], ..Heartbeat::default() };
        assert_eq!(self.ask(request::HEART_BEAT, &heartbeat.to_json().unwrap()).await.0, response::SUCCESS);
    }

    /// A pull from the beginning by what the heartbeat told: code, remark, bodies.
    async fn pull_told(&self, sub_version: i64) -> (i32, String, Vec<String>) {
        let pull = PullRequest {
            group: "g".into(),
            topic: "orders".into(),
            queue_id: 0,
            queue_offset: 0,
            max_messages: 32,
            sys_flag: 0,
            commit_offset: 0,
            suspend_timeout_ms: 0,
            sub_version,
            subscription: None,
            expression_type: None,
            max_bytes: None,
        };
        assert_eq!(pull.sys_flag & sys_flag::PULL_SUBSCRIPTION, 0);
        let code = request::PULL_MESSAGE;
        let answer = self.client.request(&self.address(), code, |ext| pull.write(ext), b"", PATIENCE).await.unwrap();
        let header = answer.header().unwrap();
        let remark = header.remark.map(|remark| remark.into_owned()).unwrap_or_default();
        (header.code, remark, bodies(&answer.body()))
    }
}

fn subscription(kind: &str, expression: &str, sub_version: i64) -> Subscription {
    Subscription {
        expression_type: Some(kind.to_owned()),
        sub_string: expression.to_owned(),
        sub_version,
        topic: "orders".into(),
        ..Subscription::default()
    }
}

fn bodies(records: &[u8]) -> Vec<String> {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    record::records(records).map(|record| text(record.unwrap().message().body)).collect()
}

fn refused(result: Result<PullResult, ClientError>) -> (i32, String) {
    match result {
        Err(ClientError::Refused { code, remark, .. }) => (code, remark),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pulls_that_carry_an_expression_get_what_it_selects() {
    let rig = Rig::start("").await;
    for (body, region, amount) in
        [("0", "eu", "250"), ("1", "us", "300"), ("2", "eu", "50"), ("3", "eu", "x"), ("4", "eu", "101")]
    {
        rig.send(body, &[("region", region), ("amount", amount)]).await;
    }
    let expression = "region = 'eu' AND amount > 100";
    let found = rig.pull(0, TYPE_SQL92, expression, Duration::ZERO).await.unwrap();
    assert_eq!((bodies(&found.body), found.next_offset), (vec!["0".to_owned(), "4".to_owned()], QueueOffset(5)));
    assert_eq!(found.filter, None, "no plugin has judged");
    let none = rig.pull(1, TYPE_SQL92, "region = 'ap'", Duration::ZERO).await.unwrap();
    assert_eq!((none.status, none.next_offset), (PullStatus::NothingMatched, QueueOffset(5)));
    let tag = rig.pull(0, TYPE_SQL92, "TAGS = 'red' AND region = 'eu'", Duration::ZERO).await.unwrap();
    assert_eq!((tag.status, tag.next_offset), (PullStatus::NothingMatched, QueueOffset(5)));

    let status = rig.node.status();
    let costs = status["brokers"][0]["sql92"].as_array().unwrap();
    assert_eq!(costs.len(), 1);
    let cost = |name: &str| costs[0][name].as_u64().unwrap();
    assert_eq!((costs[0]["topic"].as_str(), costs[0]["group"].as_str()), (Some("orders"), Some("g")));
    // Five by the first, four by the second; the third needs to read none, for no entry has its tag.
    assert_eq!(["messages", "passed", "nulls", "errors"].map(cost), [9, 2, 0, 1], "{costs:?}");
    assert!(cost("nanoseconds") > 0);

    let (code, remark) = refused(rig.pull(0, TYPE_SQL92, "region =", Duration::ZERO).await);
    assert_eq!(code, response::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(remark, "SQL92 expression, character 9: found the end, expected a property, a value, NOT or (");
    let (code, remark) = refused(rig.pull(0, "XPATH", "/a", Duration::ZERO).await);
    assert_eq!(code, response::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(remark, "the expression type is \"XPATH\"; TAG and SQL92 are known");
    let (code, remark) = refused(rig.pull(0, TYPE_SQL92, "wasm('eu') OR region = 'eu'", Duration::ZERO).await);
    assert_eq!(code, response::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(remark, "SQL92 expression: wasm('eu') cannot be used: there is no plugin \"eu\"");
}

#[tokio::test]
async fn a_held_pull_waits_for_what_the_expression_selects() {
    let rig = Rig::start("").await;
    let waits = rig.pull(0, TYPE_SQL92, "region = 'eu'", PATIENCE / 2);
    let sends = async {
        // Held by now or not: what it gets is the same.
        rig.send("0", &[("region", "us")]).await;
        rig.send("1", &[("region", "eu")]).await;
    };
    let (found, ()) = tokio::join!(waits, sends);
    let found = found.unwrap();
    assert_eq!((bodies(&found.body), found.next_offset), (vec!["1".to_owned()], QueueOffset(2)));
}

#[tokio::test]
async fn heartbeats_tell_expressions_and_change_them() {
    let rig = Rig::start("").await;
    for region in ["eu", "us"] {
        rig.send(region, &[("region", region)]).await;
    }
    rig.heartbeat(subscription(TYPE_SQL92, "region = 'eu'", 1)).await;
    let expected = |code, body: &str| (code, String::from("FOUND"), vec![body.to_owned()]);
    assert_eq!(rig.pull_told(1).await, expected(response::SUCCESS, "eu"));
    assert_eq!(rig.pull_told(2).await.0, response::SUBSCRIPTION_NOT_LATEST);
    rig.heartbeat(subscription(TYPE_SQL92, "region = 'us'", 2)).await;
    assert_eq!(rig.pull_told(2).await, expected(response::SUCCESS, "us"));
    // An older one changes nothing.
    rig.heartbeat(subscription(TYPE_SQL92, "region = 'eu'", 1)).await;
    assert_eq!(rig.pull_told(2).await, expected(response::SUCCESS, "us"));
    // The same text as another kind of expression is another subscription.
    rig.heartbeat(subscription("TAG", "region = 'us'", 3)).await;
    assert_eq!(rig.pull_told(3).await.2, ["eu", "us"], "a tag subscription without codes selects everything");

    rig.heartbeat(subscription(TYPE_SQL92, "region LIKE", 4)).await;
    assert_eq!(rig.pull_told(4).await.0, response::PULL_RETRY_IMMEDIATELY, "a bare property, which is false");
    rig.heartbeat(subscription(TYPE_SQL92, "region > 'a'", 5)).await;
    let (code, remark, _) = rig.pull_told(5).await;
    assert_eq!(code, response::FILTER_DATA_NOT_EXIST);
    assert!(remark.starts_with("SQL92 expression, character 10: found a text, expected a number"), "{remark}");
}

#[tokio::test]
async fn a_consumer_learns_before_it_starts_what_is_wrong() {
    let rig = Rig::start("").await;
    let check = async |rig: &Rig, kind: &str, expression: &str| {
        let subscription_data = Some(subscription(kind, expression, 1));
        let config = CheckClientConfig { client_id: "c".into(), group: "g".into(), subscription_data };
        rig.ask(request::CHECK_CLIENT_CONFIG, &serde_json::to_vec(&config).unwrap()).await
    };
    assert_eq!(check(&rig, TYPE_SQL92, "a > 1").await.0, response::SUCCESS);
    assert_eq!(check(&rig, "TAG", "a > 1").await.0, response::SUCCESS);
    let (code, remark) = check(&rig, TYPE_SQL92, "a > > 1").await;
    assert_eq!(code, response::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(remark, "SQL92 expression, character 5: found `> 1`, expected a property, a value, NOT or (");
    assert_eq!(check(&rig, "XPATH", "a > 1").await.0, response::SUBSCRIPTION_PARSE_FAILED);
    assert_eq!(check(&rig, TYPE_SQL92, "wasm('eu')").await.0, response::SUBSCRIPTION_PARSE_FAILED);

    let without = Rig::start("[broker]\nsql92 = false\n").await;
    let expected = "The broker does not support consumer to filter message by SQL92";
    let refusal = (response::SYSTEM_ERROR, expected.to_owned());
    assert_eq!(check(&without, TYPE_SQL92, "a > 1").await, refusal);
    assert_eq!(check(&without, "TAG", "a").await.0, response::SUCCESS);
    assert_eq!(refused(without.pull(0, TYPE_SQL92, "a > 1", Duration::ZERO).await), refusal);
    without.heartbeat(subscription(TYPE_SQL92, "a > 1", 1)).await;
    let (code, remark, _) = without.pull_told(1).await;
    assert_eq!((code, remark), refusal);
}

#[tokio::test]
async fn what_is_retried_was_judged_before() {
    let rig = Rig::start("").await;
    rig.heartbeat(subscription(TYPE_SQL92, "region = 'eu'", 1)).await;
    rig.send_to("%RETRY%g", "again", &[("region", "us")]).await;
    let found = rig.pull_of("%RETRY%g", 0, TYPE_SQL92, "region = 'eu'", Duration::ZERO).await.unwrap();
    assert_eq!(bodies(&found.body), ["again"]);
}

/// The shipped property filter, which delivers what is of the region `eu`, as `cluster.toml` has it.
fn with_plugin() -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_gantry")).ancestors().nth(2).unwrap();
    let file = target.join("plugins/property-filter.wasm");
    assert!(file.exists(), "run `cargo xtask plugins` first; `cargo xtask test` does");
    format!("[[plugin]]\nname = 'eu'\nfile = {file:?}\nparams = {{ 'region.equals' = 'eu' }}\n")
}

#[tokio::test]
async fn expressions_call_plugins_by_name() {
    let rig = Rig::start(&with_plugin()).await;
    for (body, region, amount) in [("0", "eu", "250"), ("1", "us", "300"), ("2", "eu", "50"), ("3", "us", "7")] {
        rig.send(body, &[("region", region), ("amount", amount)]).await;
    }
    // Held until the plugin is open for this group, and no longer.
    let expression = "amount = 7 OR amount > 100 AND WASM('eu')";
    let found = rig.pull(0, TYPE_SQL92, expression, PATIENCE / 2).await.unwrap();
    let filter = found.filter.as_deref().unwrap_or_default().to_owned();
    assert!(filter.starts_with("eu@"), "{filter}");
    let mut got = bodies(&found.body);
    if found.next_offset.0 < 4 {
        got.extend(bodies(&rig.pull(found.next_offset.0, TYPE_SQL92, expression, PATIENCE / 2).await.unwrap().body));
    }
    assert_eq!(got, ["0", "3"]);

    // What does not depend on the plugin goes on without it; what does is held until it is back.
    let file = rig.folder.path().join("cluster.toml");
    std::fs::write(&file, "").unwrap();
    stdout_of(&["reload", "--data", rig.node.data_text()], 0);
    let held = rig.pull(0, TYPE_SQL92, expression, Duration::ZERO).await.unwrap();
    assert_eq!((held.status, held.next_offset), (PullStatus::NothingNew, QueueOffset(0)));
    let passed = rig.pull(2, TYPE_SQL92, expression, Duration::ZERO).await.unwrap();
    assert_eq!((bodies(&passed.body), passed.next_offset), (vec!["3".to_owned()], QueueOffset(4)));
    let waits = rig.pull(0, TYPE_SQL92, expression, PATIENCE / 2);
    let restore = async {
        std::fs::write(&file, with_plugin()).unwrap();
        let data = rig.node.data_text().to_owned();
        tokio::task::spawn_blocking(move || stdout_of(&["reload", "--data", &data], 0)).await.unwrap();
    };
    let (found, ()) = tokio::join!(waits, restore);
    assert_eq!(bodies(&found.unwrap().body).first().map(String::as_str), Some("0"));
}
