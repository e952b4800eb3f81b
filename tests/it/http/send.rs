//! Mail that programs ask for: `/v1/send`, its life, and calling it off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bespoke::campaign::CampaignId;
use bespoke::deliver::message::Attachment;
use bespoke::deliver::message::Extras;
use bespoke::deliver::message::MailPurpose;
use bespoke::http::Scope;
use bespoke::metrics::Metrics;
use bespoke::send::SendId;
use bespoke::send::State;
use mail_parser::MessageParser;
use mail_parser::MimeHeaders as _;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::service::Answer;
use crate::support::service::Serving;
use crate::support::service::answer;

const CODE: Files<'static> = &[
    ("code/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
    (
        "code/any/code.mjml",
        "+++\nsubject = \"Your code\"\n+++\n<mj-section><mj-column><mj-text>The code is {{ data.code or 'missing' }}.</mj-text></mj-column></mj-section>",
    ),
];

async fn send_as(serving: &Serving, api_key: &str, key: &str, body: &Value) -> Answer {
    let request =
        serving.request(Method::POST, "/v1/send").bearer_auth(api_key).header("Idempotency-Key", key);
    answer(request.json(body)).await
}

fn id(answer: &Answer) -> SendId {
    assert_eq!(answer.status, 202, "{answer:?}");
    SendId::parse(answer.json()["id"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_mail_that_is_asked_for_goes_out_once_and_shows_its_whole_life() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let body = json!({"campaign": "code", "profile": "ana", "data": {"code": "471-100"}});
        let first = send_as(&serving, &serving.key, "k1", &body).await;
        let again = send_as(&serving, &serving.key, "k1", &body).await;
        assert_eq!((again.status, &again.text), (202, &first.text), "the same answer");
        let waiting = serving.get(&format!("/v1/sends/{}", id(&first))).await.json();
        assert_eq!((&waiting["state"], &waiting["decision"]), (&json!("scheduled"), &Value::Null));

        app.runs_until_idle().await;
        let mails = app.mails();
        assert_eq!(mails.len(), 1);
        assert_eq!((mails[0].to.as_str(), &mails[0].send), ("ana@example.test", &id(&first)));
        assert!(String::from_utf8_lossy(&mails[0].bytes).contains("471-100"));

        let life = serving.get(&format!("/v1/sends/{}", id(&first))).await.json();
        let expected = json!({
            "id": id(&first).to_string(), "message_id": format!("{}@shop.test", id(&first)), "campaign": "code",
            "kind": "transactional", "guarantee": "alo", "profile": "ana", "recipient": "a***@e***.test",
            "state": "sent", "reason": "sent", "detail": "memory", "relay": null, "attempt": 1, "attempts": [],
            "due_at": app.now().to_string(), "expires_at": life["expires_at"], "submitted_at": app.now().to_string(),
            "finished_at": app.now().to_string(), "opened_at": null, "clicked_at": null, "decision": life["decision"],
        });
        assert_eq!(life, expected);
        let why = &life["decision"];
        assert_eq!((&why["variant"], &why["propensity"]), (&json!("code/any/code"), &json!(1.0)));

        let other =
            send_as(&serving, &serving.key, "k1", &json!({"campaign": "code", "profile": "ana"})).await;
        assert_eq!((other.status, other.header("content-type")), (409, "application/problem+json"));
        let stranger = app.key_for(&[Scope::Send]).await;
        let theirs = send_as(&serving, &stranger, "k1", &body).await;
        assert_ne!(id(&theirs), id(&first), "keys of two programs never meet");
    }
}

#[tokio::test]
async fn a_request_is_known_again_though_its_campaign_and_its_person_are_gone() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        let body = json!({"campaign": "code", "address": "new@example.test", "data": {"code": "1"}});
        let first = send_as(&serving, &serving.key, "k", &body).await;
        app.database.execute("delete from profiles").await;
        let templates = &app.config.templates.folder;
        std::fs::rename(templates.join("code"), templates.join("kode")).unwrap();
        let without = app.serves().await;
        let again = send_as(&without, &serving.key, "k", &body).await;
        assert_eq!((again.status, &again.text), (202, &first.text), "the same answer");
        assert_eq!(send_as(&without, &serving.key, "k", &json!({"campaign": "code"})).await.status, 409);
        assert_eq!(send_as(&without, &serving.key, "other", &body).await.status, 404);
        assert_eq!(app.sends().await.len(), 1);
    }
}

#[tokio::test]
async fn fifty_requests_with_one_key_at_the_same_time_are_one_send() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        let body = json!({"campaign": "code", "address": "new@example.test", "data": {"code": "1"}});
        let requests = (0..50).map(|_| send_as(&serving, &serving.key, "twin", &body));
        let answers = futures_util::future::join_all(requests).await;
        let first = id(&answers[0]);
        assert!(answers.iter().all(|answer| id(answer) == first));
        assert_eq!(app.sends().await.len(), 1);
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 1);
        assert_eq!(app.database.store.count_profiles().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn an_address_is_the_one_profile_that_has_it_or_somebody_new_and_never_one_of_two() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        for name in ["bo", "cy"] {
            app.given_profile_with(name, |profile| profile.address = "both@example.test".parse_address())
                .await;
        }
        let mut whom = Vec::new();
        for address in ["ANA@example.test", "both@example.test", "new@example.test", "new@example.test"] {
            let answer = serving.post("/v1/send", &json!({"campaign": "code", "address": address})).await;
            whom.push(app.database.store.send(&id(&answer)).await.unwrap().unwrap().send.profile.to_string());
        }
        assert_eq!(whom[0], "ana");
        assert!(whom[1].starts_with("address:") && whom[2].starts_with("address:"), "{whom:?}");
        assert!(whom[1] != whom[2] && whom[2] == whom[3], "{whom:?}");
        app.runs_until_idle().await;
        let mut to: Vec<String> = app.mails().into_iter().map(|mail| mail.to).collect();
        to.sort();
        assert_eq!(to, ["ANA@example.test", "both@example.test", "new@example.test", "new@example.test"]);
    }
}

trait ParseAddress {
    fn parse_address(&self) -> Option<bespoke::profile::EmailAddress>;
}

impl ParseAddress for str {
    fn parse_address(&self) -> Option<bespoke::profile::EmailAddress> {
        bespoke::profile::EmailAddress::parse(self).ok()
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_field_and_schedules_nothing() {
    let app = TestApp::on_sqlite(CODE).await;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    app.given_profile_with("mute", |profile| profile.address = None).await;
    let file = |name: &str, kind: &str, content: &str| json!([{"name": name, "content_type": kind, "content": content}]);
    for (body, status, begins) in [
        (json!({"campaign": "nothing", "profile": "ana"}), 404, "campaign: "),
        (json!({"campaign": "news", "profile": "ana"}), 422, "campaign: "),
        (json!({"campaign": 5, "profile": "ana"}), 422, "campaign: "),
        (json!({"profile": "ana"}), 422, "missing field `campaign`"),
        (json!({"campaign": "code"}), 422, "profile: "),
        (json!({"campaign": "code", "profile": "nobody"}), 404, "profile: "),
        (json!({"campaign": "code", "profile": "mute"}), 409, "profile: "),
        (json!({"campaign": "code", "profile": "a\u{0}"}), 422, "profile: "),
        (json!({"campaign": "code", "address": "not an address"}), 422, "address: "),
        (json!({"campaign": "code", "profile": "ana", "data": "x"}), 422, "data: "),
        (json!({"campaign": "code", "profile": "ana", "data": {"x": "y".repeat(70_000)}}), 422, "data: "),
        (json!({"campaign": "code", "profile": "ana", "other": 1}), 422, "other: "),
        (json!({"campaign": "code", "profile": "ana", "send_at": "tomorrow"}), 422, "send_at: "),
        (json!({"campaign": "code", "profile": "ana", "send_at": "2099-01-01T00:00:00Z"}), 422, "send_at: "),
        (json!({"campaign": "code", "profile": "ana", "ttl_seconds": 0}), 422, "ttl_seconds: "),
        (
            json!({"campaign": "code", "profile": "ana", "attachments": file("a.pdf", "application/pdf", "!")}),
            422,
            "attachments[0].content: ",
        ),
        (
            json!({"campaign": "code", "profile": "ana", "attachments": file("a.exe", "application/pdf", "eA==")}),
            422,
            "attachments[0].name: ",
        ),
        (
            json!({"campaign": "code", "profile": "ana", "attachments": file("a.pdf", "pdf", "eA==")}),
            422,
            "attachments[0].content_type: ",
        ),
        (json!([1]), 422, "invalid type"),
    ] {
        let answer = serving.post("/v1/send", &body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{body}"
        );
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(begins), "{body}: {detail}");
    }
    let body = json!({"campaign": "code", "profile": "ana"});
    let long = "k".repeat(256);
    for (key, api_key, status) in [
        (long.as_str(), serving.key.clone(), 422),
        ("k", "nonsense".to_owned(), 401),
        ("k", app.key_for(&[Scope::Ingest]).await, 403),
    ] {
        assert_eq!(send_as(&serving, &api_key, key, &body).await.status, status);
    }
    let large = json!({"campaign": "code", "profile": "ana", "attachments": file("a.pdf", "application/pdf", &STANDARD.encode(vec![7_u8; 10 * 1024 * 1024 + 1]))});
    assert_eq!(serving.post("/v1/send", &large).await.status, 413);
    assert_eq!(app.sends().await, []);
}

#[tokio::test]
async fn files_come_along_whole_and_a_retry_has_the_same_bytes() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let pdf: Vec<u8> = (0..100_000_u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
        let files = json!([
            {"name": "Rechnung März.pdf", "content_type": "application/pdf", "content": STANDARD.encode(&pdf)},
            {"name": "note.txt", "content_type": "text/plain", "content": "aGk"},
        ]);
        let body = json!({"campaign": "code", "profile": "ana", "data": {"code": "7"}, "attachments": files});
        let id = id(&serving.post("/v1/send", &body).await);
        app.runs_until_idle().await;
        let mail = app.mails().remove(0);
        let parsed = MessageParser::default().parse(&mail.bytes).unwrap();
        let found: Vec<(&str, &[u8])> =
            parsed.attachments().map(|part| (part.attachment_name().unwrap(), part.contents())).collect();
        assert_eq!(found, [("Rechnung März.pdf", pdf.as_slice()), ("note.txt", b"hi".as_slice())]);

        let stored = app.database.store.attachments_of(&id).await.unwrap();
        let attachments: Vec<Attachment> = stored
            .iter()
            .map(|file| {
                Attachment::checked(&file.name, &file.content_type, STANDARD.decode(&file.content).unwrap())
                    .unwrap()
            })
            .collect();
        let engine = app.engine().await;
        let campaign = &engine.catalog.campaign(&CampaignId("code".to_owned())).unwrap().campaign;
        let extras = Extras { purpose: MailPurpose::Delivery, attachments: &attachments };
        let to = "ana@example.test".parse_address().unwrap();
        let again =
            engine.make(&app.decision(&id).await, campaign, &to, None, extras, &Metrics::default()).unwrap();
        assert!(again.bytes == mail.bytes, "byte for byte");
    }
}

#[tokio::test]
async fn a_code_past_its_time_expires_and_is_never_late() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let body = json!({"campaign": "code", "profile": "ana", "send_at": "2026-03-01T12:00:00Z", "ttl_seconds": 600});
        app.at("2026-03-01T11:59:00Z").await;
        let late = id(&serving.post("/v1/send", &body).await);
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 0, "not before its time");
        app.at("2026-03-01T12:10:00Z").await;
        let timely = id(&serving
            .post("/v1/send", &json!({"campaign": "code", "profile": "ana", "ttl_seconds": 600}))
            .await);
        app.runs_until_idle().await;
        assert_eq!(app.mails().into_iter().map(|mail| mail.send).collect::<Vec<_>>(), [timely]);
        let life = serving.get(&format!("/v1/sends/{late}")).await.json();
        assert_eq!((&life["state"], &life["reason"]), (&json!("expired"), &json!("deadline")));
    }
}

#[tokio::test]
async fn data_is_taken_as_deep_as_a_decision_about_it_can_be_read_again() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        let ask = |levels: usize| json!({"campaign": "code", "profile": "ana", "data": nested(levels)});
        for (path, levels) in [("/v1/send", 33), ("/v1/send", 100), ("/v1/decide", 33)] {
            let refused = serving.post(path, &ask(levels)).await;
            assert_eq!(refused.status, 422, "{path} {levels}: {refused:?}");
        }
        let taken = id(&serving.post("/v1/send", &ask(32)).await);
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 1);
        let decision = app.database.store.decisions(std::slice::from_ref(&taken)).await.unwrap();
        assert_eq!(decision[&taken].inputs["data"], nested(32));
    }
}

#[tokio::test]
async fn what_is_asked_for_overtakes_what_was_planned() {
    for mut app in TestApp::on_each_database(CODE).await {
        app.config.worker.in_flight = 1;
        app.config.worker.batch = 1;
        for name in ["ana", "bo", "cy"] {
            app.given_profile(name).await;
        }
        assert!(app.plans().await >= 3);
        app.at("2026-06-01T00:00:00Z").await;
        let serving = app.serves().await;
        let asked = id(&serving.post("/v1/send", &json!({"campaign": "code", "profile": "cy"})).await);
        app.runs_until_idle().await;
        assert_eq!(
            app.mails().first().map(|mail| mail.send.clone()),
            Some(asked),
            "{:?}",
            app.states().await
        );
    }
}

#[tokio::test]
async fn a_send_is_called_off_until_it_is_on_the_wire() {
    for app in TestApp::on_each_database(CODE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let body = json!({"campaign": "code", "profile": "ana"});
        let (off, gone) =
            (id(&serving.post("/v1/send", &body).await), id(&serving.post("/v1/send", &body).await));
        let cancel = async |id: &SendId| serving.post(&format!("/v1/sends/{id}/cancel"), &json!({})).await;
        assert_eq!(cancel(&off).await.json()["state"], "canceled");
        assert_eq!(cancel(&off).await.status, 200, "twice is as once");
        app.runs_until_idle().await;
        assert!(app.mails().into_iter().map(|mail| mail.send).eq([gone.clone()]));
        assert_eq!(cancel(&gone).await.status, 409);
        assert_eq!(app.database.store.send(&gone).await.unwrap().unwrap().send.state, State::Sent);
        for nothing in ["0".repeat(32), "nonsense".to_owned()] {
            assert_eq!(serving.get(&format!("/v1/sends/{nothing}")).await.status, 404);
            assert_eq!(serving.post(&format!("/v1/sends/{nothing}/cancel"), &json!({})).await.status, 404);
        }
    }
}
