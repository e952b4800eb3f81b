//! What programs state is taken the same way by every call: money in major units, traits as they are declared.

use bespoke::event::Event;
use mail_parser::MessageParser;
use serde_json::Value;
use serde_json::json;

use crate::support::Database;
use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::app::Files;
use crate::support::given::id;

const RECEIPT: Files<'static> = &[(
    "receipt/any/receipt.mjml",
    "+++\nsubject = \"{{ data.order_id }}: {{ data.total | money }}\"\ninputs = [\"data.order_id\", \"data.total\"]\n+++\n\
     <mj-section><mj-column><mj-text>{% for line in data.products %}{{ line.quantity }} at {{ line.price | money }}\
     {% endfor %}, posted for {{ data.shipping | money }}</mj-text></mj-column></mj-section>",
)];

#[tokio::test]
async fn a_receipt_that_is_asked_for_says_what_the_receipt_of_the_tracked_order_says() {
    for app in TestApp::on_each_database(RECEIPT).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let order = json!({"order_id": "A-7", "total": 24.5, "shipping": "0,50",
            "products": [{"product_id": "fern-sencha", "quantity": 2, "price": 12}]});
        let track =
            json!({"userId": "ana", "event": "Order Completed", "messageId": "m", "properties": order});
        assert_eq!(serving.post("/v1/track", &track).await.status, 200);
        let send = json!({"campaign": "receipt", "profile": "ana", "data": order});
        assert_eq!(serving.post("/v1/send", &send).await.status, 202);
        let rendered = serving.post("/v1/render", &send).await.json();
        assert_eq!(rendered["subject"], json!("A-7: €24.50"), "{rendered}");
        app.plans().await;
        app.runs_until_idle().await;

        let told = |bytes: &[u8]| {
            let mail = MessageParser::new().parse(bytes).unwrap();
            // Behind it stands the link of this very mail.
            let text = mail.body_text(0).unwrap().into_owned();
            (mail.subject().unwrap().to_owned(), text.lines().next().unwrap().to_owned())
        };
        let mails: Vec<_> = app.mails().iter().map(|mail| told(&mail.bytes)).collect();
        assert_eq!((mails.len(), &mails[0]), (2, &mails[1]));
        assert_eq!(mails[0].0, "A-7: €24.50");
        assert!(mails[0].1.contains("2 at €12.00, posted for €0.50"), "{}", mails[0].1);
    }
}

#[tokio::test]
async fn an_amount_that_may_be_two_is_refused_by_every_call_with_what_to_write() {
    let app = TestApp::on_sqlite(RECEIPT).await;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    let line = json!({"products": [{"product_id": "p", "price": "1.299"}]});
    let says = "products[0].price: \"1.299\" may be 1299 or 1.299; write 1299.00 or 1.30, without a sign between thousands; \
                `price` is money: a number that is not needs another name";
    let track = json!({"userId": "ana", "event": "Order Completed", "properties": line});
    let send = json!({"campaign": "receipt", "profile": "ana", "data": line});
    for (path, body, expected) in [
        ("/v1/track", &track, says.to_owned()),
        ("/v1/send", &send, format!("data.{says}")),
        ("/v1/render", &send, format!("data.{says}")),
        (
            "/v1/decide",
            &json!({"campaign": "receipt", "profile": "ana", "data": line}),
            format!("data.{says}"),
        ),
    ] {
        let answer = serving.post(path, body).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (422, &json!(expected)), "{path}");
    }
    assert_eq!(
        app.database.store.events_of(&[id("ana")]).await.unwrap().remove(&id("ana")).unwrap_or_default(),
        Vec::<Event>::new()
    );
}

#[tokio::test]
async fn a_request_that_lacks_what_every_mail_of_its_campaign_needs_is_told_so_at_once() {
    let app = TestApp::on_sqlite(RECEIPT).await;
    let serving = app.serves().await;
    app.given_profile("ana").await;
    for (campaign, data, status, expected) in [
        (
            "receipt",
            json!({"total": ""}),
            422,
            "data: data.order_id, data.total are not there, and no mail of receipt can be made without; add them",
        ),
        (
            "receipt",
            json!({"order_id": "A-7"}),
            422,
            "data: data.total is not there, and no mail of receipt can be made without; add it",
        ),
        (
            "recept",
            json!({}),
            404,
            "campaign: there is no campaign \"recept\"; did you mean \"receipt\"? known are news, receipt",
        ),
    ] {
        let body = json!({"campaign": campaign, "profile": "ana", "data": data});
        let answer = serving.post("/v1/send", &body).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (status, &json!(expected)), "{body}");
    }
    assert_eq!(app.sends().await, []);
}

#[tokio::test]
async fn traits_that_are_not_what_they_are_declared_to_be_are_refused_by_name() {
    let traits = "[traits]\nvip = \"bool\"\npoints = \"number\"\nborn = \"date\"\n";
    let config = CONFIG.replace("[traits]\n", traits);
    let app = TestApp::new(Database::sqlite().await, &config, &[]);
    let serving = app.serves().await;
    let identify = |traits: Value| json!({"userId": "ana", "type": "identify", "traits": traits});
    for (traits, expected) in [
        (
            json!({"vip": "false", "points": "abc"}),
            "traits.points: \"abc\" is no number; [traits] of bespoke.toml declares a number",
        ),
        (
            json!({"firstName": ["a", "b"]}),
            "traits.first_name: \"[\\\"a\\\",\\\"b\\\"]\" is a list, not a text; [traits] of bespoke.toml declares a text",
        ),
        (
            json!({"points": "abc", "vip": "false", "born": "soon", "email": "nobody"}),
            "traits.born: \"soon\" is no date of the form 2026-01-31; [traits] of bespoke.toml declares a date, such as \
             1990-04-23; traits.points: \"abc\" is no number; [traits] of bespoke.toml declares a number; \
             email \"nobody\": the address has no @",
        ),
        (
            json!({"vip": "perhaps"}),
            "traits.vip: \"perhaps\" is neither true nor false; [traits] of bespoke.toml declares true or false",
        ),
        (
            json!({"born": "31.12.1985"}),
            "traits.born: \"31.12.1985\" is no date of the form 2026-01-31; [traits] of bespoke.toml declares a date, \
             such as 1990-04-23",
        ),
    ] {
        let answer = serving.post("/v1/identify", &identify(traits.clone())).await;
        assert_eq!((answer.status, &answer.json()["detail"]), (422, &json!(expected)), "{traits}");
        assert_eq!(app.database.store.profile(&id("ana")).await.unwrap(), None, "{traits}");
        let batch = json!({"batch": [identify(traits.clone()), identify(json!({"shoe": 42}))]});
        let answer = serving.post("/v1/batch", &batch).await.json();
        assert_eq!(answer["rejected"], json!([{"index": 0, "reason": expected}]), "{traits}");
        let kept = app.database.store.profile(&id("ana")).await.unwrap().unwrap();
        assert_eq!(Value::Object(kept.traits), json!({"shoe": 42}), "{traits}");
        app.database.execute("delete from profiles").await;
    }
    let words =
        json!({"vip": "false", "points": " 12 ", "born": "1985-12-31", "firstName": 7, "nick": ["a"]});
    assert_eq!(serving.post("/v1/identify", &identify(words)).await.status, 200);
    let kept = app.database.store.profile(&id("ana")).await.unwrap().unwrap();
    let expected =
        json!({"vip": false, "points": 12, "born": "1985-12-31", "first_name": "7", "nick": ["a"]});
    assert_eq!(Value::Object(kept.traits), expected);
}
