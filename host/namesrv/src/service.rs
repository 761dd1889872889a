//! Requests to a name server, answered from the table under one short lock.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_model::{name, version::DataVersion};
use gantry_protocol::{
    body::{self, register::RegisterBrokerBody},
    code::{request::*, response},
    frame::{Frame, FrameWriter},
    header::Head,
    request::{
        RequestError,
        name_server::{BrokerFields, ClusterField, RegisterBroker, TopicField},
    },
};
use gantry_remoting::{Peer, Replies, Service};
use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{Broker, NameServerOptions, Refused, Table};

/// One name server; clones share the table.
#[derive(Clone)]
pub struct NameServer {
    options: Arc<NameServerOptions>,
    table: Arc<Mutex<Table>>,
}

/// What a request is answered with.
enum Answer {
    Ok,
    Body(Vec<u8>),
    Changed { changed: bool, version: Option<DataVersion> },
}

/// A refusal: code and sentence.
struct No(i32, String);

impl From<RequestError> for No {
    fn from(error: RequestError) -> Self {
        No(response::SYSTEM_ERROR, error.to_string())
    }
}

impl From<Refused> for No {
    fn from(Refused(reason): Refused) -> Self {
        No(response::SYSTEM_ERROR, reason)
    }
}

impl NameServer {
    /// A name server that knows nothing yet.
    pub fn new(options: NameServerOptions) -> Self {
        NameServer { options: Arc::new(options), table: Arc::default() }
    }

    /// Drops silent brokers until cancelled.
    pub async fn expire(self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(self.options.scan_every);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let gone = self.table.lock().expire(self.options.clock.now_ms());
            for address in gone {
                tracing::warn!(broker = %address, "dropped: no word from it in its time");
            }
        }
    }

    fn answer(&self, peer: &Peer, frame: &Frame<'_>) -> Result<Answer, No> {
        let header = &frame.header;
        match header.code {
            REGISTER_BROKER => self.register(peer, &RegisterBroker::parse(header)?, frame.body),
            UNREGISTER_BROKER => {
                let broker = BrokerFields::parse(header)?;
                self.table.lock().unregister(&broker.name, &broker.address);
                Ok(Answer::Ok)
            }
            QUERY_DATA_VERSION => {
                let broker = BrokerFields::parse(header)?;
                let told: DataVersion = body::parse(frame.body).unwrap_or_default();
                let known = self.table.lock().heartbeat(&broker.name, &broker.address, self.options.clock.now_ms());
                Ok(Answer::Changed { changed: known.as_ref() != Some(&told), version: known })
            }
            BROKER_HEARTBEAT => {
                let broker = BrokerFields::parse(header)?;
                self.table.lock().heartbeat(&broker.name, &broker.address, self.options.clock.now_ms());
                Ok(Answer::Ok)
            }
            GET_ROUTEINFO_BY_TOPIC => {
                let topic = TopicField::parse(header)?.topic;
                let route = self.table.lock().route(&topic);
                let remark = || {
                    No(response::TOPIC_NOT_EXIST, format!("No topic route info in name server for the topic: {topic}"))
                };
                json(&route.ok_or_else(remark)?)
            }
            GET_BROKER_CLUSTER_INFO => json(&self.table.lock().cluster_info()),
            GET_ALL_TOPIC_LIST_FROM_NAMESERVER => json(&self.table.lock().topics()),
            GET_SYSTEM_TOPIC_LIST_FROM_NS => json(&self.table.lock().system_topics()),
            GET_TOPICS_BY_CLUSTER => json(&self.table.lock().topics_of_cluster(&ClusterField::parse(header)?.cluster)),
            DELETE_TOPIC_IN_NAMESRV => {
                self.check_admin(peer)?;
                self.table.lock().delete_topic(&TopicField::parse(header)?.topic);
                Ok(Answer::Ok)
            }
            REGISTER_TOPIC_IN_NAMESRV => {
                self.check_admin(peer)?;
                self.register_topic(&TopicField::parse(header)?.topic, frame.body)
            }
            unknown => Err(No(response::REQUEST_CODE_NOT_SUPPORTED, format!(" request type {unknown} not supported"))),
        }
    }

    fn register(&self, peer: &Peer, request: &RegisterBroker, bytes: &[u8]) -> Result<Answer, No> {
        if request.compressed {
            let remark = "compressed registrations are not built yet; set compressedRegister=false on the broker";
            return Err(No(response::SYSTEM_ERROR, remark.to_owned()));
        }
        let found = crc32fast::hash(bytes) & 0x7FFF_FFFF;
        if request.body_crc != 0 && request.body_crc != found {
            return Err(No(
                response::SYSTEM_ERROR,
                format!("the body's CRC is {found}, the header says {}", request.body_crc),
            ));
        }
        let malformed = |error| No(response::SYSTEM_ERROR, format!("the registration is malformed: {error}"));
        let told = RegisterBrokerBody::parse(bytes).map_err(malformed)?.topic_config_serialize_wrapper;
        let fields = request.broker.clone();
        let broker = Broker { cluster: fields.cluster, name: fields.name, address: fields.address, id: fields.id };
        let (version, topics) = (told.data_version, &told.topic_config_table);
        self.table.lock().register(&self.options, &broker, request.heartbeat_timeout_ms, peer.id(), version, topics)?;
        Ok(Answer::Ok)
    }

    fn register_topic(&self, topic: &str, bytes: &[u8]) -> Result<Answer, No> {
        let illegal = |error: &dyn std::fmt::Display| No(response::SYSTEM_ERROR, error.to_string());
        name::check_topic(topic).map_err(|error| illegal(&error))?;
        let route: gantry_model::route::TopicRoute = body::parse(bytes).map_err(|error| illegal(&error))?;
        let mut table = self.table.lock();
        if table.route(topic).is_none() && table.topics().topic_list.len() >= self.options.topics_max {
            return Err(No(response::SYSTEM_ERROR, "the limit of topics (topics_max) is reached".to_owned()));
        }
        for queues in route.queue_datas {
            let mut config = gantry_model::topic::TopicConfig::new(topic, queues.read_queue_nums, queues.perm);
            config.write_queue_nums = queues.write_queue_nums;
            table.put_queues(&queues.broker_name, &config);
        }
        Ok(Answer::Ok)
    }

    fn check_admin(&self, peer: &Peer) -> Result<(), No> {
        let address = peer.address().ip();
        match self.options.admin.allows(address) {
            true => Ok(()),
            false => {
                Err(No(response::NO_PERMISSION, format!("{address} may not change anything here, see admin.allow")))
            }
        }
    }
}

impl Service for NameServer {
    type Session = Peer;

    fn open(&self, peer: &Peer) -> Peer {
        peer.clone()
    }

    fn serve(&self, peer: &mut Peer, requests: &[Frame<'_>], replies: &mut Replies) {
        for frame in requests {
            let answer = self.answer(peer, frame);
            if !frame.header.is_oneway() {
                encode(frame, answer, replies.now());
            }
        }
    }

    fn close(&self, peer: Peer) {
        for address in self.table.lock().disconnected(peer.id()) {
            tracing::warn!(broker = %address, "dropped: its connection ended");
        }
    }
}

fn json(value: &impl Serialize) -> Result<Answer, No> {
    serde_json::to_vec(value).map(Answer::Body).map_err(|error| No(response::SYSTEM_ERROR, error.to_string()))
}

fn encode(frame: &Frame<'_>, answer: Result<Answer, No>, out: &mut BytesMut) {
    let (codec, opaque) = (frame.header.codec, frame.header.opaque);
    let success = Head::response(response::SUCCESS, opaque, None);
    match answer {
        Ok(Answer::Ok) => FrameWriter::new(out, codec, &success).finish(b""),
        Ok(Answer::Body(body)) => FrameWriter::new(out, codec, &success).finish(&body),
        Ok(Answer::Changed { changed, version }) => {
            let body = version.and_then(|version| serde_json::to_vec(&version).ok()).unwrap_or_default();
            let mut writer = FrameWriter::new(out, codec, &success);
            writer.ext("changed", changed);
            writer.finish(&body);
        }
        Err(No(code, remark)) => FrameWriter::new(out, codec, &Head::response(code, opaque, Some(&remark))).finish(b""),
    }
}
