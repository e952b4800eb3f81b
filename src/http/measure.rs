//! `/metrics`, and counting every answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::Router;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::clock::Clock;
use crate::config::Http;
use crate::http::auth::MayReadMetrics;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::server;
use crate::http::service::Service;
use crate::metrics::Metrics;
use crate::store::Store;

/// How `OpenMetrics` wants to be called.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted and measured in this process, in the text form of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "The text form of OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        Refused,
    )
)]
pub(super) async fn metrics(State(service): State<Service>, _: MayReadMetrics) -> Result<Response, Problem> {
    Ok(page(&service.metrics(), service.store(), service.now()).await)
}

/// `/metrics` of a worker that serves nothing else. Nobody is asked for a key: who can reach it may read it.
#[derive(Debug, Clone)]
pub struct MetricsPage {
    metrics: Arc<Metrics>,
    store: Store,
    clock: Clock,
}

impl MetricsPage {
    /// A page that is not yet listening.
    pub fn new(metrics: Arc<Metrics>, store: Store, clock: Clock) -> Self {
        Self { metrics, store, clock }
    }

    /// Answers on this address until the process ends; where that is comes back.
    pub async fn listen(self, address: &str) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        let answer = async |State(own): State<Self>| page(&own.metrics, &own.store, own.clock.now()).await;
        let router = Router::new().route("/metrics", get(answer)).with_state(self);
        tokio::spawn(server::serve(listener, router, Http::default(), std::future::pending()));
        Ok(bound)
    }
}

/// Asks the database for the queue, and writes everything down. Without the database the rest is still of use.
async fn page(metrics: &Metrics, store: &Store, now: jiff::Timestamp) -> Response {
    match store.due(now).await {
        Ok(due) => {
            for queue in due {
                let oldest = queue.oldest.map_or(Duration::ZERO, |at| now.duration_since(at).unsigned_abs());
                metrics.queue(queue.kind.as_str(), queue.count, oldest);
            }
        }
        Err(error) => tracing::warn!(%error, "the database does not say what is due"),
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text()).into_response()
}

/// Counts an answer by its endpoint, as the description names it.
pub(super) async fn count(State(service): State<Service>, request: Request, next: Next) -> Response {
    let endpoint = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];
    let method =
        if known.contains(request.method()) { request.method().to_string() } else { "other".to_owned() };
    let begun = Instant::now();
    let response = next.run(request).await;
    service.metrics().answered(&endpoint, &method, response.status().as_u16(), begun.elapsed());
    response
}
