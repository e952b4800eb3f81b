//! From what happened to what is told of it.

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;

use crate::digest::hex;
use crate::event::Event;
use crate::event::name;
use crate::profile::ProfileId;
use crate::send::State;
use crate::store::Arrival;
use crate::store::LoggedOutcome;
use crate::store::Shown;
use crate::store::WebhookMessage;

/// What can be told, as configurations name it; the `type` of a message is `email.` and this word.
pub const KINDS: &[&str] = &[
    "sent",
    "deferred",
    "bounced",
    "failed",
    "expired",
    "unknown",
    "complained",
    "opened",
    "clicked",
    "unsubscribed",
    "skipped",
];

/// Events that are told, and as what.
const EVENTS: [(&str, &str); 5] = [
    (name::EMAIL_BOUNCED, "bounced"),
    (name::EMAIL_MARKED_AS_SPAM, "complained"),
    (name::EMAIL_OPENED, "opened"),
    (name::EMAIL_LINK_CLICKED, "clicked"),
    (name::UNSUBSCRIBED, "unsubscribed"),
];

/// The names of events of which some of these kinds are told.
pub(super) fn event_names(kinds: &[&str]) -> Vec<&'static str> {
    EVENTS.into_iter().filter(|(_, kind)| kinds.contains(kind)).map(|(name, _)| name).collect()
}

/// What is told of an event; `None` where it is none of [`EVENTS`].
pub(super) fn of_event(place: Arrival, event: &Event) -> Option<WebhookMessage> {
    let (_, kind) = EVENTS.into_iter().find(|(name, _)| *name == event.name)?;
    let data = event.properties.clone();
    let id = [event.profile.as_str(), &event.id].join("\n");
    Some(message(kind, &id, event.at, &event.profile, data, place))
}

/// What is told of an outcome, when one of these kinds is wanted; of a mail that was taken, also what it showed.
pub(super) fn of_outcome(
    place: Arrival,
    outcome: &LoggedOutcome,
    shown: Option<&Shown>,
    kinds: &[&str],
) -> Option<WebhookMessage> {
    let bounced = ["hard_bounce", "soft_bounce", "policy"].contains(&outcome.reason.as_str());
    let kind = match outcome.state {
        State::Sent => "sent",
        State::Deferred => "deferred",
        State::Skipped | State::Suppressed => "skipped",
        // A refusal while we were still connected; one that came by mail is an event.
        State::Failed if bounced => "bounced",
        // Whatever else it failed of: a mail that could not be rendered, a campaign that is gone.
        State::Failed => "failed",
        State::Expired => "expired",
        State::Unknown => "unknown",
        // Whoever called it off knows; the others are no end.
        State::Canceled | State::Scheduled | State::Leased | State::Submitting => return None,
    };
    let mut data = Map::new();
    data.insert("send_id".to_owned(), json!(outcome.send));
    data.insert("campaign".to_owned(), json!(outcome.campaign));
    data.insert(if kind == "bounced" { "type" } else { "reason" }.to_owned(), json!(outcome.reason));
    data.insert(if kind == "bounced" { "diagnostic" } else { "detail" }.to_owned(), json!(outcome.detail));
    if let (State::Sent, Some(shown)) = (outcome.state, shown) {
        data.insert("variant".to_owned(), json!(shown.variant));
        data.insert("products".to_owned(), json!(shown.products));
        data.insert("offer".to_owned(), json!(shown.offer));
    }
    let id = format!("{}\n{}\n{place}", outcome.send, outcome.state);
    kinds.contains(&kind).then(|| message(kind, &id, outcome.at, &outcome.profile, data, place))
}

fn message(
    kind: &str,
    id: &str,
    at: Timestamp,
    profile: &ProfileId,
    mut data: Map<String, Value>,
    place: Arrival,
) -> WebhookMessage {
    data.insert("profile_id".to_owned(), json!(profile));
    let data = Value::Object(data);
    let kind = format!("email.{kind}");
    let id = format!("msg_{}", hex(&Sha256::digest(format!("{kind}\n{id}"))[..16]));
    let body = json!({"type": kind, "timestamp": at, "data": data}).to_string();
    WebhookMessage { id, kind, profile: profile.clone(), body, place }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::CampaignId;
    use crate::send::SendId;

    #[test]
    fn every_end_but_a_recall_has_its_word() {
        for (state, reason, expected) in [
            (State::Sent, "sent", Some("email.sent")),
            (State::Deferred, "deferred", Some("email.deferred")),
            (State::Failed, "hard_bounce", Some("email.bounced")),
            (State::Failed, "quarantined", Some("email.failed")),
            (State::Expired, "deadline", Some("email.expired")),
            (State::Unknown, "orphaned", Some("email.unknown")),
            (State::Skipped, "cap", Some("email.skipped")),
            (State::Suppressed, "suppressed", Some("email.skipped")),
            (State::Canceled, "canceled", None),
        ] {
            let outcome = LoggedOutcome {
                send: SendId::parse(&"0".repeat(32)).unwrap(),
                campaign: CampaignId("news".to_owned()),
                profile: ProfileId::parse("ana").unwrap(),
                state,
                reason: reason.to_owned(),
                detail: String::new(),
                at: Timestamp::UNIX_EPOCH,
            };
            let told = of_outcome(Arrival::default(), &outcome, None, KINDS).map(|message| message.kind);
            assert_eq!(told.as_deref(), expected, "{state}");
        }
    }
}
