//! `GET /v1/sends/{id}` and `POST /v1/sends/{id}/cancel`: what became of a send, and calling it off.

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::decision::Choice;
use crate::decision::Decision;
use crate::http::auth::MaySend;
use crate::http::body::PathText;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::profile::mask;
use crate::send::SendId;
use crate::store::Attempt;
use crate::store::Canceled;
use crate::store::StoredSend;

/// A send with its whole life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Life {
    /// Its id for ever.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Its Message-ID, without angle brackets.
    message_id: String,
    /// Which campaign.
    campaign: String,
    /// `lifecycle` or `transactional`.
    kind: &'static str,
    /// `amo`: never twice. `alo`: never lost.
    guarantee: &'static str,
    /// To whom.
    profile: String,
    /// Where it goes, or went, masked.
    recipient: Option<String>,
    /// Where it stands: `scheduled`, `leased`, `submitting`, `deferred`, or, for good, `sent`, `failed`, `suppressed`,
    /// `skipped`, `unknown`, `expired`, `canceled`.
    state: &'static str,
    /// One word why.
    reason: Option<String>,
    /// The receiving server's reply, or a sentence.
    detail: Option<String>,
    /// Which relay took or refused it.
    relay: Option<String>,
    /// Not before this time.
    #[schema(value_type = String, format = DateTime)]
    due_at: Timestamp,
    /// Not after this time.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was put on the wire.
    #[schema(value_type = Option<String>, format = DateTime)]
    submitted_at: Option<Timestamp>,
    /// When it came to its end.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// When a person first opened it.
    #[schema(value_type = Option<String>, format = DateTime)]
    opened_at: Option<Timestamp>,
    /// When a person first clicked in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    clicked_at: Option<Timestamp>,
    /// Tries so far.
    attempt: u32,
    /// What became of tries other than a success at the first, oldest first.
    attempts: Vec<Try>,
    /// Why this content; none before its first claim.
    decision: Option<Why>,
}

/// One try.
#[derive(Debug, Serialize, ToSchema)]
struct Try {
    /// Which, from 1.
    attempt: u32,
    /// When it last came out so.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// How often it came out so.
    times: u32,
    /// The state that followed.
    state: &'static str,
    /// One word why.
    reason: String,
    /// The receiving server's reply, or a sentence.
    detail: String,
    /// Which relay.
    relay: Option<String>,
}

/// A decision, without the facts that it was made from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Why {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Where the person stood on the journey.
    stage: &'static str,
    /// What was chosen; none where sending nothing was.
    variant: Option<String>,
    /// The exact probability with which it was chosen.
    propensity: f64,
    /// `policy`, `uniform` or `holdout`.
    slice: &'static str,
    /// Which policy chose.
    policy: String,
    /// Which model it had.
    policy_version: String,
    /// Between how many.
    candidates: usize,
    /// Sentences for people.
    reasons: Vec<String>,
}

impl Why {
    pub(super) fn of(decision: &Decision) -> Self {
        let variant = match &decision.choice {
            Choice::Variant { variant, .. } => Some(variant.as_str().to_owned()),
            Choice::NoSend => None,
        };
        Self {
            at: decision.at,
            stage: decision.stage.as_str(),
            variant,
            propensity: decision.propensity,
            slice: decision.slice.as_str(),
            policy: decision.policy.clone(),
            policy_version: decision.policy_version.clone(),
            candidates: decision.candidates.len(),
            reasons: decision.reasons.clone(),
        }
    }
}

impl From<Attempt> for Try {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            at: attempt.at,
            times: attempt.times,
            state: attempt.state.as_str(),
            reason: attempt.reason,
            detail: attempt.detail,
            relay: attempt.relay,
        }
    }
}

/// What became of a send
#[utoipa::path(
    get,
    path = "/v1/sends/{id}",
    tag = "sends",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "As /v1/send answered")),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "Its whole life", body = Life),
        (status = 404, description = "There is no such send", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn life(
    State(service): State<Service>,
    _: MaySend,
    PathText(id): PathText,
) -> Result<axum::Json<Life>, Problem> {
    let id = read_id(&id)?;
    shown(&service, &id).await.map(axum::Json)
}

/// Calls a send off that is not yet on the wire
#[utoipa::path(
    post,
    path = "/v1/sends/{id}/cancel",
    tag = "sends",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$", description = "As /v1/send answered")),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "It will not go out", body = Life),
        (status = 404, description = "There is no such send", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is on the wire, or has come to another end", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn cancel(
    State(service): State<Service>,
    by: MaySend,
    PathText(id): PathText,
) -> Result<axum::Json<Life>, Problem> {
    let id = read_id(&id)?;
    let detail = format!("called off with the key {}", by.0);
    match service.store().cancel_send(&id, &detail, service.now()).await? {
        Canceled::Now | Canceled::TooLate(crate::send::State::Canceled) => {
            shown(&service, &id).await.map(axum::Json)
        }
        Canceled::TooLate(state) => {
            Err(Problem::conflict(format!("send {id} cannot be called off any more: it is {state}")))
        }
        Canceled::Missing => Err(missing(id.as_str())),
    }
}

fn read_id(text: &str) -> Result<SendId, Problem> {
    SendId::parse(text).ok_or_else(|| missing(text))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no send {id}"))
}

async fn shown(service: &Service, id: &SendId) -> Result<Life, Problem> {
    let store = service.store();
    let stored = store.send(id).await?.ok_or_else(|| missing(id.as_str()))?;
    let attempts = store.attempts(id).await?;
    let decision = store.decisions(std::slice::from_ref(id)).await?.remove(id);
    let domain = service.engine().sender.message_id_domain().to_owned();
    let StoredSend { send, reason, detail, relay, recipient, .. } = stored;
    Ok(Life {
        message_id: format!("{id}@{domain}"),
        id: send.id.to_string(),
        campaign: send.campaign.to_string(),
        kind: send.kind.as_str(),
        guarantee: send.guarantee.as_str(),
        profile: send.profile.to_string(),
        recipient: recipient.map(|address| mask(&address)),
        state: send.state.as_str(),
        reason,
        detail,
        relay,
        due_at: send.due_at,
        expires_at: send.expires_at,
        submitted_at: stored.submitted_at,
        finished_at: stored.finished_at,
        opened_at: stored.opened_at,
        clicked_at: stored.clicked_at,
        attempt: send.attempt,
        attempts: attempts.into_iter().map(Try::from).collect(),
        decision: decision.as_ref().map(Why::of),
    })
}
