//! Pulls and offsets.

use std::time::Duration;

use gantry_client::{Pull, PullStatus, Queue};
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    subscription::{Subscription, TYPE_SQL92},
};
use gantry_protocol::{
    code::{request, response},
    record::{RecordDraft, encode},
};

use crate::fake::{Answer, Fake, client, fields, name_server, refused};

/// A record of queue 1 of "t".
pub(crate) fn record(queue_offset: u64, body: &[u8], properties: &[u8]) -> Vec<u8> {
    let host = "127.0.0.1:10911".parse().unwrap();
    let draft = RecordDraft {
        topic: "t",
        queue_id: 1,
        flag: 5,
        queue_offset: QueueOffset(queue_offset),
        physical_offset: PhysicalOffset(queue_offset * 1000),
        sys_flag: 0,
        born_ms: 1,
        born_host: host,
        store_ms: 2,
        store_host: host,
        reconsume_times: 3,
        prepared_transaction_offset: 0,
        body,
        properties: &[properties],
    };
    let mut out = Vec::new();
    encode(&draft, &mut out).unwrap();
    out
}

pub(crate) fn pulled(code: i32, next: u64, body: Vec<u8>) -> Answer {
    let next = next.to_string();
    let ext = [("nextBeginOffset", next.as_str()), ("minOffset", "3"), ("maxOffset", "9"), ("gantryFilter", "eu@abc")];
    Answer { code, body, ..fields(ext) }
}

fn queue() -> Queue {
    Queue { topic: "t".into(), broker: "b".into(), id: 1 }
}

fn pull<'a>(queue: &'a Queue, subscription: &'a Subscription) -> Pull<'a> {
    Pull {
        group: "g",
        queue,
        offset: QueueOffset(7),
        messages_max: 32,
        suspend: Duration::from_millis(1500),
        subscription,
        commit: Some(QueueOffset(6)),
    }
}

#[tokio::test]
async fn messages_are_read_from_the_answer() {
    let records =
        [record(7, b"one", b"TAGS\x01A\x02UNIQ_KEY\x01id\x02"), record(8, b"two", b"RETRY_TOPIC\x01orig\x02")];
    let broker = Fake::start(move |_| pulled(0, 9, records.concat()));
    let names = name_server(&[("b", &broker.address)], 2);
    let client = client(&[&names.address]);
    client.subscribe_queues("t").await.unwrap();
    let (queue, subscription) = (queue(), Subscription::from_tags("t", "A || B"));
    let result = client.pull(&pull(&queue, &subscription)).await.unwrap();
    assert_eq!((result.status, result.filter.as_deref()), (PullStatus::Found, Some("eu@abc")));
    assert_eq!([result.next_offset, result.min_offset, result.max_offset], [9, 3, 9].map(QueueOffset));
    let messages = result.messages(&queue).unwrap();
    assert_eq!(
        (&messages[0].body[..], messages[0].tag(), messages[0].unique_key()),
        (&b"one"[..], Some("A"), Some("id"))
    );
    assert_eq!((messages[0].flag, messages[0].reconsume_times), (5, 3));
    assert_eq!((messages[0].topic.as_str(), messages[1].topic.as_str()), ("t", "orig"));
    assert_eq!((messages[1].queue_offset, messages[1].physical_offset), (QueueOffset(8), PhysicalOffset(8000)));

    let asked = &broker.asked(request::PULL_MESSAGE)[0];
    let names = ["consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset"];
    assert_eq!(names.map(|name| asked.field(name)), ["g", "t", "1", "7", "32", "7", "6"]);
    let names = ["suspendTimeoutMillis", "subscription", "expressionType"];
    assert_eq!(names.map(|name| asked.field(name)), ["1500", "A || B", "TAG"]);
}

#[tokio::test]
async fn every_status_says_where_to_go_on() {
    let cases = [
        (response::PULL_NOT_FOUND, PullStatus::NothingNew),
        (response::PULL_RETRY_IMMEDIATELY, PullStatus::NothingMatched),
        (response::PULL_OFFSET_MOVED, PullStatus::OffsetMoved),
    ];
    let (queue, sql) = (queue(), Subscription { expression_type: Some(TYPE_SQL92.into()), ..Subscription::default() });
    for (code, status) in cases {
        let broker = Fake::start(move |_| pulled(code, 5, Vec::new()));
        let client = client(&[]);
        let result = client.pull_from(&broker.address, &pull(&queue, &sql)).await.unwrap();
        assert_eq!((result.status, result.next_offset, result.records().count()), (status, QueueOffset(5), 0));
    }
    let broker = Fake::start(|_| refused(response::SUBSCRIPTION_PARSE_FAILED, "at byte 3"));
    let error = client(&[]).pull_from(&broker.address, &pull(&queue, &sql)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} refused PULL_MESSAGE: SUBSCRIPTION_PARSE_FAILED (23): at byte 3", broker.address)
    );
    let error = client(&[]).pull(&pull(&queue, &sql)).await.unwrap_err().to_string();
    assert!(error.contains("broker b has no known address"), "{error}");
}

#[tokio::test]
async fn offsets_are_asked_and_told() {
    let broker = Fake::start(|asked| match asked.code {
        request::GET_MAX_OFFSET => fields([("offset", "9")]),
        request::GET_MIN_OFFSET => fields([("offset", "3")]),
        request::SEARCH_OFFSET_BY_TIMESTAMP => fields([("offset", "5")]),
        request::QUERY_CONSUMER_OFFSET if asked.field("consumerGroup") == "known" => fields([("offset", "4")]),
        request::QUERY_CONSUMER_OFFSET => refused(response::QUERY_NOT_FOUND, "never"),
        _ => crate::fake::ok(),
    });
    let names = name_server(&[("b", &broker.address)], 2);
    let client = client(&[&names.address]);
    client.subscribe_queues("t").await.unwrap();
    let queue = queue();
    assert_eq!(client.max_offset(&queue).await.unwrap(), QueueOffset(9));
    assert_eq!(client.min_offset(&queue).await.unwrap(), QueueOffset(3));
    assert_eq!(client.offset_at(&queue, 77).await.unwrap(), QueueOffset(5));
    assert_eq!(broker.asked(request::SEARCH_OFFSET_BY_TIMESTAMP)[0].field("timestamp"), "77");
    assert_eq!(client.consumer_offset("known", &queue).await.unwrap(), Some(QueueOffset(4)));
    assert_eq!(client.consumer_offset("new", &queue).await.unwrap(), None);
    assert_eq!(broker.asked(request::QUERY_CONSUMER_OFFSET)[1].field("setZeroIfNotFound"), "false");
    client.commit_offset("known", &queue, QueueOffset(8)).await.unwrap();
    let told = &broker.asked(request::UPDATE_CONSUMER_OFFSET)[0];
    let names = ["consumerGroup", "topic", "queueId", "commitOffset"];
    assert_eq!(names.map(|name| told.field(name)), ["known", "t", "1", "8"]);
}
