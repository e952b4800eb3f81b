//! The HTTP service, asked over the network as its clients ask.

mod bounces;
mod bounds;
mod consent;
mod decide;
mod hard;
mod joining;
mod languages;
mod mailed;
mod popup;
mod public_keys;
mod schema;
mod segment;
mod send;
mod sendgrid;
mod ses;
mod told;
mod tracking;
mod units;
mod unsubscribe;

use bespoke::http::Scope;
use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;
use crate::support::service::answer;

#[tokio::test]
async fn it_says_that_it_lives_and_what_there_is_to_ask_for() {
    for app in TestApp::on_each_database(&[]).await {
        let serving = app.serves().await;
        for path in ["/healthz", "/readyz"] {
            let answer = answer(serving.request(Method::GET, path)).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
        let description = serving.get("/openapi.json").await.json();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1"), "{description}");
        assert!(description["paths"]["/healthz"]["get"].is_object());
        let page = serving.get("/docs").await;
        assert!(page.text.contains("GET /healthz") && !page.text.contains("<script"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_and_not_a_page() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let nothing = serving.get("/v1/nothing").await;
    assert_eq!(nothing.header("content-type"), "application/problem+json");
    let detail = "there is nothing at /v1/nothing; /openapi.json lists what there is";
    assert_eq!(nothing.json(), json!({"status": 404, "title": "Not Found", "detail": detail}));
    let method = serving.post("/healthz", &json!({})).await;
    assert_eq!((method.status, method.header("content-type")), (405, "application/problem+json"));
}

#[tokio::test]
async fn without_its_database_it_is_not_ready_and_says_when_to_come_back() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    app.database.store.close().await;
    let ready = serving.get("/readyz").await;
    assert_eq!((ready.status, ready.header("retry-after")), (503, "5"), "{ready:?}");
    assert_eq!(serving.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
    let mut app = TestApp::on_sqlite(&[]).await;
    app.config.http.requests_per_minute_per_key = 2;
    let serving = app.serves().await;
    let statuses = [serving.get("/metrics").await.status, serving.get("/metrics").await.status];
    assert_eq!(statuses, [200, 200]);
    let refused = serving.get("/metrics").await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{refused:?}");
    assert_eq!((refused.status, &refused.json()["status"]), (429, &json!(429)));
    let other = app.key_for(&[Scope::Metrics]).await;
    let request = serving.request(Method::GET, "/metrics").bearer_auth(other);
    assert_eq!(answer(request).await.status, 200);
}
