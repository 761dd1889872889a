//! Messages found again by key and by place, over the network.

use std::time::Duration;

use gantry_client::{Client, ClientError, FoundByKey, Message, Options};
use gantry_model::offset::PhysicalOffset;
use gantry_protocol::{code::response, request::query::QueryMessage};

use crate::process::Node;

const BROKER: &str = "broker-a";

fn by_key(key: &str) -> QueryMessage {
    QueryMessage { topic: "orders".to_owned(), key: key.to_owned(), messages_max: 10, begin_ms: 0, end_ms: i64::MAX }
}

/// Asks until the index has caught up with the send.
async fn find(client: &Client, query: &QueryMessage, unique: bool, count: usize) -> FoundByKey {
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = client.query(BROKER, query, unique).await.unwrap();
        if found.messages.len() == count && found.remark.is_none() {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn bodies(found: &FoundByKey) -> Vec<&[u8]> {
    found.messages.iter().map(|message| &message.body[..]).collect()
}

#[tokio::test]
async fn messages_are_found_by_key_and_by_place() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let client = Client::new(vec![node.address("name_server")], Options::default());
    let producer = client.producer("p");
    let mut sent = Vec::new();
    // "Aa" and "BB" have the same hash.
    for (body, keys) in [("one", "Aa order-1"), ("two", "BB order-1"), ("three", "Aa")] {
        sent.push(producer.send(&Message::new("orders", body).keys(keys)).await.unwrap());
    }
    assert_eq!(bodies(&find(&client, &by_key("Aa"), false, 2).await), [&b"one"[..], b"three"]);
    assert_eq!(bodies(&find(&client, &by_key("BB"), false, 1).await), [b"two"]);
    assert_eq!(bodies(&find(&client, &by_key("order-1"), false, 2).await), [b"one", b"two"]);
    let unique = find(&client, &by_key(&sent[1].unique_key), true, 1).await;
    assert_eq!(bodies(&unique), [b"two"]);
    assert_eq!(unique.messages[0].unique_key(), Some(&*sent[1].unique_key));
    assert!(unique.index.last_update_ms >= unique.messages[0].store_ms);

    // The newest when there are more than asked for.
    let newest = client.query(BROKER, &QueryMessage { messages_max: 1, ..by_key("Aa") }, false).await.unwrap();
    assert_eq!(bodies(&newest), [b"three"]);
    let stored_ms = newest.messages[0].store_ms;
    let later = QueryMessage { begin_ms: stored_ms + 1, ..by_key("Aa") };
    let none = client.query(BROKER, &later, false).await.unwrap();
    assert!(none.messages.is_empty() && none.remark.unwrap().contains("time range"));
    assert!(client.query(BROKER, &by_key("no such key"), false).await.unwrap().messages.is_empty());

    let place = newest.messages[0].physical_offset;
    assert_eq!(client.view(BROKER, place).await.unwrap().body, "three");
    // Inside a record, behind the end.
    for wrong in [PhysicalOffset(place.0 + 1), PhysicalOffset(1 << 50)] {
        let refused = client.view(BROKER, wrong).await.unwrap_err();
        let ClientError::Refused { code, remark, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*code, response::SYSTEM_ERROR);
        assert!(remark.contains(&format!("by the offset, {wrong}")), "{remark}");
    }
    assert_eq!(tokio::task::spawn_blocking(move || node.terminate()).await.unwrap(), Some(0));

    let again = Node::start(folder.path(), &[]);
    let client = Client::new(vec![again.address("name_server")], Options::default());
    client.producer("p").send(&Message::new("orders", "four").keys("order-1")).await.unwrap();
    assert_eq!(bodies(&find(&client, &by_key("order-1"), false, 3).await), [&b"one"[..], b"two", b"four"]);
    again.kill();
}
