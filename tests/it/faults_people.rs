//! What people do while the mails go out: they unsubscribe, bounce, pause, resume, cancel.

use std::time::Duration;
use std::time::Instant;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::send::Suppression;

use crate::support::live::Live;
use crate::support::live::is_long;

const WORKER: &str = "[worker]\nin_flight = 8\nlease_seconds = 5\nretry_minutes = [1]\npoll_ms = 50\n";

/// What a worker has in hands or on the wire when something is committed may still arrive; nothing later does.
const ON_ITS_WAY: f64 = 2.0;

#[tokio::test]
async fn who_unsubscribes_or_bounces_during_a_run_gets_nothing_more() {
    for mut live in Live::on_each_database(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, 400).await;
        live.serve(0.1, &[]);
        let _worker = live.worker();
        live.waits_until("it has begun", || live.count("accept") >= 20);
        let now = bespoke::clock::Clock::System.now();
        let suppression = |i: usize| Suppression {
            address: format!("p{i}@example.test"),
            topic: if i.is_multiple_of(2) { "news" } else { "*" }.to_owned(),
            reason: if i.is_multiple_of(2) { "unsubscribe" } else { "hard_bounce" }.to_owned(),
            at: now,
            until: None,
            send: None,
        };
        let all: Vec<_> = (200..400).map(suppression).collect();
        live.store().add_suppressions(&all).await.unwrap();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century")]
        let committed = bespoke::clock::Clock::System.now().as_millisecond() as f64 / 1_000.0;
        live.waits_until("all is done", || {
            let states = live.states();
            ["scheduled", "leased", "submitting"].iter().all(|state| !states.contains_key(*state))
        });
        live.is_judged(0, 8);
        let mut late = live.journal();
        late.retain(|line| {
            let to = line["rcpt"].to_string();
            let number = to.split("<p").nth(1).and_then(|rest| rest.split('@').next()?.parse::<usize>().ok());
            line["ev"] == "accept"
                && number.is_some_and(|number| number >= 200)
                && line["t"].as_f64().unwrap() > committed + ON_ITS_WAY
        });
        assert!(late.is_empty(), "{late:?}");
        let states = live.states();
        assert!(
            states["suppressed"] > 100 && states["sent"] >= 200,
            "{states:?} on {}",
            live.database.name()
        );
        assert_eq!(live.count("accept"), states["sent"]);
    }
}

#[tokio::test]
async fn a_campaign_that_is_paused_resumed_and_canceled_at_random_loses_and_doubles_nobody() {
    let times = if is_long() { 20 } else { 6 };
    for mut live in Live::on_each_database(WORKER).await {
        live.given_sends(Guarantee::AtMostOnce, 600).await;
        live.serve(0.05, &[]);
        let _worker = live.worker();
        let news = CampaignId("news".to_owned());
        let now = || bespoke::clock::Clock::System.now();
        for time in 0..times {
            let before = live.count("accept");
            live.waits_until("mails go out", || live.count("accept") > before + time % 5);
            live.store().pause_campaign(&news, "test", now()).await.unwrap();
            let paused = Instant::now();
            let wait = Duration::from_millis(100 + 37 * (time as u64 % 7));
            live.waits_until("a moment passes", || paused.elapsed() > wait);
            live.store().resume_campaign(&news, "test", now()).await.unwrap();
            // What was refused at the mark waits a minute.
            live.hurry().await;
        }
        live.store().cancel_campaign(&news, "test", now()).await.unwrap();
        live.waits_until("nothing is open", || {
            let states = live.states();
            states.keys().all(|state| state == "sent" || state == "canceled")
        });
        live.is_judged(0, 8);
        let states = live.states();
        assert_eq!(states["sent"] + states["canceled"], 600, "{states:?} on {}", live.database.name());
        assert_eq!(live.count("accept"), states["sent"]);
    }
}
