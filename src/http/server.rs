//! The listener: a cap on connections, a deadline for headers, for whole requests, and for connections.
//!
//! `axum::serve` has none of these: a client that sends one byte a minute stays for ever. hyper's builder has.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::config::Http;
use crate::http::Service;
use crate::http::problem::Problem;
use crate::http::router;

/// What a connection may buffer of a header, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long requests in work may take once the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// Without free file handles the next connection is tried after this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A server that has its port and does not yet answer.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    service: Service,
}

impl Listening {
    /// Takes the configured address.
    pub async fn new(service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind(&service.engine().config.http.listen).await?;
        Ok(Self { listener, service })
    }

    /// Where it listens; the port that was found when 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is done; requests in work then have ten seconds.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let limits = self.service.engine().config.http.clone();
        serve(self.listener, router(self.service), limits, stop).await;
    }
}

/// Answers until `stop` is done; requests in work then have ten seconds.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Http,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let router = router.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.header_timeout_seconds))
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let connection = graceful.watch(connection);
        let longest = Duration::from_secs(limits.connection_seconds_max);
        tokio::spawn(async move {
            // Clients that go away, or are cut off, are no faults of ours.
            if let Ok(Err(error)) = tokio::time::timeout(longest, connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(slot);
        });
    }
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in work after {GRACE:?} and were cut off");
    }
}

/// The next connection, once there is a slot for it; `None` when the system has no handle for it now.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

/// Gives up on requests that take too long, their bodies included.
pub(super) async fn deadline(State(service): State<Service>, request: Request, next: Next) -> Response {
    let Http { request_timeout_seconds, .. } = service.engine().config.http;
    let deadline = Duration::from_secs(request_timeout_seconds);
    if let Ok(response) = tokio::time::timeout(deadline, next.run(request)).await {
        // The decompression's own answer has no body.
        return match response.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                let detail = "the body is encoded in a way that is not taken; send gzip, or none";
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).into_response()
            }
            _ => response,
        };
    }
    let detail = format!("the request was not complete after {request_timeout_seconds} seconds");
    let mut response = Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
    let close = axum::http::HeaderValue::from_static("close");
    response.headers_mut().insert(axum::http::header::CONNECTION, close);
    response
}
