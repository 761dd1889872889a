//! The HTTP server of a node: metrics, whether it lives and serves, and the name servers' addresses for clients that were told
//! none.
//!
//! Connections are not kept, so a slow peer holds one of [`CONNECTIONS_MAX`] places for at most [`CONNECTION_TIMEOUT`].

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use axum::{Router, http::StatusCode, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::broker::Observed;

/// Connections that are served at once; more of them are closed when they are accepted.
const CONNECTIONS_MAX: usize = 256;
/// Longest that one connection may take, from its first byte to the last of its answer. As long as Prometheus waits.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after an accept failed: the usual reason is that descriptors ran out, and trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a load balancer or an orchestrator may know.
#[derive(Default)]
pub(crate) enum Readiness {
    /// Stores are being opened.
    #[default]
    Starting,
    /// Clients are served, if these brokers are well.
    Serving(Vec<Observed>),
    /// It is about to end.
    Draining,
}

impl Readiness {
    fn problem(&self) -> Option<String> {
        match self {
            Readiness::Starting => Some("starting".to_owned()),
            Readiness::Draining => Some("draining".to_owned()),
            Readiness::Serving(brokers) => brokers.iter().find_map(Observed::problem),
        }
    }
}

/// Listening, not serving yet.
pub(crate) struct Bound(TcpListener);

/// A serving endpoint.
pub(crate) struct RunningHttp {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    readiness: Arc<ArcSwap<Readiness>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Listens.
pub(crate) fn bind(address: SocketAddr) -> Result<Bound> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let advice =
        || format!("the HTTP endpoint cannot listen on {address}; choose another port (http_port or --http-port)");
    Ok(Bound(listen().with_context(advice)?))
}

impl Bound {
    /// Serves `routes` besides its own.
    pub(crate) fn serve(self, routes: Router) -> Result<RunningHttp> {
        let address = self.0.local_addr()?;
        let readiness: Arc<ArcSwap<Readiness>> = Arc::default();
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = routes.merge(own_routes(readiness.clone()));
        let accepting = accept(self.0, router);
        let until = cancel.clone();
        tasks.spawn(async move { until.run_until_cancelled(accepting).await });
        Ok(RunningHttp { address, readiness, cancel, tasks })
    }
}

impl RunningHttp {
    /// What `/readyz` tells from now on.
    pub(crate) fn set_readiness(&self, readiness: Readiness) {
        self.readiness.store(Arc::new(readiness));
    }

    /// Ends.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn own_routes(readiness: Arc<ArcSwap<Readiness>>) -> Router {
    let ready = move || {
        let problem = readiness.load().problem();
        async move {
            match problem {
                None => (StatusCode::OK, "ready\n".to_owned()),
                Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
            }
        }
    };
    Router::new().route("/healthz", get(async || "alive\n")).route("/readyz", get(ready))
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(serve_one(stream, router.clone()));
                }
                Ok((_, peer)) => tracing::debug!(%peer, "closed: {CONNECTIONS_MAX} connections use the HTTP endpoint"),
                Err(error) => {
                    tracing::warn!(%error, "the HTTP endpoint could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router) -> Result<(), Infallible> {
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the HTTP endpoint broke"),
        Err(_) => tracing::debug!("a connection to the HTTP endpoint took too long"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn start() -> RunningHttp {
        let told = ["10.0.0.1:9876".parse().unwrap(), "[2001:db8::1]:9876".parse().unwrap()];
        bind(([127, 0, 0, 1], 0).into()).unwrap().serve(gantry_namesrv::http::routes(&told)).unwrap()
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The endpoint may have refused before it read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        ask(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn clients_learn_the_addresses() {
        let http = start();
        for path in ["/rocketmq/nsaddr", "/rocketmq/nsaddr-unit1?nofix=1", "/rocketmq/subgroup"] {
            let answer = get(http.address, path).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n10.0.0.1:9876;[2001:db8::1]:9876"), "{answer}");
        }
        assert!(get(http.address, "/").await.starts_with("HTTP/1.1 404"));
        let posted = ask(http.address, b"POST /rocketmq/nsaddr HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
        http.stop().await;
    }

    #[tokio::test]
    async fn it_lives_before_it_is_ready() {
        let http = start();
        assert!(get(http.address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let starting = get(http.address, "/readyz").await;
        assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"), "{starting}");
        http.set_readiness(Readiness::Serving(Vec::new()));
        assert!(get(http.address, "/readyz").await.starts_with("HTTP/1.1 200"));
        http.set_readiness(Readiness::Draining);
        assert!(get(http.address, "/readyz").await.ends_with("draining\n"));
        http.stop().await;
    }

    #[tokio::test]
    async fn garbage_and_long_heads_end_their_connection_only() {
        let http = start();
        assert!(ask(http.address, b"\x16\x03\x01garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        let long = format!("GET /rocketmq/nsaddr HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert!(!ask(http.address, long.as_bytes()).await.starts_with("HTTP/1.1 200"));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            held.push(TcpStream::connect(http.address).await.unwrap());
        }
        assert_eq!(get(http.address, "/rocketmq/nsaddr").await, "", "all places are held");
        drop(held);
        while !get(http.address, "/rocketmq/nsaddr").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
        http.stop().await;
    }
}
