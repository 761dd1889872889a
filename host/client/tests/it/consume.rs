//! A member of a group.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use gantry_client::{Client, Consumer, ConsumerOptions, Options};
use gantry_model::{offset::QueueOffset, subscription::Subscription};
use gantry_protocol::{
    body::heartbeat::Heartbeat,
    code::{request, response},
};

use crate::{
    fake::{self, Answer, Asked, Fake, body, fields, name_server, ok, refused, until, within},
    pull::{pulled, record},
};

/// A broker with two queues of "t" that hold one message each at offset 7, and no retries. While `crowded`, the group has
/// two members.
fn broker(crowded: Arc<AtomicBool>) -> Fake {
    Fake::start(move |asked| match asked.code {
        request::GET_CONSUMER_LIST_BY_GROUP => {
            let more = if crowded.load(SeqCst) { r#","zz""# } else { "" };
            body(format!(r#"{{"consumerIdList":["me"{more}]}}"#).into_bytes())
        }
        request::QUERY_CONSUMER_OFFSET => refused(response::QUERY_NOT_FOUND, "never"),
        request::GET_MIN_OFFSET => fields([("offset", "7")]),
        request::PULL_MESSAGE => pull(asked),
        _ => ok(),
    })
}

fn pull(asked: &Asked) -> Answer {
    match asked.field("queueOffset") {
        "7" if asked.field("topic") == "t" => pulled(0, 8, record(7, b"body", b"")),
        "8" => pulled(response::PULL_RETRY_IMMEDIATELY, 9, Vec::new()),
        _ => pulled(response::PULL_NOT_FOUND, asked.field("queueOffset").parse().unwrap(), Vec::new()),
    }
}

/// Its client and its options, impatient.
fn member(names: &Fake) -> (Client, ConsumerOptions) {
    let client = Client::new(vec![names.address.clone()], Options { client_id: "me".into(), ..Options::default() });
    let options = ConsumerOptions {
        commit_interval: Duration::from_millis(10),
        ..ConsumerOptions::new("g", vec![Subscription::from_tags("t", "*")])
    };
    (client, options)
}

/// Offsets that the broker was told of `topic`, as (queue, offset).
fn commits(broker: &Fake, topic: &str) -> Vec<(String, String)> {
    let told = broker.asked(request::UPDATE_CONSUMER_OFFSET);
    let told = told.iter().filter(|asked| asked.field("topic") == topic && asked.field("consumerGroup") == "g");
    told.map(|asked| (asked.field("queueId").to_owned(), asked.field("commitOffset").to_owned())).collect()
}

#[tokio::test]
async fn it_takes_every_queue_delivers_commits_and_leaves() {
    let broker = broker(Arc::default());
    let names = name_server(&[("b", &broker.address)], 2);
    let (client, options) = member(&names);
    let mut consumer = Consumer::start(client, options).await.unwrap();
    let heartbeat = Heartbeat::parse(&broker.asked(request::HEART_BEAT)[0].body).unwrap();
    let data = &heartbeat.consumer_data_set[0];
    assert_eq!((heartbeat.client_id.as_str(), data.group_name.as_str()), ("me", "g"));
    let topics: Vec<&str> = data.subscription_data_set.iter().map(|known| known.topic.as_str()).collect();
    assert_eq!(topics, ["t", "%RETRY%g"]);

    let mut delivered = Vec::new();
    for _ in 0..2 {
        let batch = within("a batch", consumer.next()).await.unwrap();
        let messages = batch.messages().unwrap();
        assert_eq!((messages.len(), messages[0].queue_offset), (1, QueueOffset(7)));
        delivered.push(batch.queue.id);
        consumer.commit(&batch);
    }
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 1]);
    // 9, not 8: what matched nobody after the last message is done, too.
    let done = |queue: &str| (queue.to_owned(), "9".to_owned());
    until("both queues are committed", || {
        let told = commits(&broker, "t");
        told.contains(&done("0")) && told.contains(&done("1"))
    })
    .await;
    within("it stops", consumer.stop()).await;
    let left = &broker.asked(request::UNREGISTER_CLIENT)[0];
    assert_eq!((left.field("clientID"), left.field("consumerGroup")), ("me", "g"));
}

#[tokio::test]
async fn what_is_not_committed_is_not_told() {
    let broker = broker(Arc::default());
    let names = name_server(&[("b", &broker.address)], 1);
    let (client, options) = member(&names);
    let mut consumer = Consumer::start(client, options).await.unwrap();
    let batch = within("a batch", consumer.next()).await.unwrap();
    until("it pulled on", || broker.asked(request::PULL_MESSAGE).iter().any(|asked| asked.field("queueOffset") == "9"))
        .await;
    within("it stops", consumer.stop()).await;
    assert_eq!(commits(&broker, "t"), [], "{} was never done", batch.queue);
}

#[tokio::test]
async fn members_share_and_a_word_of_the_broker_is_enough() {
    let crowded = Arc::new(AtomicBool::new(false));
    let broker = broker(crowded.clone());
    let names = name_server(&[("b", &broker.address)], 4);
    let (client, options) = member(&names);
    let consumer = Consumer::start(client, options).await.unwrap();
    let mine = |topic: &str| {
        consumer.queues().iter().filter(|queue| queue.topic == topic).map(|queue| queue.id).collect::<Vec<_>>()
    };
    assert_eq!(mine("t"), [0, 1, 2, 3]);
    crowded.store(true, SeqCst);
    broker.notify(request::NOTIFY_CONSUMER_IDS_CHANGED);
    until("half of the queues are the other's", || mine("t") == [0, 1]).await;
    crowded.store(false, SeqCst);
    broker.notify(request::NOTIFY_CONSUMER_IDS_CHANGED);
    until("all queues are its own again", || mine("t") == [0, 1, 2, 3]).await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_yet_is_waited_for() {
    let broker = broker(Arc::default());
    let there = Arc::new(AtomicBool::new(false));
    let (route, exists) = (fake::route(&[("b", &broker.address)], 1), there.clone());
    let names = Fake::start(move |asked| match asked.field("topic") {
        "t" if exists.load(SeqCst) => body(route.clone()),
        _ => refused(response::TOPIC_NOT_EXIST, "no route"),
    });
    let (client, options) = member(&names);
    let options = ConsumerOptions { rebalance_interval: Duration::from_millis(10), ..options };
    let mut consumer = Consumer::start(client, options).await.unwrap();
    assert!(consumer.queues().is_empty());
    there.store(true, SeqCst);
    let batch = within("a batch", consumer.next()).await.unwrap();
    assert_eq!(batch.queue.topic, "t");
    assert!(!broker.asked(request::HEART_BEAT).is_empty(), "the broker knew the member before it pulled");
}
