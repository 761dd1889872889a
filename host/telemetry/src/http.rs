//! `GET /metrics`.

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;

use crate::{registry::Registry, text};

/// The route, to be served with others of the node.
pub fn routes(registry: Registry) -> Router {
    Router::new().route("/metrics", get(move || metrics(registry.clone())))
}

async fn metrics(registry: Registry) -> Response {
    match registry.gather().await {
        Ok(snapshot) => {
            // Each piece is written when the peer took the one before.
            let pieces = text::Pieces::new(snapshot).map(Ok::<_, std::convert::Infallible>);
            ([(CONTENT_TYPE, text::CONTENT_TYPE)], Body::from_stream(stream::iter(pieces))).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
