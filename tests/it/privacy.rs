//! What is held on a person, forgetting it, and keeping nothing longer than it may be kept.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bespoke::config::Retention;
use bespoke::http::Scope;
use bespoke::profile::EmailAddress;
use bespoke::send::EVERY_TOPIC;
use bespoke::send::State;
use bespoke::store::Named;
use bespoke::store::Pruned;
use bespoke::store::Store;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::given;
use crate::support::service::Serving;
use crate::support::service::answer;

/// Stands in everything that is known of the person to be forgotten, and nowhere else.
const CANARY: &str = "xylophoncanary";

/// Tables that hold nothing of anybody. A new table is either here, or its columns say whose rows it holds.
pub(crate) const IMPERSONAL: &[&str] = &[
    "api_keys",
    "campaign_states",
    "catalogs",
    "counters",
    "limits",
    "models",
    "neighbours",
    "plan_cursors",
    "products",
    "schema_versions",
    "templates",
    "throttles",
    "tombstones",
    "webhook_cursors",
    "workers",
];

const CODE: Files<'static> = &[
    ("code/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
    (
        "code/any/code.mjml",
        "+++\nsubject = \"Code for {{ profile.first_name or 'you' }}\"\n+++\n<mj-section><mj-column><mj-text>{{ data.code or '' }}</mj-text></mj-column></mj-section>",
    ),
];

/// Somebody of whom something stands in every table that holds people.
async fn given_somebody_everywhere(app: &TestApp, serving: &Serving) {
    let address = format!("{CANARY}@example.test");
    let traits = json!({"email": address, "firstName": CANARY, "consent": "granted"});
    let identify = json!({"userId": CANARY, "anonymousId": format!("a-{CANARY}"), "traits": traits});
    assert_eq!(serving.post("/v1/identify", &identify).await.status, 200);
    app.does(CANARY, "Product Viewed", json!({"note": CANARY})).await;
    let file = json!([{"name": format!("{CANARY}.txt"), "content_type": "text/plain", "content": STANDARD.encode(CANARY.repeat(500))}]);
    let body = json!({"campaign": "code", "profile": CANARY, "data": {"code": CANARY}, "attachments": file});
    let request =
        serving.request(Method::POST, "/v1/send").bearer_auth(&serving.key).header("Idempotency-Key", "k");
    assert_eq!(answer(request.json(&body)).await.status, 202);
    app.runs_until_idle().await;
    assert_eq!(app.mails().iter().filter(|mail| mail.to == address).count(), 1);
    let decide = json!({"campaign": "code", "profile": CANARY, "data": {"code": CANARY}});
    assert_eq!(serving.post("/v1/decide", &decide).await.status, 200);
    let waiting = json!({"campaign": "code", "profile": CANARY, "send_at": "2026-12-01T00:00:00Z"});
    assert_eq!(serving.post("/v1/send", &waiting).await.status, 202);
    let sent = app.sends().await.into_iter().find(|stored| stored.send.state == State::Sent).unwrap().send.id;
    let now = app.now().as_millisecond();
    for sql in [
        format!("insert into consents values ('{CANARY}', {now}, 'granted', 'form', '{CANARY}', 'yes', '{address}')"),
        format!("insert into suppressions (address, topic, reason, at) values ('{address}', 'news', 'unsubscribe', {now})"),
        format!("insert into soft_bounces values ('{address}', '{sent}', {now})"),
        format!("insert into coupons values ('ten', 'CODE-1', '{CANARY}', {now})"),
        format!("insert into attempts values ('{sent}', 1, 'mailbox', {now}, 1, 'deferred', '452 {CANARY}', null)"),
        format!("insert into hits (id, send_id, profile_id, kind, at, method, agent, prefetch, network, class, reason)
                 values ('h1', '{sent}', '{CANARY}', 'open', {now}, 'GET', '{CANARY}', '', '', 'human', '')"),
        format!("insert into consent_requests (id, profile_id, address, source, who, wording, requested_at, expires_at)
                 values ('r1', '{CANARY}', '{address}', 'form', '{CANARY}', 'yes', {now}, {now})"),
        format!("insert into outcome_log values (1, '{sent}', 'failed', 'policy', '550 {CANARY}', {now})"),
        format!("insert into webhook_messages (endpoint, id, kind, profile_id, body, place, created_at, attempt, due_at)
                 values ('e', 'msg_1', 'email.sent', '{CANARY}', '{{\"a\":\"{CANARY}\"}}', 1, {now}, 0, {now})"),
    ] {
        app.database.execute(&sql).await;
    }
}

/// The tables that hold people, as the schema says.
async fn personal(store: &Store) -> Vec<String> {
    let tables = store.tables_of_people().await.unwrap();
    tables.into_iter().filter(|(_, personal)| *personal).map(|(table, _)| table).collect()
}

#[tokio::test]
async fn every_table_is_known_to_hold_people_or_not_to() {
    for database in crate::support::stores().await {
        let tables = database.store.tables_of_people().await.unwrap();
        let unknown: Vec<&String> = tables
            .iter()
            .filter(|(table, personal)| {
                !**personal && !IMPERSONAL.contains(&table.as_str()) && *table != "test_clock"
            })
            .map(|(table, _)| table)
            .collect();
        assert!(
            unknown.is_empty(),
            "{unknown:?}: name the person in a column profile_id, send_id or address"
        );
    }
}

#[tokio::test]
async fn an_export_holds_every_row_of_a_person_from_every_table_and_nobody_elses() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        app.does("ana", "Product Viewed", json!({"note": "anas own"})).await;
        given_somebody_everywhere(&app, &serving).await;
        let export = serving.get(&format!("/v1/profiles/{CANARY}")).await;
        assert_eq!(export.status, 200, "{export:?}");
        let tables = export.json()["tables"].as_object().unwrap().clone();
        let found: Vec<&String> = tables.keys().collect();
        let mut expected = personal(&app.database.store).await;
        expected.sort();
        assert_eq!(
            found,
            expected.iter().collect::<Vec<_>>(),
            "{}: fill the new table above",
            app.database.name()
        );
        assert_eq!(
            tables["profiles"][0]["traits"]["first_name"],
            json!(CANARY),
            "JSON is shown as what it says"
        );
        assert_eq!(tables["sends"].as_array().unwrap().len(), 2);
        assert!(!export.text.contains("anas own"));
        assert_eq!(serving.get("/v1/profiles/nobody").await.status, 404);
        let ingest = app.key_for(&[Scope::Ingest, Scope::Send]).await;
        let path = format!("/v1/profiles/{CANARY}");
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(answer(serving.request(method, &path).bearer_auth(&ingest)).await.status, 403);
        }
    }
}

fn bytes_hold(path: &str, needle: &str) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    memchr::memmem::find(&bytes, needle.as_bytes()).is_some()
}

#[tokio::test]
async fn somebody_who_is_erased_is_in_no_table_and_in_no_byte_of_the_file() {
    for app in TestApp::on_each_database(CODE).await {
        let store = &app.database.store;
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let file = app.database.url.strip_prefix("sqlite://").map(str::to_owned);
        given_somebody_everywhere(&app, &serving).await;
        if let Some(file) = &file {
            assert!(
                bytes_hold(file, CANARY) || bytes_hold(&format!("{file}-wal"), CANARY),
                "the test can see it"
            );
        }
        let path = format!("/v1/profiles/{CANARY}");
        let erased = answer(serving.request(Method::DELETE, &path).bearer_auth(&serving.key)).await;
        assert_eq!(erased.status, 200, "{erased:?}");
        let (kept, addresses) = (&erased.json()["sends_kept"], &erased.json()["addresses"]);
        assert_eq!((kept, addresses), (&json!(2), &json!(1)));

        assert_eq!(serving.get(&path).await.status, 404);
        let again = answer(serving.request(Method::DELETE, &path).bearer_auth(&serving.key)).await;
        assert_eq!(again.status, 404);
        for end in ["", "-wal", "-shm", "-journal"] {
            if let Some(file) = &file {
                assert!(!bytes_hold(&format!("{file}{end}"), CANARY), "{file}{end} still holds the person");
            }
        }
        let mut states = app.states().await;
        states.sort();
        assert_eq!(states, [(State::Sent, "sent".to_owned()), (State::Canceled, "erased".to_owned())]);
        assert!(app.sends().await.iter().all(|stored| stored.send.profile.as_str().starts_with("erased:")));
        assert!(!store.person(&given::id("ana")).await.unwrap().is_empty(), "others are as they were");
    }
}

#[tokio::test]
async fn who_was_erased_is_not_taken_in_again_and_stays_suppressed_until_readmitted() {
    for app in TestApp::on_each_database(CODE).await {
        let store = &app.database.store;
        let serving = app.serves().await;
        let profile = app.given_profile("bo").await;
        app.given_profile_with("twin", |twin| twin.address.clone_from(&profile.address)).await;
        store.erase(&profile.id, app.now()).await.unwrap().unwrap();
        let twin = store.profile(&given::id("twin")).await.unwrap().unwrap();
        assert_eq!(twin.address, None, "an erased address is nobody's");

        assert_eq!(store.upsert_profiles(std::slice::from_ref(&profile), app.now()).await.unwrap().erased, 1);
        let mut renamed = profile.clone();
        renamed.id = given::id("bo-again");
        assert_eq!(
            store.upsert_profiles(&[renamed, given::profile("cy")], app.now()).await.unwrap().erased,
            1
        );
        let track = json!({"userId": "bo", "event": "Product Viewed", "messageId": "m", "properties": {"product_id": "p"}});
        assert_eq!(serving.post("/v1/track", &track).await.status, 200, "the client need not know");
        store.insert_events(&[given::event("bo", "m2", "Product Viewed", app.now())]).await.unwrap();
        for id in ["bo", "bo-again"] {
            assert_eq!(store.person(&given::id(id)).await.unwrap(), BTreeMap::new());
        }
        let send = serving.post("/v1/send", &json!({"campaign": "code", "address": "BO@example.test"})).await;
        assert_eq!(send.status, 409, "{send:?}");
        let key = "bo@example.test".to_owned();
        let suppressed = store.suppressions_of(std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(
            (suppressed[&key][0].topic.as_str(), suppressed[&key][0].reason.as_str()),
            (EVERY_TOPIC, "erased")
        );

        assert_eq!(store.remove_tombstone(Named::Address, &key).await.unwrap(), 1);
        assert_eq!(store.remove_tombstone(Named::Profile, "bo").await.unwrap(), 1);
        assert_eq!(store.upsert_profiles(&[profile], app.now()).await.unwrap().inserted, 1);
        assert!(store.suppressions_of(&[key]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn no_way_leads_back_for_who_was_erased() {
    for app in TestApp::on_each_database(CODE).await {
        let store = &app.database.store;
        let serving = app.serves().await;
        let (bo, guest) = (given::id("bo"), given::id("anon:guest"));
        app.given_profile("bo").await;
        store.erase(&bo, app.now()).await.unwrap().unwrap();

        let anew = json!({"campaign": "code", "profile": "bo", "address": "new@example.test"});
        assert_eq!(serving.post("/v1/send", &anew).await.status, 409);
        let decide = json!({"campaign": "code", "profile": "bo"});
        assert!(serving.post("/v1/decide", &decide).await.status < 500);
        let seen = json!({"anonymousId": "guest", "event": "Product Viewed", "messageId": "m", "properties": {"product_id": "p"}});
        assert_eq!(serving.post("/v1/track", &seen).await.status, 200);
        let who = json!({"anonymousId": "guest", "userId": "bo", "traits": {"email": "new@example.test"}});
        assert_eq!(serving.post("/v1/identify", &who).await.status, 200, "the client need not know");
        assert_eq!(store.person(&bo).await.unwrap(), BTreeMap::new(), "{}", app.database.name());
        assert_eq!(store.resolve(&guest).await.unwrap(), guest);
        assert_eq!(store.person(&guest).await.unwrap()["events"].len(), 1, "a stranger stays one");
        assert!(app.sends().await.is_empty());
    }
}

#[tokio::test]
async fn what_is_older_than_it_may_be_is_pruned_in_small_steps_and_the_rest_stays() {
    for app in TestApp::on_each_database(CODE).await {
        let store = &app.database.store;
        let serving = app.serves().await;
        given_somebody_everywhere(&app, &serving).await;
        let events: Vec<_> = (0..2_500)
            .map(|n| {
                given::event(
                    "many",
                    &format!("old{n}"),
                    "Product Viewed",
                    app.now() - SignedDuration::from_hours(500),
                )
            })
            .collect();
        store.upsert_profiles(&[given::profile("many")], app.now()).await.unwrap();
        store.insert_events(&events).await.unwrap();
        store.insert_events(&[given::event("many", "new", "Product Viewed", app.now())]).await.unwrap();
        let before = app.now() - SignedDuration::from_hours(1);
        for what in Pruned::ALL {
            let expected = if what == Pruned::Events { 2_500 } else { 0 };
            assert_eq!(store.count_prunable(what, before).await.unwrap(), expected, "{what:?}");
            assert_eq!(store.prune(what, before, &|_| {}).await.unwrap(), expected, "{what:?}");
        }
        let everything = app.now() + SignedDuration::from_hours(1);
        let rows = async |table: &str| -> usize {
            let person = store.person(&given::id(CANARY)).await.unwrap();
            person.get(table).map_or(0, Vec::len)
        };
        assert_eq!(
            (rows("hits").await, rows("attachments").await, rows("idempotency_keys").await),
            (1, 1, 1)
        );
        for what in Pruned::ALL {
            let count = store.count_prunable(what, everything).await.unwrap();
            assert_eq!(store.prune(what, everything, &|_| {}).await.unwrap(), count, "{what:?}");
            assert!(count > 0, "{what:?}");
            assert_eq!(store.count_prunable(what, everything).await.unwrap(), 0);
        }
        for table in
            ["hits", "attachments", "idempotency_keys", "attempts", "decisions", "web_decisions", "events"]
        {
            assert_eq!(rows(table).await, 0, "{table} of {}", app.database.name());
        }
        assert_eq!(
            (rows("sends").await, rows("consents").await),
            (1, 2),
            "what waits, and proof of consent, stay"
        );
    }
}

#[test]
fn a_key_of_a_request_is_kept_for_at_least_a_day() {
    assert_eq!(Retention::default().idempotency_keys_hours, 48);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bespoke.toml");
    std::fs::write(&file, "[retention]\nidempotency_keys_hours = 23\n").unwrap();
    let (environment, flags) =
        (bespoke::config::Environment::default(), bespoke::config::Overrides::default());
    let error = bespoke::config::Config::load(Some(&file), &environment, &flags).unwrap_err().to_string();
    assert!(error.contains("retention.idempotency_keys_hours"), "{error}");
}

/// Runs the program on a database of its own.
fn bespoke(folder: &std::path::Path, words: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bespoke"))
        .env("BESPOKE_DATABASE_URL", format!("sqlite://{}", folder.join("b.db").display()))
        .current_dir(folder)
        .args(words)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_person_is_shown_exported_erased_and_refused_at_the_next_import_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("people.csv");
    std::fs::write(
        &list,
        format!("id,email,first_name\n{CANARY},{CANARY}@example.test,{CANARY}\nana,ana@example.test,Ana\n"),
    )
    .unwrap();
    let run = |words: &[&str]| bespoke(folder.path(), words);
    let list = list.display().to_string();
    let imported = run(&["import", "profiles", &list]);
    assert!(imported.0, "{imported:?}");
    let (_, shown, _) = run(&["profile", "show", CANARY]);
    assert!(shown.contains(&format!("{CANARY}@example.test")) && shown.contains("1 in profiles"), "{shown}");
    let export: Value = serde_json::from_str(&run(&["profile", "export", CANARY]).1).unwrap();
    assert_eq!(export["tables"]["profiles"][0]["traits"]["first_name"], json!(CANARY));
    let (done, _, error) = run(&["profile", "erase", CANARY]);
    assert!(!done && error.contains("--yes"), "{error}");
    let (done, erased, error) = run(&["profile", "erase", CANARY, "--yes"]);
    assert!(done && erased.contains("1 deleted from profiles"), "{erased} {error}");
    for end in ["", "-wal"] {
        assert!(!bytes_hold(&format!("{}{end}", folder.path().join("b.db").display()), CANARY));
    }
    let (_, again, _) = run(&["import", "profiles", &list]);
    assert!(
        again.contains("1 unchanged") && again.contains("1 was left out, because the person was erased"),
        "{again}"
    );
    assert!(run(&["profile", "readmit", &format!("{CANARY}@example.test")]).0);
    assert!(run(&["profile", "readmit", CANARY]).0);
    assert!(!run(&["profile", "readmit", CANARY]).0, "once");
    assert!(run(&["import", "profiles", &list]).1.contains("1 profile loaded"));
    let (done, pruned, _) = run(&["prune", "--dry-run"]);
    assert!(done && pruned.contains("kept for ever") && pruned.contains("would go"), "{pruned}");
    assert!(EmailAddress::parse(&format!("{CANARY}@example.test")).is_ok());
}

#[test]
fn keys_are_made_listed_without_their_secret_and_revoked_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| bespoke(folder.path(), words);
    let (done, key, note) = run(&["keys", "create", "web shop", "--scope", "send,decide"]);
    assert!(done && note.contains("the only time"), "{note}");
    let id = bespoke::http::key::id_of(key.trim()).unwrap();
    let (_, list, _) = run(&["keys", "list"]);
    assert!(list.contains(id) && list.contains("web shop") && list.contains("active"), "{list}");
    assert!(
        !list.contains(key.trim())
            && !bytes_hold(&folder.path().join("b.db").display().to_string(), key.trim())
    );
    assert!(run(&["keys", "revoke", id]).0);
    assert!(run(&["keys", "list"]).1.contains("revoked"));
    assert!(!run(&["keys", "revoke", id]).0, "once");
    assert!(!run(&["keys", "create", "x", "--scope", "everything"]).0);
    assert_eq!(Scope::parse("everything"), None);
}
