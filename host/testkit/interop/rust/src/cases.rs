//! The cases: each sends in one way and consumes what it sent with a push consumer.

use rocketmq_client_rust::{DefaultMQProducer, MQPushConsumer, SendResult, SendStatus};
use rocketmq_model::common::message::message_single::Message;

use crate::client::{failed, Client};
use crate::inbox::Inbox;
use crate::{payload, Settings};

pub const NAMES: &[&str] = &["sync-send", "oneway-send", "batch-send", "tag-filter", "bulk"];

pub async fn run(name: &str, settings: &Settings) -> Result<String, String> {
    let client = Client::new()?;
    let outcome = run_with(&client, name, settings).await;
    client.shutdown().await;
    outcome
}

async fn run_with(client: &Client, name: &str, settings: &Settings) -> Result<String, String> {
    let names = Names {
        namesrv: &settings.namesrv,
        topic: format!("{}-rust-{name}-topic", settings.run),
        group: format!("{}-rust-{name}-group", settings.run),
    };
    let mut producer = client
        .producer(&settings.namesrv, &format!("{}-rust-{name}-producer", settings.run))
        .await?;
    let outcome = match name {
        "sync-send" => sync_send(client, &producer, &names).await,
        "oneway-send" => oneway_send(client, &producer, &names).await,
        "batch-send" => batch_send(client, &producer, &names).await,
        "tag-filter" => tag_filter(client, &producer, &names).await,
        "bulk" => bulk(client, &producer, &names, settings.quick).await,
        _ => Err("no such case".to_owned()),
    };
    producer.shutdown().await;
    outcome
}

struct Names<'a> {
    namesrv: &'a str,
    /// Created by the first send.
    topic: String,
    group: String,
}

async fn sync_send(client: &Client, producer: &DefaultMQProducer, names: &Names<'_>) -> Result<String, String> {
    let sent = payload::messages(&names.topic, "m", "tag", 40)?;
    send_all(producer, &sent).await?;
    consume(client, names, "*", &sent).await
}

async fn oneway_send(client: &Client, producer: &DefaultMQProducer, names: &Names<'_>) -> Result<String, String> {
    let sent = payload::messages(&names.topic, "m", "tag", 40)?;
    // The first one waits for its answer: it creates the topic.
    send_all(producer, &sent[..1]).await?;
    for message in &sent[1..] {
        producer.send_oneway(message.clone()).await.map_err(failed("one-way send"))?;
    }
    consume(client, names, "*", &sent).await
}

async fn batch_send(client: &Client, producer: &DefaultMQProducer, names: &Names<'_>) -> Result<String, String> {
    let mut sent = Vec::new();
    for i in 0..5 {
        let batch = payload::messages(&names.topic, &format!("b{i}-"), "tag", 10)?;
        let result = producer.send_batch(batch.clone()).await.map_err(failed("batch send"))?;
        stored(Some(result))?;
        sent.extend(batch);
    }
    consume(client, names, "*", &sent).await
}

async fn tag_filter(client: &Client, producer: &DefaultMQProducer, names: &Names<'_>) -> Result<String, String> {
    let mut wanted = Vec::new();
    for tag in ["red", "green", "blue"] {
        let messages = payload::messages(&names.topic, tag, tag, 8)?;
        send_all(producer, &messages).await?;
        if tag != "green" {
            wanted.extend(messages);
        }
    }
    // Without spaces: this version hashes a tag with those around it, and the broker then finds nothing.
    consume(client, names, "red||blue", &wanted).await
}

async fn bulk(client: &Client, producer: &DefaultMQProducer, names: &Names<'_>, quick: bool) -> Result<String, String> {
    let sent = payload::messages(&names.topic, "m", "tag", if quick { 500 } else { 5_000 })?;
    send_all(producer, &sent).await?;
    consume(client, names, "*", &sent).await
}

async fn send_all(producer: &DefaultMQProducer, messages: &[Message]) -> Result<(), String> {
    for message in messages {
        stored(producer.send(message.clone()).await.map_err(failed("send"))?)?;
    }
    Ok(())
}

fn stored(result: Option<SendResult>) -> Result<(), String> {
    let result = result.ok_or("a send without a result")?;
    if result.send_status != SendStatus::SendOk {
        return Err(format!("send status {:?}", result.send_status));
    }
    if result.offset_msg_id.as_deref().is_none_or(|id| id.len() < 32) {
        return Err(format!("send result with offsetMsgId {:?}", result.offset_msg_id));
    }
    Ok(())
}

/// Consumes the topic with a new group and expects exactly the messages sent.
async fn consume(client: &Client, names: &Names<'_>, tags: &str, sent: &[Message]) -> Result<String, String> {
    let ids: Vec<String> = sent
        .iter()
        .filter_map(|message| message.get_user_property("id"))
        .map(|id| id.to_string())
        .collect();
    let inbox = Inbox::default();
    let mut consumer = client.consumer(names.namesrv, &names.group);
    consumer
        .subscribe(names.topic.as_str(), tags)
        .await
        .map_err(failed("subscription"))?;
    consumer.register_message_listener_concurrently(inbox.clone());
    consumer.start().await.map_err(failed("start of the consumer"))?;
    let outcome = inbox.await_exactly(&ids).await;
    consumer.shutdown().await;
    outcome.map(|()| format!("{} messages, {} duplicates", ids.len(), inbox.duplicates()))
}
