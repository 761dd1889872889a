//! The name server of a node and its HTTP endpoint.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use gantry_client::{Client, Options};
use gantry_namesrv::{NameServer, NameServerOptions, http};
use gantry_remoting::{Limits, Server};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::plan::{Plan, reachable};

/// Listening, not serving yet.
pub(crate) struct Bound {
    server: Server,
    http: TcpListener,
}

/// A serving name server.
pub(crate) struct RunningNameServer {
    /// Where peers reach it.
    pub(crate) advertised: SocketAddr,
    /// Where this machine reaches it.
    pub(crate) reachable: SocketAddr,
    /// Where its HTTP endpoint listens.
    pub(crate) http: SocketAddr,
    /// What status is told from.
    pub(crate) server: NameServer,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Listens on both addresses.
pub(crate) fn bind(address: SocketAddr, http: SocketAddr, limits: &Limits) -> Result<Bound> {
    let server = Server::bind(address, limits.clone()).context("the name server")?;
    let listen = || {
        let listener = std::net::TcpListener::bind(http)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let advice =
        || format!("the HTTP endpoint cannot listen on {http}; choose another port (http_port or --http-port)");
    Ok(Bound { server, http: listen().with_context(advice)? })
}

impl Bound {
    /// The name server's port.
    pub(crate) fn port(&self) -> u16 {
        self.server.local_addr().port()
    }

    /// Serves; `name_servers` is what the HTTP endpoint tells.
    pub(crate) fn serve(
        self,
        options: NameServerOptions,
        plan: &Plan,
        name_servers: &[SocketAddr],
    ) -> RunningNameServer {
        let local = self.server.local_addr();
        // A listener that was bound has an address.
        let http = self.http.local_addr().unwrap_or(plan.http);
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let name_server = NameServer::new(options);
        tasks.spawn(name_server.clone().expire(cancel.clone()));
        tasks.spawn(self.server.serve(Arc::new(name_server.clone()), cancel.clone()));
        let (told, until) = (name_servers.to_vec(), cancel.clone());
        tasks.spawn(async move {
            if let Err(error) = http::serve(self.http, &told, until).await {
                tracing::error!(%error, "the HTTP endpoint ended; clients that ask it for name servers get no answer");
            }
        });
        let advertised = SocketAddr::new(plan.advertised, local.port());
        RunningNameServer { advertised, reachable: reachable(local), http, server: name_server, cancel, tasks }
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
