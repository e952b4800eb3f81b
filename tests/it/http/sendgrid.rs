//! SendGrid's signed webhook, from the call to what follows, signed with a key of the test's own.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
use aws_lc_rs::signature::EcdsaKeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::json;

use crate::feedback::suppressed;
use crate::feedback::with_two_mails;
use crate::support::TestApp;
use crate::support::service::Answer;
use crate::support::service::answer;

#[tokio::test]
async fn what_sendgrid_signed_acts_once_and_what_it_did_not_sign_never() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    for mut app in TestApp::on_each_database(&[]).await {
        let (send, other) = with_two_mails(&app).await;
        app.config.feedback.sendgrid_public_key = Some(STANDARD.encode(public.as_ref()));
        let serving = app.serves().await;
        let store = &app.database.store;
        let body = json!([
            {"email": "ana@example.test", "event": "bounce", "type": "bounce", "status": "5.1.1",
             "reason": "550 5.1.1 user unknown", "sg_event_id": "e1", "smtp-id": format!("<{send}@shop.test>")},
            {"email": "bo@example.test", "event": "spamreport", "sg_event_id": "e2",
             "smtp-id": format!("<{other}@shop.test>")},
            {"email": "ana@example.test", "event": "delivered", "sg_event_id": "e3"},
        ])
        .to_string();
        let calls = async |body: &str, stamp: i64, signed: &str| -> Answer {
            let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            let request = serving
                .request(Method::POST, "/v1/webhooks/sendgrid")
                .header("x-twilio-email-event-webhook-signature", STANDARD.encode(signature.as_ref()))
                .header("x-twilio-email-event-webhook-timestamp", stamp.to_string());
            answer(request.body(body.to_owned())).await
        };
        let now = app.now().as_second();
        let changed = body.replace("ana@", "bo@");
        for (body, stamp, signed) in [
            (changed.as_str(), now, format!("{now}{body}")),
            (body.as_str(), now + 1, format!("{now}{body}")),
            (body.as_str(), now - 25 * 3_600, format!("{}{body}", now - 25 * 3_600)),
            (body.as_str(), now, body.clone()),
        ] {
            assert_eq!(calls(body, stamp, &signed).await.status, 403);
        }
        assert_eq!(suppressed(store, "ana@example.test").await, []);
        assert_eq!(suppressed(store, "bo@example.test").await, []);
        for verdict in ["applied", "known"] {
            let expected = json!({"reports": [
                {"kind": "hard_bounce", "verdict": verdict, "send": send},
                {"kind": "complaint", "verdict": verdict, "send": other},
            ]});
            assert_eq!(calls(&body, now, &format!("{now}{body}")).await.json(), expected);
        }
        let pair = |topic: &str, reason: &str| vec![(topic.to_owned(), reason.to_owned())];
        assert_eq!(suppressed(store, "ana@example.test").await, pair("*", "hard_bounce"));
        assert_eq!(suppressed(store, "bo@example.test").await, pair("lifecycle", "complaint"));
    }
}
