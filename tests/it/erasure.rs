//! Erasing somebody while others write about them: whoever comes first, nothing of the person is left. Several write at
//! once on PostgreSQL only.

use bespoke::campaign::Kind;
use bespoke::ingest::segment::Entry;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::stage::Stage;
use bespoke::stage::Transition;
use bespoke::store::ConsentProof;
use bespoke::store::Heard;
use bespoke::store::Lift;
use bespoke::store::Store;
use bespoke::store::Trust;
use bespoke::store::WebhookMessage;
use bespoke::store::WebhookSource;
use bespoke::store::Wish;
use bespoke::tracking::HitKind;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::database::start;
use crate::support::given;
use crate::support::patience::Holder;
use crate::support::stores;

fn erases(store: &Store, name: &'static str) -> JoinHandle<()> {
    let store = store.clone();
    tokio::spawn(async move {
        store.erase(&given::id(name), start()).await.unwrap();
    })
}

async fn nothing_is_left(store: &Store, name: &str) {
    let left = store.person(&given::id(name)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_was_being_written_when_somebody_is_erased_is_erased_with_them() {
    let Some(database) = Database::postgres().await else { return };
    let store = &database.store;
    given::given_people(&database, &["ana"]).await;
    // The writer has looked whether ana was erased, and waits for the number of its event.
    let mut holder =
        Holder::of(&database, "select value from counters where name = 'events' for update").await;
    let event = given::event("ana", "m", "Product Viewed", start());
    let writes = tokio::spawn({
        let store = store.clone();
        async move {
            let entry = Entry::Event(event);
            store.take_in(&[Heard { entry: &entry, key: "k", trust: Trust::Full }], start()).await.unwrap();
        }
    });
    let writer = holder.waited_for(&[holder.pid]).await;
    let erasure = erases(store, "ana");
    holder.waited_for(&[writer]).await;
    holder.lets_go().await;
    writes.await.unwrap();
    erasure.await.unwrap();
    nothing_is_left(store, "ana").await;
}

#[tokio::test]
async fn a_click_on_its_way_into_the_database_does_not_outlive_its_person() {
    let Some(database) = Database::postgres().await else { return };
    let app = TestApp::new(database, crate::support::app::CONFIG, &[]);
    let store = app.database.store.clone();
    app.given_profile("ana").await;
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    let send = app.sends().await.remove(0).send.id;
    let mut holder =
        Holder::of(&app.database, "select value from counters where name = 'events' for update").await;
    let at = app.now();
    let clicks = async {
        given::hit(&app.database, &send, HitKind::Click, at).await;
    };
    let erased = async {
        let clicker = holder.waited_for(&[holder.pid]).await;
        let erasure = erases(&store, "ana");
        holder.waited_for(&[clicker]).await;
        holder.lets_go().await;
        erasure.await.unwrap();
    };
    tokio::join!(clicks, erased);
    nothing_is_left(&store, "ana").await;
    assert_eq!(store.hits_of(&send).await.unwrap(), []);
}

#[tokio::test]
async fn who_writes_while_somebody_is_being_erased_finds_them_gone() {
    let Some(database) = Database::postgres().await else { return };
    let store = &database.store;
    given::given_people(&database, &["ana"]).await;
    // The erasure holds everybody off, and waits for a row of ana's.
    let mut holder = Holder::of(&database, "select id from profiles where id = 'ana' for update").await;
    let erasure = erases(store, "ana");
    let eraser = holder.waited_for(&[holder.pid]).await;
    let profile = Entry::Profile(given::profile("ana"));
    let event = Entry::Event(given::event("ana", "m", "Product Viewed", start()));
    let writes = tokio::spawn({
        let store = store.clone();
        async move {
            let heard = [&profile, &event].map(|entry| Heard { entry, key: "k", trust: Trust::Full });
            store.take_in(&heard, start()).await.unwrap();
        }
    });
    holder.waited_for(&[eraser]).await;
    holder.lets_go().await;
    erasure.await.unwrap();
    writes.await.unwrap();
    nothing_is_left(store, "ana").await;
}

#[tokio::test]
async fn who_was_erased_while_somebody_thought_about_them_is_not_written_about() {
    for database in stores().await {
        let store = &database.store;
        given::given_people(&database, &["ana", "bo"]).await;
        store.erase(&given::id("ana"), start()).await.unwrap();
        // A planner, a page of preferences and a form, each of which read who ana is before.
        let sends = ["ana", "bo"].map(|name| given::send(name, "1", Kind::Lifecycle, start()));
        assert_eq!(store.plan(&sends).await.unwrap(), 1);
        let proof = ConsentProof {
            profile: given::id("ana"),
            at: start(),
            status: Consent::Granted,
            source: "form".to_owned(),
            who: "ana".to_owned(),
            wording: "yes".to_owned(),
            address: None,
        };
        assert_eq!(store.append_consents(std::slice::from_ref(&proof), start()).await.unwrap(), 0);
        let wish = Wish {
            profile: given::id("ana"),
            addresses: vec!["ana@example.test".to_owned()],
            send: None,
            at: start(),
            stop: vec!["news".to_owned()],
            pause_until: None,
            lift: Lift::Nothing,
            proof: Some(proof),
            traits: json!({"tracking": "off"}).as_object().unwrap().clone(),
        };
        assert_eq!(store.grant_wish(&wish).await.unwrap(), 0);
        // The worker, which placed them and claims a coupon, and the messenger, which has read their deed.
        let step =
            Transition { from: None, to: Stage::Discover, at: start(), reason: "no history".to_owned() };
        store.record_transitions(&[(given::id("ana"), step)]).await.unwrap();
        store.import_coupons("first", &["A-1".to_owned()]).await.unwrap();
        assert_eq!(store.claim_coupon("first", &given::id("ana"), start()).await.unwrap(), None);
        let place = store.events_end().await.unwrap();
        let message = WebhookMessage {
            id: "m".to_owned(),
            kind: "email.sent".to_owned(),
            profile: given::id("ana"),
            body: "{}".to_owned(),
            place,
        };
        store.begin_webhook("a").await.unwrap();
        store.queue_webhooks("a", WebhookSource::Events, &[message], place, start()).await.unwrap();
        assert!(store.due_webhooks("a", start(), 10).await.unwrap().is_empty());
        nothing_is_left(store, "ana").await;
        let address = ["ana@example.test".to_owned()];
        let found = store.suppressions_of(&address).await.unwrap();
        let reasons: Vec<_> = found.into_values().flatten().map(|found| found.reason).collect();
        assert_eq!(reasons, ["erased"], "by their fingerprint alone, on {}", database.name());
    }
}

#[tokio::test]
async fn an_erased_address_is_in_no_row_of_whoever_else_has_it() {
    for database in stores().await {
        let store = &database.store;
        let address = "shared@example.test";
        for name in ["ana", "bo"] {
            let mut profile = given::profile(name);
            profile.address = EmailAddress::parse(address).ok();
            store.upsert_profiles(&[profile], start()).await.unwrap();
            let proof = ConsentProof {
                profile: given::id(name),
                at: start(),
                status: Consent::Granted,
                source: "confirmation link".to_owned(),
                who: "whoever holds the link".to_owned(),
                wording: "yes".to_owned(),
                address: Some(address.to_owned()),
            };
            store.append_consents(&[proof], start()).await.unwrap();
            let ask = format!(
                "insert into consent_requests (id, profile_id, address, source, who, wording, requested_at, expires_at)
                 values ('{name}', '{name}', '{address}', 'form', 'x', 'yes', 0, 0)"
            );
            database.execute(&ask).await;
        }
        store.plan(&[given::send("bo", "1", Kind::Lifecycle, start())]).await.unwrap();
        let bo = serde_json::to_string(&store.person(&given::id("bo")).await.unwrap()).unwrap();
        assert!(bo.matches(address).count() >= 3, "the test can see it: {bo}");
        store.erase(&given::id("ana"), start()).await.unwrap().unwrap();
        let bo = serde_json::to_string(&store.person(&given::id("bo")).await.unwrap()).unwrap();
        assert!(!bo.contains(address), "{bo} on {}", database.name());
        let left = store.consents_of(&given::id("bo")).await.unwrap();
        let left: Vec<_> = left.iter().map(|proof| (proof.status, proof.address.as_deref())).collect();
        assert_eq!(left, [(Consent::Granted, None)], "what bo said stays");
    }
}
