//! The name server of a node.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use gantry_client::{Client, Options};
use gantry_namesrv::{NameServer, NameServerOptions};
use gantry_remoting::{Limits, Metrics, Server};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::plan::{Plan, reachable};

/// Listening, not serving yet.
pub(crate) struct Bound(Server);

/// A serving name server.
pub(crate) struct RunningNameServer {
    /// Where peers reach it.
    pub(crate) advertised: SocketAddr,
    /// Where this machine reaches it.
    pub(crate) reachable: SocketAddr,
    /// What its listener counts.
    pub(crate) listener: Arc<Metrics>,
    /// What status is told from.
    pub(crate) server: NameServer,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Listens.
pub(crate) fn bind(address: SocketAddr, limits: &Limits) -> Result<Bound> {
    Ok(Bound(Server::bind(address, limits.clone()).context("the name server")?))
}

impl Bound {
    /// The name server's port.
    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().port()
    }

    /// Serves.
    pub(crate) fn serve(self, options: NameServerOptions, plan: &Plan) -> RunningNameServer {
        let (local, listener) = (self.0.local_addr(), self.0.metrics());
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let name_server = NameServer::new(options);
        tasks.spawn(name_server.clone().expire(cancel.clone()));
        tasks.spawn(self.0.serve(Arc::new(name_server.clone()), cancel.clone()));
        let advertised = SocketAddr::new(plan.advertised, local.port());
        RunningNameServer { advertised, reachable: reachable(local), listener, server: name_server, cancel, tasks }
    }
}

impl RunningNameServer {
    /// Answers what is in flight and ends.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Waits until the name server at `address` knows all of `brokers`, at most for `limit`.
pub(crate) async fn wait_registered(address: SocketAddr, brokers: Vec<String>, limit: Duration) {
    let client = Client::new(vec![address.to_string()], Options::default());
    let deadline = Instant::now() + limit;
    loop {
        let known = client.masters(None).await.unwrap_or_default();
        if brokers.iter().all(|broker| known.iter().any(|(name, _)| name == broker)) {
            return;
        }
        if Instant::now() >= deadline {
            tracing::warn!(
                "brokers are not registered with their own name server after {limit:?}; clients may find no route yet"
            );
            return;
        }
        // Registration is a round trip on the loopback; there is nothing to wait on from outside.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
