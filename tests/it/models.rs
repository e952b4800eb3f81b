//! Models as their users meet them: an alarm when predictions do not come true, `bespoke model`, and what `learn` says.

use std::collections::BTreeMap;

use bespoke::cli::learn::learn_all;
use bespoke::decision::VariantId;
use bespoke::learn::orders::OrderBook;
use bespoke::learn::teach::teach;
use bespoke::select::learnt::POLICY_MODEL;
use bespoke::select::learnt::PolicyBody;
use bespoke::select::model::heads::BaseRates;
use bespoke::send::State;
use bespoke::store::StoredModel;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given;

/// Everybody is expected to click, nearly.
const EXPECTED_CLICKS: f64 = 0.9;
const PEOPLE: usize = 70;

/// A day's mails by a model that is sure of itself, of which so many are clicked; four days later.
async fn a_day_by_a_sure_model(app: &TestApp, clicks: usize) {
    let rates = BaseRates { click: EXPECTED_CLICKS, ..BaseRates::default() };
    let body = PolicyBody { account_sends: 2_000, ..PolicyBody::new(rates) };
    let model = StoredModel {
        kind: POLICY_MODEL.to_owned(),
        version: "sure".to_owned(),
        created_at: app.now(),
        body: serde_json::to_string(&body).unwrap(),
    };
    app.database.store.put_model(&model).await.unwrap();
    for number in 0..PEOPLE {
        app.given_profile(&format!("p{number}")).await;
    }
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    app.at("2026-03-02T12:00:00Z").await;
    let sent: Vec<_> =
        app.sends().await.into_iter().filter(|stored| stored.send.state == State::Sent).collect();
    assert!(sent.len() > PEOPLE - 10, "{} of {PEOPLE} were sent", sent.len());
    for stored in sent.iter().take(clicks) {
        given::clicks(&app.database, &stored.send.id, app.now()).await;
    }
    app.at("2026-03-06T10:00:00Z").await;
}

#[tokio::test]
async fn predictions_that_do_not_come_true_raise_an_alarm() {
    for (clicks, alarms) in [(60, false), (30, true)] {
        for app in TestApp::on_each_database(&[]).await {
            a_day_by_a_sure_model(&app, clicks).await;
            let (store, engine) = (&app.database.store, app.engine().await);
            let taught =
                teach(store, &engine.catalog, &OrderBook::default(), app.now()).await.unwrap().unwrap();
            let found = taught.calibration.unwrap();
            let context = format!("{found:?} on {}", app.database.name());
            assert_eq!(found.clicks, u64::try_from(clicks).unwrap(), "{context}");
            // Of a rate in which little is believed yet, the expectation lies nearer to a half.
            let rate = found.expected / f64::from(u32::try_from(found.sends).unwrap());
            assert!((0.7..EXPECTED_CLICKS).contains(&rate), "{context}");
            assert_eq!(taught.alarm().is_some(), alarms, "{context}");
            // A week later those mails say nothing any more.
            app.at("2026-03-10T10:00:00Z").await;
            let later =
                teach(store, &engine.catalog, &OrderBook::default(), app.now()).await.unwrap().unwrap();
            assert_eq!((later.calibration, later.alarm()), (None, None));
        }
    }
}

#[tokio::test]
async fn a_new_variant_gets_a_tenth_of_a_plan_however_many_it_is_for() {
    let fresh = (
        "news/any/fresh.mjml",
        "+++\nsubject = \"Fresh\"\n+++\n<mj-section><mj-column><mj-text>New.</mj-text></mj-column></mj-section>",
    );
    for app in TestApp::on_each_database(&[fresh]).await {
        let sends = [("news/any/hello", 500), ("news/any/fresh", 499)];
        let body = PolicyBody {
            account_sends: 2_000,
            variant_sends: BTreeMap::from(sends.map(|(name, sends)| (VariantId::new(name), sends))),
            ..PolicyBody::new(BaseRates::default())
        };
        let model = StoredModel {
            kind: POLICY_MODEL.to_owned(),
            version: "first".to_owned(),
            created_at: app.now(),
            body: serde_json::to_string(&body).unwrap(),
        };
        app.database.store.put_model(&model).await.unwrap();
        for number in 0..300 {
            app.given_profile(&format!("p{number}")).await;
        }
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let mut got = 0;
        for stored in app.sends().await {
            let decision = app.decision(&stored.send.id).await;
            let own =
                decision.candidates.iter().find(|one| one.variant.as_str() == "news/any/fresh").unwrap();
            // Nothing speaks against it: without the limit it were half.
            assert!((0.05..=0.1 + 1e-12).contains(&own.probability), "{own:?}");
            got += usize::from(stored.variant.is_some_and(|variant| variant.as_str() == "news/any/fresh"));
        }
        // Five standard errors around a tenth.
        assert!((5..56).contains(&got), "{got} of 300 on {}", app.database.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_shown_and_rolled_back_by_their_versions() {
    for app in TestApp::on_each_database(&[]).await {
        a_day_by_a_sure_model(&app, 30).await;
        let (store, engine) = (&app.database.store, app.engine().await);
        let taught = teach(store, &engine.catalog, &OrderBook::default(), app.now()).await.unwrap().unwrap();
        let fitted = taught.published.unwrap();
        let says = async |words: &[&str]| app.says(words).await;
        let listed = says(&["model", "list"]).await;
        let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [vec!["policy", &fitted, "in", "use"], vec!["policy", "sure"]], "{listed}");

        let shown = says(&["model", "show"]).await;
        assert!(shown.contains(&fitted) && shown.contains("ALARM"), "{shown}");
        let older = says(&["model", "show", "sure"]).await;
        assert!(
            older.contains("no decision of a model in the last 7 days") && !older.contains("ALARM"),
            "{older}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&says(&["model", "show", "--format", "json"]).await).unwrap();
        assert_eq!((&json["version"], &json["calibration"]["clicks"]), (&fitted.clone().into(), &30.into()));

        let said = says(&["model", "rollback", "sure"]).await;
        assert!(said.contains("(as sure)") && said.contains("is in use from now on"), "{said}");
        let newest = store.newest_model(POLICY_MODEL).await.unwrap().unwrap();
        assert!(newest.version.ends_with("(as sure)"), "{}", newest.version);
        let before =
            PolicyBody::parse("sure", &store.model(POLICY_MODEL, "sure").await.unwrap().unwrap().body)
                .unwrap();
        let restored = PolicyBody::parse(&newest.version, &newest.body).unwrap();
        assert_eq!(restored, PolicyBody { restored_from: Some("sure".to_owned()), ..before });
    }
}

#[tokio::test]
async fn a_rule_asks_who_is_still_a_customer() {
    let gone = (
        "news/campaign.toml",
        "kind = \"lifecycle\"\naudience = 'has(history.value) && history.value.p_alive < 0.4'\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
    );
    for app in TestApp::on_each_database(&[gone]).await {
        app.given_profile("stranger").await;
        for number in 0..24 {
            let name = format!("p{number}");
            app.given_profile(&name).await;
            // All buy every few days; the odd ones stopped three months ago.
            let last = if number % 2 == 0 { 150 } else { 60 };
            for day in (0..last).step_by(3 + number) {
                let at: jiff::Timestamp = "2025-10-01T12:00:00Z".parse().unwrap();
                app.at(&(at + SignedDuration::from_hours(24 * i64::from(day))).to_string()).await;
                app.does(&name, "Order Completed", json!({"order_id": format!("{name} {day}"), "total": 20}))
                    .await;
            }
        }
        app.at("2026-03-02T00:30:00Z").await;
        assert_eq!(app.plans().await, 0, "nothing is known before it was learnt");
        let learnt = learn_all(&app.database.store, &app.config, app.now()).await.unwrap();
        assert_eq!(learnt.value.unwrap().customers, 24);
        app.database.execute("delete from plan_cursors where campaign = 'news'").await;
        app.plans().await;
        let mut found: Vec<String> =
            app.sends().await.iter().map(|stored| stored.send.profile.to_string()).collect();
        found.sort();
        let frequent = ["p1", "p3", "p5"];
        assert!(
            frequent.iter().all(|name| found.iter().any(|one| one == name)),
            "{found:?} on {}",
            app.database.name()
        );
        assert!(
            !found.iter().any(|name| ["p0", "p2", "p4", "stranger"].contains(&name.as_str())),
            "{found:?}"
        );
    }
}
