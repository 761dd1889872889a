//! A store's files, looked at and given up on from the command line.

use std::{os::unix::fs::FileExt, time::Duration};

use gantry_client::{Client, ClientError, Message, Options, Pull, Queue};
use gantry_model::{offset::QueueOffset, subscription::Subscription};

use crate::process::{Node, json_of, output, stdout_of};

const TOPIC: &str = "orders";

async fn pull(client: &Client, from: u64) -> Result<(Vec<String>, u64), ClientError> {
    let queue = Queue { topic: TOPIC.into(), broker: "broker-a".into(), id: 0 };
    let subscription = Subscription::from_tags(TOPIC, "*");
    let pull = Pull {
        group: "readers",
        queue: &queue,
        offset: QueueOffset(from),
        messages_max: 32,
        suspend: Duration::ZERO,
        subscription: &subscription,
        commit: None,
    };
    let found = client.pull(&pull).await?;
    let messages = found.messages(&queue).unwrap();
    let bodies = messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap());
    Ok((bodies.collect(), found.next_offset.0))
}

#[test]
fn a_damaged_message_stops_its_queue_until_it_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let store = node.data.join("broker-a");
    let store_text = store.to_str().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(vec![node.address("name_server")], Options::default());
    let producer = client.producer("writers");
    runtime.block_on(async {
        producer.send(&Message::new(TOPIC, "made")).await.unwrap();
        let queue = Queue { topic: TOPIC.into(), broker: "broker-a".into(), id: 0 };
        for n in 0..6 {
            producer.send_to(&queue, &Message::new(TOPIC, format!("body {n}"))).await.unwrap();
        }
    });
    let dump = stdout_of(&["store", "dump", store_text, "--topic", TOPIC, "--queue", "0", "--json"], 0);
    let records: Vec<serde_json::Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let victim = &records[records.len() - 3];
    let position = victim["position"].as_u64().unwrap();
    let queue_offset = victim["queue_offset"].as_u64().unwrap();
    let log =
        std::fs::File::options().read(true).write(true).open(store.join("commitlog/00000000000000000000")).unwrap();
    // The first byte of the body.
    log.write_all_at(b"B", position + 88).unwrap();

    let (before, next) = runtime.block_on(pull(&client, 0)).unwrap();
    assert_eq!((before.len() as u64, next), (queue_offset, queue_offset), "what lies before it is delivered");
    for _ in 0..2 {
        let refused = runtime.block_on(pull(&client, next)).unwrap_err().to_string();
        for part in ["00000000000000000000", &position.to_string(), "gantry store skip", "checksum"] {
            assert!(refused.contains(part), "{part} is missing in: {refused}");
        }
    }
    let status = node.status();
    assert_eq!(status["brokers"][0]["damages"][0]["position"], position, "{status}");
    let in_use = output(&["store", "check", store_text]);
    assert_eq!(in_use.status.code(), Some(2), "{in_use:?}");

    let wrong = output(&["store", "skip", "--data", node.data_text(), "1"]);
    assert_eq!(wrong.status.code(), Some(1));
    let done = stdout_of(&["store", "skip", "--data", store_text, &position.to_string()], 0);
    assert!(done.starts_with("given up"), "{done}");
    let (behind, end) = runtime.block_on(pull(&client, next)).unwrap();
    assert_eq!((behind, end), (vec!["body 4".to_owned(), "body 5".to_owned()], queue_offset + 3));

    let data = node.data_text().to_owned();
    assert_eq!(node.terminate(), Some(0));
    let report = json_of(&["store", "check", &data, "--json"]);
    assert_eq!((&report["problems_total"], &report["problems"][0]["skipped"]), (&0.into(), &true.into()), "{report}");
    assert!(report["records"].as_u64().unwrap() >= 6);
    let again = stdout_of(&["store", "skip", "--data", &data, &position.to_string()], 0);
    assert!(again.starts_with("was given up before"), "{again}");
    // Another one, found in a store that stands still.
    log.write_all_at(b"B", records[0]["position"].as_u64().unwrap() + 88).unwrap();
    let said = output(&["store", "check", &data]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("PROBLEM") && text.contains("given up"), "{text}");
    assert_eq!(output(&["store", "check", folder.path().to_str().unwrap()]).status.code(), Some(2));
}
