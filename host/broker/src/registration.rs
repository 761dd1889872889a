//! Telling every name server which topics this broker serves: at the start, every 30 s, and at once when a topic changes.
//!
//! Each name server has a follower of its own, so that one that is down delays nobody.

use std::{sync::Arc, time::Duration};

use gantry_client::registration::{BrokerIdentity, NameServerLink};
use gantry_protocol::body::register::RegisterBrokerBody;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;

/// How often a broker registers when nothing changes.
const REGISTER_EVERY: Duration = Duration::from_secs(30);
/// Pause after a registration that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Keeps this broker registered with one name server until cancelled, then unregisters.
pub(crate) async fn follow(broker: Arc<Broker>, name_server: String, cancel: CancellationToken) {
    let identity = BrokerIdentity {
        cluster: broker.options.cluster.clone(),
        name: broker.options.name.clone(),
        id: broker.options.id,
        address: broker.options.advertised.to_string(),
    };
    let mut link = NameServerLink::new(name_server.clone(), identity);
    let mut reachable = true;
    loop {
        let seen = broker.topics.changes().get();
        let (data_version, topics) = broker.topics.export();
        let body = RegisterBrokerBody::new(data_version, topics);
        let pause = match link.register(&body).await {
            Ok(()) => {
                if !std::mem::replace(&mut reachable, true) {
                    tracing::info!(%name_server, "registered again");
                }
                REGISTER_EVERY
            }
            Err(error) => {
                if std::mem::replace(&mut reachable, false) {
                    tracing::warn!(%name_server, %error, "not registered: clients that ask this name server do not find the broker; trying again every second");
                }
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = broker.topics.changes().reached(seen + 1), if reachable => {}
            () = link.closed(), if reachable => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Err(error) = link.unregister().await {
        tracing::debug!(%name_server, %error, "not unregistered; the name server drops the broker when the connection closes");
    }
}
