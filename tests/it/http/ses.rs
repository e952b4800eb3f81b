//! Amazon SES through SNS, signed with a key of the test's own in Amazon's place.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use serde_json::json;

use super::bounces::TOPIC;
use super::bounces::amazon;
use super::bounces::calls;
use super::bounces::reports;
use crate::feedback::suppressed;
use crate::feedback::with_two_mails;
use crate::support::TestApp;

/// A key of our own in Amazon's place: its certificate, and calls that it signs.
struct Signer(RsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// As much of an X.509 certificate as says which key it is.
    fn certificate(&self) -> String {
        let element = |tag: u8, content: &[u8]| {
            let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, high, low], content].concat()
        };
        let key = self.0.public_key().as_der().unwrap();
        let serial_to_subject = [&[2, 1, 1][..], &element(0x30, &[]).repeat(4)].concat();
        let certificate = element(0x30, &element(0x30, &[&serial_to_subject, key.as_ref()].concat()));
        let text = STANDARD.encode(certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// A call of this kind, signed.
    fn call(&self, amazon: &str, kind: &str, fields: &[(&str, String)], now: Timestamp) -> String {
        let mut fields: Vec<(&str, String)> = fields.to_vec();
        fields.extend([
            ("Timestamp", now.to_string()),
            ("TopicArn", TOPIC.to_owned()),
            ("Type", kind.to_owned()),
        ]);
        fields.sort();
        let text = fields.iter().fold(String::new(), |text, (name, value)| text + name + "\n" + value + "\n");
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        let mut call = json!({
            "Signature": STANDARD.encode(signature), "SignatureVersion": "2",
            "SigningCertURL": format!("{amazon}/x.pem"),
        });
        for (name, value) in fields {
            call[name] = json!(value);
        }
        call.to_string()
    }

    fn confirmation(&self, amazon: &str, path: &str, now: Timestamp) -> String {
        let fields = [
            ("Message", "You have chosen to subscribe".to_owned()),
            ("MessageId", "m-1".to_owned()),
            ("SubscribeURL", format!("{amazon}{path}")),
            ("Token", "t".to_owned()),
        ];
        self.call(amazon, "SubscriptionConfirmation", &fields, now)
    }

    fn notification(&self, amazon: &str, message: &Value, now: Timestamp) -> String {
        let fields = [("Message", message.to_string()), ("MessageId", "m-2".to_owned())];
        self.call(amazon, "Notification", &fields, now)
    }
}

#[tokio::test]
async fn a_subscription_is_confirmed_at_the_address_that_was_signed_and_nowhere_else() {
    let mut app = TestApp::on_sqlite(&[]).await;
    app.config.feedback.ses_topics = vec![TOPIC.to_owned()];
    app.config.webhooks.allow_private = true;
    let signer = Signer::new();
    let (amazon, asked) = amazon(signer.certificate()).await;
    let serving = app.serves().await;
    let asked = || std::mem::take(&mut *asked.lock().unwrap());
    let call = signer.confirmation(&amazon, "/?Action=ConfirmSubscription", app.now());
    let done = calls(&serving, "ses", &[("x-amz-sns-topic-arn", TOPIC)], &call).await;
    assert_eq!((done.status, done.json()), (200, json!({"reports": []})));
    assert_eq!(asked(), ["GET /x.pem HTTP/1.1", "GET /?Action=ConfirmSubscription HTTP/1.1"]);

    // Another address than the signed one, and one that is not Amazon's at all.
    let changed = call.replace("ConfirmSubscription\"", "DeleteTopic\"");
    assert_ne!(changed, call);
    assert_eq!(calls(&serving, "ses", &[], &changed).await.status, 403);
    let elsewhere = signer.confirmation("https://evil.test", "/", app.now());
    let elsewhere = elsewhere.replace("https://evil.test/x.pem", &format!("{amazon}/x.pem"));
    assert_eq!(calls(&serving, "ses", &[], &elsewhere).await.status, 403);
    assert_eq!(asked(), Vec::<String>::new());
    // Amazon does not answer: it is to call again.
    let gone = signer.confirmation(&amazon, "/gone", app.now());
    assert_eq!(calls(&serving, "ses", &[], &gone).await.status, 502);
}

#[tokio::test]
async fn a_bounce_and_a_complaint_that_amazon_signed_act_once_and_no_changed_ones_do() {
    let signer = Signer::new();
    for mut app in TestApp::on_each_database(&[]).await {
        let (send, other) = with_two_mails(&app).await;
        app.config.feedback.ses_topics = vec![TOPIC.to_owned()];
        app.config.webhooks.allow_private = true;
        let (amazon, _) = amazon(signer.certificate()).await;
        let serving = app.serves().await;
        let store = &app.database.store;
        let bounce = json!({
            "notificationType": "Bounce",
            "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "feedbackId": "f-1", "bouncedRecipients": [
                {"emailAddress": "ana@example.test", "action": "failed", "status": "5.1.1",
                 "diagnosticCode": "smtp; 550 5.1.1 user unknown"}]},
            "mail": {"headers": [{"name": "Message-ID", "value": format!("<{send}@shop.test>")}]},
        });
        let complaint = json!({
            "notificationType": "Complaint",
            "complaint": {"feedbackId": "f-2", "complaintFeedbackType": "abuse",
                          "complainedRecipients": [{"emailAddress": "bo@example.test"}]},
            "mail": {"commonHeaders": {"messageId": format!("<{other}@shop.test>")}},
        });
        let call = signer.notification(&amazon, &bounce, app.now());
        let changed = call.replace("ana@example.test", "bo@example.test");
        assert_eq!(calls(&serving, "ses", &[], &changed).await.status, 403);
        let stranger = Signer::new().notification(&amazon, &bounce, app.now());
        assert_eq!(calls(&serving, "ses", &[], &stranger).await.status, 403);
        assert_eq!(suppressed(store, "ana@example.test").await, []);
        for verdict in ["applied", "known"] {
            let done = calls(&serving, "ses", &[("x-amz-sns-topic-arn", TOPIC)], &call).await;
            assert_eq!(done.json(), reports("hard_bounce", verdict, &send), "on {}", app.database.name());
        }
        let call = signer.notification(&amazon, &complaint, app.now());
        assert_eq!(calls(&serving, "ses", &[], &call).await.json(), reports("complaint", "applied", &other));
        let pair = |topic: &str, reason: &str| vec![(topic.to_owned(), reason.to_owned())];
        assert_eq!(suppressed(store, "ana@example.test").await, pair("*", "hard_bounce"));
        assert_eq!(suppressed(store, "bo@example.test").await, pair("lifecycle", "complaint"));
    }
}
