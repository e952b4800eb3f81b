//! What a mail showed, as exports and receivers of webhooks are told it.

use std::collections::BTreeSet;

use bespoke::store::SendFilter;
use futures_util::TryStreamExt as _;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::webhooks::Receiver;
use crate::webhooks::configure;
use crate::webhooks::messenger;

/// A mail with a code of somebody's own and the products that they looked at; a receipt has neither.
const GIFT: Files<'static> = &[
    ("offers.toml", "[gift]\ndescription = \"A gift\"\nkind = \"coupon\"\npercent = '10'\n"),
    (
        "news/any/hello.mjml",
        "+++\nsubject = \"A gift\"\noffer = \"gift\"\n+++\n<mj-section><mj-column><mj-text>{{ offer.code or '' }} \
         {% for product in viewed %}{{ product.name }} {% endfor %}</mj-text></mj-column></mj-section>",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn variant_products_and_offer_stand_in_the_export_and_in_what_is_told_of_a_sent_mail() {
    for mut app in TestApp::on_each_database(GIFT).await {
        let receiver = Receiver::start().await;
        configure(&mut app, &receiver, &["sent"]);
        let mut messenger = messenger(&app).await;
        let store = &app.database.store;
        let boots = serde_json::from_value(json!({"id": "boots", "name": "Boots"})).unwrap();
        store.upsert_products(&[boots], app.now()).await.unwrap();
        store.import_coupons("gift", &["CODE-1".to_owned()]).await.unwrap();
        app.given_profile("ana").await;
        app.does("ana", "Product Viewed", json!({"product_id": "boots"})).await;
        app.does("ana", "Order Completed", json!({"order_id": "7"})).await;
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(app.mails().len(), 2, "on {}", app.database.name());

        let offer = json!({"name": "gift", "description": "A gift", "percent": 10, "code": "CODE-1"});
        let exported = app.says(&["sends", "export"]).await;
        let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |campaign: &str| lines.iter().find(|line| line["campaign"] == campaign).unwrap();
        let (news, receipt) = (of("news"), of("receipt"));
        assert_eq!((&news["variant"], &news["products"]), (&json!("news/any/hello"), &json!(["boots"])));
        assert_eq!((&news["offer"], &news["propensity"]), (&offer, &json!(1.0)));
        assert!(news["stage"].is_string() && news["slice"].is_string() && news["clicked_at"].is_null());
        assert_eq!((&receipt["products"], &receipt["offer"]), (&json!([]), &Value::Null));

        messenger.round(store, &app.clock).await.unwrap();
        let told: Vec<Value> =
            receiver.take().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
        let data =
            |campaign: &str| told.iter().map(|told| &told["data"]).find(|data| data["campaign"] == campaign);
        let (news, receipt) = (data("news").unwrap(), data("receipt").unwrap());
        assert_eq!((&news["variant"], &news["products"]), (&json!("news/any/hello"), &json!(["boots"])));
        assert_eq!((&news["offer"], &receipt["offer"]), (&offer, &Value::Null));

        // What waits shows nothing yet.
        app.given_profile("bo").await;
        app.plans().await;
        let waiting: Vec<_> = store.export_sends(SendFilter::default()).try_collect().await.unwrap();
        let ids: Vec<_> = waiting.iter().map(|stored| stored.send.id.clone()).collect();
        assert!(ids.len() > 2 && store.shown(&ids).await.unwrap().len() == 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_nul_nor_a_decision_that_cannot_be_read_keeps_others_from_being_told_of() {
    for mut app in TestApp::on_each_database(GIFT).await {
        let receiver = Receiver::start().await;
        configure(&mut app, &receiver, &["sent"]);
        let mut messenger = messenger(&app).await;
        let store = &app.database.store;
        for name in ["ana", "bo", "cy"] {
            app.given_profile(name).await;
            app.does(name, "Order Completed", json!({"order_id": "7"})).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        // What clients send may hold a NUL, and is kept with what was decided.
        let body =
            r#"update decisions set body = replace(body, '"inputs":{', '"inputs":{"name":"a\u0000",')"#;
        app.database.execute(&format!("{body} where profile_id = 'ana'")).await;
        app.database.execute("update decisions set body = '{' where profile_id = 'bo'").await;
        let on = app.database.name();

        let exported = app.says(&["sends", "export"]).await;
        let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let receipts = lines.iter().filter(|line| line["campaign"] == "receipt");
        let mut found: Vec<_> = receipts
            .map(|line| (line["profile"].as_str().unwrap(), line["state"] == "sent", &line["propensity"]))
            .collect();
        found.sort_by_key(|(name, ..)| *name);
        let (known, torn) = (&json!(1.0), &Value::Null);
        assert_eq!(found, [("ana", true, known), ("bo", true, torn), ("cy", true, known)], "on {on}");

        messenger.round(store, &app.clock).await.unwrap();
        let bodies = receiver.take();
        let told: BTreeSet<String> = bodies
            .iter()
            .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["data"]["send_id"].to_string())
            .collect();
        let sent = lines.iter().filter(|line| line["state"] == "sent");
        assert_eq!(told, sent.map(|line| line["id"].to_string()).collect(), "on {on}");
        assert_eq!(told.len(), 3, "on {on}");
    }
}
