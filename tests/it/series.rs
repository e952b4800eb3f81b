//! Steps of a series: what one event starts goes to each person in its order, however late it all comes due.

use bespoke::campaign::CampaignId;
use bespoke::event::Event;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Occurrence;
use bespoke::store::SendOfOccurrence;
use bespoke::worker::plan::Horizon;
use bespoke::worker::plan::plan;
use jiff::SignedDuration;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Files;
use crate::support::database::start;
use crate::support::given;

const STEP: &str = "<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";

/// Three campaigns on one event, named against their order, and the shop's daily news out of the way.
fn files() -> Vec<(&'static str, String)> {
    let campaign = |minutes: u32| {
        format!(
            "kind = \"lifecycle\"\ndeadline_hours = 72\n\
             trigger = {{ event = {{ name = \"Signed Up\", delay_minutes = {minutes} }} }}\n"
        )
    };
    let letter = |subject: &str| format!("+++\nsubject = \"{subject}\"\n+++\n{STEP}");
    vec![
        ("a-third/campaign.toml", campaign(2 * 24 * 60)),
        ("a-third/any/letter.mjml", letter("Third")),
        ("b-second/campaign.toml", campaign(24 * 60)),
        ("b-second/any/letter.mjml", letter("Second")),
        ("c-first/campaign.toml", campaign(1)),
        ("c-first/any/letter.mjml", letter("First")),
        ("news/campaign.toml", "kind = \"lifecycle\"\ntrigger = { api = {} }\n".to_owned()),
    ]
}

async fn on_each_database() -> Vec<TestApp> {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let files: Files<'_> = &files;
    TestApp::on_each_database(files).await
}

/// Subjects of what went out, in that order.
fn subjects(app: &TestApp) -> Vec<String> {
    let subject = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
    };
    app.mails().iter().map(|mail| subject(&mail.bytes)).collect()
}

#[tokio::test]
async fn steps_that_come_due_together_go_in_their_order_and_apart() {
    for app in on_each_database().await {
        let on = app.database.name();
        app.given_profile("ana").await;
        app.does("ana", "Signed Up", json!({})).await;
        // Nobody was at work for two days and two hours.
        for (time, expected) in [
            ("2026-03-04T11:00:00Z", &["First"][..]),
            ("2026-03-04T11:05:00Z", &["First"]),
            ("2026-03-05T10:00:00Z", &["First"]),
            ("2026-03-05T11:00:00Z", &["First", "Second"]),
            ("2026-03-05T11:02:00Z", &["First", "Second"]),
            ("2026-03-06T11:00:00Z", &["First", "Second", "Third"]),
        ] {
            app.at(time).await;
            app.plans().await;
            app.runs_until_idle().await;
            assert_eq!(subjects(&app), expected, "{time} on {on}");
        }
        let sent = app.states().await.iter().filter(|(state, _)| *state == State::Sent).count();
        assert_eq!(sent, 3, "{on}: {:?}", app.states().await);
    }
}

#[tokio::test]
async fn steps_in_time_do_not_wait() {
    for app in on_each_database().await {
        app.given_profile("ana").await;
        app.does("ana", "Signed Up", json!({})).await;
        for (time, expected) in [
            ("2026-03-02T09:02:00Z", &["First"][..]),
            // The first was late by a minute; that moves nothing.
            ("2026-03-03T09:00:30Z", &["First", "Second"]),
            ("2026-03-04T09:00:30Z", &["First", "Second", "Third"]),
        ] {
            app.at(time).await;
            app.plans().await;
            app.runs_until_idle().await;
            assert_eq!(subjects(&app), expected, "{time} on {}", app.database.name());
        }
    }
}

#[tokio::test]
async fn a_step_that_was_not_sent_or_whose_campaign_is_paused_holds_nobody_up() {
    for app in on_each_database().await {
        let on = app.database.name();
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
            app.does(name, "Signed Up", json!({})).await;
        }
        app.at("2026-03-03T09:30:00Z").await;
        app.plans().await;
        let first = app.sends().await.into_iter().find(|stored| {
            stored.send.campaign.as_str() == "c-first" && stored.send.profile.as_str() == "ana"
        });
        let store = &app.database.store;
        store.cancel_send(&first.unwrap().send.id, "by hand", app.now()).await.unwrap();
        store.pause_campaign(&CampaignId("c-first".to_owned()), "a break", app.now()).await.unwrap();
        let of_bo = app.sends().await.into_iter().find(|stored| {
            stored.send.campaign.as_str() == "c-first" && stored.send.profile.as_str() == "bo"
        });
        let ScheduledSend { campaign, profile, occurrence, due_at, .. } = of_bo.unwrap().send;
        let asked = [Occurrence { campaign, profile, occurrence }];
        let waits = SendOfOccurrence { state: State::Scheduled, due_at, submitted_at: None };
        let found = store.sends_of_occurrences(&asked).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(asked[0].clone(), waits)], "{on}");
        app.runs_until_idle().await;
        // Bo's first is put aside by the first claim, so the second may be looked at once more.
        assert_eq!(store.sends_of_occurrences(&asked).await.unwrap().len(), 0, "{on}");
        app.at("2026-03-03T09:32:00Z").await;
        app.runs_until_idle().await;
        assert_eq!(subjects(&app), ["Second", "Second"], "{on}");
    }
}

/// The send of a campaign to Ana.
async fn of(app: &TestApp, campaign: &str) -> SendId {
    let sends = app.sends().await;
    sends.into_iter().find(|stored| stored.send.campaign.as_str() == campaign).unwrap().send.id
}

/// At each of these times everything is planned and sent; what went out by then.
async fn goes_on(app: &TestApp, times: &[(&str, &[&str])]) {
    for (time, expected) in times {
        app.at(time).await;
        app.plans().await;
        app.runs_until_idle().await;
        assert_eq!(subjects(app), *expected, "{time} on {}: {:?}", app.database.name(), app.states().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_steps_are_planned_starts_none_before_the_one_before_it() {
    for app in on_each_database().await {
        let on = app.database.name();
        for name in ["ana", "bo"] {
            app.given_profile(name).await;
        }
        app.does("ana", "Signed Up", json!({})).await;
        app.at("2026-03-04T11:00:00Z").await;
        let late = Event {
            at: start(),
            properties: serde_json::Map::new(),
            ..given::event("bo", "late", "Signed Up", start())
        };
        let horizon = Horizon { now: app.now(), ahead: SignedDuration::from_hours(24) };
        let (store, engine) = (&app.database.store, app.engine().await);
        // Behind the first step is planned, and before the others are, somebody's event of two days ago comes in.
        plan(store, &engine, None, horizon, &|campaign, _| {
            if campaign.id.as_str() == "c-first" {
                let arrives = store.insert_events(std::slice::from_ref(&late));
                let handle = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| handle.block_on(arrives)).unwrap();
            }
        })
        .await
        .unwrap();
        let planned = |sends: &[bespoke::store::StoredSend], name: &str| {
            sends.iter().filter(|stored| stored.send.profile.as_str() == name).count()
        };
        let sends = app.sends().await;
        assert_eq!((planned(&sends, "ana"), planned(&sends, "bo")), (3, 0), "{on}");
        app.runs_until_idle().await;
        assert_eq!(subjects(&app), ["First"], "{on}");
        app.plans().await;
        assert_eq!(planned(&app.sends().await, "bo"), 3, "{on}");
        app.runs_until_idle().await;
        assert_eq!(subjects(&app), ["First", "First"], "{on}");
    }
}

#[tokio::test]
async fn a_step_that_was_paused_keeps_its_distance_from_those_that_went_out_meanwhile() {
    for app in on_each_database().await {
        app.given_profile("ana").await;
        app.does("ana", "Signed Up", json!({})).await;
        let second = CampaignId("b-second".to_owned());
        app.database.store.pause_campaign(&second, "a break", app.now()).await.unwrap();
        goes_on(
            &app,
            &[
                ("2026-03-02T09:02:00Z", &["First"]),
                ("2026-03-03T09:02:00Z", &["First"]),
                ("2026-03-04T09:02:00Z", &["First", "Third"]),
            ],
        )
        .await;
        app.database.store.resume_campaign(&second, "go on", app.now()).await.unwrap();
        goes_on(
            &app,
            &[
                ("2026-03-04T09:03:00Z", &["First", "Third"]),
                ("2026-03-05T09:01:00Z", &["First", "Third"]),
                ("2026-03-05T09:02:00Z", &["First", "Third", "Second"]),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn steps_that_failed_and_are_brought_back_together_do_not_go_together() {
    for app in on_each_database().await {
        app.given_profile("ana").await;
        app.does("ana", "Signed Up", json!({})).await;
        app.plans().await;
        let store = &app.database.store;
        let (first, second) = (of(&app, "c-first").await, of(&app, "b-second").await);
        for (time, send) in [("2026-03-02T09:02:00Z", &first), ("2026-03-03T09:02:00Z", &second)] {
            app.at(time).await;
            let claimed = given::claim(&app.database, app.now(), 10, time).await;
            let [claimed] = &claimed[..] else { panic!("one step is due: {claimed:?}") };
            assert_eq!(claimed.send.id, *send);
            let failed = given::settlement(claimed, Outcome::terminal(State::Failed, "render", "a bug"));
            store.record_outcomes(&[failed], 3, app.now()).await.unwrap();
        }
        goes_on(&app, &[("2026-03-04T09:02:00Z", &["Third"])]).await;
        assert_eq!(store.retry(&[second, first], app.now()).await.unwrap(), 2);
        goes_on(
            &app,
            &[
                ("2026-03-04T09:03:00Z", &["Third"]),
                ("2026-03-05T09:02:00Z", &["Third"]),
                // Two days but a minute behind the third, and the second a day but a minute behind that.
                ("2026-03-06T09:00:00Z", &["Third"]),
                ("2026-03-06T09:01:00Z", &["Third", "First"]),
                ("2026-03-06T09:03:00Z", &["Third", "First"]),
                ("2026-03-07T08:59:00Z", &["Third", "First"]),
                ("2026-03-07T09:02:00Z", &["Third", "First", "Second"]),
            ],
        )
        .await;
    }
}
