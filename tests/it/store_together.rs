//! Several processes that write about the same person at the same time: nothing that one of them said is lost. On SQLite
//! one of two is always first, so these stand on PostgreSQL, where a row that somebody else needs holds the first one up.

use bespoke::decision::TemplateHash;
use bespoke::ingest::segment::Entry;
use bespoke::profile::Consent;
use bespoke::profile::EmailAddress;
use bespoke::profile::Profile;
use bespoke::store::ConsentProof;
use bespoke::store::Heard;
use bespoke::store::Store;
use bespoke::store::Trust;
use jiff::ToSpan as _;
use serde_json::Value;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::database::start;
use crate::support::given;
use crate::support::given::id;
use crate::support::patience::Holder;
use crate::support::service::answer;
use crate::support::stores;

/// Whoever takes an event in waits for this row, with everything else of its transaction done and not committed.
const NUMBER: &str = "select value from counters where name = 'events' for update";

fn takes_in(store: &Store, entries: Vec<Entry>, trust: Trust) -> JoinHandle<()> {
    let store = store.clone();
    tokio::spawn(async move {
        let heard: Vec<_> = entries.iter().map(|entry| Heard { entry, key: "k", trust }).collect();
        store.take_in(&heard, start()).await.unwrap();
    })
}

fn person(name: &str, address: Option<&str>, traits: &Value) -> Profile {
    Profile {
        address: address.map(|address| EmailAddress::parse(address).unwrap()),
        traits: traits.as_object().unwrap().clone(),
        ..Profile::nameless(id(name), start())
    }
}

fn event(name: &str) -> Entry {
    Entry::Event(given::event(name, "m", "Product Viewed", start()))
}

/// What one process has taken in, and another begun to while the first had not committed; then both end.
async fn one_behind_the_other(first: Vec<Entry>, second: Vec<Entry>, trust: Trust) -> Option<Database> {
    let database = Database::postgres().await?;
    let other = Store::open(&database.url).await.unwrap();
    let mut holder = Holder::of(&database, NUMBER).await;
    let first = takes_in(&database.store, first, Trust::Full);
    let writer = holder.waited_for(&[holder.pid]).await;
    let second = takes_in(&other, second, trust);
    holder.waited_for(&[writer]).await;
    holder.lets_go().await;
    first.await.unwrap();
    second.await.unwrap();
    other.close().await;
    Some(database)
}

#[tokio::test]
async fn two_processes_that_hear_of_the_same_new_person_keep_what_both_heard() {
    let first = person("ana", Some("ana@example.test"), &json!({"first_name": "Ana", "plan": "free"}));
    let mut second = person("ana", None, &json!({"plan": "pro", "city": "Wien"}));
    second.created_at = start() - 1.hour();
    let entries = vec![Entry::Profile(first), event("ana")];
    let Some(database) = one_behind_the_other(entries, vec![Entry::Profile(second)], Trust::Full).await
    else {
        return;
    };
    let both = json!({"first_name": "Ana", "plan": "pro", "city": "Wien"});
    let expected =
        Profile { created_at: start() - 1.hour(), ..person("ana", Some("ana@example.test"), &both) };
    assert_eq!(database.store.profile(&id("ana")).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn a_key_that_may_stand_in_a_page_turns_nobodys_mail_who_becomes_known_at_the_same_moment() {
    let first = person("ana", Some("ana@example.test"), &json!({}));
    let second = person("ana", Some("thief@example.test"), &json!({"city": "Wien"}));
    let entries = vec![Entry::Profile(first), event("ana")];
    let Some(database) = one_behind_the_other(entries, vec![Entry::Profile(second)], Trust::Public).await
    else {
        return;
    };
    let expected = person("ana", Some("ana@example.test"), &json!({"city": "Wien"}));
    assert_eq!(database.store.profile(&id("ana")).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn of_two_words_about_consent_at_the_same_moment_the_later_counts_whoever_commits_first() {
    let Some(database) = Database::postgres().await else { return };
    given::given_people(&database, &["ana"]).await;
    let mut holder = Holder::of(&database, NUMBER).await;
    let withdrawn = Profile { consent: Consent::Withdrawn, ..person("ana", None, &json!({})) };
    let first = takes_in(&database.store, vec![Entry::Profile(withdrawn), event("ana")], Trust::Full);
    let writer = holder.waited_for(&[holder.pid]).await;
    let earlier = ConsentProof {
        profile: id("ana"),
        at: start() - 1.second(),
        status: Consent::Granted,
        source: "form".to_owned(),
        who: "ana".to_owned(),
        wording: "yes".to_owned(),
        address: None,
    };
    let store = database.store.clone();
    let second = tokio::spawn(async move { store.append_consents(&[earlier], start()).await.unwrap() });
    holder.waited_for(&[writer]).await;
    holder.lets_go().await;
    first.await.unwrap();
    assert_eq!(second.await.unwrap(), 1);
    let ana = database.store.profile(&id("ana")).await.unwrap().unwrap();
    assert_eq!(ana.consent, Consent::Withdrawn);
}

#[tokio::test]
async fn a_visitor_who_turns_out_to_be_somebody_just_being_added_only_fills_gaps() {
    let Some(database) = Database::postgres().await else { return };
    let visitor = Profile {
        consent: Consent::Granted,
        ..person("anon:x", Some("thief@example.test"), &json!({"first_name": "X", "city": "Wien"}))
    };
    database.store.upsert_profiles(&[visitor], start()).await.unwrap();
    // An import has added ana and not yet committed.
    let mut import = Holder::of(
        &database,
        "insert into profiles (id, address, address_key, traits, consent, created_at, updated_at)
         values ('ana', 'ana@example.test', 'ana@example.test', '{\"first_name\": \"Ana\"}', 'unknown', 0, 0)",
    )
    .await;
    let join = Entry::Join { anonymous: id("anon:x"), known: id("ana") };
    let joins = takes_in(&database.store, vec![join], Trust::Full);
    import.waited_for(&[import.pid]).await;
    import.lets_go().await;
    joins.await.unwrap();
    let ana = database.store.profile(&id("ana")).await.unwrap().unwrap();
    let traits = Value::Object(ana.traits);
    assert_eq!(traits, json!({"first_name": "Ana", "city": "Wien"}));
    assert_eq!((ana.address.unwrap().as_str(), ana.consent), ("ana@example.test", Consent::Unknown));
}

#[tokio::test]
async fn two_services_that_are_told_of_the_same_new_people_at_once_keep_every_word_of_both() {
    for database in stores().await {
        let app = TestApp::new(database, CONFIG, &[]);
        let (one, two) = (app.serves().await, app.serves().await);
        let people = |trait_name: &'static str| {
            let message = move |n: usize| json!({"type": "identify", "userId": format!("u{n}"), "traits": {trait_name: n}});
            move |from_last: bool| {
                let mut batch: Vec<Value> = (0..200).map(message).collect();
                if from_last {
                    batch.reverse();
                }
                json!({"batch": batch})
            }
        };
        let (left, right) = (people("left")(false), people("right")(true));
        let (left, right) = tokio::join!(one.post("/v1/batch", &left), two.post("/v1/batch", &right));
        assert_eq!((left.status, right.status), (200, 200), "{left:?} {right:?}");
        for n in 0..200 {
            let profile = app.database.store.profile(&id(&format!("u{n}"))).await.unwrap().unwrap();
            assert_eq!(Value::Object(profile.traits), json!({"left": n, "right": n}));
        }
        let healthy = answer(one.request(reqwest::Method::GET, "/readyz")).await;
        assert_eq!(healthy.status, 200, "{}", app.database.name());
    }
}

#[tokio::test]
async fn workers_that_begin_together_save_the_same_templates_and_do_not_wait_for_each_other() {
    let Some(database) = Database::postgres().await else { return };
    let template = |n: u32| (TemplateHash(format!("{n:03}")), "{}".to_owned());
    let forwards: Vec<_> = (0..9).map(template).collect();
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    // One in the middle is being saved by a third.
    let mut holder = Holder::of(&database, "insert into templates (hash, body) values ('004', '{}')").await;
    let saves = |templates: Vec<(TemplateHash, String)>| {
        let url = database.url.clone();
        tokio::spawn(
            async move { Store::open(&url).await.unwrap().save_templates(&templates).await.unwrap() },
        )
    };
    let first = saves(forwards);
    let writer = holder.waited_for(&[holder.pid]).await;
    let second = saves(backwards);
    holder.waited_for_by(&[holder.pid, writer], 2).await;
    holder.lets_go().await;
    assert_eq!(first.await.unwrap() + second.await.unwrap(), 8);
}
