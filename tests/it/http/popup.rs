//! A pop-up that switches with what its visitor browses, from visit to visit and within one.

use bespoke::product::Product;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::service::Serving;

/// One content for whoever has looked at nothing, one for who has, and one for who has bought.
const POPUP: Files<'static> = &[
    ("popup/campaign.toml", "kind = \"lifecycle\"\nholdout_percent = 0\ntrigger = { api = {} }\n"),
    (
        "popup/any/welcome.mjml",
        "+++\nsubject = \"Welcome\"\nwhen = \"size(viewed) == 0 && history.orders_total == 0\"\n+++\n<mj-section><mj-column><mj-text>Look around.</mj-text></mj-column></mj-section>",
    ),
    (
        "popup/any/viewed.mjml",
        "+++\nsubject = \"Still there\"\nwhen = \"size(viewed) > 0 && history.orders_total == 0\"\ninputs = [\"viewed\"]\n+++\n<mj-section><mj-column><mj-text>\
         <a href=\"{{ viewed[0].url }}\">{{ viewed[0].name }}</a> is still there.</mj-text></mj-column></mj-section>",
    ),
    (
        "popup/purchase/thanks.mjml",
        "+++\nsubject = \"Thank you\"\nwhen = \"history.orders_total > 0\"\n+++\n<mj-section><mj-column><mj-text>Thank you for your order.</mj-text></mj-column></mj-section>",
    ),
];

async fn shown(serving: &Serving) -> (Value, Value, Value, String) {
    let ask = json!({"campaign": "popup", "anonymous_id": "x"});
    let answer = serving.post("/v1/decide", &ask).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let chosen = answer.json();
    let html = chosen["html"].as_str().unwrap().to_owned();
    (chosen["variant"].clone(), chosen["products"].clone(), chosen["stage"].clone(), html)
}

#[tokio::test]
async fn a_pop_up_switches_with_what_its_visitor_browses_and_buys() {
    for app in TestApp::on_each_database(POPUP).await {
        let product = |id: &str, name: &str| -> Product {
            let url = format!("https://shop.test/{id}");
            serde_json::from_value(
                json!({"id": id, "name": name, "price_minor": 1_295, "currency": "EUR", "url": url}),
            )
            .unwrap()
        };
        let products = [product("kettle", "Kettle"), product("mug", "Mug")];
        app.database.store.upsert_products(&products, app.now()).await.unwrap();
        let serving = app.serves().await;
        let does = async |event: &str, properties: Value| {
            let message = format!("{event} {properties}");
            let body =
                json!({"anonymousId": "x", "event": event, "messageId": message, "properties": properties});
            assert_eq!(serving.post("/v1/track", &body).await.status, 200);
        };
        let (variant, products, ..) = shown(&serving).await;
        assert_eq!((variant, products), (json!("popup/any/welcome"), json!([])));
        for (minute, id, name) in [("01", "kettle", "Kettle"), ("02", "mug", "Mug")] {
            app.at(&format!("2026-03-02T09:{minute}:00Z")).await;
            does("Product Viewed", json!({"product_id": id})).await;
            let (variant, products, _, html) = shown(&serving).await;
            assert_eq!(variant, "popup/any/viewed");
            assert_eq!(products[0], id, "what was looked at last comes first on {}", app.database.name());
            assert!(html.contains(&format!(">{name}</a> is still there")), "{html}");
        }
        app.at("2026-03-02T09:03:00Z").await;
        does("Order Completed", json!({"order_id": "A-1", "products": [{"product_id": "mug"}]})).await;
        let (variant, _, stage, html) = shown(&serving).await;
        assert_eq!((variant, stage), (json!("popup/purchase/thanks"), json!("purchase")));
        assert!(html.contains("Thank you for your order."), "{html}");
    }
}
