//! Reports about experiments: A/B tests, and all campaigns together against the global holdout.

use std::collections::HashMap;

use bespoke::decision::Choice;
use bespoke::decision::VariantId;
use bespoke::profile::ProfileId;
use bespoke::report;
use bespoke::report::Sources;
use bespoke::report::scope::Scope;
use bespoke::select::slices::is_held_out_of_all;
use bespoke::send::State;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::given::clicks;
use crate::support::given::id;
use crate::support::stores;

const VARIANT: &str = "+++\nsubject = \"Hello\"\n+++\n<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";
const AB: [(&str, &str); 4] = [
    (
        "test/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"ab\"\nholdout_percent = 0\nuniform_percent = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * MON\" } }\n",
    ),
    ("test/any/one.mjml", VARIANT),
    ("test/any/two.mjml", VARIANT),
    ("news/campaign.toml", "kind = \"lifecycle\"\ntrigger = { api = {} }\n"),
];

async fn told(app: &TestApp, name: &str) -> Value {
    let until = app.now();
    let scope = Scope { since: None, until, campaign: None, zone: TimeZone::UTC, days: 7, split: None };
    let sources =
        Sources { store: &app.database.store, config: &app.config, scope: &scope, progress: &|_, _| {} };
    report::machine::json(&(report::find(name).unwrap().make)(&sources).await.unwrap())
}

#[tokio::test]
async fn clicks_that_nobody_could_count_are_not_told_as_none() {
    let config = CONFIG.replace("url = \"https://m.shop.test\"\n", "");
    let app = TestApp::new(crate::support::Database::sqlite().await, &config, &AB);
    for name in ["ana", "bo", "cy"] {
        app.given_profile(name).await;
    }
    app.at("2026-03-02T00:30:00Z").await;
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    app.at("2026-03-20T00:00:00Z").await;
    let report = told(&app, "variants").await.to_string();
    assert!(report.contains("\"not tracked\"") && !report.contains("not significant"), "{report}");
    assert!(report.contains("nothing is known of opens and clicks: state `public.url`"), "{report}");
}

#[tokio::test]
async fn a_mail_that_went_at_its_second_attempt_is_told_for_its_first_alone() {
    for app in TestApp::on_each_database(&[]).await {
        app.given_profile("ana").await;
        app.does("ana", "Order Completed", json!({"order_id": "A-7"})).await;
        app.plans().await;
        let sends = app.sends().await;
        let stored = sends.iter().find(|stored| stored.send.campaign.as_str() == "receipt").unwrap();
        for (attempt, reason, state) in [(1, "refused", "deferred"), (2, "sent", "sent")] {
            app.database
                .execute(&format!(
                    "insert into attempts (send_id, attempt, reason, at, times, state, detail) values \
                     ('{}', {attempt}, '{reason}', {}, 1, '{state}', '')",
                    stored.send.id,
                    app.now().as_millisecond()
                ))
                .await;
        }
        app.at("2026-03-20T00:00:00Z").await;
        let report = told(&app, "deliverability").await.to_string();
        assert!(report.contains("\"refused\"") && !report.contains("\"reason\":\"sent\""), "{report}");
    }
}

#[tokio::test]
async fn a_person_counts_once_in_a_test_when_their_days_are_over() {
    for app in TestApp::on_each_database(&AB).await {
        for number in 0..30 {
            app.given_profile(&format!("p{number:02}")).await;
        }
        let mut own: HashMap<ProfileId, VariantId> = HashMap::new();
        let mut people = 0;
        let mut clicked = 0;
        for (week, day) in ["2026-03-02", "2026-03-09"].iter().enumerate() {
            app.at(&format!("{day}T00:30:00Z")).await;
            app.plans().await;
            app.at(&format!("{day}T10:00:00Z")).await;
            app.runs_until_idle().await;
            let sent = app.sends().await.into_iter().filter(|stored| stored.send.state == State::Sent);
            let of_week: Vec<_> = sent.filter(|stored| stored.submitted_at == Some(app.now())).collect();
            let mut deeds = Vec::new();
            for stored in &of_week {
                let decision = app.decision(&stored.send.id).await;
                let Choice::Variant { variant, .. } = &decision.choice else { panic!("{decision:?}") };
                assert!((decision.propensity - 0.5).abs() < 1e-12);
                let first = own.entry(decision.profile.clone()).or_insert(variant.clone());
                assert_eq!(first, variant, "everybody keeps their variant");
                // In the first week `one` is clicked in time by all, in the second `two` by all; that tells nothing new.
                if variant.as_str().ends_with(["/one", "/two"][week]) {
                    deeds.push(stored.send.id.clone());
                }
            }
            for send in &deeds {
                clicks(&app.database, send, app.now() + 1.hour()).await;
            }
            if week == 0 {
                (people, clicked) = (of_week.len(), deeds.len());
                app.at(&format!("{day}T11:00:00Z")).await;
                let open = &told(&app, "ab").await["tables"]["verdicts"]["rows"][0];
                assert_eq!((&open["people"], &open["open_people"]), (&json!(0), &json!(people)));
                assert_eq!(open["verdict"], "no window has closed yet: nothing can be said");
            }
        }
        app.at("2026-03-20T00:00:00Z").await;
        let told = told(&app, "ab").await;
        let verdict = &told["tables"]["verdicts"]["rows"][0];
        assert_eq!((&verdict["people"], &verdict["open_people"]), (&json!(people), &json!(0)));
        let words = verdict["verdict"].as_str().unwrap();
        assert!(words.starts_with("not significant: "), "fewer than the rule's least: {words}");
        let variants = told["tables"]["variants"]["rows"].as_array().unwrap();
        let figures = |index: usize| (&variants[index]["people"], &variants[index]["clicked_people"]);
        assert_eq!(figures(0), (&json!(clicked), &json!(clicked)), "{}", app.database.name());
        assert_eq!(figures(1), (&json!(people - clicked), &json!(0)));
    }
}

#[tokio::test]
async fn who_was_held_out_is_not_denied_while_their_days_are_not_over() {
    let held_back = AB[0].1.replace("holdout_percent = 0", "holdout_percent = 50");
    let files = [(AB[0].0, held_back.as_str()), AB[1], AB[2], AB[3]];
    for app in TestApp::on_each_database(&files).await {
        for number in 0..30 {
            app.given_profile(&format!("p{number:02}")).await;
        }
        app.at("2026-03-02T00:30:00Z").await;
        app.plans().await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        let tell = async |time: &str| {
            app.at(time).await;
            let lift = told(&app, "lift").await;
            (lift["tables"]["groups"]["rows"][0]["sizes"].clone(), lift["notes"].to_string())
        };
        let (sizes, notes) = tell("2026-03-03T10:00:00Z").await;
        assert_eq!(sizes, "too early to compare");
        assert!(notes.contains("whose 7 days after the first send are over") && !notes.contains("held out"));
        let (sizes, notes) = tell("2026-03-20T10:00:00Z").await;
        assert_eq!(sizes, "as dealt");
        assert!(!notes.contains("are over") && !notes.contains("held out"), "{notes}");
    }
}

#[tokio::test]
async fn all_campaigns_together_are_judged_by_the_global_holdout() {
    let daily = |hour: u32| {
        format!(
            "kind = \"lifecycle\"\nholdout_percent = 20.0\naudience = 'profile.consent == \"granted\"'\ntrigger = {{ cron = {{ schedule = \"0 {hour} * * MON\" }} }}\n"
        )
    };
    let (one, two) = (daily(10), daily(11));
    let files = [
        ("one/campaign.toml", one.as_str()),
        ("one/any/hello.mjml", VARIANT),
        ("two/campaign.toml", two.as_str()),
        ("two/any/hello.mjml", VARIANT),
        ("news/campaign.toml", "kind = \"lifecycle\"\ntrigger = { api = {} }\n"),
    ];
    for database in stores().await {
        let app = TestApp::new(database, &format!("{CONFIG}[holdout]\npercent = 30\n"), &files);
        for number in 0..50 {
            app.given_profile(&format!("p{number:02}")).await;
        }
        app.at("2026-03-02T00:30:00Z").await;
        app.plans().await;
        app.at("2026-03-02T11:00:00Z").await;
        app.runs_until_idle().await;
        app.at("2026-03-20T00:00:00Z").await;
        let lift = told(&app, "lift").await;
        let rows = lift["tables"]["groups"]["rows"].as_array().unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row["campaign"].as_str().unwrap()).collect();
        assert_eq!(names, ["all campaigns", "one", "two"], "{}", app.database.name());
        let held_out = (0..50).filter(|n| is_held_out_of_all(&id(&format!("p{n:02}")), 30.0)).count();
        assert_eq!(
            (&rows[0]["mail_people"], &rows[0]["holdout_people"], &rows[0]["sizes"]),
            (&json!(50 - held_out), &json!(held_out), &json!("as dealt"))
        );
        let of_one = rows[1]["holdout_people"].as_u64().unwrap();
        assert!(of_one > held_out as u64, "a campaign holds out people of its own, too");
    }
}
