//! Segment's calls, from raw HTTP and from its own clients.

use bespoke::event::Event;
use bespoke::http::Scope;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given::id;
use crate::support::judge;
use crate::support::service::Serving;
use crate::support::service::answer;

async fn events_of(app: &TestApp, name: &str) -> Vec<Event> {
    let id = id(name);
    app.database.store.events_of(std::slice::from_ref(&id)).await.unwrap().remove(&id).unwrap_or_default()
}

async fn names_of(app: &TestApp, name: &str) -> Vec<String> {
    events_of(app, name).await.into_iter().map(|event| event.name).collect()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_somebody_does_before_signing_in_is_theirs_afterwards() {
    for app in TestApp::on_each_database(&[]).await {
        let serving = app.serves().await;
        let viewed = |product: &str, message: &str| json!({"anonymousId": "x", "event": "Product Viewed", "messageId": message, "properties": {"product_id": product}});
        assert_eq!(serving.post("/v1/track", &viewed("p1", "m1")).await.json(), json!({"success": true}));
        let traits = json!({"email": "ana@example.test", "firstName": "Ana", "consent": "granted"});
        let identify = json!({"userId": "ana", "anonymousId": "x", "traits": traits});
        assert_eq!(serving.post("/v1/identify", &identify).await.status, 200);
        assert_eq!(serving.post("/v1/track", &viewed("p2", "m2")).await.status, 200);
        assert_eq!(serving.post("/v1/track", &viewed("p2", "m2")).await.status, 200, "a retry");

        let mut seen: Vec<Value> = events_of(&app, "ana")
            .await
            .into_iter()
            .map(|event| event.properties["product_id"].clone())
            .collect();
        seen.sort_by_key(Value::to_string);
        assert_eq!(seen, ["p1", "p2"], "{}", app.database.name());
        assert_eq!(names_of(&app, "anon:x").await, Vec::<String>::new());
        let visitor = app.database.store.profile(&id("anon:x")).await.unwrap();
        assert_eq!(visitor.map(|profile| profile.id), Some(id("ana")));
        assert_eq!(app.database.store.resolve(&id("anon:x")).await.unwrap(), id("ana"));
        let ana = app.database.store.profile(&id("ana")).await.unwrap().unwrap();
        assert_eq!(
            (ana.address.unwrap().as_str(), &ana.traits["first_name"]),
            ("ana@example.test", &json!("Ana"))
        );

        // Somebody else on the same machine: what ana did stays hers.
        let alias = json!({"userId": "bo", "previousId": "x"});
        assert_eq!(serving.post("/v1/alias", &alias).await.status, 200);
        assert_eq!(serving.post("/v1/track", &viewed("p3", "m3")).await.status, 200);
        assert_eq!((events_of(&app, "ana").await.len(), events_of(&app, "bo").await.len()), (2, 1));
    }
}

#[tokio::test]
async fn a_batch_is_kept_but_for_what_cannot_be() {
    for app in TestApp::on_each_database(&[]).await {
        let serving = app.serves().await;
        let body = json!({"batch": [
            {"type": "track", "userId": "ana", "event": "Signed Up", "messageId": "m1"},
            {"type": "track", "event": "Nobody", "messageId": "m2"},
            {"type": "identify", "userId": "ana", "traits": {"email": "ana@example.test"}},
            {"type": "page", "userId": "ana", "name": "\u{0} and more", "messageId": "m3"},
        ]});
        let reason = "userId and anonymousId are missing; state one of them";
        let expected =
            json!({"success": true, "rejected": [{"index": 1, "messageId": "m2", "reason": reason}]});
        let request = serving.request(Method::POST, "/v1/batch").basic_auth(&serving.key, Some(""));
        let request = request.header("content-encoding", "gzip").body(gzip(body.to_string().as_bytes()));
        assert_eq!(answer(request).await.json(), expected);
        let mut names = names_of(&app, "ana").await;
        names.sort();
        assert_eq!(names, ["Page Viewed", "Signed Up"]);
    }
}

#[tokio::test]
async fn whoever_has_no_key_of_that_scope_is_refused_and_nothing_is_kept() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let other = app.key_for(&[Scope::Metrics]).await;
    let body = json!({"userId": "ana", "event": "Signed Up"});
    for (key, expected) in [(None, 401), (Some("bsp_no_key"), 401), (Some(other.as_str()), 403)] {
        let request = serving.request(Method::POST, "/v1/track").json(&body);
        let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
        let answer = answer(request).await;
        assert_eq!((answer.status, answer.header("content-type")), (expected, "application/problem+json"));
    }
    assert_eq!(names_of(&app, "ana").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_too_much_or_no_json_is_said_so() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let send = async |body: Vec<u8>, encoding: &str| {
        let request = serving.request(Method::POST, "/v1/batch").bearer_auth(&serving.key);
        answer(request.header("content-encoding", encoding).body(body)).await
    };
    let large = format!("{{\"batch\": [], \"more\": \"{}\"}}", "x".repeat(600 * 1024));
    // Ten megabytes that open to ten gigabytes would be the same as these, only longer.
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    for (body, encoding, expected) in [
        (b"{".to_vec(), "identity", 400),
        (b"[]".to_vec(), "identity", 422),
        (b"{}".to_vec(), "identity", 422),
        (b"{}".to_vec(), "gzip", 400),
        (b"{}".to_vec(), "compress", 415),
        (large.clone().into_bytes(), "identity", 413),
        (gzip(large.as_bytes()), "gzip", 413),
        (bomb, "gzip", 413),
        ("[".repeat(100_000).into_bytes(), "identity", 400),
    ] {
        let answer = send(body, encoding).await;
        assert_eq!((answer.status, answer.header("content-type")), (expected, "application/problem+json"));
    }
}

#[tokio::test]
async fn what_was_not_committed_is_never_answered_with_200() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let body = json!({"userId": "ana", "event": "Signed Up", "messageId": "m1"});
    app.database.execute("alter table events rename to hidden").await;
    assert_eq!(serving.post("/v1/track", &body).await.status, 500);
    app.database.execute("alter table hidden rename to events").await;
    assert_eq!(serving.post("/v1/track", &body).await.status, 200);
    assert_eq!(names_of(&app, "ana").await, ["Signed Up"]);
}

/// What a client of Segment's own sends, and what is kept of it.
async fn keeps_what_a_client_sends(app: &TestApp, client: impl AsyncFnOnce(&Serving)) {
    let serving = app.serves().await;
    client(&serving).await;
    let mut kept: Vec<(String, Value)> = events_of(app, "ana")
        .await
        .into_iter()
        .map(|event| (event.name, event.properties.get("order_id").cloned().unwrap_or_default()))
        .collect();
    kept.sort_by_key(|(name, _)| name.clone());
    let expected =
        [("Group Joined", json!(null)), ("Order Completed", json!("a-1")), ("Page Viewed", json!(null))];
    assert_eq!(kept, expected.map(|(name, order)| (name.to_owned(), order)));
    let ana = app.database.store.profile(&id("ana")).await.unwrap().unwrap();
    assert_eq!(ana.address.map(|address| address.as_str().to_owned()).as_deref(), Some("ana@example.test"));
    assert_eq!(app.database.store.resolve(&id("anon:x")).await.unwrap(), id("ana"));
}

const PYTHON: &str = "\
import sys
import segment.analytics as analytics
analytics.host, analytics.write_key, analytics.gzip = sys.argv[1], sys.argv[2], True
def fail(error, items): sys.exit(f'{error} {items}')
analytics.on_error = fail
analytics.alias('x', 'ana')
analytics.identify('ana', {'email': 'ana@example.test'})
analytics.track('ana', 'Order Completed', {'order_id': 'a-1'})
analytics.page('ana', 'shop', 'home')
analytics.group('ana', 'club', {'plan': 'gold'})
analytics.shutdown()
";

const NODE: &str = "\
const { Analytics } = require('@segment/analytics-node');
const [host, writeKey] = process.argv.slice(-2);
const analytics = new Analytics({ host, writeKey, flushAt: 2 });
analytics.on('error', error => { console.error(error); process.exitCode = 1 });
analytics.alias({ previousId: 'x', userId: 'ana' });
analytics.identify({ userId: 'ana', traits: { email: 'ana@example.test' } });
analytics.track({ userId: 'ana', event: 'Order Completed', properties: { order_id: 'a-1' } });
analytics.page({ userId: 'ana', name: 'home' });
analytics.group({ userId: 'ana', groupId: 'club', traits: { plan: 'gold' } });
analytics.closeAndFlush().then(() => analytics.flush());
";

#[tokio::test]
async fn segments_python_client_works_unchanged() {
    let Some(python) = judge::python_with("segment.analytics") else { return };
    for app in TestApp::on_each_database(&[]).await {
        keeps_what_a_client_sends(&app, async |serving| {
            judge::run(&python, ".", &["-c", PYTHON, &serving.url, &serving.key]).await;
        })
        .await;
    }
}

#[tokio::test]
async fn segments_node_client_works_unchanged() {
    let Some(node) = judge::node() else { return };
    for app in TestApp::on_each_database(&[]).await {
        keeps_what_a_client_sends(&app, async |serving| {
            judge::run(&node, "target/node", &["-e", NODE, "--", &serving.url, &serving.key]).await;
        })
        .await;
    }
}
