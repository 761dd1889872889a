//! What operators change.

use gantry_client::ReceivedMessage;
use gantry_model::{
    group::GroupConfig,
    offset::{PhysicalOffset, QueueOffset},
    topic::{Perm, TopicConfig},
};
use gantry_protocol::code::{request, response};

use crate::fake::{self, Fake, body, client, name_server, ok, refused};

#[tokio::test]
async fn topics_and_groups_as_mqadmin_sends_them() {
    let broker = Fake::start(|_| ok());
    let client = client(&[]);
    let mut config = TopicConfig::new("t", 8, Perm::READ_WRITE);
    config.attributes.insert("message.type".into(), "NORMAL".into());
    client.put_topic(&broker.address, &config).await.unwrap();
    let asked = &broker.asked(request::UPDATE_AND_CREATE_TOPIC)[0];
    let fields = ["topic", "defaultTopic", "readQueueNums", "writeQueueNums", "perm", "topicFilterType", "attributes"];
    let values = ["t", "TBW102", "8", "8", "6", "SINGLE_TAG", "+message.type=NORMAL"];
    assert_eq!(fields.map(|name| asked.field(name)), values);
    client.delete_topic(&broker.address, "t").await.unwrap();
    assert_eq!(broker.asked(request::DELETE_TOPIC_IN_BROKER)[0].field("topic"), "t");
    let group = GroupConfig { retry_max_times: 3, ..GroupConfig::new("g") };
    client.put_group(&broker.address, &group).await.unwrap();
    let told: GroupConfig =
        serde_json::from_slice(&broker.asked(request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)[0].body).unwrap();
    assert_eq!(told, group);
    client.delete_group(&broker.address, "g", true).await.unwrap();
    let asked = &broker.asked(request::DELETE_SUBSCRIPTIONGROUP)[0];
    assert_eq!((asked.field("groupName"), asked.field("cleanOffset")), ("g", "true"));
}

#[tokio::test]
async fn a_refusal_names_the_broker_and_its_reason() {
    let broker = Fake::start(|_| refused(response::NO_PERMISSION, "10.0.0.9 is not in admin.allow"));
    let error = client(&[]).delete_topic(&broker.address, "t").await.unwrap_err().to_string();
    let expected = "refused DELETE_TOPIC_IN_BROKER: NO_PERMISSION (16): 10.0.0.9 is not in admin.allow";
    assert_eq!(error, format!("{} {expected}", broker.address));
}

#[tokio::test]
async fn masters_come_from_the_cluster_even_in_fastjsons_dialect() {
    let names = Fake::start(|_| {
        let info = r#"{"brokerAddrTable":{"b1":{"brokerAddrs":{0:"h1:1",1:"h2:1"},"brokerName":"b1","cluster":"c"},
            "b2":{"brokerAddrs":{0:"h3:1"},"brokerName":"b2","cluster":"d"},
            "b3":{"brokerAddrs":{2:"h4:1"},"brokerName":"b3","cluster":"c"}},"clusterAddrTable":{"c":["b1","b3"],"d":["b2"]}}"#;
        body(info.as_bytes().to_vec())
    });
    let client = client(&[&names.address]);
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(client.masters(None).await.unwrap(), [pair("b1", "h1:1"), pair("b2", "h3:1")]);
    assert_eq!(client.masters(Some("c")).await.unwrap(), [pair("b1", "h1:1")]);
}

#[tokio::test]
async fn a_message_is_sent_back_by_its_place() {
    let broker = Fake::start(|_| ok());
    let names = name_server(&[("b", &broker.address)], 1);
    let client = client(&[&names.address]);
    let queue = client.subscribe_queues("t").await.unwrap().remove(0);
    let message = ReceivedMessage {
        topic: "t".into(),
        queue,
        queue_offset: QueueOffset(1),
        physical_offset: PhysicalOffset(4096),
        sys_flag: 0,
        flag: 0,
        born_ms: 0,
        store_ms: 0,
        reconsume_times: 0,
        body: fake::ok().body.into(),
        properties: "UNIQ_KEY\u{1}id\u{2}".into(),
    };
    client.send_back("g", &message, 3).await.unwrap();
    let asked = &broker.asked(request::CONSUMER_SEND_MSG_BACK)[0];
    let fields = ["offset", "group", "delayLevel", "originMsgId", "originTopic", "unitMode"];
    assert_eq!(fields.map(|name| asked.field(name)), ["4096", "g", "3", "id", "t", "false"]);
}
