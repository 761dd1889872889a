//! What operators change: topics and groups on one broker, by its address.

use std::time::Duration;

use gantry_model::{
    group::GroupConfig,
    name::AUTO_CREATE_TOPIC,
    route::MASTER_ID,
    topic::{TopicConfig, TopicFilterType},
};
use gantry_protocol::{
    body::{consumer_list::ConsumerList, group_config::GroupTable, topic_config::TopicTable},
    code::request,
    frame::FrameWriter,
};

use crate::{Client, ClientError, ReceivedMessage, client::succeeded, route::parse};

/// How long a broker may take to compile and check a plugin.
const PUSH_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// Name and address of every master, in the order of names; one cluster only, if it is given.
    pub async fn masters(&self, cluster: Option<&str>) -> Result<Vec<(String, String)>, ClientError> {
        let info = self.cluster_info().await?;
        let wanted =
            info.broker_addr_table.into_values().filter(|data| cluster.is_none_or(|name| name == data.cluster));
        let with_address = |data: gantry_model::route::BrokerData| {
            let address = data.broker_addrs.get(&MASTER_ID).cloned()?;
            Some((data.broker_name, address))
        };
        Ok(wanted.filter_map(with_address).collect())
    }

    /// Creates or changes a topic on one broker.
    pub async fn put_topic(&self, address: &str, config: &TopicConfig) -> Result<(), ClientError> {
        let attributes: Vec<String> = config.attributes.iter().map(|(key, value)| format!("+{key}={value}")).collect();
        let attributes = attributes.join(",");
        let filter_type = match config.topic_filter_type {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
        };
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("attributes", attributes.as_str())
                .ext("defaultTopic", AUTO_CREATE_TOPIC)
                .ext("order", config.order)
                .ext("perm", config.perm.0)
                .ext("readQueueNums", config.read_queue_nums)
                .ext("topic", &config.topic_name)
                .ext("topicFilterType", filter_type)
                .ext("topicSysFlag", config.topic_sys_flag)
                .ext("writeQueueNums", config.write_queue_nums);
        };
        self.ask(address, request::UPDATE_AND_CREATE_TOPIC, write, b"").await?;
        self.doubt_route(&config.topic_name);
        Ok(())
    }

    /// Puts a new version of a plugin in service on one broker; the label that serves from then on. `signature` = the
    /// contents of its signature file, in hex digits. Compiling takes a while.
    pub async fn push_plugin(
        &self,
        address: &str,
        plugin: &str,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<String, ClientError> {
        let code = request::GANTRY_PLUGIN_PUSH;
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("plugin", plugin).ext_opt("signature", signature);
        };
        let answer = succeeded(address, code, self.request(address, code, write, bytes, PUSH_TIMEOUT).await?)?;
        let header = answer.header().map_err(|error| ClientError::answer(address, code, error))?;
        Ok(header.ext.get("serves").unwrap_or_default().into_owned())
    }

    /// Deletes a topic from one broker.
    pub async fn delete_topic(&self, address: &str, topic: &str) -> Result<(), ClientError> {
        self.ask(address, request::DELETE_TOPIC_IN_BROKER, |ext| _ = ext.ext("topic", topic), b"").await?;
        self.doubt_route(topic);
        Ok(())
    }

    /// The topics of one broker with their settings.
    pub async fn broker_topics(&self, address: &str) -> Result<TopicTable, ClientError> {
        let answer = self.ask(address, request::GET_ALL_TOPIC_CONFIG, |_| (), b"").await?;
        parse(address, request::GET_ALL_TOPIC_CONFIG, &answer)
    }

    /// Creates or changes a consumer group on one broker.
    pub async fn put_group(&self, address: &str, config: &GroupConfig) -> Result<(), ClientError> {
        let body = serde_json::to_vec(config).map_err(|error| {
            ClientError::Invalid(format!("the group's settings cannot be written as JSON: {error}"))
        })?;
        self.ask(address, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, |_| (), &body).await.map(drop)
    }

    /// Deletes a consumer group from one broker, with its offsets if `clean_offset`.
    pub async fn delete_group(&self, address: &str, group: &str, clean_offset: bool) -> Result<(), ClientError> {
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("cleanOffset", clean_offset).ext("groupName", group);
        };
        self.ask(address, request::DELETE_SUBSCRIPTIONGROUP, write, b"").await.map(drop)
    }

    /// The consumer groups of one broker with their settings.
    pub async fn broker_groups(&self, address: &str) -> Result<GroupTable, ClientError> {
        let answer = self.ask(address, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, |_| (), b"").await?;
        parse(address, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &answer)
    }

    /// Client ids of a group's members, as one broker knows them.
    pub async fn group_members(&self, address: &str, group: &str) -> Result<Vec<String>, ClientError> {
        let code = request::GET_CONSUMER_LIST_BY_GROUP;
        let answer = self.ask(address, code, |ext| _ = ext.ext("consumerGroup", group), b"").await?;
        let list: ConsumerList = parse(address, code, &answer)?;
        Ok(list.consumer_id_list)
    }

    /// Gives a message back to its broker, to be delivered to the group again after the delay of `delay_level`
    /// (0 = the broker chooses by the number of tries, below 0 = to the dead letter queue).
    pub async fn send_back(&self, group: &str, message: &ReceivedMessage, delay_level: i32) -> Result<(), ClientError> {
        let address = self.broker_address(&message.queue.broker)?;
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("delayLevel", delay_level)
                .ext("group", group)
                .ext("offset", message.physical_offset.to_wire())
                .ext_opt("originMsgId", message.unique_key())
                .ext("originTopic", message.topic.as_str())
                .ext("unitMode", false);
        };
        self.ask(&address, request::CONSUMER_SEND_MSG_BACK, write, b"").await.map(drop)
    }
}
