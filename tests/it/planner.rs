//! Planning reads whom it must: people in whose zone a campaign is due, and people who moved on without a deed.

use bespoke::stage::Stage;
use bespoke::worker::plan::Horizon;
use bespoke::worker::plan::PlacingLimits;
use bespoke::worker::plan::Planned;
use bespoke::worker::plan::place_everybody;
use bespoke::worker::plan::plan;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given::id;

const DAILY: (&str, &str) = (
    "news/campaign.toml",
    "kind = \"lifecycle\"\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * *\" } }\n",
);

/// Starts when somebody has come back to the beginning of the journey.
const BACK: (&str, &str) = (
    "news/campaign.toml",
    "kind = \"lifecycle\"\ndeadline_hours = 720\naudience = 'profile.consent == \"granted\"'\ntrigger = { stage_entry = { stage = \"discover\" } }\n",
);

/// What planning did for the campaign `news`, for what falls due within minutes.
async fn planned(app: &TestApp) -> Planned {
    let horizon = Horizon { now: app.now(), ahead: SignedDuration::from_mins(2) };
    let engine = app.engine().await;
    let all = plan(&app.database.store, &engine, Some("news"), horizon, &|_, _| {}).await.unwrap();
    all.into_iter().next().unwrap()
}

#[tokio::test]
async fn only_people_of_zones_where_it_is_due_are_read() {
    for app in TestApp::on_each_database(&[DAILY]).await {
        let zones = [
            ("ana", Some("Europe/Berlin")),
            ("bo", Some("America/New_York")),
            ("cy", None),
            ("di", Some("Mars/Base")),
        ];
        for (name, zone) in zones {
            app.given_profile_with(name, |profile| profile.time_zone = zone.map(str::to_owned)).await;
        }
        let counts = async |time: &str| {
            app.at(time).await;
            let planned = planned(&app).await;
            (planned.looked_at, planned.scheduled)
        };
        assert_eq!(counts("2026-03-03T08:00:00Z").await, (0, 0), "it is ten o'clock nowhere");
        assert_eq!(counts("2026-03-03T08:59:00Z").await, (1, 1), "in Berlin");
        assert_eq!(counts("2026-03-03T08:59:30Z").await, (1, 0), "again");
        // UTC is the default, also for a zone that there is not.
        assert_eq!(counts("2026-03-03T09:59:00Z").await, (2, 2));
        assert_eq!(counts("2026-03-03T14:59:00Z").await, (1, 1), "in New York");
    }
}

#[tokio::test]
async fn who_does_nothing_any_more_moves_on_all_the_same() {
    for app in TestApp::on_each_database(&[BACK]).await {
        app.given_profile("ana").await;
        for minute in 0..6 {
            app.at(&format!("2026-03-02T12:0{minute}:00Z")).await;
            app.does("ana", "Product Added", json!({"product_id": "p1", "price": 10})).await;
        }
        app.at("2026-03-02T12:10:00Z").await;
        let stage = async || app.database.store.stages_of(&[id("ana")]).await.unwrap()[&id("ana")].stage;
        assert_eq!(planned(&app).await.scheduled, 0);
        let first = stage().await;
        assert_ne!(first, Stage::Discover);
        app.at("2026-03-02T20:00:00Z").await;
        assert_eq!(planned(&app).await.scheduled, 0, "not looked at again so soon");
        // Months later there is no new event, and still she is back where she began.
        app.at("2026-12-01T12:00:00Z").await;
        assert_eq!(planned(&app).await.scheduled, 1);
        assert_eq!(stage().await, Stage::Discover);
        assert_eq!(planned(&app).await.scheduled, 0, "once");
    }
}

/// Starts three weeks after an order.
const AGAIN: (&str, &str) = (
    "news/campaign.toml",
    "kind = \"lifecycle\"\naudience = 'profile.consent == \"granted\"'\ntrigger = { event = { name = \"Order Completed\", delay_minutes = 30240 } }\n",
);

#[tokio::test]
async fn an_event_at_the_end_of_the_calendar_stops_no_plan() {
    for app in TestApp::on_each_database(&[AGAIN]).await {
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        for (name, time) in [("ana", "9999-12-30T00:00:00Z"), ("bo", "2026-03-03T08:00:00Z")] {
            app.at(time).await;
            app.does(name, "Order Completed", json!({})).await;
        }
        let planned = planned(&app).await;
        assert_eq!((planned.looked_at, planned.scheduled), (2, 2));
    }
}

#[tokio::test]
async fn a_plan_places_so_many_at_most_and_the_next_one_goes_on() {
    for app in TestApp::on_each_database(&[BACK]).await {
        let names = ["ana", "bo", "cy", "di", "eve"];
        app.at("2026-03-02T12:00:00Z").await;
        for name in names {
            app.given_profile(name).await;
            for product in 0..6 {
                app.does(name, "Product Added", json!({"product_id": product, "price": 10})).await;
            }
        }
        let limits = PlacingLimits { active_events_max: 12, silent_people_max: 3 };
        let (store, engine) = (&app.database.store, app.engine().await);
        let people = names.map(id);
        let placed = async |time: &str| {
            app.at(time).await;
            place_everybody(store, &engine, app.now(), limits).await.unwrap();
            let stages = store.stages_of(&people).await.unwrap();
            let first = stages.values().filter(|record| record.stage == Stage::Discover).count();
            (stages.len(), first)
        };
        // The history of a shop that has just come, twelve events a plan; then, months later, all have moved on without
        // a deed, and the round passes three people a plan.
        for (time, expected) in [
            ("2026-03-02T12:01:00Z", (2, 0)),
            ("2026-03-02T12:02:00Z", (4, 0)),
            ("2026-03-02T12:03:00Z", (5, 0)),
            ("2026-03-02T12:04:00Z", (5, 0)),
            ("2026-12-01T12:00:00Z", (5, 3)),
            ("2026-12-01T12:01:00Z", (5, 5)),
        ] {
            assert_eq!(placed(time).await, expected, "{time} on {}", app.database.name());
        }
    }
}
