//! The address endpoint: clients that were told no name server ask `GET /rocketmq/nsaddr` and get `host:port;host:port`.
//!
//! Source: RocketMQ `DefaultTopAddressing`; a unit or subgroup in the path or query is ignored.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// Requests that are served at once; more of them are told to come back.
const REQUESTS_MAX: usize = 256;
/// Longest that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `addresses` until cancelled.
pub async fn serve(listener: TcpListener, addresses: &[SocketAddr], cancel: CancellationToken) -> io::Result<()> {
    let text = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(";");
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    let answer = move || {
        let text = text.clone();
        async move { text }
    };
    let router = Router::new()
        .route("/rocketmq/nsaddr", get(answer.clone()))
        .route("/rocketmq/{*subgroup}", get(answer))
        .layer(middleware::from_fn(move |request: Request, next: Next| bounded(places.clone(), request, next)));
    axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).await
}

async fn bounded(places: Arc<Semaphore>, request: Request, next: Next) -> Response {
    let Ok(_place) = places.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n").into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    }
}
