//! Reports: what the store counts, on both databases; what people and programs read; and figures on a real shop's
//! orders, counted a second time by other code.

use std::io::BufRead as _;
use std::io::BufReader;

use bespoke::config::Config;
use bespoke::config::Environment;
use bespoke::config::Overrides;
use bespoke::report;
use bespoke::report::Report;
use bespoke::report::Sources;
use bespoke::report::scope::Scope;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::send::Suppression;
use bespoke::store::Store;
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use serde_json::json;

use crate::import::Desk;
use crate::import::map;
use crate::support::Database;
use crate::support::TestApp;
use crate::support::given;
use crate::support::shared;

const RETAIL: &str = "online_retail/transactions_until_2011-05.csv.gz";

pub(crate) fn scope(until: &str, zone: &str) -> Scope {
    let until: Timestamp = until.parse().unwrap();
    Scope { since: None, until, campaign: None, zone: TimeZone::get(zone).unwrap(), days: 7, split: None }
}

async fn told(store: &Store, config: &Config, scope: &Scope, name: &str) -> Report {
    let sources = Sources { store, config, scope, progress: &|_, _| {} };
    (report::find(name).unwrap().make)(&sources).await.unwrap()
}

pub(crate) async fn json_of(store: &Store, config: &Config, scope: &Scope, name: &str) -> Value {
    report::machine::json(&told(store, config, scope, name).await)
}

/// Only these fields of each row.
pub(crate) fn fields(rows: &Value, names: &[&str]) -> Vec<Vec<Value>> {
    let rows = rows["rows"].as_array().unwrap();
    rows.iter().map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
}

/// A campaign with half of the people held out, and no receipts beside it.
const NEWS: &[(&str, &str)] = &[
    (
        "news/campaign.toml",
        "kind = \"lifecycle\"\nholdout_percent = 50.0\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
    ),
    ("receipt/campaign.toml", "kind = \"transactional\"\ntrigger = { api = {} }\n"),
];

/// Ids of the mails that went, in the order of their people's names.
async fn a_day_of_news(app: &TestApp) -> Vec<(String, SendId)> {
    for number in 0..40 {
        app.given_profile(&format!("p{number:02}")).await;
    }
    app.does("p00", "Order Completed", json!({"order_id": "A0", "total": 10.0})).await;
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    let sends = app.sends().await;
    let went = sends.iter().filter(|stored| stored.send.state == State::Sent);
    let mut went: Vec<(String, SendId)> =
        went.map(|stored| (stored.send.profile.to_string(), stored.send.id.clone())).collect();
    went.sort();
    assert!((8..=32).contains(&went.len()), "{} of 40 mails went", went.len());
    went
}

/// The first two click, the first buys twice and gives a part back, the third unsubscribes, the fourth's mail bounced,
/// and somebody of the holdout buys.
async fn what_came_of_it(app: &TestApp, went: &[(String, SendId)]) {
    let store = &app.database.store;
    app.at("2026-03-03T12:00:00Z").await;
    for index in [0, 1] {
        given::clicks(&app.database, &went[index].1, app.now()).await;
    }
    let (buyer, held_out) = (went[0].0.clone(), held_out(app).await);
    app.at("2026-03-04T12:00:00Z").await;
    app.does(&buyer, "Order Completed", json!({"order_id": "A1", "total": 100.0})).await;
    app.does(&held_out, "Order Completed", json!({"order_id": "H1", "total": 50.0})).await;
    app.at("2026-03-05T12:00:00Z").await;
    app.does(
        &buyer,
        "Order Completed",
        json!({"order_id": "A2", "product_id": "x", "price": 20.0, "quantity": 2}),
    )
    .await;
    app.does(&buyer, "Order Refunded", json!({"order_id": "A1", "total": 30.0})).await;
    let suppression = Suppression {
        address: format!("{}@example.test", went[2].0),
        topic: "lifecycle".to_owned(),
        reason: "unsubscribe".to_owned(),
        at: app.now(),
        until: None,
        send: Some(went[2].1.clone()),
    };
    store.add_suppressions(&[suppression]).await.unwrap();
    let bounced = &went[3].1;
    app.database
        .execute(&format!(
            "update sends set state = 'failed', reason = 'hard_bounce', domain_group = null, submitted_at = null where id = '{bounced}';"
        ))
        .await;
    app.at("2026-03-20T12:00:00Z").await;
}

async fn held_out(app: &TestApp) -> String {
    let sends = app.sends().await;
    let held = sends.iter().find(|stored| stored.reason.as_deref() == Some("holdout")).unwrap();
    held.send.profile.to_string()
}

#[tokio::test]
async fn an_order_is_owed_to_a_mail_within_the_days_that_its_campaign_states() {
    for (purchase_days, expected) in [(2, 10.0), (9, 30.0)] {
        let campaign =
            format!("{}[reward]\npurchase_days = {purchase_days}\n", NEWS[0].1.replace("50.0", "0"));
        for app in TestApp::on_each_database(&[("news/campaign.toml", &campaign), NEWS[1]]).await {
            app.given_profile("ana").await;
            app.plans().await;
            app.at("2026-03-02T10:00:00Z").await;
            app.runs_until_idle().await;
            for (day, total) in [("03", 10.0), ("10", 20.0)] {
                app.at(&format!("2026-03-{day}T12:00:00Z")).await;
                app.does("ana", "Order Completed", json!({"order_id": day, "total": total})).await;
            }
            // However many days lift looks at.
            for days in [1, 30] {
                let scope = Scope { days, ..scope("2026-03-20T12:00:00Z", "UTC") };
                let kpi = json_of(&app.database.store, &app.config, &scope, "kpi").await;
                let owed = &kpi["headline"]["revenue_owed_to_mail"];
                assert_eq!(owed, &json!(expected), "{purchase_days} days on {}", app.database.name());
                let rule =
                    "owed to the mail that its buyer last clicked before it, else to the last lifecycle mail";
                assert!(kpi.to_string().contains(rule), "the rule is named: {kpi}");
            }
        }
    }
}

#[tokio::test]
async fn reports_count_what_happened_alike_on_both_databases() {
    let mut told_before: Option<Vec<Value>> = None;
    for app in TestApp::on_each_database(NEWS).await {
        let went = a_day_of_news(&app).await;
        what_came_of_it(&app, &went).await;
        let (store, name) = (&app.database.store, app.database.name());
        let scope = scope("2026-03-20T12:00:00Z", "UTC");
        let mut all = Vec::new();
        for kind in report::REPORTS.iter().filter(|kind| kind.name != "clv") {
            all.push(json_of(store, &app.config, &scope, kind.name).await);
        }
        let find = |wanted: &str| all.iter().find(|report| report["report"] == wanted).unwrap();
        let (mails, held) = (went.len() - 1, 40 - went.len());

        let kpi = find("kpi");
        // 10 + (100 − 30) + 50 + 40; who held out bought, too, and owes it to no mail.
        let first_is_p00 = went[0].0 == "p00";
        let buyers = if first_is_p00 { 2 } else { 3 };
        let figures = ["revenue", "orders", "first_time_buyers", "mails", "revenue_owed_to_mail"];
        let found: Vec<&Value> = figures.iter().map(|key| &kpi["headline"][key]).collect();
        assert_eq!(json!(found), json!([170.0, 4, buyers, mails, 110.0]), "{name}");
        let campaigns = fields(&kpi["tables"]["campaigns"], &["campaign", "mails", "orders", "revenue"]);
        assert_eq!(campaigns, [[json!("news"), json!(mails), json!(2), json!(110.0)]]);

        let variants = fields(
            &find("variants")["tables"]["variants"],
            &["campaign", "variant", "mails", "share_of_traffic", "clicked_against_the_rest"],
        );
        let variant = [json!("news"), json!("news/any/hello"), json!(mails), json!(1.0), json!("not judged")];
        assert_eq!(variants, [variant], "{name}");
        let shares = &find("variants")["tables"]["variants"]["rows"][0];
        let close = |key: &str, events: f64| {
            let share = shares[key].as_f64().unwrap();
            assert!(
                (share - events / f64::from(u32::try_from(mails).unwrap())).abs() < 1e-12,
                "{key} {name}"
            );
        };
        close("clicked", 2.0);
        close("bought", 1.0);
        close("unsubscribed", 1.0);

        let domains = fields(&find("deliverability")["tables"]["domains"], &["domain_group", "mails"]);
        assert_eq!(domains, [[json!("example.test"), json!(mails + 1)]], "{name}");
        let reasons = fields(&find("deliverability")["tables"]["reasons"], &["state", "reason", "mails"]);
        assert_eq!(reasons[0], [json!("sent"), json!("sent"), json!(mails)]);
        assert_eq!(reasons[1], [json!("failed"), json!("hard_bounce"), json!(1)]);

        let groups = fields(&find("lift")["tables"]["groups"], &["mail_people", "holdout_people", "sizes"]);
        assert_eq!(groups, [[json!(went.len()), json!(held), json!("as dealt")]], "{name}");
        let verdicts = fields(&find("lift")["tables"]["outcomes"], &["verdict"]);
        assert!(
            verdicts.iter().all(|row| row[0] == "not significant" || row[0] == "not judged"),
            "one buyer on a side shows nothing: {verdicts:?}"
        );

        let funnel = &find("funnel")["tables"]["mails"];
        let by_stage = fields(funnel, &["mails"]);
        assert_eq!(by_stage.iter().map(|row| row[0].as_u64().unwrap()).sum::<u64>(), mails as u64);
        let last = find("funnel")["tables"]["stages"]["rows"].as_array().unwrap().last().unwrap().clone();
        let standing: u64 = ["discover", "educate", "compare", "purchase"]
            .iter()
            .map(|key| last[key].as_u64().unwrap())
            .sum();
        assert_eq!(standing, went.len() as u64, "who is held out is not placed; {name}");

        if let Some(before) = &told_before {
            assert_eq!(before, &all, "the databases disagree");
        }
        told_before = Some(all);
    }
}

#[tokio::test]
async fn who_was_stopped_before_the_deal_is_on_the_side_that_it_would_have_given() {
    for app in TestApp::on_each_database(NEWS).await {
        let went = a_day_of_news(&app).await;
        app.at("2026-03-20T12:00:00Z").await;
        let scope = scope("2026-03-20T12:00:00Z", "UTC");
        let expected = [[json!(went.len()), json!(40 - went.len()), json!("as dealt")]];
        let reasons = [
            "deadline",
            "campaign_canceled",
            "canceled",
            "called_off",
            "erased",
            "orphaned",
            "quarantined",
            "unreadable",
        ];
        for reason in reasons {
            app.database.execute(&format!("update sends set reason = '{reason}'")).await;
            let lift = json_of(&app.database.store, &app.config, &scope, "lift").await;
            let groups = fields(&lift["tables"]["groups"], &["mail_people", "holdout_people", "sizes"]);
            assert_eq!(groups, expected, "{reason} on {}", app.database.name());
        }
    }
}

#[tokio::test]
async fn every_report_of_an_empty_shop_says_so() {
    let app = TestApp::on_sqlite(&[]).await;
    let scope = scope("2026-03-20T12:00:00Z", "UTC");
    for kind in report::REPORTS {
        let sources =
            Sources { store: &app.database.store, config: &app.config, scope: &scope, progress: &|_, _| {} };
        match (kind.make)(&sources).await {
            Ok(report) => {
                let (text, page) = (report::text::text(&report), report::html::html(&report));
                for section in &report.sections {
                    let (name, missing) = (section.name, section.missing);
                    assert!(missing.len() > 20 && missing.ends_with('.'), "{}, {name}: {missing}", kind.name);
                    assert!(
                        !section.table.rows.is_empty() || text.contains(missing),
                        "{}, {name}",
                        kind.name
                    );
                }
                assert!(!page.contains("NaN") && !text.contains("NaN"), "{}", kind.name);
            }
            Err(error) => {
                assert_eq!(kind.name, "clv");
                assert!(error.to_string().starts_with("there are no orders in everything until"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_one_file_that_runs_and_fetches_nothing_whatever_a_variant_is_called() {
    let app = TestApp::on_sqlite(NEWS).await;
    let went = a_day_of_news(&app).await;
    what_came_of_it(&app, &went).await;
    let hostile = "=cmd|' /C calc'!A0<script>alert(1)</script>\" onload=\"x";
    app.database.execute(&format!("update sends set variant = '{}';", hostile.replace('\'', "''"))).await;
    let report =
        told(&app.database.store, &app.config, &scope("2026-03-20T12:00:00Z", "UTC"), "variants").await;
    let page = report::html::html(&report);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for forbidden in ["<script", "onload=\"x", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("<svg") && page.contains("<text"), "text of plots stays text");
    let csv = report::machine::csv(&report.sections[0].table).unwrap();
    assert!(csv.lines().nth(1).unwrap().starts_with("news,\"'=cmd|"), "{csv}");
}

/// Orders of the customers whose number divides by fifty, or of all. Counted by Python's csv and decimal: an order is a
/// customer's invoice, a line is price × quantity rounded half up to a penny, a month is the first seven characters.
async fn retail(lines: &str, events: &str) -> Option<(Database, Config)> {
    let desk = Desk::new();
    desk.write("lines.csv", lines);
    desk.write(
        "bespoke.toml",
        "[shop]\nname = \"Retail\"\ncurrency = \"GBP\"\n[quiet_hours]\ndefault_time_zone = \"Europe/London\"\n",
    );
    let database = Database::sqlite().await;
    let loaded =
        desk.import(&database.url, &["events", "lines.csv", "--map", &map("online_retail_events.toml")]);
    assert!(loaded.stdout.contains(events), "{loaded:?}");
    let config =
        Config::load(Some(&desk.path("bespoke.toml")), &Environment::default(), &Overrides(Vec::new()))
            .unwrap();
    Some((database, config))
}

fn lines(keep: impl Fn(&str) -> bool) -> Option<String> {
    let file = std::fs::File::open(shared(RETAIL)?).unwrap();
    let mut lines = BufReader::new(MultiGzDecoder::new(file)).lines().map(|line| line.unwrap() + "\n");
    let header = lines.next().unwrap();
    let kept = lines.filter(|line| keep(line.split(',').nth(5).unwrap()));
    Some(header + &kept.collect::<String>())
}

/// Orders, buyers, first-time buyers, revenue of a month, as the report has them.
fn months(kpi: &Value) -> Vec<Vec<Value>> {
    fields(&kpi["tables"]["sales"], &["period", "orders", "buyers", "first_time_buyers", "revenue"])
}

/// People of a cohort who bought so many months later.
fn cohort(cohorts: &Value, first: &str) -> Vec<u64> {
    let rows = cohorts["tables"]["cohorts"]["rows"].as_array().unwrap();
    rows.iter().filter(|row| row["cohort"] == first).map(|row| row["bought"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_figures_of_a_real_shop_are_exact() {
    let of_fifty =
        |customer: &str| customer.parse().is_ok_and(|number: u32| number > 0 && number.is_multiple_of(50));
    let Some(lines) = lines(of_fifty) else { return };
    let Some((database, config)) = retail(&lines, "12,228 events loaded").await else { return };
    let scope = scope("2011-05-31T23:00:00Z", "Europe/London");
    let kpi = json_of(&database.store, &config, &scope, "kpi").await;
    let figures = ["orders", "revenue", "first_time_buyers"].map(|key| kpi["headline"][key].clone());
    assert_eq!(figures, [json!(586), json!(294_930.70), json!(90)]);
    assert!((kpi["headline"]["repeat_rate"].as_f64().unwrap() - 66.0 / 90.0).abs() < 1e-12);
    assert!((kpi["headline"]["average_order_value"].as_f64().unwrap() - 294_930.70 / 586.0).abs() < 1e-9);
    let months = months(&kpi);
    assert_eq!(months.len(), 18);
    assert_eq!(months[0], [json!("2009-12"), json!(41), json!(19), json!(19), json!(16_963.20)]);
    assert_eq!(months[9], [json!("2010-09"), json!(64), json!(19), json!(4), json!(56_615.23)]);
    assert_eq!(months[17], [json!("2011-05"), json!(22), json!(15), json!(2), json!(24_536.28)]);

    let cohorts = json_of(&database.store, &config, &scope, "cohorts").await;
    assert_eq!(cohort(&cohorts, "2009-12"), [19, 8, 8, 7, 8, 8, 5, 9, 8, 7, 9, 11, 9, 3, 5, 9, 3, 6]);
    assert_eq!(cohort(&cohorts, "2010-10"), [5, 3, 0, 1, 0, 1, 0, 0]);
    assert_eq!(cohort(&cohorts, "2011-05"), [2]);

    let clv = told(&database.store, &config, &scope, "clv").await;
    let written = report::text::text(&clv);
    assert!(written.contains("586 purchases") || written.contains("purchases of 90 customers"), "{written}");
    let factor = report::machine::json(&clv)["headline"]["correction_factor_purchases"].as_f64().unwrap();
    assert!((0.3..3.0).contains(&factor), "{factor}");
}

#[tokio::test]
#[ignore = "597,114 lines: minutes in debug"]
async fn the_figures_of_a_whole_real_shop_are_exact() {
    let Some(lines) = lines(|customer| !customer.is_empty()) else { return };
    let Some((database, config)) = retail(&lines, "597,114 events loaded").await else { return };
    let scope = scope("2011-05-31T23:00:00Z", "Europe/London");
    let kpi = json_of(&database.store, &config, &scope, "kpi").await;
    let figures = ["orders", "revenue", "first_time_buyers"].map(|key| kpi["headline"][key].clone());
    assert_eq!(figures, [json!(26_563), json!(12_584_851.85), json!(4_934)]);
    assert!((kpi["headline"]["repeat_rate"].as_f64().unwrap() - 3_390.0 / 4_934.0).abs() < 1e-12);
    let months = months(&kpi);
    assert_eq!(months[11], [json!("2010-11"), json!(2_587), json!(1_607), json!(325), json!(1_172_336.04)]);
    assert_eq!(months[17], [json!("2011-05"), json!(1_681), json!(1_057), json!(111), json!(770_536.02)]);
    let cohorts = json_of(&database.store, &config, &scope, "cohorts").await;
    let first = [955, 337, 319, 406, 363, 343, 360, 327, 321, 346, 403, 473, 359, 270, 233, 289, 251, 289];
    assert_eq!(cohort(&cohorts, "2009-12"), first);
    assert_eq!(cohort(&cohorts, "2010-11"), [325, 57, 30, 31, 25, 28, 42]);
}
