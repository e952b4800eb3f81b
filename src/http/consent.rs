//! `POST /v1/consents` and `/k/…`: consent with its proof; by double opt-in, only whoever reads the address can grant it.

use axum::extract::FromRequestParts;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::json;
use utoipa::ToSchema;

use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Kind;
use crate::http::Service;
use crate::http::auth::MayIngest;
use crate::http::auth::MaySend;
use crate::http::body::Json;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::whom::Known;
use crate::http::whom::Person;
use crate::http::whom::person;
use crate::ingest::segment::Entry;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::PAUSE_TOPIC;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State as SendState;
use crate::store;
use crate::store::Asked;
use crate::store::ConsentProof;
use crate::store::ConsentRequest;
use crate::store::LINK_SOURCES;
use crate::store::Lift;
use crate::store::QUESTION_WINDOW;
use crate::store::Trust;
use crate::store::Wish;

mod confirm;

pub(super) use confirm::__path_ask;
pub(super) use confirm::__path_confirm;
pub(super) use confirm::ask;
pub(super) use confirm::confirm;

/// The campaign that asks, where the request names none.
const CONFIRMATION_CAMPAIGN: &str = "confirm-subscription";
/// How long a question can be answered.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Longest source, in characters.
const SOURCE_CHARS_MAX: usize = 100;
/// Longest wording, in characters.
const WORDING_CHARS_MAX: usize = 4_000;

/// Somebody said yes, or no.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Who, by your own id of them. Where it is left out, whoever reads mail at `address`.
    #[schema(min_length = 1, max_length = 255)]
    profile: Option<String>,
    /// Their address; needed where the profile has none yet.
    #[schema(format = "email", max_length = 254)]
    address: Option<String>,
    /// What was said.
    #[serde(default)]
    status: Word,
    /// Where: `newsletter form`, `checkout` …
    #[schema(min_length = 1, max_length = 100)]
    source: String,
    /// The words that were agreed to, as they stood there.
    #[schema(min_length = 1, max_length = 4000)]
    wording: String,
    /// Ask by mail first; consent is granted only by whoever confirms there.
    #[serde(default)]
    double_opt_in: DoubleOptIn,
}

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// Yes.
    #[default]
    Granted,
    /// Not any more.
    Withdrawn,
}

/// Whether to ask by mail first, and with which campaign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum DoubleOptIn {
    /// `true`: with the campaign `confirm-subscription`.
    Wanted(bool),
    /// With this transactional campaign; its templates get `data.confirm_url`.
    By(String),
}

impl Default for DoubleOptIn {
    fn default() -> Self {
        Self::Wanted(false)
    }
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Heard {
    /// Whose consent.
    profile: String,
    /// `granted` or `withdrawn`: committed, with its proof; `asked`: a mail asks for it.
    consent: Standing,
    /// The send that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-f]{32}$", required = false)]
    send: Option<String>,
    /// Until when it can be confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, format = "date-time")]
    expires_at: Option<String>,
}

/// How consent stands.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Granted.
    Granted,
    /// Withdrawn.
    Withdrawn,
    /// A mail asks for it.
    Asked,
}

/// A key that may either ask for sends or say what people do.
#[derive(Debug)]
pub(super) struct MayTakeConsent {
    key: String,
    trust: Trust,
}

impl FromRequestParts<Service> for MayTakeConsent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        match MaySend::from_request_parts(parts, service).await {
            Ok(by) => Ok(Self { key: by.0, trust: Trust::Full }),
            Err(problem) if problem.status == StatusCode::FORBIDDEN.as_u16() => {
                let by = MayIngest::from_request_parts(parts, service).await?;
                Ok(Self { key: by.0, trust: Trust::Public })
            }
            Err(problem) => Err(problem),
        }
    }
}

/// Records consent, with its proof: who, when, where, and to which words
///
/// With `double_opt_in` a mail asks first; consent is granted when its reader presses the button behind its link. What
/// is asked again within ten minutes sends no second mail, whether the first is still open (202) or was confirmed (200;
/// a key of scope ingest hears 202 here too, since anybody may read it, and is not told who has consented). One address
/// is asked once in ten minutes and five times a day, one profile has three addresses asked in ten minutes, and a key of
/// scope ingest asks 600 times in ten minutes; questions that were confirmed do not count. What keys of scope ingest ask
/// does not count for keys of scope send: a key that stands in a page cannot keep your own programs from asking.
#[utoipa::path(
    post,
    path = "/v1/consents",
    tag = "people",
    request_body = Said,
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "It is recorded", body = Heard),
        (status = 202, description = "A mail that asks is scheduled", body = Heard),
        (status = 404, description = "There is no such profile or campaign", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The profile has another address or none, or was erased", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn consents(
    State(service): State<Service>,
    by: MayTakeConsent,
    Json(said): Json<Said>,
) -> Result<Response, Problem> {
    check("source", &said.source, SOURCE_CHARS_MAX)?;
    check("wording", &said.wording, WORDING_CHARS_MAX)?;
    if LINK_SOURCES.contains(&said.source.as_str()) {
        return Err(Problem::unprocessable("source: this one is ours; say where the words stood"));
    }
    let campaign = match (&said.double_opt_in, said.status) {
        (DoubleOptIn::Wanted(false), _) | (_, Word::Withdrawn) => None,
        (DoubleOptIn::Wanted(true), _) => Some(campaign(&service, CONFIRMATION_CAMPAIGN)?),
        (DoubleOptIn::By(name), _) => Some(campaign(&service, name)?),
    };
    if by.trust == Trust::Public && campaign.is_none() && said.status == Word::Granted {
        let detail = "a key of scope ingest may only ask, with double_opt_in, or withdraw; grant with one of scope send";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let mut person = person(&service, said.profile.as_deref(), said.address.as_deref()).await?;
    person.has_one_address()?;
    let now = service.now();
    // Someone who is new is added, and someone known gets the address that they had not.
    // Nothing else of what was read is written back: it may have changed meanwhile.
    let profile = match person.known {
        Known::Not => person.profile.clone(),
        Known::Before => Profile {
            address: if person.profile.address.is_none() { person.to.clone() } else { None },
            ..Profile::nameless(person.profile.id.clone(), person.profile.created_at)
        },
    };
    let told = store::Heard { entry: &Entry::Profile(profile), key: &by.key, trust: by.trust };
    service.store().take_in(&[told], now).await?;
    let kept = service.store().profile(&person.profile.id).await?.ok_or_else(erased)?;
    if kept.id != person.profile.id {
        // A visitor who was joined to somebody meanwhile.
        person.profile = kept;
        person.has_one_address()?;
    }
    match campaign {
        Some(campaign) => asked(&service, &said, &person, &campaign, &by, now).await,
        None => recorded(&service, &said, &person, &by, now).await,
    }
}

fn check(field: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    let count = text.chars().count();
    if text.trim().is_empty() || count > chars_max {
        return Err(Problem::unprocessable(format!("{field}: write 1 to {chars_max} characters")));
    }
    Ok(())
}

/// The campaign that asks.
fn campaign(service: &Service, name: &str) -> Result<Campaign, Problem> {
    let engine = service.engine();
    let entry = engine.catalog.campaign(&CampaignId(name.to_owned()));
    let campaign = entry.map(|entry| Campaign::clone(&entry.campaign));
    let campaign = campaign
        .ok_or_else(|| Problem::not_found(format!("double_opt_in: there is no campaign {name:?}")))?;
    if campaign.kind != Kind::Transactional {
        return Err(Problem::unprocessable(format!(
            "double_opt_in: {name} is lifecycle mail, which nobody may get before they confirm; name a transactional one"
        )));
    }
    if engine.sender.links.confirm("").is_none() {
        return Err(Problem::unprocessable(
            "double_opt_in: links lead nowhere before [public] url is configured",
        ));
    }
    Ok(campaign)
}

async fn recorded(
    service: &Service,
    said: &Said,
    person: &Person,
    by: &MayTakeConsent,
    now: Timestamp,
) -> Result<Response, Problem> {
    let (status, standing) = match said.status {
        Word::Granted => (Consent::Granted, Standing::Granted),
        Word::Withdrawn => (Consent::Withdrawn, Standing::Withdrawn),
    };
    let addresses = address_of(person).map(EmailAddress::key).into_iter().collect();
    let granted = status == Consent::Granted;
    let wish = Wish {
        profile: person.profile.id.clone(),
        addresses,
        send: None,
        at: now,
        stop: if granted { Vec::new() } else { vec![LIFECYCLE_TOPIC.to_owned()] },
        pause_until: None,
        // Topics that the person turned off stay so: those belong to them.
        lift: if granted {
            Lift::Topics(vec![LIFECYCLE_TOPIC.to_owned(), PAUSE_TOPIC.to_owned()])
        } else {
            Lift::Nothing
        },
        proof: Some(ConsentProof {
            profile: person.profile.id.clone(),
            at: now,
            status,
            source: said.source.clone(),
            who: format!("told by the key {}", by.key),
            wording: said.wording.clone(),
            address: None,
        }),
        traits: Map::new(),
    };
    service.store().grant_wish(&wish).await?;
    let profile = person.profile.id.to_string();
    let heard = Heard { profile, consent: standing, send: None, expires_at: None };
    Ok((StatusCode::OK, axum::Json(heard)).into_response())
}

async fn asked(
    service: &Service,
    said: &Said,
    person: &Person,
    campaign: &Campaign,
    by: &MayTakeConsent,
    now: Timestamp,
) -> Result<Response, Problem> {
    let Some(address) = address_of(person) else {
        return Err(Problem::unprocessable("address: the profile has none; send one"));
    };
    let mail = mail(service, said, person, address, campaign, now)?;
    let request = ConsentRequest {
        id: mail.id.to_string(),
        profile: person.profile.id.clone(),
        address: address.key(),
        source: said.source.clone(),
        who: format!("told by the key {}", by.key),
        wording: said.wording.clone(),
        requested_at: now,
        expires_at: now + ANSWER_WITHIN,
        confirmed_at: None,
        trust: by.trust,
    };
    let stands = match service.store().ask_for_consent(&request, &mail).await? {
        Asked::Now => request,
        Asked::Before(open) => open,
        Asked::Answered(answered) if by.trust == Trust::Public => answered,
        Asked::Answered(answered) => {
            let profile = answered.profile.to_string();
            let heard = Heard { profile, consent: Standing::Granted, send: None, expires_at: None };
            return Ok((StatusCode::OK, axum::Json(heard)).into_response());
        }
        Asked::Erased => return Err(erased()),
        Asked::TooOften(what) => {
            let detail = format!("{what}: it was asked too often, and nothing was sent; ask again later");
            return Err(Problem::too_many(detail).retry_after(QUESTION_WINDOW.unsigned_abs()));
        }
    };
    let heard = Heard {
        profile: person.profile.id.to_string(),
        consent: Standing::Asked,
        send: Some(stands.id),
        expires_at: Some(stands.expires_at.to_string()),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(heard)).into_response())
}

fn erased() -> Problem {
    Problem::conflict("profile: this person was erased, and is not taken in again")
}

/// Where the question goes.
fn address_of(person: &Person) -> Option<&EmailAddress> {
    person.to.as_ref().or(person.profile.address.as_ref())
}

/// The mail that asks. Its id is the question's name too: nobody can use it without our signature.
fn mail(
    service: &Service,
    said: &Said,
    person: &Person,
    address: &EmailAddress,
    campaign: &Campaign,
    now: Timestamp,
) -> Result<ScheduledSend, Problem> {
    let occurrence = format!("consent/{}", uuid::Uuid::new_v4().simple());
    let id = SendId::derive(now, &campaign.id, &person.profile.id, &occurrence);
    let confirm_url = service.engine().sender.links.confirm(id.as_str());
    let data = json!({"confirm_url": confirm_url, "source": said.source, "wording": said.wording});
    let serde_json::Value::Object(data) = data else {
        return Err(Problem::unprocessable("double_opt_in: the mail has no data"));
    };
    let deadline = SignedDuration::from_hours(i64::from(campaign.deadline_hours));
    Ok(ScheduledSend {
        id,
        campaign: campaign.id.clone(),
        kind: campaign.kind,
        guarantee: campaign.guarantee(),
        profile: person.profile.id.clone(),
        occurrence,
        due_at: now,
        expires_at: now + deadline.min(ANSWER_WITHIN),
        state: SendState::Scheduled,
        attempt: 0,
        orphaned: 0,
        data,
        to: Some(address.clone()),
    })
}
