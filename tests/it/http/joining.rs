//! Requests about a visitor who turns out to be somebody while they are being answered: they are about that person.

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::ingest::segment::Entry;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::profile::ProfileId;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::send::Suppression;
use bespoke::store::Heard;
use bespoke::store::Lift;
use bespoke::store::SendRequest;
use bespoke::store::Store;
use bespoke::store::Trust;
use bespoke::store::Wish;
use bespoke::worker::run::Until;
use mail_parser::MessageParser;
use reqwest::Method;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::mailed::LINKED;
use super::mailed::PUBLIC;
use super::mailed::mail_to;
use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::app::Files;
use crate::support::database::start;
use crate::support::given;
use crate::support::given::id;
use crate::support::patience::Holder;
use crate::support::service::answer;
use crate::support::stores;

/// A campaign for pages, and one that asks.
const MORE: Files<'static> = &[
    ("page/campaign.toml", "kind = \"lifecycle\"\ntrigger = { api = {} }\n"),
    (
        "page/any/hello.mjml",
        "+++\nsubject = \"Hello\"\n+++\n<mj-section><mj-column><mj-text>Hello {{ profile.first_name or 'you' }}</mj-text></mj-column></mj-section>",
    ),
    (
        "confirm-subscription/campaign.toml",
        "kind = \"transactional\"\ntracking = \"off\"\ntrigger = { api = {} }\n",
    ),
    (
        "confirm-subscription/any/ask.mjml",
        "+++\nsubject = \"Please confirm\"\n+++\n<mj-section><mj-column><mj-text>\
         <a href=\"{{ data.confirm_url or 'https://shop.test' }}\">Confirm</a></mj-text></mj-column></mj-section>",
    ),
];

/// Whoever takes an event in waits for this row, with everything else of its transaction done and not committed.
const NUMBER: &str = "select value from counters where name = 'events' for update";

fn visitor() -> ProfileId {
    id("anon:x")
}

fn join() -> Entry {
    Entry::Join { anonymous: visitor(), known: id("ana") }
}

async fn joins(store: &Store, more: &[Entry]) {
    let join = join();
    let heard: Vec<_> = std::iter::once(&join)
        .chain(more)
        .map(|entry| Heard { entry, key: "k", trust: Trust::Full })
        .collect();
    store.take_in(&heard, start()).await.unwrap();
}

/// The tables that hold rows of a person, and whose they say that they are.
async fn owners(store: &Store) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (table, rows) in store.person(&id("ana")).await.unwrap() {
        for row in rows {
            if let Some(owner) = row["profile_id"].as_str() {
                found.push((table.clone(), owner.to_owned()));
            }
        }
    }
    found.dedup();
    found
}

#[tokio::test]
async fn whatever_is_asked_about_a_visitor_while_they_are_joined_to_somebody_is_about_that_person() {
    let Some(database) = Database::postgres().await else { return };
    let files: Vec<_> = LINKED.iter().chain(MORE).copied().collect();
    let app = TestApp::new(database, CONFIG, &files);
    let store = app.database.store.clone();
    let serving = app.serves().await;
    let traits = json!({"email": "x@example.test", "first_name": "Xaver", "consent": "granted"});
    let identified = json!({"anonymousId": "x", "traits": traits});
    assert_eq!(serving.post("/v1/identify", &identified).await.status, 200);
    let links = mail_to(&app, "x").await;
    let words = json!({"profile": "anon:x", "source": "form", "wording": "yes", "double_opt_in": true});
    assert_eq!(serving.post("/v1/consents", &words).await.status, 202);
    app.runs_until_idle().await;
    let mail = app.mails().pop().unwrap();
    let html = MessageParser::new().parse(&mail.bytes).unwrap().body_html(0).unwrap().into_owned();
    let (_, rest) = html.split_once(&format!("href=\"{PUBLIC}/k/")).unwrap();
    let confirm = format!("/k/{}", rest.split('"').next().unwrap());

    // The join is done and not committed: everybody still sees the visitor.
    let mut holder = Holder::of(&app.database, NUMBER).await;
    let joining = tokio::spawn({
        let store = store.clone();
        async move { joins(&store, &[Entry::Event(given::event("ana", "m", "Product Viewed", start()))]).await }
    });
    let joiner = holder.waited_for(&[holder.pid]).await;
    let withdraw =
        json!({"profile": "anon:x", "source": "form", "wording": "no more", "status": "withdrawn"});
    let post = async |path: &str, body: Value| serving.post(path, &body).await.status;
    let press = async |path: &str| answer(serving.request(Method::POST, path)).await.status;
    let answered = async {
        tokio::join!(
            post("/v1/send", json!({"campaign": "receipt", "profile": "anon:x"})),
            post("/v1/decide", json!({"campaign": "page", "anonymous_id": "x"})),
            press(&confirm),
            press(&links.unsubscribe),
            post("/v1/consents", withdraw),
            async { serving.get("/v1/profiles/anon:x").await.status },
            post("/v1/render", json!({"campaign": "receipt", "profile": "anon:x"})),
        )
    };
    let everybody_waits = async {
        holder.waited_for_by(&[joiner], 6).await;
        holder.lets_go().await;
    };
    let (answered, ()) = tokio::join!(answered, everybody_waits);
    joining.await.unwrap();
    assert_eq!(answered, (202, 200, 200, 200, 200, 200, 200));

    let ana = store.profile(&id("ana")).await.unwrap().unwrap();
    assert_eq!(ana.address.as_ref().map(EmailAddress::as_str), Some("x@example.test"));
    assert_eq!(store.profile(&visitor()).await.unwrap(), Some(ana));
    let found = owners(&store).await;
    for table in ["sends", "web_decisions", "consents", "consent_requests", "events"] {
        assert!(found.contains(&(table.to_owned(), "ana".to_owned())), "{table}: {found:?}");
    }
    for table in ["sends", "web_decisions", "consents", "consent_requests", "events", "hits", "stages"] {
        // A row that still named the visitor would be nobody's.
        let strays = format!(
            "do $$ begin if exists (select 1 from {table} where profile_id = 'anon:x') then
            raise exception '{table} holds a stray'; end if; end $$"
        );
        app.database.execute(&strays).await;
    }
    let asked = serving.post("/v1/decide", &json!({"campaign": "page", "anonymous_id": "x"})).await;
    assert!(asked.json()["html"].as_str().unwrap().contains("Hello Xaver"), "{asked:?}");
}

#[tokio::test]
async fn a_mail_of_a_visitor_who_is_joined_between_claim_and_decision_goes_out_once() {
    let Some(database) = Database::postgres().await else { return };
    let app = TestApp::new(database, CONFIG, &[]);
    let serving = app.serves().await;
    let traits = json!({"email": "x@example.test", "first_name": "Xaver"});
    assert_eq!(
        serving.post("/v1/identify", &json!({"anonymousId": "x", "traits": traits})).await.status,
        200
    );
    let body = json!({"campaign": "receipt", "profile": "anon:x", "data": {"order_id": "A-1"}});
    assert_eq!(serving.post("/v1/send", &body).await.status, 202);
    let worker = app.worker().await;
    // Before its first decision a worker asks for the newest model: by then it has claimed.
    let mut holder = Holder::of(&app.database, "lock table models in access exclusive mode").await;
    let works = tokio::spawn(worker.run(Until::Idle));
    holder.waited_for(&[holder.pid]).await;
    joins(&app.database.store, &[]).await;
    holder.lets_go().await;
    works.await.unwrap().unwrap();
    assert_eq!(app.states().await, [(State::Sent, "sent".to_owned())]);
    assert_eq!(app.mails().iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["x@example.test"]);
}

#[tokio::test]
async fn what_is_written_about_a_visitor_who_was_joined_meanwhile_is_the_persons() {
    for database in stores().await {
        let store = &database.store;
        let on = database.name();
        let read = Profile {
            address: EmailAddress::parse("x@example.test").ok(),
            consent: Consent::Granted,
            ..Profile::nameless(visitor(), start())
        };
        store.upsert_profiles(std::slice::from_ref(&read), start()).await.unwrap();
        given::given_people(&database, &["ana"]).await;
        joins(store, &[]).await;

        // Each of these read who the visitor is before they were joined.
        let send = given::send("anon:x", "api/1", Kind::Transactional, start());
        let sent = send.id.clone();
        let request = SendRequest { key: None, send, profile: Some(read.clone()), attachments: Vec::new() };
        store.request_send(&request, start()).await.unwrap();
        store.import_coupons("first", &["A-1".to_owned(), "A-2".to_owned()]).await.unwrap();
        let code = store.claim_coupon("first", &visitor(), start()).await.unwrap();
        assert_eq!(code, store.coupon_of("first", &id("ana")).await.unwrap(), "{on}");
        let not_wanted = ["x@example.test", "ana@example.test"].map(|address| Suppression {
            address: address.to_owned(),
            topic: "offers".to_owned(),
            reason: "unsubscribe".to_owned(),
            at: start(),
            send: None,
            until: None,
        });
        store.add_suppressions(&not_wanted).await.unwrap();
        let wish = Wish {
            profile: visitor(),
            addresses: vec!["x@example.test".to_owned()],
            send: Some(sent.clone()),
            at: start(),
            stop: vec!["news".to_owned()],
            pause_until: None,
            lift: Lift::Topics(vec!["offers".to_owned()]),
            proof: None,
            traits: Map::from_iter([("tracking".to_owned(), json!("off"))]),
        };
        assert_eq!(store.grant_wish(&wish).await.unwrap(), 2, "where the visitor read, and where ana does");
        let addresses = not_wanted.map(|suppression| suppression.address);
        let left = store.suppressions_of(&addresses).await.unwrap();
        let topics =
            |address: &String| left[address].iter().map(|one| one.topic.as_str()).collect::<Vec<_>>();
        let expected = [vec!["news"], vec!["news", "offers"]];
        assert_eq!(addresses.each_ref().map(topics), expected, "nothing is lifted at ana's own address");
        assert_eq!(owner_of(store, &sent).await, (CampaignId("receipt".to_owned()), id("ana")));
        let ana = store.profile(&visitor()).await.unwrap().unwrap();
        assert_eq!((&ana.id, &ana.traits["tracking"]), (&id("ana"), &json!("off")));
        assert_eq!(store.count_profiles().await.unwrap(), 1, "nobody came back on {on}");
        let rows = store.person(&visitor()).await.unwrap();
        assert_eq!(rows, store.person(&id("ana")).await.unwrap());
        assert!(rows.contains_key("sends") && rows.contains_key("coupons"), "{rows:?}");
        // Who asks to be forgotten by an old id is forgotten under the new one too.
        assert!(store.erase(&visitor(), start()).await.unwrap().is_some());
        assert!(store.person(&id("ana")).await.unwrap().is_empty());
        assert_eq!(store.profile(&visitor()).await.unwrap(), None);
    }
}

async fn owner_of(store: &Store, send: &SendId) -> (CampaignId, ProfileId) {
    let stored = store.send(send).await.unwrap().unwrap();
    (stored.send.campaign, stored.send.profile)
}
