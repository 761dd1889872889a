//! Messages that can be recognised (property `id`) and checked (property `sum` over id and body).

use rocketmq_model::common::message::message_ext::MessageExt;
use rocketmq_model::common::message::message_single::Message;

use crate::client::failed;

pub fn message(topic: &str, id: &str, tag: &str, size: usize) -> Result<Message, String> {
    let body: Vec<u8> = id.bytes().cycle().take(size).collect();
    Message::builder()
        .topic(topic)
        .tags(tag)
        .raw_property("id", id)
        .and_then(|builder| builder.raw_property("sum", sum(id, &body)))
        .and_then(|builder| builder.body_slice(&body).build())
        .map_err(failed("building a message"))
}

/// Small messages named prefix0, prefix1, …
pub fn messages(topic: &str, prefix: &str, tag: &str, count: usize) -> Result<Vec<Message>, String> {
    (0..count)
        .map(|i| message(topic, &format!("{prefix}{i}"), tag, 100 + i))
        .collect()
}

pub fn id(message: &MessageExt) -> Option<String> {
    property(message, "id")
}

pub fn intact(message: &MessageExt) -> bool {
    match (id(message), message.body()) {
        (Some(id), Some(body)) => property(message, "sum") == Some(sum(&id, &body)),
        _ => false,
    }
}

fn property(message: &MessageExt, name: &str) -> Option<String> {
    message.properties().get(name).map(ToString::to_string)
}

fn sum(id: &str, body: &[u8]) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(id.as_bytes());
    crc.update(body);
    format!("{:x}", crc.finalize())
}
