//! Bounces over HTTP: raw mails and the calls of four providers, signed by tools that are not ours.

use std::sync::Arc;

use bespoke::feedback::providers::CallError;
use bespoke::feedback::providers::sendgrid;
use bespoke::feedback::providers::ses::SnsCall;
use bespoke::http::Scope;
use bespoke::outward::Reach;
use bespoke::send::SendId;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use jiff::Timestamp;
use mail_parser::MessageParser;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use serde_json::json;
use sha2::Sha256;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::feedback::dsn;
use crate::feedback::keyring;
use crate::feedback::suppressed;
use crate::feedback::with_two_mails;
use crate::support::TestApp;
use crate::support::service::Answer;
use crate::support::service::Serving;
use crate::support::service::answer;

pub(super) const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:bounces";

pub(super) async fn calls(
    serving: &Serving,
    provider: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let request = serving.request(Method::POST, &format!("/v1/webhooks/{provider}"));
    answer(request.headers(map).body(body.to_owned())).await
}

pub(super) fn reports(kind: &str, verdict: &str, send: &SendId) -> Value {
    json!({"reports": [{"kind": kind, "verdict": verdict, "send": send}]})
}

#[tokio::test]
async fn a_raw_bounce_is_taken_with_a_key_and_acts_once() {
    for app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        let serving = app.serves().await;
        let to = format!("{}@shop.test", keyring(&app).await.sign_return_path(&send));
        let mail = dsn(&to, "1@mx", "ana@example.test", "5.1.1", "550 5.1.1 user unknown");
        let post = async |key: &str, mail: &str| {
            let request =
                serving.request(Method::POST, "/v1/bounces").header("content-type", "message/rfc822");
            answer(request.bearer_auth(key).body(mail.to_owned())).await
        };
        assert_eq!(post("none", &mail).await.status, 401);
        assert_eq!(post(&app.key_for(&[Scope::Send]).await, &mail).await.status, 403);
        assert_eq!(suppressed(&app.database.store, "ana@example.test").await, []);
        assert_eq!(post(&serving.key, &mail).await.json(), reports("hard_bounce", "applied", &send));
        assert_eq!(post(&serving.key, &mail).await.json(), reports("hard_bounce", "known", &send));
        assert_eq!(post(&serving.key, "hello").await.json(), json!({"reports": []}));
        assert_eq!(post(&serving.key, &"x".repeat(10 * 1024 * 1024 + 1)).await.status, 413);
        assert_eq!(suppressed(&app.database.store, "ana@example.test").await.len(), 1);
    }
}

#[tokio::test]
async fn providers_that_are_not_configured_are_not_believed() {
    let app = TestApp::on_sqlite(&[]).await;
    let serving = app.serves().await;
    for provider in ["ses", "sendgrid", "postmark", "mailgun"] {
        assert_eq!(calls(&serving, provider, &[], "{}").await.status, 404, "{provider}");
    }
}

#[tokio::test]
async fn postmark_is_known_by_its_secret() {
    for mut app in TestApp::on_each_database(&[]).await {
        app.config.feedback.postmark_basic_auth = Some("hook:secret".into());
        let (send, other) = with_two_mails(&app).await;
        let serving = app.serves().await;
        let body = json!({
            "RecordType": "Bounce", "ID": 42, "Type": "HardBounce", "Email": "ana@example.test",
            "Details": "smtp;550 5.1.1 user unknown", "MessageID": format!("{send}@shop.test"),
        })
        .to_string();
        for wrong in ["Basic aG9vazp3cm9uZw==", "Basic %%", "Bearer x"] {
            assert_eq!(calls(&serving, "postmark", &[("authorization", wrong)], &body).await.status, 403);
        }
        let right = [("authorization", "Basic aG9vazpzZWNyZXQ=")];
        let done = calls(&serving, "postmark", &right, &body).await;
        assert_eq!(done.json(), reports("hard_bounce", "applied", &send));
        // Postmark gives mails its own Message-IDs and return paths; what comes back is what went along.
        let mail = app.mails().into_iter().find(|mail| mail.send == other).unwrap();
        let mail = MessageParser::new().parse(&mail.bytes).unwrap();
        let header = |name: &str| mail.header(name).and_then(|value| value.as_text()).unwrap().to_owned();
        assert_eq!(header("X-PM-KeepID"), "true");
        let metadata = json!({"send": header("X-PM-Metadata-send")});
        let complaint = json!({
            "RecordType": "SpamComplaint", "ID": 43, "Email": "bo@example.test", "Metadata": metadata,
            "MessageID": "00000000-0000-0000-0000-000000000000",
        });
        let done = calls(&serving, "postmark", &right, &complaint.to_string()).await;
        assert_eq!(done.json(), reports("complaint", "applied", &other));
        let unreadable = calls(&serving, "postmark", &right, "{").await;
        assert_eq!((unreadable.status, unreadable.header("content-type")), (422, "application/problem+json"));
        assert_eq!(suppressed(&app.database.store, "ana@example.test").await.len(), 1);
    }
}

#[tokio::test]
async fn strangers_are_refused_before_their_bodies_are_read() {
    let mut app = TestApp::on_sqlite(&[]).await;
    app.config.feedback.postmark_basic_auth = Some("hook:secret".into());
    app.config.feedback.sendgrid_public_key = Some(SENDGRID_KEY.to_owned());
    app.config.feedback.ses_topics = vec![TOPIC.to_owned()];
    let serving = app.serves().await;
    for (path, header, expected) in [
        ("/v1/bounces", "Authorization: Bearer bsp_x_y", "401"),
        ("/v1/webhooks/postmark", "Authorization: Basic aG9vazp3cm9uZw==", "403"),
        ("/v1/webhooks/sendgrid", "X-Twilio-Email-Event-Webhook-Timestamp: 1600112502", "403"),
        ("/v1/webhooks/ses", "x-amz-sns-topic-arn: arn:aws:sns:us-east-1:999999999999:theirs", "403"),
        ("/v1/webhooks/mailgun", "Accept: */*", "404"),
    ] {
        let address = serving.url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{header}\r\nContent-Length: 900000\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), format!("HTTP/1.1 {expected}"), "{path}");
    }
}

#[tokio::test]
async fn mailgun_signs_time_and_token() {
    for mut app in TestApp::on_each_database(&[]).await {
        let (send, _) = with_two_mails(&app).await;
        app.config.feedback.mailgun_signing_key = Some("key".into());
        let serving = app.serves().await;
        let call = |seconds: i64, key: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
            mac.update(format!("{seconds}token").as_bytes());
            let digits = mac.finalize().into_bytes();
            let hex = digits.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            json!({
                "signature": {"timestamp": seconds.to_string(), "token": "token", "signature": hex},
                "event-data": {"event": "complained", "id": "e1", "recipient": "ana@example.test",
                               "message": {"headers": {"message-id": format!("{send}@shop.test")}}},
            })
            .to_string()
        };
        let now = app.now().as_second();
        for refused in [call(now, "another"), call(now - 25 * 3_600, "key"), call(now + 600, "key")] {
            assert_eq!(calls(&serving, "mailgun", &[], &refused).await.status, 403);
        }
        assert_eq!(
            calls(&serving, "mailgun", &[], &call(now, "key")).await.json(),
            reports("complaint", "applied", &send)
        );
        assert_eq!(
            calls(&serving, "mailgun", &[], &call(now, "key")).await.json(),
            reports("complaint", "known", &send)
        );
    }
}

/// The example of SendGrid's own client libraries.
const SENDGRID_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const SENDGRID_SIGNATURE: &str =
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
const SENDGRID_BODY: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";

#[test]
fn sendgrids_own_example_verifies_and_nothing_else_does() {
    let at = Timestamp::from_second(1_600_112_502).unwrap();
    let read = |body: &str, signature: &str, stamp: &str, now| {
        sendgrid::check_time(stamp, now)?;
        sendgrid::read(body.as_bytes(), signature, stamp, SENDGRID_KEY)
    };
    let found = read(SENDGRID_BODY, SENDGRID_SIGNATURE, "1600112502", at).unwrap();
    assert_eq!(found[0].reports[0].recipient.as_deref(), Some("hello@world.com"));
    assert_eq!(found[0].origin.message_ids, ["LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net"]);
    let unproven = |result: Result<_, CallError>| matches!(result, Err(CallError::Unproven(_)));
    assert!(unproven(read(SENDGRID_BODY.trim(), SENDGRID_SIGNATURE, "1600112502", at)));
    assert!(unproven(read(SENDGRID_BODY, SENDGRID_SIGNATURE, "1600112503", at)));
    assert!(unproven(read(SENDGRID_BODY, "AAAA", "1600112502", at)));
    let late = at + jiff::SignedDuration::from_hours(25);
    assert!(unproven(read(SENDGRID_BODY, SENDGRID_SIGNATURE, "1600112502", late)));
}

/// Calls that OpenSSL signed, and their certificate.
fn sns() -> Value {
    serde_json::from_str(include_str!("sns.json")).unwrap()
}

#[test]
fn both_signatures_of_amazon_verify_and_no_changed_call_does() {
    let sns = sns();
    let certificate = sns["certificate"].as_str().unwrap().as_bytes();
    let topics = [TOPIC.to_owned()];
    let now: Timestamp = "2026-03-02T10:05:00Z".parse().unwrap();
    let verify =
        |call: &Value, now| SnsCall::read(call.to_string().as_bytes(), &topics)?.verify(certificate, now);
    for call in sns["calls"].as_array().unwrap() {
        assert_eq!(verify(call, now), Ok(()), "{call}");
        assert!(verify(call, now + jiff::SignedDuration::from_hours(25)).is_err(), "an old stamp");
        for (key, value) in [
            ("Message", "{}"),
            ("MessageId", "m-2"),
            ("Timestamp", "2026-03-02T10:00:00.001Z"),
            ("Type", "UnsubscribeConfirmation"),
            ("SignatureVersion", "3"),
            ("TopicArn", "arn:aws:sns:us-east-1:999999999999:theirs"),
        ] {
            let mut changed = call.clone();
            changed[key] = json!(value);
            assert!(verify(&changed, now).is_err(), "{key}");
        }
    }
    let mut elsewhere = sns["calls"][0].clone();
    elsewhere["SigningCertURL"] = json!("https://evil.test/x.pem");
    let call = SnsCall::read(elsewhere.to_string().as_bytes(), &topics).unwrap();
    assert!(call.certificate_url(Reach::Public).is_err());
}

/// A double of Amazon's host: serves the certificate, and notes what was asked for.
pub(super) async fn amazon(certificate: String) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..length]).lines().next().unwrap().to_owned();
            let length = certificate.len();
            let status = if line.contains("/gone") { "500 Oops" } else { "200 OK" };
            noted.lock().unwrap().push(line);
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{certificate}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test]
async fn amazon_is_asked_for_its_certificate_once_and_subscriptions_are_confirmed() {
    for mut app in TestApp::on_each_database(&[]).await {
        with_two_mails(&app).await;
        let sns = sns();
        let (amazon, asked) = amazon(sns["certificate"].as_str().unwrap().to_owned()).await;
        app.config.feedback.ses_topics = vec![TOPIC.to_owned()];
        let with_certificate = |call: &Value| {
            let mut call = call.clone();
            call["SigningCertURL"] = json!(format!("{amazon}/x.pem"));
            call.to_string()
        };
        let strict = app.serves().await;
        let private = calls(&strict, "ses", &[], &with_certificate(&sns["calls"][0])).await;
        assert_eq!((private.status, asked.lock().unwrap().len()), (403, 0), "nothing private is called");

        app.config.webhooks.allow_private = true;
        let serving = app.serves().await;
        for call in &sns["calls"].as_array().unwrap()[..2] {
            let done = calls(&serving, "ses", &[], &with_certificate(call)).await.json();
            assert_eq!(done["reports"][0]["kind"], "hard_bounce");
            assert_eq!(done["reports"][0]["verdict"], "unproven", "no send of ours has this id");
        }
        assert_eq!(*asked.lock().unwrap(), ["GET /x.pem HTTP/1.1"]);
        let call = SnsCall::read(sns["calls"][2].to_string().as_bytes(), &[TOPIC.to_owned()]).unwrap();
        let confirmation = call.confirmation_url(Reach::Public).unwrap().unwrap();
        assert_eq!(confirmation.as_str(), "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription");
    }
}
