//! What the shipped shop promises of each person: weekly picks by their taste, and a thank-you from their own spending.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use bespoke::cli::learn::learn_all;
use bespoke::demo::products::products;
use bespoke::product::Availability;
use bespoke::profile::Consent;
use bespoke::send::State;
use bespoke::store::StoredSend;
use serde_json::json;

use crate::support::TestApp;
use crate::support::stores;

/// Every file of the shipped templates that these campaigns need, by its path under `templates/`.
fn shipped(campaign: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut open: Vec<PathBuf> =
        ["layouts", "blocks", "samples", campaign].map(|name| root.join(name)).into();
    let mut files = vec![root.join("offers.toml")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The shipped shop with one of its lifecycle campaigns, on each database.
async fn shops(campaign: &str) -> Vec<TestApp> {
    let files = shipped(campaign);
    // Four people are too few to hold any out.
    let held_out = ["holdout_percent = 10", "holdout_percent = 5"];
    let all_get_it = |text: &String| {
        held_out.iter().fold(text.clone(), |text, line| text.replace(line, "holdout_percent = 0"))
    };
    let files: Vec<(&String, String)> = files.iter().map(|(path, text)| (path, all_get_it(text))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let public =
        "[public]\nurl = \"https://m.brindle.example\"\nsecret = \"a secret of at least thirty-two bytes\"\n";
    let config = format!("{}\n[holdout]\npercent = 0\n{public}", include_str!("../../bespoke.toml"));
    let databases = stores().await.into_iter();
    databases.map(|database| TestApp::new(database, &config, &files)).collect()
}

/// What became of the campaign's sends, by person.
async fn sends_of(app: &TestApp, campaign: &str) -> BTreeMap<String, StoredSend> {
    let own = app.sends().await.into_iter().filter(|stored| stored.send.campaign.as_str() == campaign);
    own.map(|stored| (stored.send.profile.to_string(), stored)).collect()
}

async fn orders(app: &TestApp, name: &str, days: &[&str], lines: &[&str], total: i64) {
    for day in days {
        app.at(&format!("{day}T10:00:00Z")).await;
        let lines: Vec<_> =
            lines.iter().map(|id| json!({"product_id": id, "quantity": 1, "price": 10})).collect();
        let order = json!({"order_id": format!("{name} {day}"), "products": lines, "total": total});
        app.does(name, "Order Completed", order).await;
    }
}

#[tokio::test]
async fn a_regulars_reward_is_worked_out_from_what_they_spend() {
    for app in shops("loyalty").await {
        // A twentieth of the year, between 3 and 20 pounds.
        let expected =
            [("ana", 10, Some(300)), ("bo", 150, Some(2_000)), ("cy", 60, Some(900)), ("di", 500, None)];
        for (name, total, amount) in expected {
            app.given_profile_with(name, |profile| profile.consent = Consent::Granted).await;
            let days = ["2025-12-01", "2026-01-15", "2026-03-02"];
            let days = if amount.is_some() { &days[..] } else { &days[..2] };
            orders(&app, name, days, &["hearth-blend"], total).await;
        }
        let shop = app.config.shop.get("currency").and_then(|word| word.as_str()).unwrap();
        app.database
            .store
            .upsert_products(&products("https://brindle.example", shop), app.now())
            .await
            .unwrap();
        app.at("2026-04-04T12:00:00Z").await;
        app.plans().await;
        app.at("2026-04-05T09:00:00Z").await;
        app.runs_until_idle().await;
        let sends = sends_of(&app, "loyalty").await;
        for (name, _, amount) in expected {
            let found = sends.get(name).filter(|stored| stored.variant.is_some());
            let Some(stored) = found else {
                assert_eq!(amount, None, "{name}: who ordered twice is no regular; {:?}", sends.get(name));
                continue;
            };
            let inputs = app.decision(&stored.send.id).await.inputs;
            assert_eq!(inputs["offer"]["amount"].as_i64(), amount, "{name} on {}", app.database.name());
            let pounds = format!("£{}.00", amount.unwrap() / 100);
            let mail = app.mails().into_iter().find(|mail| mail.send == stored.send.id).unwrap();
            let text = String::from_utf8_lossy(&mail.bytes).into_owned();
            let escaped = pounds.replace('£', "&#163;");
            assert!(text.contains(&escaped) || text.contains(&pounds), "{name}: {pounds} in\n{text}");
        }
    }
}

#[tokio::test]
async fn who_withdrew_consent_is_not_asked_for_a_review_and_whoever_is_can_leave() {
    for app in shops("review-request").await {
        app.database
            .store
            .upsert_products(&products("https://brindle.example", "GBP"), app.now())
            .await
            .unwrap();
        for (name, consent) in [("ana", Consent::Granted), ("wil", Consent::Withdrawn)] {
            app.given_profile_with(name, |profile| profile.consent = consent).await;
            orders(&app, name, &["2026-03-02"], &["hearth-blend"], 10).await;
        }
        app.at("2026-03-14T12:00:00Z").await;
        app.plans().await;
        app.runs_until_idle().await;
        let mails = app.mails();
        assert_eq!(mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["ana@example.test"]);
        let mail = mail_parser::MessageParser::new().parse(&mails[0].bytes).unwrap();
        assert!(mail.header_raw("List-Unsubscribe").is_some());
        let text = mail.body_text(0).unwrap();
        assert!(text.contains("https://m.brindle.example/u/"), "{text}");
        // The order's line says its id alone; its name is the catalogue's.
        assert!(text.contains("Hearth Blend") && !text.contains("hearth-blend"), "{text}");
    }
}

#[tokio::test]
async fn a_page_may_show_whatever_of_the_journey_it_wants() {
    for app in shops("journey").await {
        let store = &app.database.store;
        let all = products("https://brindle.example", "GBP");
        store.upsert_products(&all, app.now()).await.unwrap();
        for (number, product) in all.iter().enumerate() {
            let name = format!("p{number}");
            app.given_profile(&name).await;
            orders(&app, &name, &["2026-02-10", "2026-03-01"], &[&product.id, "hearth-blend"], 40).await;
        }
        app.at("2026-03-02T09:00:00Z").await;
        learn_all(store, &app.config, app.now()).await.unwrap();
        let serving = app.serves().await;
        let visitors = (0..20).map(|number| json!({"anonymous_id": format!("v{number}")}));
        for who in visitors.chain([json!({"profile": "p1"})]) {
            for slots in [&[][..], &["shelf"]] {
                let mut ask = who.clone();
                ask["campaign"] = json!("journey");
                ask["slots"] = json!(slots);
                let answer = serving.post("/v1/decide", &ask).await;
                assert_eq!(answer.status, 200, "{ask}: {answer:?}");
                let chosen = answer.json();
                let shown = if slots.is_empty() { &chosen["html"] } else { &chosen["slots"]["shelf"] };
                let asked_for_what_it_lacks = chosen["options"].get("shelf").is_none() && !slots.is_empty();
                assert!(
                    asked_for_what_it_lacks || shown.as_str().is_some_and(|html| !html.is_empty()),
                    "{chosen}"
                );
            }
        }
    }
}

#[tokio::test]
async fn weekly_picks_follow_taste_and_show_nothing_sold_out_bought_or_shown_lately() {
    for app in shops("weekly-picks").await {
        let mut all = products("https://brindle.example", "GBP");
        for product in all.iter_mut().filter(|product| product.id == "nightjar-espresso") {
            product.availability = Availability::OutOfStock;
        }
        let store = &app.database.store;
        store.upsert_products(&all, app.now()).await.unwrap();
        let days = ["2026-02-10", "2026-02-24", "2026-03-01"];
        for (name, lines) in
            [("ana", ["hearth-blend", "stoneware-cone"]), ("bo", ["fern-sencha", "round-teapot"])]
        {
            app.given_profile_with(name, |profile| profile.consent = Consent::Granted).await;
            orders(&app, name, &days[2..], &lines, 40).await;
        }
        // The shop's others: who buys a press buys coffee, who buys a pot buys tea.
        for number in 0..40 {
            let name = format!("p{number}");
            app.given_profile_with(&name, |profile| profile.consent = Consent::Withdrawn).await;
            let coffee =
                ["hearth-blend", "stoneware-cone", "orchard-filter", "paper-filters", "nightjar-espresso"];
            let tea = ["fern-sencha", "round-teapot", "mistline-oolong", "ember-chai", "fieldgate-breakfast"];
            let lines = if number % 2 == 0 { coffee } else { tea };
            orders(&app, &name, &days[number % 2..][..1], &lines, 60).await;
        }
        app.at("2026-03-05T12:00:00Z").await;
        learn_all(store, &app.config, app.now()).await.unwrap();
        let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for friday in ["2026-03-06", "2026-03-13"] {
            app.at(&format!("{friday}T12:00:00Z")).await;
            app.plans().await;
            app.at(&format!("{friday}T16:00:00Z")).await;
            app.runs_until_idle().await;
            let picks_of = sends_of(&app, "weekly-picks").await.into_values();
            let sent = picks_of.filter(|stored| stored.send.state == State::Sent);
            for stored in sent.filter(|stored| stored.submitted_at == Some(app.now())) {
                let name = stored.send.profile.to_string();
                let (own, bought, others) = match name.as_str() {
                    "ana" => (
                        ["orchard-filter", "paper-filters"],
                        ["hearth-blend", "stoneware-cone"],
                        "ember-chai",
                    ),
                    "bo" => {
                        (["mistline-oolong", "ember-chai"], ["fern-sencha", "round-teapot"], "paper-filters")
                    }
                    other => panic!("{other} gets no picks"),
                };
                let lately = shown.entry(name.clone()).or_default();
                let inputs = app.decision(&stored.send.id).await.inputs;
                let picks = inputs["recommended"].clone();
                let picks: Vec<String> = picks
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|pick| pick["id"].as_str().unwrap().to_owned())
                    .collect();
                let place = |id: &str| picks.iter().position(|pick| pick == id);
                let context =
                    format!("{name} on {friday}: {picks:?} after {lately:?}, {}", app.database.name());
                assert!(!picks.iter().any(|pick| lately.contains(pick)), "shown lately: {context}");
                assert!(bought.iter().all(|id| place(id).is_none()), "bought: {context}");
                assert_eq!(place("nightjar-espresso"), None, "sold out: {context}");
                if lately.is_empty() {
                    for id in own {
                        assert!(place(id) < place(others).or(Some(usize::MAX)), "by taste: {context}");
                        assert!(place(id).is_some(), "by taste: {context}");
                    }
                }
                lately.extend(stored.products);
            }
        }
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["ana", "bo"]);
    }
}
