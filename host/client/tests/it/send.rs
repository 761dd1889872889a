//! Producers: routes, rounds, retries.

use gantry_client::{ClientError, Message, Queue, SendStatus};
use gantry_model::{offset::QueueOffset, properties};
use gantry_protocol::{
    batch,
    code::{request, response},
};

use crate::fake::{self, Fake, body, client, name_server, nobody, refused, stored};

fn broker() -> Fake {
    Fake::start(stored)
}

#[tokio::test]
async fn sends_go_round_the_queues_with_javas_fields() {
    let (a, b) = (broker(), broker());
    let names = name_server(&[("b", &b.address), ("a", &a.address)], 2);
    let producer = client(&[&names.address]).producer("pg");
    let message = Message::new("Topic", "body").tag("TagA").keys("k");
    let mut queues = Vec::new();
    for _ in 0..5 {
        let result = producer.send(&message).await.unwrap();
        assert_eq!((result.status, result.queue_offset), (SendStatus::Stored, QueueOffset(42)));
        queues.push((result.queue.broker, result.queue.id));
    }
    let expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 0)].map(|(broker, id)| (broker.to_owned(), id));
    assert_eq!(queues, expected);
    assert_eq!(names.asked(request::GET_ROUTEINFO_BY_TOPIC).len(), 1, "routes are kept");

    let sent = &a.asked(request::SEND_MESSAGE_V2)[1];
    let fields = ["a", "b", "c", "d", "e", "f", "h", "j", "k", "m"].map(|name| sent.field(name));
    assert_eq!(fields, ["pg", "Topic", "TBW102", "4", "1", "0", "0", "0", "false", "false"]);
    assert!(sent.field("g").parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(sent.body, b"body");
    let property = |name| properties::find_str(sent.field("i").as_bytes(), name);
    assert_eq!((property("TAGS"), property("KEYS")), (Some("TagA"), Some("k")));
    assert_eq!(property("UNIQ_KEY").map(str::len), Some(32));
}

#[tokio::test]
async fn a_batch_is_one_request() {
    let broker = broker();
    let names = name_server(&[("b", &broker.address)], 1);
    let producer = client(&[&names.address]).producer("pg");
    let messages = [Message::new("t", "one").tag("A"), Message::new("t", "two")];
    let result = producer.send_batch(&messages).await.unwrap();
    let sent = &broker.asked(request::SEND_BATCH_MESSAGE)[0];
    assert_eq!((sent.field("m"), sent.field("i")), ("true", ""));
    let parts: Vec<_> = batch::messages(&sent.body).collect::<Result<_, _>>().unwrap();
    assert_eq!(parts.iter().map(|part| part.body).collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(properties::find_str(parts[0].properties, "UNIQ_KEY"), Some(result.unique_key.as_str()));
    assert!(matches!(producer.send_batch(&[]).await, Err(ClientError::Invalid(_))));
    let mixed = [Message::new("t", ""), Message::new("u", "")];
    assert!(matches!(producer.send_batch(&mixed).await, Err(ClientError::Invalid(_))));
}

#[tokio::test]
async fn busy_brokers_and_dead_ones_are_passed_over() {
    let busy = Fake::start(|_| refused(response::SYSTEM_BUSY, "busy"));
    let good = broker();
    for bad in [busy.address.clone(), nobody()] {
        let names = name_server(&[("a", &bad), ("b", &good.address)], 3);
        let result = client(&[&names.address]).producer("pg").send(&Message::new("t", "x")).await.unwrap();
        assert_eq!(result.queue.broker, "b");
    }
    assert_eq!(busy.asked(request::SEND_MESSAGE_V2).len(), 1);

    let names = name_server(&[("a", &busy.address)], 3);
    let error = client(&[&names.address]).producer("pg").send(&Message::new("t", "x")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} refused SEND_MESSAGE_V2: SYSTEM_BUSY (2): busy", busy.address));
    assert_eq!(busy.asked(request::SEND_MESSAGE_V2).len(), 4, "three tries");
}

#[tokio::test]
async fn what_no_other_broker_can_mend_is_not_tried_again() {
    let broker = Fake::start(|_| refused(response::MESSAGE_ILLEGAL, "the body is too large"));
    let names = name_server(&[("a", &broker.address)], 3);
    let error = client(&[&names.address]).producer("pg").send(&Message::new("t", "x")).await.unwrap_err();
    assert_eq!(error.refusal(), Some(response::MESSAGE_ILLEGAL));
    assert_eq!(broker.asked(request::SEND_MESSAGE_V2).len(), 1);
}

#[tokio::test]
async fn an_unknown_topic_takes_the_template() {
    let broker = broker();
    let template = fake::route(&[("b", &broker.address)], 8);
    let names = Fake::start(move |asked| match asked.field("topic") {
        "TBW102" => body(template.clone()),
        _ => refused(response::TOPIC_NOT_EXIST, "no route"),
    });
    let client = client(&[&names.address]);
    let queues = client.publish_queues("new").await.unwrap();
    assert_eq!(queues, [0, 1, 2, 3].map(|id| Queue { topic: "new".into(), broker: "b".into(), id }));
    client.producer("pg").send(&Message::new("new", "x")).await.unwrap();
    assert_eq!(client.subscribe_queues("new").await.unwrap_err().refusal(), Some(response::TOPIC_NOT_EXIST));
}

#[tokio::test]
async fn any_name_server_will_do_and_none_is_said_clearly() {
    let broker = broker();
    let names = name_server(&[("b", &broker.address)], 1);
    let (dead, other) = (nobody(), nobody());
    client(&[&dead, &names.address]).producer("pg").send(&Message::new("t", "x")).await.unwrap();
    let error = client(&[&dead, &other]).route("t").await.unwrap_err().to_string();
    for part in ["no name server answered", dead.as_str(), other.as_str()] {
        assert!(error.contains(part), "{error}");
    }
    let error = client(&[]).route("t").await.unwrap_err().to_string();
    assert!(error.contains("none is configured"), "{error}");
}

#[tokio::test]
async fn broken_connections_are_made_again_and_old_routes_outlive_name_servers() {
    let broker = broker();
    let names = name_server(&[("b", &broker.address)], 1);
    let producer = client(&[&names.address]).producer("pg");
    let message = Message::new("t", "x");
    producer.send(&message).await.unwrap();
    names.stop().await;
    for _ in 0..3 {
        broker.close_connections();
        producer.send(&message).await.unwrap();
    }
}

#[tokio::test]
async fn answers_that_are_no_answers_are_said_to_be() {
    let broker = Fake::start(|_| fake::ok());
    let names = name_server(&[("b", &broker.address)], 1);
    let error = client(&[&names.address]).producer("pg").send(&Message::new("t", "x")).await.unwrap_err().to_string();
    assert!(error.contains(&broker.address) && error.contains("queueId"), "{error}");
    let names = Fake::start(|_| body(b"<html>".to_vec()));
    let error = client(&[&names.address]).route("t").await.unwrap_err().to_string();
    assert!(error.contains("GET_ROUTEINFO_BY_TOPIC: the answer cannot be read"), "{error}");
}
