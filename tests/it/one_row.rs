//! A row that nobody can read any more harms the person whose it is, and nobody else.

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::transport::Transport;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Orphans;
use jiff::SignedDuration;
use jiff::ToSpan as _;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given;

/// Whom each of these mails went to, in the order of names.
fn recipients(app: &TestApp) -> Vec<String> {
    let mut names: Vec<String> = app.mails().iter().map(|mail| mail.to.clone()).collect();
    names.sort();
    names
}

/// State and reason of the mails to one person.
async fn of(app: &TestApp, name: &str) -> Vec<(State, String)> {
    let sends = app.sends().await.into_iter().filter(|stored| stored.send.profile.as_str() == name);
    sends.map(|stored| (stored.send.state, stored.reason.unwrap_or_default())).collect()
}

#[tokio::test]
async fn of_a_claim_with_a_row_that_cannot_be_read_only_its_person_gets_nothing() {
    for broken in [
        "update profiles set traits = '{' where id = 'bo'",
        "update profiles set consent = 'perhaps' where id = 'bo'",
        "update events set properties = '{' where profile_id = 'bo'",
        "insert into stages (profile_id, stage, since, reason) values ('bo', 'beyond', 0, '')
           on conflict (profile_id) do update set stage = 'beyond'",
        // A mail that went out long ago.
        "insert into sends (id, campaign, profile_id, occurrence, kind, guarantee, priority, due_at, first_due_at,
           expires_at, state, data, submitted_at, variant, products)
         values ('00000000000000000000000000000000', 'old', 'bo', '1', 'lifecycle', 'amo', 10, 0, 0, 0, 'sent', '{}',
           1000, 'old/any/a', '[')",
    ] {
        for app in TestApp::on_each_database(&[]).await {
            let on = format!("{broken} on {}", app.database.name());
            for name in ["ana", "bo", "cy"] {
                app.given_profile(name).await;
                app.does(name, "Product Viewed", json!({"product_id": "p"})).await;
            }
            app.plans().await;
            app.database.execute(broken).await;
            app.at("2026-03-02T12:00:00Z").await;
            app.runs_until_idle().await;
            assert_eq!(recipients(&app), ["ana@example.test", "cy@example.test"], "{on}");
            let unreadable = (State::Failed, "unreadable".to_owned());
            let store = &app.database.store;
            let count = store.count_sends().await.unwrap();
            let failed: u64 = count.iter().filter(|of| of.state == State::Failed).map(|of| of.count).sum();
            assert_eq!(failed, 1, "{on}");
            if !broken.contains("'old'") {
                assert_eq!(of(&app, "bo").await, [unreadable], "{on}");
            }
        }
    }
}

#[tokio::test]
async fn whose_row_cannot_be_read_keeps_nobody_from_being_planned_for() {
    let campaign = "kind = \"lifecycle\"\naudience = 'history.orders_total > 0'\n\
                    trigger = { cron = { schedule = \"0 10 * * *\" } }\n";
    let staged = "kind = \"lifecycle\"\ntrigger = { stage_entry = { stage = \"educate\" } }\n";
    let letter = "+++\nsubject = \"Hi\"\n+++\n<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";
    let files = [
        ("news/campaign.toml", campaign),
        ("staged/campaign.toml", staged),
        ("staged/any/letter.mjml", letter),
    ];
    for (broken, receipts) in [
        ("update profiles set traits = '{' where id = 'bo'", 2),
        // What starts a receipt can be read, and a receipt has no audience.
        ("update events set properties = '{' where profile_id = 'bo' and name = 'Product Viewed'", 3),
        ("update events set properties = '{' where profile_id = 'bo'", 2),
    ] {
        for app in TestApp::on_each_database(&files).await {
            for name in ["ana", "bo", "cy"] {
                app.given_profile(name).await;
                for _ in 0..4 {
                    app.does(name, "Product Viewed", json!({"product_id": "p"})).await;
                }
                app.does(name, "Order Completed", json!({"order_id": "7"})).await;
            }
            app.database.execute(broken).await;
            app.plans().await;
            let planned = async |campaign: &str| {
                let sends = app.sends().await.into_iter();
                sends.filter(|stored| stored.send.campaign.as_str() == campaign).count()
            };
            let found = (planned("news").await, planned("receipt").await);
            assert_eq!(found, (2, receipts), "{broken} on {}", app.database.name());
        }
    }
}

async fn now_due(app: &TestApp) {
    let due_at = app.sends().await[0].send.due_at;
    app.at(&due_at.max(app.now()).to_string()).await;
}

/// A worker with connections of its own works until nothing is due.
async fn works(app: &mut TestApp, catcher: &Catcher) {
    let relay = Relay::from_url(&catcher.url()).unwrap();
    app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
    app.runs_until_idle().await;
}

/// A worker claims what is due, and dies before it has begun.
async fn a_worker_dies(app: &TestApp, round: i32) {
    let claimed = given::claim(&app.database, app.now(), 10, &format!("dies {round}")).await;
    assert_eq!(claimed.len(), 1, "round {round}");
    app.at(&(app.now() + (given::LEASE_MS + 1).milliseconds()).to_string()).await;
    let ended = Orphans::LeaseEnded { on_wire_ms: 0, margin_ms: 0 };
    let reaped = app.database.store.reap(ended, app.now()).await.unwrap();
    assert_eq!(reaped.rescheduled.len(), 1, "round {round}");
}

#[tokio::test]
async fn a_mail_that_its_host_defers_outlives_two_deaths_of_workers_and_none_goes_on_for_ever() {
    for mut app in TestApp::on_each_database(&[]).await {
        let on = app.database.name();
        app.config.worker.attempts_max = 2;
        let catcher = Catcher::start().await.unwrap();
        catcher.set_rules(vec!["rcpt@ana@=450 4.2.0 try later".parse().unwrap()]);
        app.given_profile("ana").await;
        let campaign = CampaignId("news".to_owned());
        let send = ScheduledSend {
            id: SendId::derive(app.now(), &campaign, &given::id("ana"), "1"),
            campaign,
            guarantee: Guarantee::AtMostOnce,
            expires_at: app.now() + SignedDuration::from_hours(1_000),
            ..given::send("ana", "1", Kind::Lifecycle, app.now())
        };
        app.database.store.plan(std::slice::from_ref(&send)).await.unwrap();
        let deferred = (State::Deferred, "deferred".to_owned());
        for round in 0..4 {
            now_due(&app).await;
            works(&mut app, &catcher).await;
            assert_eq!(of(&app, "ana").await, std::slice::from_ref(&deferred), "attempt {round} on {on}");
        }
        for round in 0..2 {
            now_due(&app).await;
            a_worker_dies(&app, round).await;
            works(&mut app, &catcher).await;
            assert_eq!(of(&app, "ana").await, std::slice::from_ref(&deferred), "death {round} on {on}");
        }
        // The third is the last: nobody knows that it is not this mail that kills them.
        now_due(&app).await;
        a_worker_dies(&app, 2).await;
        works(&mut app, &catcher).await;
        assert_eq!(of(&app, "ana").await, [(State::Failed, "attempts".to_owned())], "{on}");
        catcher.set_rules(Vec::new());
        app.at("2026-12-01T00:00:00Z").await;
        works(&mut app, &catcher).await;
        assert_eq!(of(&app, "ana").await, [(State::Failed, "attempts".to_owned())], "{on}");
        assert_eq!(catcher.accepted_count(), 0, "{on}");
    }
}
