//! Requests to a name server. Questions are answered under a shared lock, which only a change of the table excludes; a
//! registration is checked while questions go on.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_model::{labels::Labels, name, route::TopicRoute, version::DataVersion};
use gantry_protocol::{
    body::{self, register::RegisterBrokerBody},
    code::{request::*, response},
    frame::{FRAME_BYTES_MAX, Frame, FrameWriter},
    header::{Head, Header},
    request::{
        RequestError,
        name_server::{
            BrokerFields, BrokerHeartbeat, BrokerNameField, ClusterField, DeleteTopic, RegisterBroker, TopicField,
        },
    },
};
use gantry_remoting::{Peer, Replies, Service};
use parking_lot::{RwLock, RwLockUpgradableReadGuard};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    NameServerOptions,
    decisions::{RouteDecisions, RouteMetrics},
    table::{Refused, Registration, Table},
};

/// Longest body of an answer: clients take frames of 16 MiB with their head.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;
/// Longest piece of a topic's name that a refusal repeats, in bytes of ASCII.
const SHOWN_MAX: usize = 255;

/// One name server; clones share the table.
#[derive(Clone)]
pub struct NameServer {
    options: Arc<NameServerOptions>,
    table: Arc<RwLock<Table>>,
    decisions: Arc<RouteDecisions>,
}

/// One connection's state.
pub struct Session {
    peer: Peer,
    /// Whether a broker registered over it, which then ends with it.
    registered: bool,
}

/// What a request is answered with.
#[derive(Debug)]
enum Answer {
    Ok,
    Body(Vec<u8>),
    /// To a registration: where a replica finds its master.
    Registered {
        master: Option<(String, String)>,
    },
    /// To QUERY_DATA_VERSION.
    Version {
        changed: bool,
        known: Option<DataVersion>,
    },
    /// To a change of all of a broker's topics: how many these are, and the field that says it.
    Topics(&'static str, usize),
}

/// A refusal: code and sentence.
#[derive(Debug)]
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
        let decisions = Arc::new(RouteDecisions::new(options.deciders.clone()));
        NameServer { options: Arc::new(options), table: Arc::default(), decisions }
    }

    /// What it counts of decisions about routes.
    pub fn metrics(&self) -> &RouteMetrics {
        &self.decisions.metrics
    }

    /// Drops silent brokers until cancelled.
    pub async fn expire(self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(self.options.scan_every);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            for address in self.table.write().expire(self.options.clock.now_ms()) {
                tracing::warn!(broker = %address, "dropped: no word from it in its time");
            }
        }
    }

    fn answer(&self, session: &mut Session, frame: &Frame<'_>) -> Result<Answer, No> {
        let header = &frame.header;
        match header.code {
            GET_ROUTEINFO_BY_TOPIC => self.route(&TopicField::parse(header)?.topic),
            GET_BROKER_CLUSTER_INFO => json(&self.table.read().cluster_info()),
            GET_ALL_TOPIC_LIST_FROM_NAMESERVER => json(&self.table.read().topics()),
            GET_SYSTEM_TOPIC_LIST_FROM_NS => json(&self.table.read().system_topics()),
            GET_TOPICS_BY_CLUSTER => json(&self.table.read().topics_of_cluster(&ClusterField::parse(header)?.cluster)),
            REGISTER_BROKER => self.register(session, &RegisterBroker::parse(header)?, frame.body),
            UNREGISTER_BROKER => {
                let broker = BrokerFields::parse(header)?;
                self.table.write().unregister(&broker.name, &broker.address);
                tracing::info!(broker = %broker.address, group = %broker.name, "unregistered");
                Ok(Answer::Ok)
            }
            QUERY_DATA_VERSION => {
                // Without a readable version the broker is asked to register, which tells everything anew.
                let told: Option<DataVersion> = body::parse(frame.body).ok();
                let known = self.lives(&BrokerFields::parse(header)?);
                Ok(Answer::Version { changed: known.is_none() || known != told, known })
            }
            BROKER_HEARTBEAT => {
                self.heartbeat(session, BrokerHeartbeat::parse(header)?);
                Ok(Answer::Ok)
            }
            WIPE_WRITE_PERM_OF_BROKER => {
                self.check_admin(&session.peer)?;
                let topics = self.table.write().wipe(&BrokerNameField::parse(header)?.broker, true);
                Ok(Answer::Topics("wipeTopicCount", topics))
            }
            ADD_WRITE_PERM_OF_BROKER => {
                self.check_admin(&session.peer)?;
                let topics = self.table.write().wipe(&BrokerNameField::parse(header)?.broker, false);
                Ok(Answer::Topics("addTopicCount", topics))
            }
            DELETE_TOPIC_IN_NAMESRV => {
                self.check_admin(&session.peer)?;
                let request = DeleteTopic::parse(header)?;
                self.table.write().delete_topic(&request.topic, request.cluster.as_deref());
                Ok(Answer::Ok)
            }
            REGISTER_TOPIC_IN_NAMESRV => {
                self.check_admin(&session.peer)?;
                self.register_topic(&TopicField::parse(header)?.topic, frame.body)
            }
            unknown => Err(No(response::REQUEST_CODE_NOT_SUPPORTED, format!(" request type {unknown} not supported"))),
        }
    }

    fn route(&self, topic: &str) -> Result<Answer, No> {
        match self.decisions.route(&self.table, topic, self.options.clock.now_ms()) {
            Some(route) => json(&route),
            None => {
                let topic: String = topic.chars().take(SHOWN_MAX).collect();
                let remark = format!("No topic route info in name server for the topic: {topic}");
                Err(No(response::TOPIC_NOT_EXIST, remark))
            }
        }
    }

    fn lives(&self, broker: &BrokerFields) -> Option<DataVersion> {
        self.table.write().heartbeat(&broker.name, &broker.address, self.options.clock.now_ms())
    }

    /// Labels that are none are as good as none: the broker lives whatever it says of itself.
    fn heartbeat(&self, session: &Session, heartbeat: BrokerHeartbeat) {
        let BrokerHeartbeat { broker, labels, load } = heartbeat;
        let labels = Labels::parse(&labels.unwrap_or_default()).unwrap_or_default();
        let now_ms = self.options.clock.now_ms();
        let mut table = self.table.write();
        table.heartbeat(&broker.name, &broker.address, now_ms);
        table.note((&broker.name, &broker.address, session.peer.id()), labels, load, now_ms);
    }

    fn register(&self, session: &mut Session, request: &RegisterBroker, bytes: &[u8]) -> Result<Answer, No> {
        let no = |sentence: String| No(response::SYSTEM_ERROR, sentence);
        if request.compressed {
            let advice = "compressed registrations are not taken; set compressedRegister=false on the broker";
            return Err(no(advice.to_owned()));
        }
        let found = crc32fast::hash(bytes) & 0x7FFF_FFFF;
        if request.body_crc != 0 && request.body_crc != found {
            return Err(no(format!("the body's CRC is {found}, the header says {}", request.body_crc)));
        }
        let malformed = |error| no(format!("the registration is malformed: {error}"));
        let told = RegisterBrokerBody::parse(bytes).map_err(malformed)?.topic_config_serialize_wrapper;
        let broker = &request.broker;
        let registration = Registration {
            cluster: &broker.cluster,
            group: &broker.name,
            id: broker.id,
            address: &broker.address,
            ha_address: &request.ha_address,
            zone: request.zone.as_deref(),
            expiry_ms: request.heartbeat_timeout_ms,
            connection: session.peer.id(),
            version: &told.data_version,
            topics: &told.topic_config_table,
        };
        let table = self.table.upgradable_read();
        let changes = table.check(&self.options, &registration)?;
        let mut table = RwLockUpgradableReadGuard::upgrade(table);
        let outcome = table.register(&self.options, &registration, changes);
        drop(table);

        session.registered = true;
        let (group, address, id) = (&broker.name, &broker.address, broker.id);
        if let Some(replaced) = outcome.replaced {
            tracing::warn!(%group, id, %address, %replaced, "a broker took another one's place; two with one name and id take turns");
        } else if outcome.new {
            tracing::info!(%group, id, %address, cluster = %broker.cluster, "a broker registered");
        }
        Ok(Answer::Registered { master: outcome.master })
    }

    fn register_topic(&self, topic: &str, bytes: &[u8]) -> Result<Answer, No> {
        let illegal = |error: &dyn std::fmt::Display| No(response::SYSTEM_ERROR, error.to_string());
        name::check_topic(topic).map_err(|error| illegal(&error))?;
        let route: TopicRoute = body::parse(bytes).map_err(|error| illegal(&error))?;
        let mut table = self.table.write();
        for queues in &route.queue_datas {
            // One by one, so that each is checked against the limits with what the former added.
            let changes = table.check_topic(&self.options, topic, queues)?;
            table.put(&queues.broker_name, changes);
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
    type Session = Session;

    fn open(&self, peer: &Peer) -> Session {
        Session { peer: peer.clone(), registered: false }
    }

    fn serve(&self, session: &mut Session, requests: &[Frame<'_>], replies: &mut Replies) {
        for frame in requests {
            let answer = self.answer(session, frame);
            if !frame.header.is_oneway() {
                encode(&frame.header, answer, replies.now());
            }
        }
    }

    fn close(&self, session: Session) {
        if session.registered {
            for address in self.table.write().disconnected(session.peer.id()) {
                tracing::warn!(broker = %address, "dropped: its connection ended");
            }
        }
    }
}

fn json(value: &impl Serialize) -> Result<Answer, No> {
    match serde_json::to_vec(value) {
        Ok(body) if body.len() <= BODY_BYTES_MAX => Ok(Answer::Body(body)),
        Ok(body) => {
            let advice = "ask for one cluster or one topic";
            Err(No(
                response::SYSTEM_ERROR,
                format!("the answer has {} bytes, a frame takes {BODY_BYTES_MAX}; {advice}", body.len()),
            ))
        }
        Err(error) => Err(No(response::SYSTEM_ERROR, error.to_string())),
    }
}

fn encode(request: &Header<'_>, answer: Result<Answer, No>, out: &mut BytesMut) {
    let (code, remark) = match &answer {
        Ok(_) => (response::SUCCESS, None),
        Err(No(code, remark)) => (*code, Some(remark.as_str())),
    };
    let head = Head::response(code, request.opaque, remark);
    let mut writer = FrameWriter::new(out, request.codec, &head);
    let mut body = Vec::new();
    match &answer {
        Ok(Answer::Registered { master: Some((address, ha_address)) }) => {
            writer.ext("haServerAddr", ha_address).ext("masterAddr", address);
        }
        Ok(Answer::Version { changed, known }) => {
            writer.ext("changed", *changed);
            body = known.as_ref().and_then(|version| serde_json::to_vec(version).ok()).unwrap_or_default();
        }
        Ok(Answer::Topics(field, topics)) => _ = writer.ext(field, *topics),
        Ok(Answer::Ok | Answer::Body(_) | Answer::Registered { master: None }) | Err(_) => {}
    }
    match &answer {
        Ok(Answer::Body(body)) => writer.finish(body),
        _ => writer.finish(&body),
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
pub(crate) mod tests;
