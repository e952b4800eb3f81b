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
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::watch;
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
    let stopping = watch::Sender::new(());
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
        let (router, limits, stopping) = (router.clone(), limits.clone(), stopping.subscribe());
        tokio::spawn(async move {
            converse(stream, peer, router, &limits, stopping).await;
            drop(slot);
        });
    }
    stopping.send_replace(());
    // Every connection holds a receiver until it ends.
    if tokio::time::timeout(GRACE, stopping.closed()).await.is_err() {
        tracing::warn!("requests were still in work after {GRACE:?} and were cut off");
    }
}

/// Answers the requests of one connection. Once it is old, or the server stops, it takes no further request; the one
/// in work has its own deadline, and some time for its answer to be read.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: &Http,
    mut stopping: watch::Receiver<()>,
) {
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    let seconds = Duration::from_secs;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(seconds(limits.header_timeout_seconds))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Ok(ended),
        () = tokio::time::sleep(seconds(limits.connection_seconds_max)) => {
            connection.as_mut().graceful_shutdown();
            let last = seconds(limits.header_timeout_seconds + limits.request_timeout_seconds) + GRACE;
            tokio::time::timeout(last, connection).await
        }
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            Ok(connection.await)
        }
    };
    // Clients that go away, or are cut off, are no faults of ours.
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection was cut off, because its client did not read its answer"),
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

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::io::DuplexStream;

    use super::*;

    /// A client of a connection that may be ten minutes old, and what tells the server to stop.
    fn connected() -> (DuplexStream, watch::Sender<()>) {
        let (client, server) = tokio::io::duplex(1_024);
        let stopping = watch::Sender::new(());
        let stopped = stopping.subscribe();
        let router = Router::new().route("/", post(|body: String| async move { body }));
        let limits = Http { header_timeout_seconds: 3_600, ..Http::default() };
        tokio::spawn(async move {
            converse(server, SocketAddr::from(([127, 0, 0, 1], 1)), router, &limits, stopped).await;
        });
        (client, stopping)
    }

    const BEGUN: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";

    /// What comes until the connection ends.
    async fn rest(client: &mut DuplexStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_ends_behind_the_request_that_is_in_work() {
        let (mut client, _stopping) = connected();
        client.write_all(BEGUN).await.unwrap();
        tokio::time::advance(Duration::from_secs(601)).await;
        tokio::task::yield_now().await;
        client.write_all(b"cd").await.unwrap();
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("abcd"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_connection_without_a_request_ends_at_once_and_a_stuck_one_soon() {
        let (mut client, _stopping) = connected();
        let (mut stuck, _stopping) = connected();
        stuck.write_all(BEGUN).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!((rest(&mut client).await.as_str(), began.elapsed().as_secs()), ("", 600));
        assert_eq!(rest(&mut stuck).await, "");
        assert!(began.elapsed().as_secs() > 600);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_answers_what_is_in_work() {
        let (mut client, stopping) = connected();
        client.write_all(BEGUN).await.unwrap();
        tokio::task::yield_now().await;
        stopping.send_replace(());
        tokio::task::yield_now().await;
        client.write_all(b"cd").await.unwrap();
        assert!(rest(&mut client).await.ends_with("abcd"));
    }
}
