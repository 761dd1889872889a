//! Requests about who is there: HEART_BEAT (34), UNREGISTER_CLIENT (35), GET_CONSUMER_LIST_BY_GROUP (38),
//! CHECK_CLIENT_CONFIG (46), and the word to a group's members when that changes (NOTIFY_CONSUMER_IDS_CHANGED 40).

use gantry_model::name::{self, retry_topic};
use gantry_protocol::{
    body::{
        client_config::CheckClientConfig,
        consumer_list::ConsumerList,
        heartbeat::{ConsumerData, Heartbeat},
    },
    code::{request, response},
    frame::{Frame, FrameWriter},
    request::client::UnregisterClient,
};
use gantry_remoting::Peer;

use crate::{
    broker::Broker,
    clients::{Changed, Make},
    reply::Refusal,
};

/// Longest client id that is taken, in bytes.
const CLIENT_ID_LEN_MAX: usize = 512;

impl Broker {
    /// Registers what the heartbeat names. A group that may not exist is left out silently, as in RocketMQ: the client
    /// learns of it when it pulls.
    pub(crate) fn heartbeat(&self, peer: &Peer, frame: &Frame<'_>) -> Result<(), Refusal> {
        let heartbeat = Heartbeat::parse(frame.body).map_err(|error| malformed("heartbeat", &error))?;
        if heartbeat.client_id.is_empty() || heartbeat.client_id.len() > CLIENT_ID_LEN_MAX {
            let remark =
                format!("the clientID has {} bytes, allowed are 1 to {CLIENT_ID_LEN_MAX}", heartbeat.client_id.len());
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        }
        for producer in &heartbeat.producer_data_set {
            name::check_group(&producer.group_name)?;
        }
        let (now_ms, make) = (self.options.clock.now_ms(), Make::of(&frame.header));
        self.clients
            .register_producers(peer, make, &heartbeat, now_ms)
            .map_err(|full| self.flow.clients.refuse(full.0 as u64 + 1))?;
        for consumer in &heartbeat.consumer_data_set {
            if let Err(refusal) = self.prepare_group(consumer) {
                tracing::debug!(group = %consumer.group_name, %refusal, "heartbeat of a group that cannot exist");
                continue;
            }
            let changed = self
                .clients
                .register_consumer(peer, make, &heartbeat.client_id, consumer, now_ms)
                .map_err(|full| self.flow.clients.refuse(full.0 as u64 + 1))?;
            self.tell(changed);
        }
        Ok(())
    }

    /// A consumer group needs its settings and its retry topic before the first pull.
    fn prepare_group(&self, consumer: &ConsumerData) -> Result<(), Refusal> {
        let retry = retry_topic(&consumer.group_name);
        if self.groups.get(&consumer.group_name).is_some() && self.topics.get(&retry).is_some() {
            return Ok(());
        }
        tokio::task::block_in_place(|| {
            let group = self.groups.get_or_create(&consumer.group_name)?;
            if group.retry_queue_nums > 0 {
                self.topics.get_or_create_internal(&retry, group.retry_queue_nums as u32)?;
            }
            Ok(())
        })
    }

    pub(crate) fn unregister(&self, request: &UnregisterClient) {
        let (producer, consumer) = (request.producer_group.as_deref(), request.consumer_group.as_deref());
        self.tell(self.clients.unregister(&request.client_id, producer, consumer));
    }

    /// The group's client ids, sorted; clients allocate queues by their place in it.
    pub(crate) fn consumer_list(&self, group: &str) -> Result<Vec<u8>, Refusal> {
        let consumer_id_list = self.clients.members(group);
        if consumer_id_list.is_empty() {
            return Err(Refusal::new(response::SYSTEM_ERROR, format!("no consumer for this group, {group}")));
        }
        ConsumerList { consumer_id_list }
            .to_json()
            .map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))
    }

    /// A consumer asks, before it starts, whether its subscription can be served.
    pub(crate) fn check_client_config(&self, body: &[u8]) -> Result<(), Refusal> {
        let config = CheckClientConfig::parse(body).map_err(|error| malformed("client config", &error))?;
        match config.subscription_data {
            Some(subscription) if !subscription.is_tag() => self.check_expression(&config.group, &subscription),
            _ => Ok(()),
        }
    }

    /// Takes out what a closed connection brought in.
    pub(crate) fn disconnected(&self, peer: &Peer) {
        for changed in self.clients.disconnected(peer.id()) {
            self.tell(Some(changed));
        }
    }

    /// Tells a group's members to share the queues out anew.
    pub(crate) fn tell(&self, changed: Option<Changed>) {
        let Some(Changed { group, tell }) = changed else { return };
        let wanted = self.groups.get(&group).is_none_or(|config| config.notify_consumer_ids_changed_enable);
        for peer in tell.iter().filter(|_| wanted) {
            let fields = |writer: &mut FrameWriter<'_, '_>| {
                writer.ext("consumerGroup", &group);
            };
            peer.notify(request::NOTIFY_CONSUMER_IDS_CHANGED, fields, b"");
        }
    }
}

pub(crate) fn malformed(what: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, format!("the {what} is malformed: {error}"))
}
