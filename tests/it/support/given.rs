//! People, events and sends as tests begin with them, and the steps of a send.

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::decision::VariantId;
use bespoke::event::Event;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::profile::ProfileId;
use bespoke::send::LeaseToken;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Cap;
use bespoke::store::Claimed;
use bespoke::store::ConsentNeeded;
use bespoke::store::Mark;
use bespoke::store::NewHit;
use bespoke::store::RecordedHit;
use bespoke::store::Settlement;
use bespoke::tracking::Class;
use bespoke::tracking::HitKind;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::Value;
use serde_json::json;

use super::Database;
use super::database::start;

pub(crate) fn id(text: &str) -> ProfileId {
    ProfileId::parse(text).unwrap()
}

pub(crate) fn profile(name: &str) -> Profile {
    Profile {
        id: id(name),
        address: Some(EmailAddress::parse(&format!("{name}@example.test")).unwrap()),
        traits: serde_json::Map::new(),
        locale: None,
        time_zone: None,
        consent: Consent::Granted,
        created_at: start(),
        updated_at: start(),
    }
}

pub(crate) fn event(profile: &str, message: &str, name: &str, at: Timestamp) -> Event {
    let Value::Object(properties) = json!({"product_id": "p1", "note": "a \u{0} \"quoted\" ümlaut"}) else {
        unreachable!()
    };
    Event { id: message.to_owned(), profile: id(profile), name: name.to_owned(), at, properties }
}

pub(crate) const LEASE_MS: i64 = 60_000;
pub(crate) const SOFT_MAX: u32 = 3;
pub(crate) const DAILY: Cap = Cap { count: 1, within_ms: 24 * 3_600_000 };

pub(crate) fn send(profile: &str, occurrence: &str, kind: Kind, due_at: Timestamp) -> ScheduledSend {
    let campaign = CampaignId(if kind == Kind::Lifecycle { "picks" } else { "receipt" }.to_owned());
    ScheduledSend {
        id: SendId::derive(due_at, &campaign, &id(profile), occurrence),
        campaign,
        kind,
        guarantee: if kind == Kind::Lifecycle { Guarantee::AtMostOnce } else { Guarantee::AtLeastOnce },
        profile: id(profile),
        occurrence: occurrence.to_owned(),
        due_at,
        expires_at: due_at + 72.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: json!({"order": {"id": "A-1", "note": "\u{0}\"é"}}).as_object().unwrap().clone(),
        to: None,
    }
}

pub(crate) fn token(text: &str) -> LeaseToken {
    LeaseToken(text.to_owned())
}

pub(crate) fn mark(claimed: &Claimed) -> Mark {
    Mark {
        send: claimed.send.id.clone(),
        token: claimed.token.clone(),
        to: EmailAddress::parse(&format!("{}@example.test", claimed.send.profile)).unwrap(),
        topic: "picks".to_owned(),
        variant: VariantId::new("picks/compare/versus"),
        products: vec!["p1".to_owned(), "p2".to_owned()],
        domain_group: "example.test".to_owned(),
        consent: ConsentNeeded::Granted,
    }
}

pub(crate) fn settlement(claimed: &Claimed, outcome: Outcome) -> Settlement {
    let to = Some(mark(claimed).to);
    Settlement { send: claimed.send.id.clone(), token: claimed.token.clone(), to, outcome }
}

pub(crate) fn sent() -> Outcome {
    Outcome { relay: Some("main".to_owned()), ..Outcome::terminal(State::Sent, "sent", "250 2.0.0 ok") }
}

pub(crate) async fn given_people(database: &Database, names: &[&str]) {
    let people: Vec<_> = names.iter().map(|name| profile(name)).collect();
    database.store.upsert_profiles(&people, start()).await.unwrap();
}

/// Somebody opens their mail, or clicks its first link, with a browser.
pub(crate) async fn hit(database: &Database, send: &SendId, kind: HitKind, at: Timestamp) {
    let hit = NewHit {
        id: format!("{} {send} {at}", kind.as_str()),
        send: send.clone(),
        kind,
        link: (kind == HitKind::Click).then_some(1),
        at,
        method: "GET".to_owned(),
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned(),
        prefetch: String::new(),
        network: "203.0.113.0/24".to_owned(),
    };
    let kept = database.store.record_hit(&hit).await.unwrap();
    assert_eq!(kept, RecordedHit::Kept(Class::Human));
}

pub(crate) async fn clicks(database: &Database, send: &SendId, at: Timestamp) {
    hit(database, send, HitKind::Click, at).await;
}

pub(crate) async fn claim(database: &Database, now: Timestamp, limit: usize, name: &str) -> Vec<Claimed> {
    database.store.claim(now, LEASE_MS, limit, &token(name)).await.unwrap()
}
