//! The address endpoint: clients that were told no name server ask `GET /rocketmq/nsaddr` and get `host:port;host:port`.
//!
//! Source: RocketMQ `DefaultTopAddressing`; a unit or subgroup in the path or query is ignored.

use std::net::SocketAddr;

use axum::{Router, routing::get};

/// The route that tells `addresses`, to be served with others of the node.
pub fn routes(addresses: &[SocketAddr]) -> Router {
    let text = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(";");
    let answer = move || {
        let text = text.clone();
        async move { text }
    };
    Router::new().route("/rocketmq/{*subgroup}", get(answer))
}
