//! Segment's calls: what people are and do comes in as its clients send it.
//!
//! The key is the write key. 200 comes after the commit. A `messageId` that came before is kept once.

use axum::body::Bytes;
use axum::extract::State;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::auth::MayIngest;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::ingest::segment;
use crate::ingest::segment::Call;
use crate::ingest::segment::Entry;
use crate::ingest::segment::Rejected;
use crate::profile::Consent;
use crate::store::Trust;

pub(super) mod shapes;

/// Bytes of a batch, after decompression (Segment's limit).
const BATCH_BYTES_MAX: usize = 500 * 1024;

/// What was kept. A batch says what of it was not, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kept {
    /// Always true.
    success: bool,
    /// Messages of the batch that cannot be kept; all others were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    rejected: Vec<NotKept>,
}

/// A message that was not kept.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotKept {
    /// Its place in the batch, from 0.
    index: usize,
    /// Its own id, where it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// Names the field.
    reason: String,
}

/// One handler per call; all do the same with another [`Call`].
macro_rules! call {
    ($name:ident, $call:expr, $path:literal, $shape:literal, $doc:literal) => {
        #[doc = $doc]
        #[utoipa::path(
                                    post,
                                    path = $path,
                                    tag = "ingest",
                                    request_body(content = ref($shape), content_type = "application/json"),
                                    security(("basic" = []), ("bearer" = [])),
                                    responses(
                                        (status = 200, body = Kept),
                        Refused,
                                    )
                                )]
        pub(super) async fn $name(
            by: MayIngest,
            State(service): State<Service>,
            body: Result<Bytes, axum::extract::rejection::BytesRejection>,
        ) -> Result<axum::Json<Kept>, Problem> {
            one(&service, by.0, $call, &body?).await
        }
    };
}

call!(
    identify,
    Call::Identify,
    "/v1/identify",
    "#/components/schemas/Identify",
    "Says who somebody is. A key without the scope send may stand in a page, where anybody can read it: it grants no consent, and gives an address only to people who have none and to visitors without a userId; what it says besides is kept."
);
call!(track, Call::Track, "/v1/track", "#/components/schemas/Track", "Says what somebody did.");
call!(page, Call::Page, "/v1/page", "#/components/schemas/Page", "Says which page somebody saw.");
call!(
    screen,
    Call::Screen,
    "/v1/screen",
    "#/components/schemas/Page",
    "Says which screen of an app somebody saw."
);
call!(group, Call::Group, "/v1/group", "#/components/schemas/Group", "Says which group somebody belongs to.");
call!(
    alias,
    Call::Alias,
    "/v1/alias",
    "#/components/schemas/Alias",
    "Says that two ids are one person: their histories become one."
);

async fn one(service: &Service, key: String, call: Call, body: &[u8]) -> Result<axum::Json<Kept>, Problem> {
    let message = object(body)?;
    let entries = segment::message(Some(call), &message, &service.engine().intake, service.now())
        .map_err(Problem::unprocessable)?;
    take_in(service, key, entries).await?;
    Ok(axum::Json(Kept { success: true, rejected: Vec::new() }))
}

/// Takes many messages at once. One that cannot be kept costs only itself: the answer lists those, with the reasons.
#[utoipa::path(
    post,
    path = "/v1/batch",
    tag = "ingest",
    request_body(content = ref("#/components/schemas/Batch"), content_type = "application/json"),
    security(("basic" = []), ("bearer" = [])),
    responses(
        (status = 200, body = Kept),
        Refused,
    )
)]
pub(super) async fn batch(
    by: MayIngest,
    State(service): State<Service>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<axum::Json<Kept>, Problem> {
    let read = segment::batch(object(&body?)?, &service.engine().intake, service.now())
        .map_err(Problem::unprocessable)?;
    if !read.rejected.is_empty() {
        tracing::warn!(
            messages = read.messages,
            rejected = read.rejected.len(),
            "not all of a batch can be kept"
        );
    }
    take_in(&service, by.0, read.entries).await?;
    Ok(axum::Json(Kept { success: true, rejected: read.rejected.into_iter().map(NotKept::from).collect() }))
}

/// A key that anybody may read grants no consent: what it says besides is kept.
async fn take_in(service: &Service, key: String, mut entries: Vec<Entry>) -> Result<(), Problem> {
    let trust = service.trust(&key).await?;
    for entry in &mut entries {
        if let (Entry::Profile(profile), Trust::Public) = (entry, trust)
            && profile.consent == Consent::Granted
        {
            tracing::warn!(
                key,
                "a key without the scope \"send\" grants no consent; ask with POST /v1/consents"
            );
            profile.consent = Consent::Unknown;
        }
    }
    service.intake().take_in(key, trust, entries).await?;
    Ok(())
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.len() > BATCH_BYTES_MAX {
        let detail = format!("{} bytes after decompression; at most {BATCH_BYTES_MAX} are taken", body.len());
        return Err(Problem::too_large(detail));
    }
    match read_json(body)? {
        Value::Object(object) => Ok(object),
        _ => Err(Problem::unprocessable("the body is no JSON object")),
    }
}

impl From<Rejected> for NotKept {
    fn from(rejected: Rejected) -> Self {
        Self { index: rejected.index, message_id: rejected.message_id, reason: rejected.reason }
    }
}
