//! `/v1/suppressions`: addresses that must not be written to, for programs that keep such a list too.

use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::campaign::Kind;
use crate::http::auth::MayGiveFeedback;
use crate::http::auth::MaySeePeople;
use crate::http::body::Json;
use crate::http::body::PathText;
use crate::http::problem::Problem;
use crate::http::problem::Refused;
use crate::http::service::Service;
use crate::profile::EmailAddress;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::LISTED_REASONS;
use crate::send::Suppression;
use crate::store::BECAUSE_CHARACTERS_MAX;
use crate::store::Lifted;

/// An address to which nothing may be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Which.
    #[schema(format = "email", max_length = 254)]
    address: String,
    /// Why; `manual` where nothing is said.
    #[serde(default)]
    reason: ListedReason,
    /// `*` for all mail, `lifecycle` for all but transactional mail, or a campaign's topic. Where it is left out, `*` for
    /// `hard_bounce` and `manual`, else `lifecycle`.
    topic: Option<String>,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ListedReason {
    /// There is no such mailbox.
    HardBounce,
    /// It refused too many mails.
    SoftBounces,
    /// Its reader called mail spam.
    Complaint,
    /// Its reader wants no more.
    Unsubscribe,
    /// You say so.
    #[default]
    Manual,
}

impl ListedReason {
    fn listed(self) -> (&'static str, &'static str) {
        LISTED_REASONS[self as usize]
    }
}

/// What is to be lifted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LiftAsk {
    /// Only this topic.
    topic: Option<String>,
    /// How the person asked for it. Needed where they unsubscribed, paused or complained; it stays in their consent
    /// history.
    #[schema(max_length = 1000)]
    because: Option<String>,
}

/// What stands against an address.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuppressedAddress {
    /// Which.
    address: String,
    /// By topic.
    suppressions: Vec<SuppressionEntry>,
}

/// One reason not to write.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuppressionEntry {
    /// What is stopped: `*`, `lifecycle`, `pause`, or a campaign's topic.
    topic: String,
    /// `hard_bounce`, `soft_bounces`, `complaint`, `unsubscribe`, `pause`, `manual`, `erased`.
    reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// When it ends by itself; only a pause does.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The send by which it came.
    send: Option<String>,
}

impl SuppressedAddress {
    fn of(address: &EmailAddress, found: Vec<Suppression>) -> Self {
        let entry = |one: Suppression| SuppressionEntry {
            topic: one.topic,
            reason: one.reason,
            at: one.at,
            until: one.until,
            send: one.send.map(|send| send.to_string()),
        };
        Self { address: address.key(), suppressions: found.into_iter().map(entry).collect() }
    }

    async fn read(service: &Service, address: &EmailAddress) -> Result<Self, Problem> {
        let key = address.key();
        let found = service.store().suppressions_of(std::slice::from_ref(&key)).await?.remove(&key);
        Ok(Self::of(address, found.unwrap_or_default()))
    }
}

/// What stands against an address
#[utoipa::path(
    get,
    path = "/v1/suppressions/{address}",
    tag = "people",
    params(("address" = String, Path, description = "Which", min_length = 1)),
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "All of it; nothing, where mail may go there", body = SuppressedAddress),
        (status = 404, description = "That is no address", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn suppressions(
    State(service): State<Service>,
    _: MaySeePeople,
    PathText(address): PathText,
) -> Result<axum::Json<SuppressedAddress>, Problem> {
    Ok(axum::Json(SuppressedAddress::read(&service, &in_path(&address)?).await?))
}

/// Lets nothing be sent to an address any more
///
/// What is on its way is asked once more before its body goes out. Doing it twice changes nothing.
#[utoipa::path(
    post,
    path = "/v1/suppressions",
    tag = "people",
    request_body = Listing,
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "It is committed; this stands against the address now, of that topic", body = SuppressedAddress),
        (status = 404, description = "No campaign has that topic", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The address was erased, and gets nothing anyway", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn suppress(
    State(service): State<Service>,
    _: MayGiveFeedback,
    Json(listing): Json<Listing>,
) -> Result<axum::Json<SuppressedAddress>, Problem> {
    let address = EmailAddress::parse(listing.address.trim())
        .map_err(|error| Problem::unprocessable(format!("address: {error}")))?;
    let (reason, usual) = listing.reason.listed();
    let topic = listing.topic.unwrap_or_else(|| usual.to_owned());
    check_topic(&service, &topic)?;
    let (reason, at) = (reason.to_owned(), service.now());
    let one =
        Suppression { address: address.key(), topic: topic.clone(), reason, at, send: None, until: None };
    let listed = service.store().take_over_suppressions(&[one]).await?;
    if listed.erased > 0 {
        return Err(Problem::conflict("address: it was erased; nothing is sent there, and nothing is kept"));
    }
    let mut standing = SuppressedAddress::read(&service, &address).await?;
    // Who may tell of bounces may not look at people: what else stands there is not theirs to know.
    standing.suppressions.retain(|entry| entry.topic == topic);
    Ok(axum::Json(standing))
}

/// Lifts what stands against an address, and answers with what was lifted
///
/// Consent stays as it is: who withdrew it gets nothing before they grant it again.
#[utoipa::path(
    post,
    path = "/v1/suppressions/{address}/lift",
    tag = "people",
    params(("address" = String, Path, description = "Which", min_length = 1)),
    request_body = LiftAsk,
    security(("bearer" = []), ("basic" = [])),
    responses(
        (status = 200, description = "It is committed; this was lifted", body = SuppressedAddress),
        (status = 404, description = "Nothing of that topic stands against it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "They said so themselves, and because is missing; or the address was erased", body = Problem, content_type = "application/problem+json"),
        Refused,
    )
)]
pub(super) async fn lift(
    State(service): State<Service>,
    _: MaySeePeople,
    PathText(address): PathText,
    Json(ask): Json<LiftAsk>,
) -> Result<axum::Json<SuppressedAddress>, Problem> {
    let address = in_path(&address)?;
    let because = ask.because.as_deref().map(str::trim).filter(|because| !because.is_empty());
    if because.is_some_and(|because| because.chars().count() > BECAUSE_CHARACTERS_MAX) {
        let detail = format!("because: write at most {BECAUSE_CHARACTERS_MAX} characters");
        return Err(Problem::unprocessable(detail));
    }
    let (key, topic, now) = (address.key(), ask.topic.as_deref(), service.now());
    match service.store().lift_suppressions(&key, topic, because, now).await? {
        Lifted::Done(lifted) => Ok(axum::Json(SuppressedAddress::of(&address, lifted))),
        Lifted::Nothing { .. } => Err(Problem::not_found("address: nothing of that topic stands against it")),
        Lifted::Erased => {
            Err(Problem::conflict("address: it was erased; `bespoke profile readmit` takes that back"))
        }
        Lifted::TheirOwnWord(_) => Err(Problem::conflict(
            "because: the person unsubscribed, paused or complained; say how they took it back",
        )),
    }
}

fn in_path(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|error| Problem::not_found(format!("address: {error}")))
}

/// What is stopped for a topic that no campaign has stops nothing.
fn check_topic(service: &Service, topic: &str) -> Result<(), Problem> {
    let engine = service.engine();
    let mut campaigns = engine.catalog.campaigns().map(|entry| &entry.campaign);
    let is_known = [EVERY_TOPIC, LIFECYCLE_TOPIC].contains(&topic)
        || campaigns.any(|campaign| campaign.kind == Kind::Lifecycle && campaign.topic() == topic);
    if is_known {
        return Ok(());
    }
    Err(Problem::not_found(format!(
        "topic: no campaign has the topic {topic:?}; write *, lifecycle, or a lifecycle campaign's"
    )))
}

#[cfg(test)]
mod tests {
    use super::ListedReason;
    use crate::send::LISTED_REASONS;

    #[test]
    fn the_words_are_those_of_the_list() {
        for (reason, _) in LISTED_REASONS {
            let read: ListedReason = serde_json::from_value(reason.into()).unwrap();
            assert_eq!(read.listed().0, reason);
        }
    }
}
