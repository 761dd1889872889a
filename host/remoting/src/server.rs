//! Accepts connections and stops without losing answers.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Limits, Metrics, Peer, Service,
    driver::{Driver, Shared},
};

/// Connections that the kernel may hold until they are accepted.
const BACKLOG: u32 = 1024;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; another process may use the port, or the address is not this machine's")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// A listening socket, not serving yet.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    shared: Arc<Shared>,
}

/// Connections open now, so that stopping reaches them.
type Peers = Arc<Mutex<HashMap<u64, Peer>>>;

impl Server {
    /// Listens on `address` (port 0 picks a free one). Needs a tokio runtime around it.
    pub fn bind(address: SocketAddr, limits: Limits) -> Result<Server, BindError> {
        let listen = || -> io::Result<(TcpListener, SocketAddr)> {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A restarted server must not wait for connections of its predecessor to time out.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(BACKLOG)?;
            let local_addr = listener.local_addr()?;
            Ok((listener, local_addr))
        };
        let (listener, local_addr) = listen().map_err(|source| BindError { address, source })?;
        Ok(Server { listener, local_addr, shared: Shared::new(limits) })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// Serves until `cancel`, then drains: no new connections, no new requests, answers in flight are finished and sent,
    /// for at most `drain_timeout`. Completes when every session is closed.
    pub async fn serve<S: Service>(self, service: Arc<S>, cancel: CancellationToken) {
        let Server { listener, shared, .. } = self;
        let peers = Peers::default();
        let tasks = TaskTracker::new();
        let accepting = accept_all(listener, &service, &shared, &peers, &tasks);
        cancel.run_until_cancelled(accepting).await;

        tasks.close();
        peers.lock().values().for_each(Peer::drain);
        if tokio::time::timeout(shared.limits.drain_timeout, tasks.wait()).await.is_err() {
            let late = peers.lock().len();
            tracing::warn!("{late} connections had answers in flight after the drain timeout; they are closed now");
            peers.lock().values().for_each(Peer::close);
            tasks.wait().await;
        }
    }
}

async fn accept_all<S: Service>(
    listener: TcpListener,
    service: &Arc<S>,
    shared: &Arc<Shared>,
    peers: &Peers,
    tasks: &TaskTracker,
) {
    let mut said = Seldom::default();
    let mut pause = FIRST_PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                pause = FIRST_PAUSE;
                let limit = shared.limits.connections_max;
                if peers.lock().len() >= limit {
                    shared.metrics.refused.add(1);
                    if said.again() {
                        tracing::warn!(peer = %address, "connection refused: {limit} are open, which is the limit");
                    }
                    continue;
                }
                shared.metrics.accepted.add(1);
                start(stream, address, service.clone(), shared.clone(), peers.clone(), tasks);
            }
            // The peer gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Most often no descriptors are left. Trying again at once would spin; open connections go on meanwhile.
                if said.again() {
                    tracing::error!(
                        "cannot accept connections: {error}; {} are open; raise the limit of open files (ulimit -n) if it says so; trying again",
                        peers.lock().len()
                    );
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

fn start<S: Service>(
    stream: TcpStream,
    address: SocketAddr,
    service: Arc<S>,
    shared: Arc<Shared>,
    peers: Peers,
    tasks: &TaskTracker,
) {
    // Replies are written in batches already; Nagle would only delay the last one.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.local_addr());
    let Ok(local) = prepared else { return };
    // On a socket for both families an IPv4 peer shows as ::ffff:a.b.c.d, which no rule for its address would match.
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let peer = Peer::new(plain(address), plain(local), &shared.limits, shared.metrics.clone());
    shared.metrics.connections.add(1);
    peers.lock().insert(peer.id(), peer.clone());
    let listed = Listed { peer: peer.clone(), peers, shared: shared.clone() };
    tasks.spawn(async move {
        let end = Driver::new(stream, peer.clone(), service, shared.clone()).run().await;
        end.report(&peer, &shared.metrics);
        drop(listed);
    });
}

/// A connection's place in the list; dropped with its task, however that ends.
struct Listed {
    peer: Peer,
    peers: Peers,
    shared: Arc<Shared>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.peers.lock().remove(&self.peer.id());
        self.shared.metrics.connections.add(-1);
    }
}

/// At most one log line a second for what a flood of connections could repeat.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn again(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now - last >= Duration::from_secs(1));
        if due {
            self.0 = Some(now);
        }
        due
    }
}
