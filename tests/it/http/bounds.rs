//! How much is taken, and what time things are taken to have happened at.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bespoke::event::EVENT_SIZE_BYTES_MAX;
use bespoke::event::Event;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given::id;
use crate::support::service::Answer;
use crate::support::service::Serving;
use crate::support::service::answer;

/// Segment's limit of a batch.
const BATCH_BYTES_MAX: usize = 500 * 1024;

async fn events(app: &TestApp) -> Vec<Event> {
    let ana = id("ana");
    let found = app.database.store.events_of(std::slice::from_ref(&ana)).await.unwrap();
    found.into_values().flatten().collect()
}

/// As it is, or compressed; by Basic auth with the key as user, as Segment's clients do it.
async fn posts(serving: &Serving, path: &str, body: &str, compressed: bool) -> Answer {
    let request = serving.request(Method::POST, path).basic_auth(&serving.key, Some(""));
    if !compressed {
        return answer(request.body(body.to_owned())).await;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_bytes()).unwrap();
    answer(request.header("content-encoding", "gzip").body(encoder.finish().unwrap())).await
}

/// A message of exactly so many bytes.
fn message(bytes: usize, message_id: &str) -> String {
    let message = |note: &str| {
        json!({"type": "track", "userId": "ana", "event": "Seen", "messageId": message_id, "properties": {"note": note}})
            .to_string()
    };
    let missing = bytes - message("").len();
    let message = message(&"x".repeat(missing));
    assert_eq!(message.len(), bytes);
    message
}

#[tokio::test]
async fn an_event_has_32_kilobytes_at_most_however_well_it_is_packed() {
    for app in TestApp::on_each_database(&[]).await {
        let serving = app.serves().await;
        for compressed in [false, true] {
            let (fits, large) =
                (message(EVENT_SIZE_BYTES_MAX, "fits"), message(EVENT_SIZE_BYTES_MAX + 1, "large"));
            assert_eq!(
                posts(&serving, "/v1/track", &fits, compressed).await.json(),
                json!({"success": true})
            );
            let refused = posts(&serving, "/v1/track", &large, compressed).await;
            assert_eq!((refused.status, refused.header("content-type")), (422, "application/problem+json"));
            // In a batch it costs only itself.
            let batch = format!("{{\"batch\": [{large}, {}]}}", message(1_000, "small"));
            let answer = posts(&serving, "/v1/batch", &batch, compressed).await.json();
            assert_eq!((&answer["success"], &answer["rejected"][0]["index"]), (&json!(true), &json!(0)));
            assert_eq!(answer["rejected"].as_array().unwrap().len(), 1);
        }
        let mut kept: Vec<String> = events(&app).await.into_iter().map(|event| event.id).collect();
        kept.sort();
        assert_eq!(kept, ["fits", "small"], "{}", app.database.name());
    }
}

#[tokio::test]
async fn a_batch_has_500_kilobytes_at_most_however_well_it_is_packed() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    let batch = |bytes: usize| {
        let start = format!("{{\"batch\": [{}], \"more\": \"", message(1_000, "one"));
        let end = "\"}";
        format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
    };
    for compressed in [false, true] {
        let large = posts(&serving, "/v1/batch", &batch(BATCH_BYTES_MAX + 1), compressed).await;
        assert_eq!((large.status, large.header("content-type")), (413, "application/problem+json"));
    }
    assert_eq!(events(&app).await, []);
    for compressed in [false, true] {
        let fits = posts(&serving, "/v1/batch", &batch(BATCH_BYTES_MAX), compressed).await;
        assert_eq!(fits.json(), json!({"success": true}));
    }
    assert_eq!(events(&app).await.len(), 1);
}

#[tokio::test]
async fn times_of_a_wrong_clock_are_corrected_by_when_it_says_that_it_sent() {
    for app in TestApp::on_each_database(&[]).await {
        let serving = app.serves().await;
        // It is 2026-03-02T09:00. This clock is a year behind; it tells of half an hour ago, in each place that Segment
        // has for it.
        let (then, sent) = ("2025-03-02T08:30:00Z", "2025-03-02T09:00:00Z");
        let single =
            json!({"userId": "ana", "event": "One", "messageId": "1", "timestamp": then, "sentAt": sent});
        let group = json!({"userId": "ana", "groupId": "club", "traits": {"plan": "gold"}, "messageId": "2",
                           "originalTimestamp": then, "sentAt": sent});
        let page =
            json!({"userId": "ana", "name": "home", "messageId": "3", "timestamp": "2026-03-02T08:30:00Z"});
        let batch = json!({"sentAt": sent, "batch": [
            {"type": "track", "userId": "ana", "event": "Four", "messageId": "4", "timestamp": then},
        ]});
        for (path, body) in
            [("/v1/track", single), ("/v1/group", group), ("/v1/page", page), ("/v1/batch", batch)]
        {
            let answer = posts(&serving, path, &body.to_string(), false).await;
            assert_eq!(answer.json(), json!({"success": true}), "{path}");
        }
        let mut kept = events(&app).await;
        kept.sort_by_key(|event| event.id.clone());
        let seen: Vec<(String, String)> =
            kept.iter().map(|event| (event.name.clone(), event.at.to_string())).collect();
        let expected = ["One", "Group Joined", "Page Viewed", "Four"];
        assert_eq!(seen, expected.map(|name| (name.to_owned(), "2026-03-02T08:30:00Z".to_owned())));
        assert_eq!(
            Value::Object(kept[1].properties.clone()),
            json!({"group_id": "club", "plan": "gold"}),
            "{}",
            app.database.name()
        );
    }
}

#[tokio::test]
async fn files_of_a_mail_have_ten_megabytes_at_most_in_all() {
    let code: crate::support::app::Files<'_> = &[
        ("code/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
        (
            "code/any/code.mjml",
            "+++\nsubject = \"Your code\"\n+++\n<mj-section><mj-column><mj-text>Hello</mj-text></mj-column></mj-section>",
        ),
    ];
    let app = TestApp::on_sqlite(code).await;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    let half = 5 * 1024 * 1024;
    let ask = |second: usize| {
        let file = |bytes: usize| json!({"name": "a.pdf", "content_type": "application/pdf", "content": STANDARD.encode(vec![7_u8; bytes])});
        json!({"campaign": "code", "profile": "ana", "attachments": [file(half), file(second)]})
    };
    let refused = serving.post("/v1/send", &ask(half + 1)).await;
    assert_eq!((refused.status, refused.header("content-type")), (413, "application/problem+json"));
    assert_eq!(app.sends().await, []);
    assert_eq!(serving.post("/v1/send", &ask(half)).await.status, 202);
}
