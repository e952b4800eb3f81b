//! Dry runs and decisions for other channels: `/v1/render` and `/v1/decide`.

use bespoke::campaign::CampaignId;
use bespoke::http::Scope;
use bespoke::learn::orders::OrderBook;
use bespoke::learn::teach::teach;
use bespoke::select::features::FACTS;
use bespoke::store::RewardedSend;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::given;
use crate::support::service::answer;

/// A campaign with two slots of two options each, and one of another shape.
const PAGE: Files<'static> = &[
    (
        "page/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"thompson\"\ntrigger = { api = {} }\ntracking = \"on\"\n",
    ),
    (
        "page/any/tiles.mjml",
        "+++\nsubject = \"Tiles\"\n[slots]\nhero = [\"big\", \"small\"]\ncall = [\"buy\", \"look\"]\n+++\n<mj-slot name=\"hero\" /><mj-section><mj-column><mj-text>For {{ profile.first_name or 'you' }}</mj-text><mj-slot name=\"call\" /></mj-column></mj-section>",
    ),
    (
        "page/slots/hero/big.mjml",
        "<mj-section><mj-column><mj-text>Big {{ profile.first_name or 'hello' }}</mj-text></mj-column></mj-section>",
    ),
    (
        "page/slots/hero/small.mjml",
        "<mj-section><mj-column><mj-text>Small {{ profile.first_name or 'hello' }}</mj-text></mj-column></mj-section>",
    ),
    ("page/slots/call/buy.mjml", "<mj-button href=\"https://shop.test/buy\">Buy</mj-button>"),
    ("page/slots/call/look.mjml", "<mj-button href=\"https://shop.test/look\">Look</mj-button>"),
];

/// What the learner reads of the campaign `page`.
async fn outcomes(app: &TestApp) -> Vec<RewardedSend> {
    let page = CampaignId("page".to_owned());
    app.database.store.rewarded_visits(&page, &(Timestamp::MIN, String::new()), 1_000).await.unwrap()
}

#[tokio::test]
async fn a_page_gets_content_with_its_exact_probability_and_what_comes_of_it_rewards_the_choice() {
    for app in TestApp::on_each_database(PAGE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let ask = json!({"campaign": "page", "profile": "ana"});
        let chosen = serving.post("/v1/decide", &ask).await;
        assert_eq!(chosen.status, 200, "{chosen:?}");
        let chosen = chosen.json();
        let html = chosen["html"].as_str().unwrap();
        assert!(
            html.contains("For ana") && !html.contains("Unsubscribe") && !html.contains("<body"),
            "{html}"
        );
        assert!(
            html.contains("https://shop.test/") && !html.contains("m.shop.test"),
            "links lead where they say: {html}"
        );
        assert_eq!((&chosen["propensity"], &chosen["slots_propensity"]), (&json!(0.25), &json!(0.25)));
        let hero = chosen["options"]["hero"].as_str().unwrap();
        assert!(html.contains(if hero == "big" { "Big ana" } else { "Small ana" }));

        let id = chosen["decision_id"].as_str().unwrap().to_owned();
        let logged = outcomes(&app).await.remove(0);
        assert_eq!((logged.send.as_str(), logged.profile.as_str()), (id.as_str(), "ana"));
        assert_eq!((logged.variant.as_str(), logged.clicked_at), (chosen["variant"].as_str().unwrap(), None));
        let model_saw = logged.scoring.customer;
        assert!(model_saw[FACTS.iter().position(|fact| *fact == "on a page").unwrap()] > 0.0);
        let kept =
            app.database.store.person(&given::id("ana")).await.unwrap().remove("web_decisions").unwrap();
        assert_eq!(kept[0]["body"]["candidates"].as_array().unwrap().len(), 4);
        let decided_at = app.now();
        app.at("2026-03-02T09:05:00Z").await;
        for (message, properties) in [
            ("m1", json!({"decision_id": id, "revenue": 20})),
            ("m2", json!({"decision_id": "another"})),
            ("m3", json!({"product_id": "p"})),
        ] {
            let event = json!({"userId": "ana", "event": "Order Completed", "messageId": message, "properties": properties});
            assert_eq!(serving.post("/v1/track", &event).await.status, 200);
        }
        let rewarded = outcomes(&app).await.remove(0);
        assert_eq!((rewarded.decided_at, rewarded.clicked_at), (decided_at, Some(app.now())));
        assert_eq!(app.sends().await, [], "no mail comes of it");
    }
}

#[tokio::test]
async fn the_policy_learns_from_what_visitors_of_pages_did_as_from_mails() {
    for app in TestApp::on_each_database(PAGE).await {
        let serving = app.serves().await;
        for number in 0..40 {
            let visitor = format!("v{number}");
            let ask = json!({"campaign": "page", "anonymous_id": visitor});
            let chosen = serving.post("/v1/decide", &ask).await.json();
            if chosen["options"]["hero"] == "big" {
                let properties = json!({"decision_id": chosen["decision_id"]});
                let clicked = json!({"anonymousId": visitor, "event": "Clicked", "properties": properties});
                assert_eq!(serving.post("/v1/track", &clicked).await.status, 200);
            }
        }
        app.at("2026-03-06T09:00:00Z").await;
        let (store, engine) = (&app.database.store, app.engine().await);
        let taught = teach(store, &engine.catalog, &OrderBook::default(), app.now()).await.unwrap().unwrap();
        assert_eq!((taught.sends, taught.unreadable, taught.account_sends), (40, 0, 40));
        assert_eq!(taught.fit.click.absorbed, 40, "{taught:?}");
        assert!(taught.published.is_some());
        engine.refresh_policy(store, app.now()).await.unwrap();
        let model = engine.policy.current().unwrap();
        let heads = model.heads();
        let weight = |name: &str| {
            let feature = heads.space().lookup(name).unwrap();
            heads.click.posterior().mean(feature.index()).unwrap()
        };
        assert!(weight("page/hero=big") > weight("page/hero=small"), "on {}", app.database.name());
        let own = |hero: &str| weight(&format!("on a page×page/hero={hero}"));
        assert!(
            own("big") > own("small") && weight("on a page") != 0.0,
            "pages have coefficients of their own"
        );
    }
}

#[tokio::test]
async fn slots_alone_are_rendered_and_their_probability_is_that_of_all_variants_which_have_them() {
    for app in TestApp::on_each_database(PAGE).await {
        let serving = app.serves().await;
        for round in 0..8 {
            let ask = json!({"anonymous_id": format!("visitor-{round}"), "slots": ["hero"]});
            let chosen = serving.post("/v1/decide", &ask).await.json();
            assert_eq!((&chosen["campaign"], &chosen["html"]), (&json!("page"), &Value::Null), "{chosen}");
            assert_eq!((&chosen["propensity"], &chosen["slots_propensity"]), (&json!(0.25), &json!(0.5)));
            let hero = chosen["slots"]["hero"].as_str().unwrap();
            let big = chosen["options"]["hero"] == "big";
            assert!(hero.contains(if big { "Big hello" } else { "Small hello" }), "{hero}");
            assert!(!hero.contains("Buy") && !hero.contains("Look") && !hero.contains("For you"), "{hero}");
        }
        let found = outcomes(&app).await;
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|outcome| outcome.profile.as_str().starts_with("anon:")));

        // Who turns out to be somebody keeps what they were shown.
        let identify = json!({"userId": "bo", "anonymousId": "visitor-0", "traits": {"firstName": "Bo"}});
        let seen = json!({"anonymousId": "visitor-0", "event": "Page Viewed", "messageId": "p"});
        assert_eq!(serving.post("/v1/track", &seen).await.status, 200);
        assert_eq!(serving.post("/v1/identify", &identify).await.status, 200);
        let whose = outcomes(&app).await;
        assert_eq!(whose.iter().filter(|outcome| outcome.profile.as_str() == "bo").count(), 1);
    }
}

/// A layout that says how many goods it showed, a slot that changes it, one in a loop, and one in a condition.
const SHELF: Files<'static> = &[
    ("shelf/campaign.toml", "kind = \"lifecycle\"\nholdout_percent = 0\ntrigger = { api = {} }\n"),
    (
        "layouts/shelf.mjml",
        "<mjml><mj-body><mj-raw>{% set shown = 1 %}{% set goods = [\"a\", \"b\", \"c\"] %}</mj-raw><mj-section><mj-column><mj-text>Above. <a href=\"{{ links.unsubscribe }}\">Unsubscribe</a></mj-text></mj-column></mj-section><mj-content /></mj-body></mjml>",
    ),
    (
        "shelf/any/two.mjml",
        "+++\nsubject = \"Two\"\nlayout = \"shelf\"\n[slots]\nhero = [\"one\"]\ngoods = [\"all\"]\neach = [\"line\"]\nhidden = [\"line\"]\ntone = [\"warm\"]\n+++\n<mj-slot name=\"hero\" /><mj-slot name=\"goods\" /><mj-raw>{% for name in goods %}</mj-raw><mj-slot name=\"each\" /><mj-raw>{% endfor %}{% if history.orders_total > 0 %}</mj-raw><mj-slot name=\"hidden\" /><mj-raw>{% endif %}</mj-raw><mj-section><mj-column><mj-text>{% filter upper %}<mj-slot name=\"tone\" />{% endfilter %}</mj-text></mj-column></mj-section>",
    ),
    (
        "shelf/slots/hero/one.mjml",
        "<mj-raw>{% set shown = shown + 1 %}</mj-raw><mj-section><mj-column><mj-text>Hero {{ shown }}.</mj-text></mj-column></mj-section>",
    ),
    (
        "shelf/slots/goods/all.mjml",
        "<mj-section><mj-column><mj-text>From {{ shown }}: {{ goods[shown:] | join(sep=\" \") }}.</mj-text></mj-column></mj-section>",
    ),
    (
        "shelf/slots/each/line.mjml",
        "<mj-section><mj-column><mj-text>Line {{ name }}.</mj-text></mj-column></mj-section><mj-raw>{% if name == \"b\" %}{% continue %}{% endif %}</mj-raw>{#region of no slot: {{ nothing }}#}<mj-section><mj-column><mj-text>Below {{ name }}.</mj-text></mj-column></mj-section>",
    ),
    ("shelf/slots/tone/warm.mjml", "Warm words."),
    (
        "shelf/slots/hidden/line.mjml",
        "<mj-section><mj-column><mj-text>Never.</mj-text></mj-column></mj-section>",
    ),
];

#[tokio::test]
async fn a_page_shows_its_parts_as_the_mail_would_whatever_what_stands_before_them_sets() {
    for app in TestApp::on_each_database(SHELF).await {
        let serving = app.serves().await;
        let words = |html: &Value| {
            let html = html.as_str().unwrap().to_owned();
            let said = [
                "Above",
                "Hero 2.",
                "From 2: c.",
                "Line a.",
                "Line b.",
                "Line c.",
                "Below a.",
                "Below b.",
                "WARM WORDS.",
                "Never",
            ];
            said.into_iter().filter(|word| html.contains(word)).collect::<Vec<_>>().join(" ")
        };
        let ask = |slots: &[&str]| json!({"campaign": "shelf", "anonymous_id": "v", "slots": slots});
        let whole = serving.post("/v1/decide", &ask(&[])).await;
        assert_eq!(whole.status, 200, "{whole:?}");
        assert_eq!(
            words(&whole.json()["html"]),
            "Hero 2. From 2: c. Line a. Line b. Line c. Below a. WARM WORDS."
        );
        let parts = serving.post("/v1/decide", &ask(&["goods", "each", "hidden", "tone"])).await.json();
        assert_eq!(words(&parts["slots"]["goods"]), "From 2: c.", "{parts}");
        assert_eq!(words(&parts["slots"]["each"]), "Line a. Line b. Line c. Below a.");
        assert_eq!((&parts["html"], parts["slots"].get("hidden")), (&Value::Null, None));
        assert_eq!(parts["slots"].get("tone"), None, "a filter has hold of it");
        assert!(!parts.to_string().contains("\\u000"), "no mark goes out: {parts}");
    }
}

/// Nine of ten draws are a coupon.
const GIFT: Files<'static> = &[
    (
        "gift/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"weighted\"\nuniform_percent = 0\nholdout_percent = 0\ntrigger = { api = {} }\n",
    ),
    (
        "gift/any/plain.mjml",
        "+++\nsubject = \"Hello\"\n+++\n<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>",
    ),
    (
        "gift/any/coupon.mjml",
        "+++\nsubject = \"A gift\"\nweight = 9\noffer = \"gift\"\n+++\n<mj-section><mj-column><mj-text>Your code: {{ offer.code }}</mj-text></mj-column></mj-section>",
    ),
    ("offers.toml", "[gift]\ndescription = \"A gift\"\nkind = \"coupon\"\npercent = '10'\n"),
];

#[tokio::test]
async fn who_has_no_address_is_chosen_for_without_coupons_and_the_record_says_why() {
    for app in TestApp::on_each_database(GIFT).await {
        let serving = app.serves().await;
        let (store, on) = (&app.database.store, app.database.name());
        let codes: Vec<String> = (0..3).map(|number| format!("CODE-{number}")).collect();
        store.import_coupons("gift", &codes).await.unwrap();
        for number in 0..5 {
            let ask = json!({"campaign": "gift", "anonymous_id": format!("v{number}")});
            let chosen = serving.post("/v1/decide", &ask).await.json();
            assert_eq!((&chosen["variant"], &chosen["propensity"]), (&json!("gift/any/plain"), &json!(1.0)));
            let visitor = given::id(&format!("anon:v{number}"));
            let kept = store.person(&visitor).await.unwrap().remove("web_decisions").unwrap();
            let body = &kept[0]["body"];
            let detail = "coupons of offer gift are for people with an address";
            let expected = json!([{"rule": "offer", "detail": detail, "variants": ["gift/any/coupon"]}]);
            assert_eq!(
                (&body["ruled_out"], &body["withdrawn"]),
                (&expected, &Value::Null),
                "on {on}: one draw"
            );
        }
        assert_eq!(store.count_coupons().await.unwrap()["gift"].free, 3, "nobody empties the pool");
        // People who are known get one; drawn nine times in ten.
        let mut with_code = 0;
        for number in 0..20 {
            let name = format!("p{number}");
            app.given_profile(&name).await;
            let chosen =
                serving.post("/v1/decide", &json!({"campaign": "gift", "profile": name})).await.json();
            with_code += u64::from(chosen["offer"]["code"].is_string());
        }
        assert_eq!(with_code, 3, "as many as there were, on {on}");
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_said_with_the_field() {
    let app = TestApp::on_sqlite(PAGE).await;
    let serving = app.serves().await;
    for (body, status, begins) in [
        (json!({"campaign": "nothing", "profile": "ana"}), 404, "campaign: "),
        (json!({"profile": "ana"}), 422, "campaign: "),
        (json!({"campaign": "page"}), 422, "profile: "),
        (json!({"campaign": "page", "profile": "\u{0}"}), 422, "profile: "),
        (json!({"campaign": "page", "anonymous_id": "\u{7}x\u{7}y"}), 422, "anonymous_id: "),
        (json!({"campaign": "news", "profile": "ana", "slots": ["hero"]}), 404, "slots: "),
        (json!({"profile": "ana", "slots": ["nothing"]}), 404, "slots: "),
        (json!({"campaign": "page", "profile": "ana", "slots": vec!["hero"; 21]}), 422, "slots: "),
        (json!({"campaign": "page", "profile": 1}), 422, "profile: "),
    ] {
        let answer = serving.post("/v1/decide", &body).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{body}"
        );
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(begins), "{body}: {answer:?}");
    }
    let other = app.key_for(&[Scope::Send]).await;
    for path in ["/v1/decide", "/v1/render"] {
        let request =
            serving.request(Method::POST, path).bearer_auth(&other).json(&json!({"campaign": "page"}));
        assert_eq!(answer(request).await.status, 403);
    }
    assert_eq!(outcomes(&app).await, []);
}

#[tokio::test]
async fn a_dry_run_is_the_mail_that_would_go_out_and_leaves_nothing_behind() {
    for app in TestApp::on_each_database(PAGE).await {
        let serving = app.serves().await;
        app.given_profile("ana").await;
        let data = json!({"order_id": "A-17"});
        let run =
            serving.post("/v1/render", &json!({"campaign": "receipt", "profile": "ana", "data": data})).await;
        assert_eq!(run.status, 200, "{run:?}");
        let run = run.json();
        assert_eq!(
            (&run["sent"], &run["subject"], &run["state"]),
            (&json!(true), &json!("Your order A-17"), &Value::Null)
        );
        assert!(run["html"].as_str().unwrap().contains("order A-17"));
        assert!(run["text"].as_str().unwrap().contains("order A-17"));
        assert_eq!(run["decision"]["variant"], "receipt/any/receipt");

        let ask = json!({"campaign": "receipt", "address": "new@example.test", "data": data});
        assert_eq!(serving.post("/v1/render", &ask).await.json()["subject"], "Your order A-17");
        let refused = json!({"campaign": "news", "address": "new@example.test"});
        let refused = serving.post("/v1/render", &refused).await.json();
        assert_eq!(
            (&refused["sent"], &refused["state"], &refused["reason"]),
            (&json!(false), &json!("skipped"), &json!("no_consent"))
        );
        assert_eq!(refused["html"], Value::Null);
        assert_eq!(
            serving.post("/v1/render", &json!({"campaign": "receipt", "profile": "nobody"})).await.status,
            404
        );
        assert_eq!((app.sends().await.len(), app.database.store.count_profiles().await.unwrap()), (0, 1));
    }
}
