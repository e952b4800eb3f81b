//! Clocks that are moved while mails are on the wire: nobody gets a mail twice, and no lease ends by it.

use std::collections::BTreeSet;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::catcher::CatcherOptions;
use bespoke::deliver::smtp::Pool;
use bespoke::deliver::smtp::PoolSettings;
use bespoke::deliver::smtp::Relay;
use bespoke::deliver::smtp::Security;
use bespoke::deliver::transport::Transport;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::worker::run::Until;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::support::TestApp;
use crate::support::app::CONFIG;
use crate::support::given;
use crate::support::patience::until;
use crate::support::stores;

const SENDS: usize = 120;

async fn given_sends(app: &TestApp, due_at: Timestamp, from: usize, until: usize) {
    let people: Vec<_> = (from..until).map(|i| given::profile(&format!("p{i}"))).collect();
    app.database.store.upsert_profiles(&people, app.now()).await.unwrap();
    let campaign = CampaignId("news".to_owned());
    let sends: Vec<_> = people
        .iter()
        .map(|person| ScheduledSend {
            id: SendId::derive(due_at, &campaign, &person.id, "once"),
            campaign: campaign.clone(),
            kind: Kind::Lifecycle,
            guarantee: Guarantee::AtMostOnce,
            profile: person.id.clone(),
            occurrence: "once".to_owned(),
            due_at,
            expires_at: due_at + SignedDuration::from_hours(24 * 60),
            state: State::Scheduled,
            attempt: 0,
            orphaned: 0,
            data: serde_json::Map::new(),
            to: None,
        })
        .collect();
    app.database.store.plan(&sends).await.unwrap();
}

/// Waits until the server took this many mails.
async fn takes(catcher: &Catcher, count: u64) {
    until("mails arrive", async || (catcher.accepted_count() >= count).then_some(())).await;
}

#[tokio::test]
async fn a_clock_that_is_moved_while_mails_go_out_doubles_and_loses_nobody() {
    let jumps =
        [SignedDuration::from_hours(-1), SignedDuration::from_hours(1), SignedDuration::from_hours(24 * 30)];
    for jump in jumps {
        for database in stores().await {
            // Orphans are looked for every few seconds.
            let mut app = TestApp::new(database, &format!("{CONFIG}[worker]\nlease_seconds = 5\n"), &[]);
            given_sends(&app, app.now(), 1, SENDS).await;
            let rules = vec!["reply=delay:0.15".parse().unwrap()];
            let catcher =
                Catcher::start_with(CatcherOptions { rules, ..CatcherOptions::default() }).await.unwrap();
            let relay = Relay::new("test", "127.0.0.1", catcher.port(), Security::None);
            let relay = Relay { max_connections: 4, ..relay };
            app.over(Transport::Smtp(Pool::new(vec![relay], PoolSettings::default()).unwrap()));
            let worker = app.worker().await;
            let stop = worker.stop_handle();
            let working = tokio::spawn(async move { worker.run(Until::Stopped).await.map(drop) });
            takes(&catcher, 10).await;
            let on = format!("{jump:#} on {}", app.database.name());
            let before = app.clock.now();
            // The worker's clock; that of PostgreSQL stays, and decides leases there.
            app.clock.set(before + jump);
            given_sends(&app, before, 0, 1).await;
            takes(&catcher, catcher.accepted_count() + 50).await;
            let late = app.sends().await.into_iter().find(|stored| stored.send.profile == given::id("p0"));
            assert_eq!(
                late.unwrap().send.state,
                State::Scheduled,
                "{on}: nothing is claimed by a wrong clock"
            );
            app.clock.set(before);
            takes(&catcher, SENDS as u64).await;
            stop.stop();
            working.await.unwrap().unwrap();
            app.runs_until_idle().await;
            assert_eq!(catcher.accepted_count(), SENDS as u64, "{on}");
            let recipients: BTreeSet<_> =
                catcher.messages().into_iter().flat_map(|message| message.recipients).collect();
            assert_eq!(recipients.len(), SENDS, "{on}: each to somebody else");
            let states = app.states().await;
            assert!(states.iter().all(|(state, _)| *state == State::Sent), "{on}: {states:?}");
        }
    }
}
