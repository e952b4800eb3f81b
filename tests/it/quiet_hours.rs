//! Quiet hours: everybody's, and a campaign's own.

use bespoke::send::State;
use serde_json::json;

use crate::support::TestApp;

fn terminal(state: State, reason: &str) -> (State, String) {
    (state, reason.to_owned())
}

#[tokio::test]
async fn quiet_hours_put_a_send_off_until_they_end_in_the_recipients_zone() {
    let config = crate::support::app::CONFIG
        .replace("start = \"00:00\"\nend = \"00:00\"", "start = \"09:30\"\nend = \"12:00\"");
    for database in crate::support::stores().await {
        let app = TestApp::new(database, &config, &[]);
        app.given_profile_with("ana", |profile| profile.time_zone = Some("Europe/Berlin".into())).await;
        app.plans().await;
        app.at("2026-03-02T09:05:00Z").await; // 10:05 in Berlin: due since 10:00
        app.runs_until_idle().await;
        assert_eq!(app.states().await, [terminal(State::Deferred, "quiet_hours")]);
        assert_eq!(app.sends().await[0].send.due_at.to_string(), "2026-03-02T11:00:00Z");
        assert_eq!(app.sends().await[0].send.attempt, 0, "waiting is no attempt");
        app.at("2026-03-02T11:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(app.states().await, [terminal(State::Sent, "sent")]);
    }
}

#[tokio::test]
async fn a_campaigns_own_quiet_hours_take_the_place_of_everybodys() {
    let own = |hours: &str| {
        format!("kind = \"lifecycle\"\n{hours}trigger = {{ cron = {{ schedule = \"0 10 * * *\" }} }}\n")
    };
    let (all, none) = ("start = \"09:30\"\nend = \"12:00\"", "start = \"00:00\"\nend = \"00:00\"");
    let at_ten = ("deferred", "quiet_hours");
    for (shops, own_hours, expected) in [
        (none, "quiet_hours = { start = \"09:30\", end = \"12:00\" }\n", at_ten),
        (all, "quiet_hours = { start = \"00:00\", end = \"00:00\" }\n", ("sent", "sent")),
        (all, "", at_ten),
    ] {
        let config = crate::support::app::CONFIG.replace(none, shops);
        for database in crate::support::stores().await {
            let app = TestApp::new(database, &config, &[("news/campaign.toml", &own(own_hours))]);
            app.given_profile("ana").await;
            app.does("ana", "Order Completed", json!({"order_id": "7"})).await;
            app.plans().await;
            app.at("2026-03-02T10:05:00Z").await;
            app.runs_until_idle().await;
            let mut states: Vec<_> = app
                .sends()
                .await
                .into_iter()
                .map(|stored| {
                    (
                        stored.send.kind.as_str(),
                        stored.send.state.to_string(),
                        stored.reason.unwrap_or_default(),
                    )
                })
                .collect();
            states.sort();
            let (state, reason) = expected;
            let lifecycle = ("lifecycle", state.to_owned(), reason.to_owned());
            let transactional = ("transactional", "sent".to_owned(), "sent".to_owned());
            let mut wanted = [lifecycle, transactional];
            wanted.sort();
            assert_eq!(states, wanted, "{own_hours} on {}", app.database.name());
        }
    }
}
