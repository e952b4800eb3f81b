//! Whose an order is, in the whole program: the mail that a person clicked last before it, whatever its campaign.

use bespoke::campaign::CampaignId;
use bespoke::event::Event;
use bespoke::learn::orders::OrderBook;
use bespoke::learn::reading::clicked as clicked_after;
use bespoke::learn::rewards::purchases;
use bespoke::learn::teach::teach;
use bespoke::select::learnt::POLICY_MODEL;
use bespoke::select::learnt::PolicyBody;
use bespoke::select::model::FeatureId;
use bespoke::select::model::SparseVector;
use bespoke::select::model::heads::Windows;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::store::PersonClick;
use jiff::Timestamp;
use serde_json::json;

use crate::reports::fields;
use crate::reports::json_of;
use crate::reports::scope;
use crate::support::TestApp;
use crate::support::given::clicks;
use crate::support::given::id;

const HELLO: &str = "+++\nsubject = \"Hello\"\n+++\n<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";

/// Two campaigns that learn, on Monday and Wednesday, and one on Thursday that does not.
const WEEK: &[(&str, &str)] = &[
    (
        "one/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"thompson\"\nholdout_percent = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * MON\" } }\n",
    ),
    ("one/any/hello.mjml", HELLO),
    (
        "two/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"thompson\"\nholdout_percent = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * WED\" } }\n",
    ),
    ("two/any/hello.mjml", HELLO),
    (
        "news/campaign.toml",
        "kind = \"lifecycle\"\npolicy = \"weighted\"\nholdout_percent = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * THU\" } }\n",
    ),
];

/// Everybody gets the mail of a day.
async fn mails_of(app: &TestApp, day: &str) {
    app.at(&format!("{day}T00:30:00Z")).await;
    app.plans().await;
    app.at(&format!("{day}T10:00:00Z")).await;
    app.runs_until_idle().await;
}

async fn clicked(app: &TestApp, campaign: &str, name: &str, at: &str) -> SendId {
    let mut sends = app.sends().await.into_iter().map(|stored| stored.send);
    let own = |send: &ScheduledSend| send.campaign.as_str() == campaign && send.profile.as_str() == name;
    let send = sends.find(own).unwrap().id;
    clicks(&app.database, &send, at.parse().unwrap()).await;
    send
}

/// What a fit at this time believes of purchases after a click, where people ordered at these times.
async fn believed(app: &TestApp, now: &str, orders: &[(&str, &str)]) -> f64 {
    app.at(now).await;
    let mut book = OrderBook::default();
    for (name, at) in orders {
        let properties = json!({"order_id": at, "total": 20}).as_object().unwrap().clone();
        let (name, profile) = ("Order Completed".to_owned(), id(name));
        book.take(&Event { id: (*at).to_owned(), profile, name, at: at.parse().unwrap(), properties }, 2);
    }
    let (store, engine) = (&app.database.store, app.engine().await);
    teach(store, &engine.catalog, &book, app.now()).await.unwrap().unwrap();
    let stored = store.newest_model(POLICY_MODEL).await.unwrap().unwrap();
    let body = PolicyBody::parse(&stored.version, &stored.body).unwrap();
    let anybody = SparseVector::new(vec![(FeatureId::INTERCEPT, 1.0)]).unwrap();
    body.heads.purchase.score(&anybody).probability()
}

#[tokio::test]
async fn an_order_is_owned_by_the_last_click_across_fits_and_campaigns() {
    for app in TestApp::on_each_database(WEEK).await {
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        for day in ["2026-03-02", "2026-03-04", "2026-03-05"] {
            mails_of(&app, day).await;
        }
        // Ana clicks Wednesday's mail, then Monday's; Bo Wednesday's, then Thursday's, which does not learn.
        clicked(&app, "two", "ana", "2026-03-04T12:00:00Z").await;
        clicked(&app, "one", "ana", "2026-03-04T20:00:00Z").await;
        clicked(&app, "two", "bo", "2026-03-04T13:00:00Z").await;
        clicked(&app, "news", "bo", "2026-03-05T15:00:00Z").await;

        // Monday's mails are learnt for good while Wednesday's are not.
        let before = believed(&app, "2026-03-09T12:00:00Z", &[]).await;
        let same = |believed: f64| (believed - before).abs() < 1e-3;
        let late = believed(&app, "2026-03-09T12:01:00Z", &[("ana", "2026-03-09T09:00:00Z")]).await;
        assert!(same(late), "it is Monday's, and comes too late for it: {late}, {before}");
        let other = believed(&app, "2026-03-09T12:02:00Z", &[("bo", "2026-03-06T09:00:00Z")]).await;
        assert!(same(other), "it is Thursday's: {other}, {before} on {}", app.database.name());
        let own = believed(&app, "2026-03-09T12:03:00Z", &[("bo", "2026-03-05T09:00:00Z")]).await;
        assert!(own > before + 0.01, "it is Wednesday's: {own}, {before}");
        let after = believed(&app, "2026-03-09T12:04:00Z", &[("ana", "2026-03-09T10:30:00Z")]).await;
        assert!(after > before + 0.01, "Monday's week is over, Wednesday's is not: {after}, {before}");
    }
}

#[tokio::test]
async fn every_click_of_every_policy_is_read_once_in_its_order() {
    for app in TestApp::on_each_database(WEEK).await {
        app.given_profile("ana").await;
        for day in ["2026-03-04", "2026-03-05"] {
            mails_of(&app, day).await;
        }
        let times = ["2026-03-05T12:00:00Z", "2026-03-05T14:00:00Z", "2026-03-05T18:00:00Z"];
        let news = clicked(&app, "news", "ana", times[0]).await;
        let two = clicked(&app, "two", "ana", times[1]).await;
        clicked(&app, "news", "ana", times[2]).await;
        let store = &app.database.store;
        let read = async |at: &str, send: &str, limit: usize| {
            let place = (at.parse().unwrap(), send.to_owned());
            store.clicks_in_mails(&place, limit).await.unwrap()
        };
        let click = |campaign: &str, send: &SendId, submitted_at: &str, clicked_at: &str| PersonClick {
            send: send.clone(),
            campaign: CampaignId(campaign.to_owned()),
            profile: id("ana"),
            submitted_at: submitted_at.parse().unwrap(),
            clicked_at: clicked_at.parse().unwrap(),
        };
        let all = [
            click("news", &news, "2026-03-05T10:00:00Z", times[0]),
            click("two", &two, "2026-03-04T10:00:00Z", times[1]),
            click("news", &news, "2026-03-05T10:00:00Z", times[2]),
        ];
        assert_eq!(read("2026-03-01T00:00:00Z", "~", 10).await, all, "on {}", app.database.name());
        assert_eq!(read("2026-03-01T00:00:00Z", "~", 2).await, all[..2]);
        assert_eq!(read(times[0], news.as_str(), 10).await, all[1..]);
        assert_eq!(read(times[0], "", 1).await, all[..1]);
        assert_eq!(read(times[1], "~", 10).await, all[2..]);
        assert_eq!(read(times[2], "~", 10).await, []);
        // What a machine did is no click; of requests that are gone the first click is still known.
        app.database.execute(&format!("update hits set class = 'scanner' where send_id = '{two}'")).await;
        app.database.execute(&format!("update sends set clicked_at = null where id = '{two}'")).await;
        assert_eq!(read("2026-03-01T00:00:00Z", "~", 10).await, [all[0].clone(), all[2].clone()]);
        app.database.execute("delete from hits").await;
        assert_eq!(read("2026-03-01T00:00:00Z", "~", 10).await, all[..1]);
    }
}

#[tokio::test]
async fn an_order_is_owned_by_the_last_click_though_the_mail_was_clicked_before() {
    for app in TestApp::on_each_database(WEEK).await {
        app.given_profile("ana").await;
        for day in ["2026-03-02", "2026-03-04", "2026-03-05"] {
            mails_of(&app, day).await;
        }
        // Wednesday's mail, Monday's, and Wednesday's again.
        let two = clicked(&app, "two", "ana", "2026-03-05T12:00:00Z").await;
        let one = clicked(&app, "one", "ana", "2026-03-05T13:00:00Z").await;
        clicked(&app, "two", "ana", "2026-03-05T15:00:00Z").await;
        for (at, total) in
            [("2026-03-05T12:30:00Z", 1), ("2026-03-05T14:00:00Z", 10), ("2026-03-05T16:00:00Z", 100)]
        {
            app.at(at).await;
            app.does("ana", "Order Completed", json!({"order_id": at, "total": total})).await;
        }
        // The report's money …
        let until = "2026-03-20T12:00:00Z";
        let kpi = json_of(&app.database.store, &app.config, &scope(until, "UTC"), "kpi").await;
        let found = fields(&kpi["tables"]["campaigns"], &["campaign", "orders", "revenue"]);
        let row =
            |campaign: &str, orders: u32, revenue: f64| [json!(campaign), json!(orders), json!(revenue)];
        let expected = [row("news", 0, 0.0), row("one", 1, 10.0), row("two", 2, 101.0)];
        assert_eq!(found, expected, "on {}", app.database.name());
        // … and what the policy learns from.
        let engine = app.engine().await;
        let campaigns = engine.catalog.campaigns().map(|entry| entry.campaign.as_ref());
        let clicks = clicked_after(&app.database.store, campaigns, Timestamp::UNIX_EPOCH).await.unwrap();
        let after_all = |order: &str| {
            let orders = |_: &_| vec![order.parse().unwrap()];
            purchases(&clicks, |_| Windows::default(), orders).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(after_all("2026-03-05T14:00:00Z"), [one]);
        assert_eq!(after_all("2026-03-05T16:00:00Z"), [two]);
    }
}
