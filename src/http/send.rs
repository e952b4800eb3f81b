//! `POST /v1/send`: one mail, asked for by a program. 202 says that it is committed.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;
use utoipa::ToSchema;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::campaign::Trigger;
use crate::catalog::variant::CampaignEntry;
use crate::catalog::variant::Variant;
use crate::catalog::variant::is_present;
use crate::clock::later_by;
use crate::http::auth::MaySend;
use crate::http::body::RawBody;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::http::whom::Known;
use crate::http::whom::Person;
use crate::http::whom::person;
use crate::send::REQUESTED;
use crate::send::REQUESTED_WITH_FILES;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State as SendState;
use crate::store::Accepted;
use crate::store::IdempotencyKey;
use crate::store::SendRequest;
use request::Ask;
use request::files;
pub(super) use request::read_data;

mod request;

/// Bytes of a request, after decompression: ten megabytes of files in base64, and the rest.
pub(super) const SEND_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest `Idempotency-Key`, in characters.
const KEY_CHARS_MAX: usize = 255;
/// How far ahead a send may be scheduled.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// The send of a request. The same request gets the same answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scheduled {
    /// Its id for ever: `GET /v1/sends/{id}` shows what became of it.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
}

/// Schedules one mail of a campaign that is transactional or has the trigger `api`
///
/// A request that is repeated with the same `Idempotency-Key` and the same body sends nothing twice and gets the same
/// answer; keys are kept for at least 24 hours.
#[utoipa::path(
    post,
    path = "/v1/send",
    tag = "sends",
    request_body = Ask,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$",
            description = "Chosen by the caller: a request that is repeated under it is the same request")),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 202, description = "It is scheduled, and will survive a crash", body = Scheduled),
        (status = 404, description = "There is no such campaign or profile", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key was used with another body, or the profile has no address, or was erased", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn send(
    State(service): State<Service>,
    by: MaySend,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<(StatusCode, axum::Json<Scheduled>), Problem> {
    let key = idempotency_key(&headers)?.map(|key| IdempotencyKey {
        api_key: by.0,
        key,
        body_hash: STANDARD.encode(Sha256::digest(&body)),
    });
    // Whatever has changed since: a repeated request gets the answer that it got before.
    if let Some(key) = &key
        && let Some(before) = service.store().request_before(key).await?
    {
        return answer(before);
    }
    let mut ask: Ask = read_json(&body)?;
    drop(body);
    let attachments = files(&ask.attachments)?;
    let engine = service.engine();
    let entry = engine
        .catalog
        .known_campaign(&ask.campaign)
        .map_err(|unknown| Problem::not_found(format!("campaign: {unknown}")))?;
    let campaign = &entry.campaign;
    may_be_asked_for(campaign)?;
    ask.data = read_data(ask.data, engine.minor_digits())?;
    says_enough(entry, &ask.data)?;
    let person = person(&service, ask.profile.as_deref(), ask.address.as_deref()).await?;
    let now = service.now();
    let send = scheduled(
        &ask,
        campaign,
        &person,
        if attachments.is_empty() { REQUESTED } else { REQUESTED_WITH_FILES },
        now,
    )?;
    let profile = (person.known == Known::Not).then_some(person.profile);
    let request = SendRequest { key, send, profile, attachments };
    answer(service.store().request_send(&request, now).await?)
}

fn answer(accepted: Accepted) -> Result<(StatusCode, axum::Json<Scheduled>), Problem> {
    match accepted {
        Accepted::New(id) | Accepted::Before(id) => {
            Ok((StatusCode::ACCEPTED, axum::Json(Scheduled { id: id.to_string() })))
        }
        Accepted::Erased => Err(Problem::conflict(
            "profile: this person was erased at their own request, and is not taken in again",
        )),
        Accepted::OtherBody => Err(Problem::conflict(
            "this Idempotency-Key was used with another body; choose a new key for a new request",
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || text.len() > KEY_CHARS_MAX {
        return Err(Problem::unprocessable(format!(
            "Idempotency-Key: write 1 to {KEY_CHARS_MAX} visible ASCII characters, such as a UUID"
        )));
    }
    Ok(Some(text.to_owned()))
}

/// Mail that nobody expects goes by its campaign's own trigger only.
pub(super) fn may_be_asked_for(campaign: &Campaign) -> Result<(), Problem> {
    if campaign.kind == Kind::Transactional || matches!(campaign.trigger, Trigger::Api {}) {
        return Ok(());
    }
    Err(Problem::unprocessable(format!(
        "campaign: {} starts by its own trigger; only transactional campaigns and those with the trigger `api` can be \
         asked for",
        campaign.id
    )))
}

/// A request that no variant can be made of is told so now, not by a send that is skipped.
fn says_enough(entry: &CampaignEntry, data: &Map<String, Value>) -> Result<(), Problem> {
    let facts = json!({ "data": data });
    let missing = |variant: &Variant| -> Vec<String> {
        let of_request = variant.inputs.iter().filter(|path| path.starts_with("data."));
        of_request.filter(|path| !is_present(&facts, path)).cloned().collect()
    };
    let least = entry.variants().map(missing).min_by_key(Vec::len).unwrap_or_default();
    if least.is_empty() {
        return Ok(());
    }
    Err(Problem::unprocessable(format!(
        "data: {} {} not there, and no mail of {} can be made without; add {}",
        least.join(", "),
        if least.len() == 1 { "is" } else { "are" },
        entry.campaign.id,
        if least.len() == 1 { "it" } else { "them" },
    )))
}

fn scheduled(
    ask: &Ask,
    campaign: &Campaign,
    person: &Person,
    prefix: &str,
    now: Timestamp,
) -> Result<ScheduledSend, Problem> {
    let due_at = match ask.due_at()? {
        Some(at) if at.duration_since(now) > AHEAD_MAX => {
            return Err(Problem::unprocessable("send_at: at most 366 days ahead"));
        }
        Some(at) => at.max(now),
        None => now,
    };
    let ttl = ask.ttl()?.unwrap_or(SignedDuration::from_hours(i64::from(campaign.deadline_hours)));
    let occurrence = format!("{prefix}{}", uuid::Uuid::new_v4().simple());
    Ok(ScheduledSend {
        id: SendId::derive(now, &campaign.id, &person.profile.id, &occurrence),
        campaign: campaign.id.clone(),
        kind: campaign.kind,
        guarantee: campaign.guarantee(),
        profile: person.profile.id.clone(),
        occurrence,
        due_at,
        expires_at: later_by(due_at, ttl),
        state: SendState::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: ask.data.clone(),
        to: person.to.clone(),
    })
}
