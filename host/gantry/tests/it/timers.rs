//! Timed messages over the network: their time, their recall, over a kill of the node.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gantry_client::{Client, ClientError, Message, Options, Pull, Queue, SendResult};
use gantry_model::{offset::QueueOffset, subscription::Subscription};
use gantry_protocol::code::response;

use crate::process::{Node, json_of};

const TOPIC: &str = "timed";
const BROKER: &str = "broker-a";

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

async fn send(client: &Client, body: &str, property: &str, value: u64) -> Result<SendResult, ClientError> {
    let message = Message::new(TOPIC, body.to_owned()).property(property, &value.to_string());
    client.producer("p").send(&message).await
}

/// Bodies and store times of the topic's messages, once there are `count`.
async fn received(client: &Client, count: usize) -> Vec<(String, u64)> {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let subscription = Subscription::from_tags(TOPIC, "*");
    loop {
        let mut found = Vec::new();
        for queue in client.subscribe_queues(TOPIC).await.unwrap() {
            found.extend(pull(client, &queue, &subscription).await);
        }
        found.sort_by_key(|(_, at): &(String, u64)| *at);
        if found.len() >= count {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn pull(client: &Client, queue: &Queue, subscription: &Subscription) -> Vec<(String, u64)> {
    let pull = Pull {
        group: "g",
        queue,
        offset: QueueOffset(0),
        messages_max: 100,
        suspend: Duration::ZERO,
        subscription,
        commit: None,
    };
    let pulled = client.pull(&pull).await.unwrap();
    let messages = pulled.messages(queue).unwrap();
    messages.iter().map(|found| (String::from_utf8_lossy(&found.body).into_owned(), found.store_ms as u64)).collect()
}

fn code(refused: Result<impl std::fmt::Debug, ClientError>) -> i32 {
    refused.unwrap_err().refusal().unwrap()
}

#[tokio::test]
async fn timed_messages_come_at_their_time_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let client = Client::new(vec![node.address("name_server")], Options::default());
    let begin = now_ms();
    send(&client, "past", "TIMER_DELIVER_MS", begin - 1).await.unwrap();
    send(&client, "soon", "TIMER_DELAY_MS", 300).await.unwrap();
    let after_kill = begin + 3_000;
    send(&client, "after the kill", "TIMER_DELIVER_MS", after_kill).await.unwrap();
    let recalled = send(&client, "recalled", "TIMER_DELIVER_MS", after_kill).await.unwrap();
    send(&client, "tomorrow", "TIMER_DELAY_SEC", 86_400).await.unwrap();
    assert_eq!(code(send(&client, "never", "TIMER_DELAY_SEC", 10_000_000_000).await), response::MESSAGE_ILLEGAL);
    let no_number = Message::new(TOPIC, "never").property("TIMER_DELAY_MS", "soon");
    assert_eq!(code(client.producer("p").send(&no_number).await), response::MESSAGE_ILLEGAL);

    let handle = recalled.recall_handle.unwrap();
    assert_eq!(client.recall(BROKER, TOPIC, &handle).await.unwrap(), recalled.unique_key);
    assert_eq!(code(client.recall(BROKER, "no such topic", &handle).await), response::TOPIC_NOT_EXIST);
    assert_eq!(code(client.recall(BROKER, TOPIC, "bm8gaGFuZGxl").await), response::ILLEGAL_OPERATION);
    let found = received(&client, 2).await;
    assert_eq!((&*found[0].0, &*found[1].0), ("past", "soon"));
    assert!(found[1].1 >= begin + 300, "{found:?}");
    node.kill();

    let node = Node::start(folder.path(), &[]);
    let client = Client::new(vec![node.address("name_server")], Options::default());
    let found = received(&client, 3).await;
    assert_eq!(&*found[2].0, "after the kill");
    assert!(found[2].1 >= after_kill, "{found:?}");
    assert_eq!(code(client.recall(BROKER, TOPIC, &handle).await), response::ILLEGAL_OPERATION);
    // Those at the same time were decided together: the recalled one would be there. It is counted a little later.
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let timers = &node.status()["brokers"][0]["timers"];
        if (&timers["recalled"], &timers["pending"]) == (&1.into(), &1.into()) {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{timers}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(received(&client, 3).await.len(), 3);
    assert_eq!(tokio::task::spawn_blocking(move || node.terminate()).await.unwrap(), Some(0));
}

#[test]
fn the_timer_benchmark_accounts_for_every_message() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let namesrv = node.address("name_server");
    let base = ["bench", "timers", "--namesrv", &namesrv, "--connections", "2", "--window", "32", "--json"];
    let report = json_of(&[&base[..], &["--count", "2001", "--lead", "10", "--due-within", "1"]].concat());
    assert_eq!((&report["early"], &report["audit"]["received"]), (&0.into(), &2001.into()), "{report}");
    assert_eq!(report["stored_late"]["count"], 2001);
    assert_eq!(node.terminate(), Some(0));
}
