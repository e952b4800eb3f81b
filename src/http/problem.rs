//! What goes wrong, as RFC 9457 wants it said: `application/problem+json`.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

/// How long a client waits before it asks again, where nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A problem, as the client is told of it. Nothing of our inside is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What kind of problem it is, in a few words that stay the same.
    pub title: String,
    /// What is wrong here, and what to do about it.
    pub detail: String,
    #[serde(skip)]
    retry: Retry,
}

/// What any endpoint with a key and a body may answer instead.
#[derive(Debug, utoipa::IntoResponses)]
#[expect(dead_code, reason = "only described: handlers answer with the problem itself")]
pub(super) enum Refused {
    /// It cannot be read
    #[response(status = 400, content_type = "application/problem+json")]
    Unreadable(Problem),
    /// No key was sent, or an unknown one
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The key lacks the scope
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// It was not complete in time
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// More bytes than this endpoint takes
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// It is encoded in a way that is not taken
    #[response(status = 415, content_type = "application/problem+json")]
    Encoded(Problem),
    /// It can be read, and cannot be done; the detail names the field
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// The key asks too often, or too much waits to be committed; see Retry-After
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// The fault is ours
    #[response(status = 500, content_type = "application/problem+json")]
    Fault(Problem),
    /// The database does not answer; later it may
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// What any page to which a mail leads may answer instead.
#[derive(Debug, utoipa::IntoResponses)]
#[expect(dead_code, reason = "only described: who reads a page is told on a page")]
pub(super) enum NoPage {
    /// It was not complete in time
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// It is encoded in a way that is not taken
    #[response(status = 415, content_type = "application/problem+json")]
    Encoded(Problem),
    /// The fault is ours
    #[response(status = 500, content_type = "text/html")]
    Fault(String),
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Useless,
    /// So many seconds later.
    After(u64),
}

impl Problem {
    /// A problem whose title is the status's usual phrase.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { status: status.as_u16(), title, detail: detail.into(), retry: Retry::Useless }
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: it is not so any more.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: more than we take.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 422: it can be read, and cannot be done.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 429: too much at once; later it may go.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self { retry: Retry::After(RETRY_AFTER_SECONDS), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// Says when it makes sense to ask again.
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry: Retry::After(wait.as_secs() + 1), ..self }
    }

    /// 503: we cannot do our work now; nothing was done.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry: Retry::After(RETRY_AFTER_SECONDS),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Retry::After(seconds) = self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"bespoke\""));
        }
        response
    }
}

/// The database's faults: away is 503 and may be tried again, everything else is ours and is logged.
impl From<crate::store::Error> for Problem {
    fn from(error: crate::store::Error) -> Self {
        if error.is_transient() || error.is_closed() {
            tracing::warn!(%error, "the database does not answer");
            return Self::unavailable("the database does not answer; nothing was done, try again");
        }
        tracing::error!(%error, "a request could not be served");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the fault is ours and has been logged; nothing was done",
        )
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large("the body has more bytes, after decompression, than this endpoint takes");
        }
        Self::bad_request(format!("the body cannot be read: {}", rejection.body_text()))
    }
}

/// For a path that is not there.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}; /openapi.json lists what there is", uri.path()))
}

/// For a path that does not take this method.
pub(super) async fn no_such_method(uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take this method", uri.path()))
}
