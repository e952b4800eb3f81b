//! What other systems are told: every event once it is taken, signed as the standard says, and only where it may go.

use std::sync::Arc;
use std::sync::Mutex;

use bespoke::clock::Clock;
use bespoke::store::Arrival;
use bespoke::store::WebhookMessage;
use bespoke::store::WebhookSource;
use bespoke::webhook::Messenger;
use bespoke::webhook::Round;
use jiff::SignedDuration;
use jiff::ToSpan as _;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;

use crate::feedback::dsn;
use crate::feedback::keyring;
use crate::feedback::receives;
use crate::feedback::with_two_mails;
use crate::support::TestApp;
use crate::support::database::start;
use crate::support::given::id;
use crate::support::judge;
use crate::support::patience::until;
use crate::support::stores;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A call as the receiver got it: header lines, and the body.
pub(crate) type Call = (Vec<(String, String)>, String);

/// A receiver: answers with the status it was last told, and keeps what it was called with.
pub(crate) struct Receiver {
    url: String,
    status: Arc<Mutex<&'static str>>,
    calls: Arc<Mutex<Vec<Call>>>,
    /// A clock that every call takes ten seconds of.
    clock: Arc<Mutex<Option<Clock>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (status, calls) = (Arc::new(Mutex::new("200 OK")), Arc::new(Mutex::new(Vec::new())));
        let (answers, kept) = (Arc::clone(&status), Arc::clone(&calls));
        let clock: Arc<Mutex<Option<Clock>>> = Arc::default();
        let ticking = Arc::clone(&clock);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut headers = Vec::new();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    let Some((name, value)) = line.trim().split_once(": ") else {
                        if line.trim().is_empty() {
                            break;
                        }
                        continue;
                    };
                    if name == "content-length" {
                        length = value.parse().unwrap();
                    }
                    headers.push((name.to_owned(), value.to_owned()));
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                kept.lock().unwrap().push((headers, String::from_utf8(body).unwrap()));
                if let Some(clock) = ticking.lock().unwrap().as_ref() {
                    clock.set(clock.now() + SignedDuration::from_secs(10));
                }
                let status = *answers.lock().unwrap();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, status, calls, clock }
    }

    fn answers(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }

    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn types(&self) -> Vec<String> {
        let body = |(_, body): &Call| serde_json::from_str::<Value>(body).unwrap()["type"].clone();
        self.take().iter().map(body).map(|kind| kind.as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn configure(app: &mut TestApp, receiver: &Receiver, events: &[&str]) {
    let section = json!({"url": receiver.url, "secret": SECRET, "events": events});
    app.config.webhook = vec![serde_json::from_value(section).unwrap()];
    app.config.webhooks.allow_private = true;
    app.database.store.keep_outcomes();
}

pub(crate) async fn messenger(app: &TestApp) -> Messenger {
    let messenger = Messenger::new(&app.config).unwrap().unwrap();
    messenger.begin(&app.database.store).await.unwrap();
    messenger
}

fn delivered(count: usize) -> Round {
    Round { delivered: count, ..Round::default() }
}

#[tokio::test]
async fn receivers_are_told_what_they_asked_for_in_order_and_once() {
    for mut app in TestApp::on_each_database(&[]).await {
        let receiver = Receiver::start().await;
        configure(&mut app, &receiver, &["sent", "bounced", "complained", "unsubscribed"]);
        let mut messenger = messenger(&app).await;
        let (send, _) = with_two_mails(&app).await;
        assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(2));
        let calls = receiver.take();
        let told: Value = serde_json::from_str(&calls[0].1).unwrap();
        assert_eq!((told["type"].as_str(), &told["data"]["campaign"]), (Some("email.sent"), &json!("news")));
        assert!(!calls[0].1.contains('@'), "no address is told: {}", calls[0].1);

        let path = format!("{}@shop.test", keyring(&app).await.sign_return_path(&send));
        receives(&app, &dsn(&path, "1@mx", "ana@example.test", "5.1.1", "550 5.1.1 user unknown")).await;
        assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(1));
        let calls = receiver.take();
        let told: Value = serde_json::from_str(&calls[0].1).unwrap();
        assert_eq!(told["type"], "email.bounced");
        assert_eq!(told["data"]["send_id"], json!(send));
        assert_eq!(told["data"]["type"], "hard_bounce");
        assert_eq!(told["data"]["profile_id"], "ana");
        assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), Round::default());
        assert_eq!(app.database.store.count_webhooks().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_mail_that_ends_failed_for_whatever_reason_is_told() {
    let link = "+++\nsubject = \"Track it\"\n+++\n<mj-section><mj-column><mj-text><a href=\"{{ data.url }}\">Track it</a></mj-text></mj-column></mj-section>";
    let mut app = TestApp::on_sqlite(&[("receipt/any/receipt.mjml", link)]).await;
    let receiver = Receiver::start().await;
    configure(&mut app, &receiver, &["failed", "bounced"]);
    let mut messenger = messenger(&app).await;
    app.given_profile("ana").await;
    app.does("ana", "Order Completed", json!({"url": " "})).await;
    app.plans().await;
    app.runs_until_idle().await;
    assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(1));
    let told: Value = serde_json::from_str(&receiver.take()[0].1).unwrap();
    assert_eq!(
        (told["type"].as_str(), told["data"]["reason"].as_str()),
        (Some("email.failed"), Some("render"))
    );
    let detail = told["data"]["detail"].as_str().unwrap();
    assert!(detail.contains("the address is empty: `data.url` (link “Track it”, in the body)"), "{detail}");
}

#[tokio::test]
async fn what_is_not_taken_is_told_again_under_the_same_id_until_it_is() {
    for mut app in TestApp::on_each_database(&[]).await {
        let receiver = Receiver::start().await;
        configure(&mut app, &receiver, &["sent"]);
        let mut messenger = messenger(&app).await;
        with_two_mails(&app).await;
        let store = &app.database.store;
        let mut now = app.now();
        // A redirect is not followed, and is no success.
        for status in ["500 Oops", "302 Found", "404 Not Found"] {
            receiver.answers(status);
            let round = messenger.round(store, &Clock::fixed(now)).await.unwrap();
            assert_eq!(round, Round { failed: 1, ..Round::default() }, "{status}");
            assert_eq!(
                messenger.round(store, &Clock::fixed(now)).await.unwrap(),
                Round::default(),
                "it is left alone for a while"
            );
            now += SignedDuration::from_hours(1);
        }
        let ids: Vec<String> = receiver.take().iter().map(|call| header(call, "webhook-id")).collect();
        assert_eq!(ids.len(), 3);
        receiver.answers("204 No Content");
        now += SignedDuration::from_hours(12);
        assert_eq!(messenger.round(store, &Clock::fixed(now)).await.unwrap(), delivered(2));
        let taken: Vec<String> = receiver.take().iter().map(|call| header(call, "webhook-id")).collect();
        assert!(ids.iter().all(|id| taken.contains(id)), "{ids:?} {taken:?}");
    }
}

fn header(call: &Call, name: &str) -> String {
    call.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_silent_for_days_is_given_up() {
    let mut app = TestApp::on_sqlite(&[]).await;
    let receiver = Receiver::start().await;
    configure(&mut app, &receiver, &["sent"]);
    let mut messenger = messenger(&app).await;
    with_two_mails(&app).await;
    receiver.answers("500 Oops");
    let store = &app.database.store;
    assert_eq!(messenger.round(store, &Clock::fixed(app.now())).await.unwrap().failed, 1);
    let late = app.now() + SignedDuration::from_hours(73);
    assert_eq!(
        messenger.round(store, &Clock::fixed(late)).await.unwrap(),
        Round { given_up: 2, ..Round::default() }
    );
    assert_eq!(store.count_webhooks().await.unwrap(), 0);
}

#[tokio::test]
async fn one_that_never_answers_holds_nobody_else_up() {
    let mut app = TestApp::on_sqlite(&[]).await;
    let (silent, receiver) =
        (tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), Receiver::start().await);
    configure(&mut app, &receiver, &["unsubscribed"]);
    let section = json!({"url": format!("http://{}/", silent.local_addr().unwrap()), "secret": SECRET});
    app.config.webhook.insert(0, serde_json::from_value(section).unwrap());
    app.config.webhooks.timeout_seconds = 3_600;
    let messenger = messenger(&app).await;
    app.does("ana", "Unsubscribed", json!({"n": 1})).await;
    let telling = tokio::spawn(messenger.run(app.database.store.clone(), app.clock.clone()));
    // It has been called, and keeps the call open for the rest of the test.
    let called = silent.accept().await.unwrap();
    for number in [2, 3] {
        app.does("ana", "Unsubscribed", json!({"n": number})).await;
        let calls = async || (receiver.calls.lock().unwrap().len() >= number).then_some(());
        until("messages do not wait for the other receiver", calls).await;
    }
    telling.abort();
    drop(called);
}

#[tokio::test]
async fn every_attempt_has_its_own_time_and_signature() {
    let mut app = TestApp::on_sqlite(&[]).await;
    let receiver = Receiver::start().await;
    configure(&mut app, &receiver, &["unsubscribed"]);
    let mut messenger = messenger(&app).await;
    for number in 0..20 {
        app.does("ana", "Unsubscribed", json!({"n": number})).await;
    }
    // Each call takes ten seconds, so that a minute is over after seven, and the turn with it.
    let began = app.now();
    *receiver.clock.lock().unwrap() = Some(app.clock.clone());
    assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(9));
    assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(9));
    assert_eq!(messenger.round(&app.database.store, &app.clock).await.unwrap(), delivered(2));
    let stamps: Vec<i64> =
        receiver.take().iter().map(|call| header(call, "webhook-timestamp").parse().unwrap()).collect();
    let ended = app.now().as_second();
    assert_eq!((stamps[0], ended), (began.as_second(), began.as_second() + 200));
    // The first of a turn alone, then eight at a time: calls that began later say so.
    assert!(stamps[1] >= began.as_second() + 10 && stamps[19] >= began.as_second() + 180, "{stamps:?}");
}

#[tokio::test]
async fn private_addresses_are_never_called() {
    let mut app = TestApp::on_sqlite(&[]).await;
    let receiver = Receiver::start().await;
    configure(&mut app, &receiver, &[]);
    app.config.webhooks.allow_private = false;
    let port = receiver.url.rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "[::1]", "0x7f000001", "localhost", "169.254.169.254"] {
        app.config.webhook[0].url = format!("https://{host}:{port}");
        let mut messenger = messenger(&app).await;
        app.does("ana", "Unsubscribed", json!({"host": host})).await;
        let round = messenger.round(&app.database.store, &app.clock).await.unwrap();
        assert_eq!(round, Round { failed: 1, ..Round::default() }, "{host}");
    }
    assert_eq!(receiver.types(), Vec::<String>::new());
}

#[tokio::test]
async fn the_public_library_of_the_standard_believes_our_signatures() {
    let Some(python) = judge::python_with("standardwebhooks") else { return };
    let mut app = TestApp::on_sqlite(&[]).await;
    let receiver = Receiver::start().await;
    configure(&mut app, &receiver, &["unsubscribed"]);
    let mut messenger = messenger(&app).await;
    app.does("ana", "Unsubscribed", json!({"topic": "lifecycle", "note": "ümlaut \u{1f600}"})).await;
    #[expect(clippy::disallowed_methods, reason = "the judge goes by the wall clock")]
    let now = jiff::Timestamp::now();
    assert_eq!(messenger.round(&app.database.store, &Clock::fixed(now)).await.unwrap(), delivered(1));
    let (headers, body) = receiver.take().remove(0);
    let headers: Value = headers
        .into_iter()
        .map(|(name, value)| (name, json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let folder = tempfile::tempdir().unwrap();
    let call = json!({"headers": headers, "body": body, "secret": SECRET}).to_string();
    std::fs::write(folder.path().join("call.json"), call).unwrap();
    let script = "import json\nfrom standardwebhooks.webhooks import Webhook, WebhookVerificationError\n\
                  call = json.load(open('call.json'))\nhook = Webhook(call['secret'])\n\
                  print(hook.verify(call['body'], call['headers'])['type'])\n\
                  for body, secret in [(call['body'] + ' ', call['secret']), (call['body'], 'whsec_' + 'A' * 32)]:\n\
                  \x20   try:\n        Webhook(secret).verify(body, call['headers']); print('believed')\n\
                  \x20   except WebhookVerificationError: print('refused')\n";
    let python = std::path::absolute(python).unwrap();
    let python = if python.exists() { python.display().to_string() } else { "python3".to_owned() };
    let said = judge::run(&python, &folder.path().display().to_string(), &["-c", script]).await;
    assert_eq!(said, "email.unsubscribed\nrefused\nrefused\n");
}

#[tokio::test]
async fn messages_wait_in_order_and_are_queued_with_the_place() {
    for database in stores().await {
        let store = &database.store;
        let source = WebhookSource::Events;
        assert_eq!(store.webhook_cursor("a", source).await.unwrap(), None);
        store.begin_webhook("a").await.unwrap();
        assert_eq!(store.webhook_cursor("a", source).await.unwrap(), Some(Arrival::default()));
        let message = |name: &str, place: &str| WebhookMessage {
            id: name.to_owned(),
            kind: "email.sent".to_owned(),
            profile: id("ana"),
            body: "{\"a\":\"\u{0} é\"}".to_owned(),
            place: Arrival::parse(place).unwrap(),
        };
        let messages = [message("z", "1"), message("y", "2")];
        let place = Arrival::parse("2").unwrap();
        for _ in 0..2 {
            store.queue_webhooks("a", source, &messages, place, start()).await.unwrap();
        }
        assert_eq!(store.webhook_cursor("a", source).await.unwrap(), Some(place));
        let due = store.due_webhooks("a", start(), 10).await.unwrap();
        assert_eq!(due.iter().map(|queued| queued.message.id.as_str()).collect::<Vec<_>>(), ["z", "y"]);
        assert!(store.due_webhooks("a", start() - 1.second(), 10).await.unwrap().is_empty());
        assert!(store.due_webhooks("b", start(), 10).await.unwrap().is_empty());
        store.webhook_failed("a", "z", "it answered 500", start() + 1.hour()).await.unwrap();
        let later = store.due_webhooks("a", start() + 1.hour(), 10).await.unwrap();
        let seen: Vec<_> = later.iter().map(|queued| (queued.message.id.as_str(), queued.attempt)).collect();
        assert_eq!(seen, [("y", 0), ("z", 1)]);
        store.webhooks_done("a", &["y"]).await.unwrap();
        assert_eq!(store.count_webhooks().await.unwrap(), 1);
        store.tidy_webhooks(&["b"]).await.unwrap();
        assert_eq!(store.count_webhooks().await.unwrap(), 0, "a receiver that is gone is forgotten");
        assert_eq!(store.webhook_cursor("a", source).await.unwrap(), None);
    }
}
