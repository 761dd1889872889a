//! Where a node is reached, as its ready line tells.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::Serialize;

use super::{broker::RunningBroker, http::RunningHttp, name_server::RunningNameServer, plan::Plan};

/// Addresses of a serving node. Printed as one line on stdout once it serves, as text or as JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ready {
    /// Name of the node.
    pub(crate) node: String,
    /// Its name server, if it runs one.
    pub(crate) name_server: Option<SocketAddr>,
    /// Its first broker, if it runs one.
    pub(crate) broker: Option<SocketAddr>,
    /// All its brokers.
    pub(crate) brokers: Vec<ReadyBroker>,
    /// Its HTTP endpoint.
    pub(crate) http: SocketAddr,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// Its process.
    pub(crate) pid: u32,
}

/// A serving broker.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReadyBroker {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

impl Ready {
    pub(crate) fn new(
        plan: &Plan,
        name_server: Option<&RunningNameServer>,
        http: &RunningHttp,
        brokers: &[RunningBroker],
    ) -> Ready {
        let brokers: Vec<ReadyBroker> = brokers
            .iter()
            .map(|broker| ReadyBroker { name: broker.name().to_owned(), address: broker.observed().advertised })
            .collect();
        Ready {
            node: plan.node.clone(),
            name_server: name_server.map(|server| server.advertised),
            broker: brokers.first().map(|broker| broker.address),
            brokers,
            http: http.address,
            data: plan.data.clone(),
            pid: std::process::id(),
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gantry ready:")?;
        if let Some(address) = self.name_server {
            write!(f, " name server {address},")?;
        }
        for broker in &self.brokers {
            write!(f, " broker {} {},", broker.name, broker.address)?;
        }
        write!(f, " http {}, data {}", self.http, self.data.display())
    }
}
