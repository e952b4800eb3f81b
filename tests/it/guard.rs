//! Guard rails in the whole program: the most active first, and a stop by itself.

use bespoke::campaign::CampaignId;
use bespoke::profile::Profile;
use bespoke::send::State;
use bespoke::send::Suppression;
use bespoke::store::Running;
use bespoke::worker::decide::Subject;
use bespoke::worker::decide::Verdict;
use bespoke::worker::exhausted::Exhausted;
use bespoke::worker::guard::Found;
use bespoke::worker::guard::review;
use jiff::ToSpan;
use serde_json::json;

use crate::support::TestApp;

const PILOT: (&str, &str) = (
    "news/campaign.toml",
    "kind = \"lifecycle\"\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * MON\" } }\npilot = { active_days = [30] }\nguard = { complaint_percent = 10, sends_min = 2 }\n",
);

fn news() -> CampaignId {
    CampaignId("news".to_owned())
}

async fn reviewed(app: &TestApp) -> Vec<Found> {
    review(&app.database.store, &app.engine().await.catalog, app.now()).await.unwrap()
}

/// The review and the plan of a Monday, and what goes out at ten.
async fn goes_out(app: &TestApp, day: &str) {
    app.at(&format!("{day}T00:30:00Z")).await;
    assert_eq!(reviewed(app).await, []);
    app.plans().await;
    app.at(&format!("{day}T10:00:00Z")).await;
    app.runs_until_idle().await;
}

/// State and reason of the one mail of somebody.
async fn state_of(app: &TestApp, name: &str) -> (State, String) {
    let sends = app.sends().await;
    let stored = sends.into_iter().find(|stored| stored.send.profile.as_str() == name).unwrap();
    (stored.send.state, stored.reason.unwrap_or_default())
}

#[tokio::test]
async fn a_pilot_goes_to_the_active_first_and_to_everybody_when_they_did_not_mind() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        app.given_profile("ana").await;
        app.given_profile("bo").await;
        app.at("2026-02-25T12:00:00Z").await;
        app.does("ana", "Product Viewed", json!({"product_id": "p1"})).await;
        // Reviewed for days before anything is sent: a campaign that rests is not watched.
        for day in ["2026-02-26T00:30:00Z", "2026-02-28T00:30:00Z", "2026-03-02T00:30:00Z"] {
            app.at(day).await;
            assert_eq!(reviewed(&app).await, []);
        }
        assert_eq!(app.plans().await, 2);
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "ana").await, (State::Sent, "sent".to_owned()));
        assert_eq!(state_of(&app, "bo").await, (State::Deferred, "pilot".to_owned()));
        app.at("2026-03-02T10:01:00Z").await;
        assert_eq!(reviewed(&app).await, [], "the watch begins with the first mail");
        app.at("2026-03-03T09:59:00Z").await;
        assert_eq!(reviewed(&app).await, [], "a ring is watched for a day");
        app.at("2026-03-03T10:00:00Z").await;
        assert_eq!(waits(&app, "bo").await, Some("pilot".to_owned()));
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
        assert_eq!(waits(&app, "bo").await, None, "whoever looks ahead sees the ring that is open");
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "bo").await, (State::Sent, "sent".to_owned()));
    }
}

#[tokio::test]
async fn a_ring_to_which_nobody_belongs_is_passed() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        app.given_profile("bo").await;
        goes_out(&app, "2026-03-02").await;
        assert_eq!(state_of(&app, "bo").await, (State::Deferred, "pilot".to_owned()));
        app.at("2026-03-02T10:30:00Z").await;
        assert_eq!(reviewed(&app).await, []);
        app.at("2026-03-03T12:29:00Z").await;
        assert_eq!(reviewed(&app).await, [], "an hour of the day comes to all zones within 26 hours");
        app.at("2026-03-03T12:30:00Z").await;
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "bo").await, (State::Sent, "sent".to_owned()));
    }
}

#[tokio::test]
async fn who_wants_a_mail_within_a_minute_opens_no_pilot_for_the_others() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        app.given_profile("bo").await;
        app.given_profile("cy").await;
        goes_out(&app, "2026-03-02").await;
        let hurried = "update sends set expires_at = first_due_at + 60000 where profile_id = 'cy'";
        app.database.execute(hurried).await;
        for time in ["2026-03-02T10:00:10Z", "2026-03-02T10:00:50Z", "2026-03-03T12:00:00Z"] {
            app.at(time).await;
            assert_eq!(reviewed(&app).await, [], "{time} on {}", app.database.name());
        }
        app.at("2026-03-03T12:00:10Z").await;
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
    }
}

#[tokio::test]
async fn an_empty_ring_is_watched_anew_when_those_who_waited_were_called_off() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        app.given_profile("bo").await;
        goes_out(&app, "2026-03-02").await;
        app.at("2026-03-02T10:30:00Z").await;
        assert_eq!(reviewed(&app).await, []);
        let waiting = app.sends().await.remove(0).send.id;
        app.database.store.cancel_send(&waiting, "a mistake", app.now()).await.unwrap();
        goes_out(&app, "2026-03-09").await;
        app.at("2026-03-09T10:01:00Z").await;
        assert_eq!(reviewed(&app).await, [], "nobody in another zone was asked yet");
        app.at("2026-03-10T12:01:00Z").await;
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
    }
}

#[tokio::test]
async fn a_ring_to_which_nobody_belongs_costs_no_mail_its_deadline() {
    // Two rings are empty, and a mail is stale after twelve hours.
    let stale = PILOT.1.replace("active_days = [30]", "active_days = [30, 90], step_hours = 2");
    let stale = format!("deadline_hours = 12\n{stale}");
    for app in TestApp::on_each_database(&[(PILOT.0, &stale)]).await {
        app.given_profile("bo").await;
        goes_out(&app, "2026-03-02").await;
        let deferred = (State::Deferred, "pilot".to_owned());
        assert_eq!(state_of(&app, "bo").await, deferred);
        // A third of the time that is left, then half.
        for (time, widened) in [
            ("2026-03-02T10:00:00Z", None),
            ("2026-03-02T13:59:00Z", None),
            ("2026-03-02T14:00:00Z", Some(1)),
            ("2026-03-02T14:01:00Z", None),
            ("2026-03-02T18:00:00Z", None),
            ("2026-03-02T18:01:00Z", Some(2)),
        ] {
            app.at(time).await;
            app.runs_until_idle().await;
            assert_eq!(state_of(&app, "bo").await, deferred, "{time} on {}", app.database.name());
            let expected = widened.map(|ring| Found::Widened { campaign: news(), ring });
            assert_eq!(reviewed(&app).await, Vec::from_iter(expected), "{time} on {}", app.database.name());
        }
        app.at("2026-03-02T19:10:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "bo").await, (State::Sent, "sent".to_owned()));
    }
}

#[tokio::test]
async fn a_ring_whose_people_live_further_west_is_not_passed_without_them() {
    let hourly = PILOT.1.replace("active_days = [30]", "active_days = [30], step_hours = 1");
    for app in TestApp::on_each_database(&[(PILOT.0, &hourly)]).await {
        app.given_profile("bo").await;
        let west = |profile: &mut Profile| profile.time_zone = Some("America/Los_Angeles".to_owned());
        app.given_profile_with("ana", west).await;
        app.does("ana", "Product Viewed", json!({"product_id": "p1"})).await;
        goes_out(&app, "2026-03-02").await;
        assert_eq!(state_of(&app, "bo").await, (State::Deferred, "pilot".to_owned()));
        assert_eq!(reviewed(&app).await, [], "the watch begins");
        app.at("2026-03-02T17:59:00Z").await;
        assert_eq!(reviewed(&app).await, [], "it is not ten o'clock in California yet");
        app.at("2026-03-02T18:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "ana").await, (State::Sent, "sent".to_owned()));
        app.at("2026-03-02T18:59:00Z").await;
        assert_eq!(reviewed(&app).await, [], "and begins again with the first mail");
        app.at("2026-03-02T19:00:00Z").await;
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
    }
}

#[tokio::test]
async fn a_ring_whose_mails_are_held_up_is_not_passed_without_them() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        app.does("ana", "Product Viewed", json!({"product_id": "p1"})).await;
        app.at("2026-03-02T00:30:00Z").await;
        reviewed(&app).await;
        app.plans().await;
        // Ana's mail meets a relay that does not answer for days.
        let held_up = "update sends set state = 'deferred', reason = 'connect', due_at = due_at + 500000000 where profile_id = 'ana'";
        app.database.execute(held_up).await;
        app.at("2026-03-02T10:00:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(state_of(&app, "bo").await, (State::Deferred, "pilot".to_owned()));
        for time in ["2026-03-02T10:30:00Z", "2026-03-03T12:30:00Z", "2026-03-05T09:30:00Z"] {
            app.at(time).await;
            assert_eq!(reviewed(&app).await, [], "on {}", app.database.name());
        }
        app.database.execute("update sends set state = 'expired' where profile_id = 'ana'").await;
        assert_eq!(reviewed(&app).await, [Found::Widened { campaign: news(), ring: 1 }]);
    }
}

/// Why somebody would not get the mail now, as an engine sees it that was made just now.
async fn waits(app: &TestApp, name: &str) -> Option<String> {
    let engine = app.engine().await;
    let sends = app.sends().await;
    let stored = sends.into_iter().find(|stored| stored.send.profile.as_str() == name).unwrap();
    let profile = app.database.store.profile(&stored.send.profile).await.unwrap().unwrap();
    let subject = Subject::of_stranger(stored.send, profile);
    match engine.decide(&subject, &Exhausted::default(), app.now()) {
        Verdict::Stop { outcome, .. } => Some(outcome.reason),
        Verdict::Go(_) => None,
    }
}

#[tokio::test]
async fn a_campaign_that_people_complain_about_stops_by_itself_and_goes_on_when_told_to() {
    for app in TestApp::on_each_database(&[PILOT]).await {
        let store = &app.database.store;
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
            app.does(name, "Product Viewed", json!({"product_id": "p1"})).await;
        }
        goes_out(&app, "2026-03-02").await;
        let mail = app.sends().await.into_iter().find(|stored| stored.send.state == State::Sent).unwrap();
        let complaint = Suppression {
            address: format!("{}@example.test", mail.send.profile),
            topic: "lifecycle".to_owned(),
            reason: "complaint".to_owned(),
            at: app.now() + 1.minute(),
            send: Some(mail.send.id),
            until: None,
        };
        store.add_suppressions(&[complaint]).await.unwrap();
        app.at("2026-03-03T10:00:00Z").await;
        let reason = "1 complaints of 2 mails are 50.00 %, the limit is 10 %".to_owned();
        assert_eq!(reviewed(&app).await, [Found::Paused { campaign: news(), reason: reason.clone() }]);
        let states = store.campaign_states().await.unwrap();
        let paused = states.iter().find(|state| state.campaign == news()).unwrap();
        assert_eq!((paused.running, &paused.reason), (Running::Paused, &reason));
        assert_eq!(reviewed(&app).await, [], "once is enough");
        store.resume_campaign(&news(), "looked into it", app.now()).await.unwrap();
        app.at("2026-03-03T11:00:00Z").await;
        assert_eq!(reviewed(&app).await, [], "whoever resumed it knew, but the ring stays");
    }
}
