//! Whose an order is, in the whole program: the mail that a person clicked last before it, whatever its campaign.

use bespoke::event::Event;
use bespoke::learn::orders::OrderBook;
use bespoke::learn::teach::teach;
use bespoke::select::learnt::POLICY_MODEL;
use bespoke::select::learnt::PolicyBody;
use bespoke::select::model::FeatureId;
use bespoke::select::model::SparseVector;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::store::ClickedSend;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::json;

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
async fn clicks_of_every_policy_are_read_in_their_order() {
    for app in TestApp::on_each_database(WEEK).await {
        app.given_profile("ana").await;
        for day in ["2026-03-04", "2026-03-05"] {
            mails_of(&app, day).await;
        }
        let news = clicked(&app, "news", "ana", "2026-03-05T12:00:00Z").await;
        let two = clicked(&app, "two", "ana", "2026-03-05T14:00:00Z").await;
        let store = &app.database.store;
        let read = async |at: &str, send: &str| {
            let at: Timestamp = at.parse().unwrap();
            let found = store.clicked_sends(&(at, send.to_owned()), 10).await.unwrap();
            found.into_iter().map(|click| click.send).collect::<Vec<_>>()
        };
        assert_eq!(read("2026-03-01T00:00:00Z", "~").await, [news.clone(), two.clone()]);
        assert_eq!(read("2026-03-05T12:00:00Z", news.as_str()).await, std::slice::from_ref(&two));
        assert_eq!(read("2026-03-05T12:00:00Z", "").await, [news, two.clone()]);
        assert_eq!(read("2026-03-05T14:00:00Z", "~").await, []);
        let last = store.clicked_sends(&("2026-03-05T13:00:00Z".parse().unwrap(), "~".to_owned()), 10).await;
        let submitted_at: Timestamp = "2026-03-04T10:00:00Z".parse().unwrap();
        let expected = ClickedSend {
            send: two,
            campaign: bespoke::campaign::CampaignId("two".to_owned()),
            profile: id("ana"),
            submitted_at,
            clicked_at: submitted_at + 28.hours(),
        };
        assert_eq!(last.unwrap(), [expected], "on {}", app.database.name());
    }
}
