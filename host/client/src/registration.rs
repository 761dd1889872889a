//! A broker's side of one name server.

use std::{sync::Arc, time::Duration};

use gantry_model::{labels::Labels, load::BrokerLoad};
use gantry_protocol::{
    body::register::RegisterBrokerBody,
    code::request,
    frame::FrameWriter,
    request::name_server::{BrokerFields, BrokerHeartbeat, ZONE_FIELD},
};
use gantry_remoting::{Connection, Limits, NoRequests};

use crate::{ClientError, client::succeeded};

/// How long a name server may take to answer; RocketMQ's `registerBrokerTimeoutMills`.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(24);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a stopping broker waits to be let go.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);

/// Who a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerIdentity {
    /// Cluster that it belongs to.
    pub cluster: String,
    /// Name of its group.
    pub name: String,
    /// 0 = master.
    pub id: u64,
    /// `host:port` that clients are told.
    pub address: String,
    /// Zone that it stands in.
    pub zone: Option<String>,
    /// What its operator calls it.
    pub labels: Labels,
}

/// A broker's connection to one name server, made when needed.
///
/// It is kept open between registrations: a name server drops a broker as soon as its connection closes.
pub struct NameServerLink {
    name_server: String,
    identity: BrokerIdentity,
    connection: Option<Connection>,
}

impl NameServerLink {
    /// A link to the name server at `host:port`; connects with the first registration.
    pub fn new(name_server: String, identity: BrokerIdentity) -> Self {
        NameServerLink { name_server, identity, connection: None }
    }

    /// Tells the name server what the broker serves.
    pub async fn register(&mut self, body: &RegisterBrokerBody) -> Result<(), ClientError> {
        let body = body
            .to_json()
            .map_err(|error| ClientError::Invalid(format!("the topics cannot be written as JSON: {error}")))?;
        self.ask(request::REGISTER_BROKER, &body, REGISTER_TIMEOUT).await
    }

    /// Says that the broker lives and how busy it is. Nothing answers: RocketMQ's name servers before 5.0 do not know it, and
    /// what counts for a broker's life is that it registers. `false` without a connection or when the name server takes nothing.
    pub fn heartbeat(&self, load: BrokerLoad) -> bool {
        let identity = &self.identity;
        let heartbeat = BrokerHeartbeat {
            broker: BrokerFields {
                cluster: identity.cluster.clone(),
                name: identity.name.clone(),
                address: identity.address.clone(),
                id: identity.id,
            },
            labels: (!identity.labels.is_empty()).then(|| identity.labels.to_string()),
            load: Some(load),
        };
        let open = self.connection.as_ref().filter(|connection| !connection.is_closed());
        open.is_some_and(|open| open.notify(request::BROKER_HEARTBEAT, |ext| heartbeat.write(ext), b""))
    }

    /// Takes the broker out.
    pub async fn unregister(&mut self) -> Result<(), ClientError> {
        self.ask(request::UNREGISTER_BROKER, b"", UNREGISTER_TIMEOUT).await
    }

    /// Completes when the connection ends; at once when there is none.
    pub async fn closed(&self) {
        if let Some(connection) = &self.connection {
            connection.closed().await;
        }
    }

    async fn ask(&mut self, code: i32, body: &[u8], timeout: Duration) -> Result<(), ClientError> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(open) => open,
            None => {
                let made =
                    Connection::connect(&self.name_server, CONNECT_TIMEOUT, Limits::default(), Arc::new(NoRequests));
                made.await?
            }
        };
        let connection = self.connection.insert(connection);
        let identity = &self.identity;
        let write = |ext: &mut FrameWriter<'_, '_>| {
            ext.ext("brokerAddr", &identity.address)
                .ext("brokerId", identity.id)
                .ext("brokerName", &identity.name)
                .ext("clusterName", &identity.cluster);
            if code == request::REGISTER_BROKER {
                ext.ext("bodyCrc32", 0).ext("compressed", false).ext("haServerAddr", "");
                ext.ext_opt(ZONE_FIELD, identity.zone.as_deref());
            }
        };
        let answer = connection.call(code, write, body, timeout).await;
        let answer =
            answer.map_err(|source| ClientError::Call { address: self.name_server.clone(), request: code, source })?;
        succeeded(&self.name_server, code, answer).map(drop)
    }
}
