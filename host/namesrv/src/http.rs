//! The address endpoint: clients that were told no name server ask `GET /rocketmq/nsaddr` and get `host:port;host:port`.
//!
//! Source: RocketMQ `DefaultTopAddressing`; a unit or subgroup in the path or query is ignored. Answers are short and
//! connections are not kept, so a slow peer holds one of [`CONNECTIONS_MAX`] places for at most [`CONNECTION_TIMEOUT`].

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Connections that are served at once; more of them are closed when they are accepted. Clients ask again two minutes later.
const CONNECTIONS_MAX: usize = 256;
/// Longest that one connection may take, from its first byte to the last of its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after an accept failed: the usual reason is that descriptors ran out, and trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `addresses` until cancelled.
pub async fn serve(listener: TcpListener, addresses: &[SocketAddr], cancel: CancellationToken) -> io::Result<()> {
    let text = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(";");
    let answer = move || {
        let text = text.clone();
        async move { text }
    };
    let router = Router::new().route("/rocketmq/{*subgroup}", get(answer));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(serve_one(stream, router.clone()));
                }
                Ok((_, peer)) => tracing::debug!(%peer, "closed: {CONNECTIONS_MAX} connections ask for addresses"),
                Err(error) => {
                    tracing::warn!(%error, "the address endpoint could not accept a connection");
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
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the address endpoint broke"),
        Err(_) => tracing::debug!("a connection to the address endpoint took too long"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A served endpoint, and what it answers to raw bytes.
    async fn start() -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cancel) = (listener.local_addr().unwrap(), CancellationToken::new());
        let told = ["10.0.0.1:9876".parse().unwrap(), "[2001:db8::1]:9876".parse().unwrap()];
        let until = cancel.clone();
        let task = tokio::spawn(async move { serve(listener, &told, until).await });
        (address, cancel, task)
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The endpoint may have refused before it read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn clients_learn_the_addresses() {
        let (address, cancel, task) = start().await;
        for path in ["/rocketmq/nsaddr", "/rocketmq/nsaddr-unit1?nofix=1", "/rocketmq/subgroup"] {
            let answer = ask(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n10.0.0.1:9876;[2001:db8::1]:9876"), "{answer}");
        }
        assert!(ask(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, b"POST /rocketmq/nsaddr HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        cancel.cancel();
        task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn garbage_and_long_heads_end_their_connection_only() {
        let (address, cancel, task) = start().await;
        assert!(ask(address, b"\x16\x03\x01garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
        let long = format!("GET /rocketmq/nsaddr HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert!(!ask(address, long.as_bytes()).await.starts_with("HTTP/1.1 200"));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(ask(address, b"GET /rocketmq/nsaddr HTTP/1.1\r\nHost: x\r\n\r\n").await, "", "all places are held");
        drop(held);
        while !ask(address, b"GET /rocketmq/nsaddr HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
        task.await.unwrap().unwrap();
    }
}
