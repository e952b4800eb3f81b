//! Conformance of the store, both databases: orphans, calling off, pausing, bringing back.

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::send::Outcome;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Arrival;
use bespoke::store::Canceled;
use bespoke::store::DOT_REPLY_MS;
use bespoke::store::Orphans;
use bespoke::store::Reaped;
use bespoke::store::Refusal;
use bespoke::store::Running;
use bespoke::store::WorkerLock;
use jiff::Timestamp;
use jiff::ToSpan;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::LEASE_MS;
use crate::support::given::SOFT_MAX;
use crate::support::given::claim;
use crate::support::given::given_people;
use crate::support::given::id;
use crate::support::given::mark;
use crate::support::given::send;
use crate::support::given::sent;
use crate::support::given::settlement;
use crate::support::given::token;
use crate::support::stores;

const LEASE_ENDED: Orphans<'static> = Orphans::LeaseEnded { on_wire_ms: 0, margin_ms: 5_000 };

/// A lifecycle (at-most-once) and a transactional (at-least-once) send.
async fn given_two(database: &Database) -> (SendId, SendId) {
    given_people(database, &["ana"]).await;
    let sends = [send("ana", "1", Kind::Lifecycle, start()), send("ana", "1", Kind::Transactional, start())];
    database.store.plan(&sends).await.unwrap();
    (sends[0].id.clone(), sends[1].id.clone())
}

async fn reap(database: &Database, now: Timestamp) -> Reaped {
    database.set_now(now).await;
    database.store.reap(LEASE_ENDED, now).await.unwrap()
}

async fn state(database: &Database, send: &SendId) -> (State, Option<String>) {
    let stored = database.store.send(send).await.unwrap().unwrap();
    (stored.send.state, stored.reason)
}

#[tokio::test]
async fn what_a_dead_worker_held_is_claimed_again_after_its_lease() {
    for database in stores().await {
        let (lifecycle, transactional) = given_two(&database).await;
        assert_eq!(claim(&database, start(), 10, "dead").await.len(), 2);
        let end = start() + LEASE_MS.milliseconds();
        assert_eq!(reap(&database, end).await, Reaped::default());
        let after = end + 1.millisecond();
        let mut both = vec![lifecycle, transactional];
        both.sort();
        let expected = Reaped { rescheduled: both, ..Reaped::default() };
        assert_eq!(reap(&database, after).await, expected, "{}", database.name());
        let again = claim(&database, after, 10, "alive").await;
        let counts: Vec<_> =
            again.iter().map(|claimed| (claimed.send.attempt, claimed.send.orphaned)).collect();
        assert_eq!(counts, [(2, 0), (2, 0)]);
    }
}

#[tokio::test]
async fn a_send_that_was_in_work_as_three_workers_died_is_quarantined() {
    for database in stores().await {
        let (poison, innocent) = given_two(&database).await;
        let mut now = start();
        for death in 1..=3 {
            assert_eq!(claim(&database, now, 10, &format!("w{death}")).await.len(), 2);
            let accused = database.store.accuse(std::slice::from_ref(&poison), now).await.unwrap();
            let quarantined = if death == 3 { vec![poison.clone()] } else { Vec::new() };
            assert_eq!(accused, quarantined, "death {death} on {}", database.name());
            now += (LEASE_MS + 1).milliseconds();
            reap(&database, now).await;
        }
        assert_eq!(state(&database, &poison).await, (State::Failed, Some("quarantined".to_owned())));
        let stored = database.store.send(&innocent).await.unwrap().unwrap();
        assert_eq!((stored.send.state, stored.send.orphaned), (State::Scheduled, 0));
        let late = database.store.accuse(&[poison], now).await.unwrap();
        assert_eq!(late, [], "what has come to its end stays as it is");
    }
}

#[tokio::test]
async fn a_mail_on_the_wire_is_given_up_late_and_by_its_guarantee() {
    for database in stores().await {
        let (lifecycle, transactional) = given_two(&database).await;
        let claimed = claim(&database, start(), 10, "dead").await;
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        let marked = database.store.mark_submitting(&marks, &[], start()).await.unwrap();
        assert_eq!(marked.accepted.len(), 2);
        let bound = start() + (LEASE_MS + DOT_REPLY_MS + 5_000).milliseconds();
        assert_eq!(reap(&database, bound).await, Reaped::default(), "{}", database.name());
        let after = bound + 1.millisecond();
        let expected = Reaped {
            unknown: vec![lifecycle.clone()],
            resubmitted: vec![transactional.clone()],
            ..Reaped::default()
        };
        assert_eq!(reap(&database, after).await, expected);
        assert_eq!(state(&database, &lifecycle).await, (State::Unknown, Some("orphaned".to_owned())));
        let again = claim(&database, after, 10, "alive").await;
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].send.id.clone(), again[0].send.orphaned), (transactional, 0));

        // The worker was not dead but frozen. It comes back, and has no say any more.
        let sent = sent();
        let late: Vec<_> = claimed.iter().map(|claimed| settlement(claimed, sent.clone())).collect();
        let settled = database.store.record_outcomes(&late, SOFT_MAX, after).await.unwrap();
        assert_eq!((settled.recorded.len(), settled.lost.len()), (0, 2));
    }
}

#[tokio::test]
async fn a_mail_is_not_given_up_while_a_patient_worker_may_still_have_it_on_the_wire() {
    for database in stores().await {
        let (lifecycle, transactional) = given_two(&database).await;
        let marks: Vec<_> = claim(&database, start(), 10, "cut off").await.iter().map(mark).collect();
        database.store.mark_submitting(&marks, &[], start()).await.unwrap();
        let patient = Orphans::LeaseEnded { on_wire_ms: 3_780_000, margin_ms: 5_000 };
        let bound = start() + (LEASE_MS + 3_785_000).milliseconds();
        for (now, expected) in [
            (bound, Reaped::default()),
            (
                bound + 1.millisecond(),
                Reaped {
                    unknown: vec![lifecycle.clone()],
                    resubmitted: vec![transactional.clone()],
                    ..Reaped::default()
                },
            ),
        ] {
            database.set_now(now).await;
            assert_eq!(database.store.reap(patient, now).await.unwrap(), expected, "{}", database.name());
        }
    }
}

/// Hosts disagree about the time; what they claim, hold and give back goes by the time of the one database.
#[tokio::test]
async fn leases_go_by_the_clock_of_the_database_whatever_a_worker_takes_the_time_to_be() {
    let Some(database) = Database::postgres().await else { return };
    let store = &database.store;
    let (lifecycle, transactional) = given_two(&database).await;
    // A host whose clock is years behind finds what is due; one that is years ahead holds it no longer than others.
    let (behind, ahead) = (start() - 20_000.hours(), start() + 20_000.hours());
    assert_eq!(claim(&database, behind, 1, "behind").await.len(), 1);
    assert_eq!(claim(&database, ahead, 1, "ahead").await.len(), 1);
    for send in [&lifecycle, &transactional] {
        let stored = store.send(send).await.unwrap().unwrap();
        assert_eq!(stored.lease_until, Some(start() + LEASE_MS.milliseconds()), "{send}");
    }
    assert_eq!(store.reap(LEASE_ENDED, ahead).await.unwrap(), Reaped::default(), "nobody's lease has ended");
    let half = start() + (LEASE_MS / 2).milliseconds();
    database.set_now(half).await;
    let held = store.renew_leases(std::slice::from_ref(&lifecycle), &token("ahead"), behind, LEASE_MS).await;
    assert_eq!(held.unwrap(), std::slice::from_ref(&lifecycle));
    let stored = store.send(&lifecycle).await.unwrap().unwrap();
    assert_eq!(stored.lease_until, Some(half + LEASE_MS.milliseconds()));
    // The lease that nobody renewed ends by the database's clock, though the caller's shows a time long before it.
    database.set_now(start() + (LEASE_MS + 1).milliseconds()).await;
    let expected = Reaped { rescheduled: vec![transactional], ..Reaped::default() };
    assert_eq!(store.reap(LEASE_ENDED, behind).await.unwrap(), expected);
    // Nothing is due before the database says so.
    let later = send("bo", "1", Kind::Lifecycle, start() + 1.hour());
    store.plan(&[later]).await.unwrap();
    let claimed = claim(&database, ahead, 10, "eager").await;
    assert_eq!(claimed.len(), 1, "only what was given back is due");
}

#[tokio::test]
async fn the_only_worker_of_a_sqlite_file_takes_over_at_once() {
    let database = Database::sqlite().await;
    let (lifecycle, transactional) = given_two(&database).await;
    let held = claim(&database, start(), 2, "dead").await;
    let on_wire = held.iter().find(|claimed| claimed.send.id == lifecycle).unwrap();
    database.store.mark_submitting(&[mark(on_wire)], &[], start()).await.unwrap();
    let WorkerLock::Sole(sole) = database.store.worker_lock().unwrap() else { panic!("it is SQLite") };
    let reaped = database.store.reap(Orphans::All(&sole), start() + 1.second()).await.unwrap();
    let expected = Reaped { unknown: vec![lifecycle], rescheduled: vec![transactional], ..Reaped::default() };
    assert_eq!(reaped, expected);
}

#[tokio::test]
async fn a_worker_tells_of_the_mails_that_the_one_before_left_unknown() {
    let app = crate::support::TestApp::on_sqlite(&[]).await;
    let (lifecycle, _) = given_two(&app.database).await;
    let held = claim(&app.database, start(), 2, "dead").await;
    let on_wire = held.iter().find(|claimed| claimed.send.id == lifecycle).unwrap();
    app.database.store.mark_submitting(&[mark(on_wire)], &[], start()).await.unwrap();
    let told = app.says(&["work", "--until-idle", "--into", "mails"]).await;
    assert!(told.contains("1 unknown  (on the wire when the worker before died"), "{told}");
}

#[tokio::test]
async fn a_send_can_be_canceled_until_it_is_on_the_wire() {
    for database in stores().await {
        let store = &database.store;
        let (lifecycle, transactional) = given_two(&database).await;
        let claimed = claim(&database, start(), 10, "w").await;
        let [urgent, normal] = &claimed[..] else { panic!("two were due") };
        store.mark_submitting(&[mark(urgent)], &[], start()).await.unwrap();
        let on_wire = store.cancel_send(&transactional, "asked for", start()).await.unwrap();
        assert_eq!(on_wire, Canceled::TooLate(State::Submitting), "{}", database.name());
        assert_eq!(store.cancel_send(&lifecycle, "asked for", start()).await.unwrap(), Canceled::Now);
        assert_eq!(
            store.cancel_send(&lifecycle, "again", start()).await.unwrap(),
            Canceled::TooLate(State::Canceled)
        );
        let missing = SendId::parse(&"0".repeat(32)).unwrap();
        assert_eq!(store.cancel_send(&missing, "", start()).await.unwrap(), Canceled::Missing);
        let marked = store.mark_submitting(&[mark(normal)], &[], start()).await.unwrap();
        assert_eq!(marked.refused.get(&lifecycle), Some(&Refusal::LeaseLost));
    }
}

#[tokio::test]
async fn a_paused_campaign_stands_still_and_goes_on_where_it_was() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        let sends: Vec<_> = (0..60).map(|n| send(&format!("p{n}"), "1", Kind::Lifecycle, start())).collect();
        store.plan(&sends).await.unwrap();
        store.plan(&[send("ana", "1", Kind::Transactional, start())]).await.unwrap();
        let held = claim(&database, start(), 2, "before").await;
        let picks = CampaignId("picks".to_owned());
        store.pause_campaign(&picks, "too many complaints", start()).await.unwrap();

        let marks: Vec<_> = held.iter().map(mark).collect();
        let marked = store.mark_submitting(&marks, &[], start()).await.unwrap();
        assert_eq!(marked.accepted.len(), 1, "the transactional one");
        assert!(marked.refused.values().all(|refusal| *refusal == Refusal::CampaignPaused));
        let late = send("late", "1", Kind::Transactional, start());
        store.plan(&[late]).await.unwrap();
        let claimed = claim(&database, start(), 10, "while").await;
        assert_eq!(claimed.len(), 1, "others overtake");
        assert_eq!(claim(&database, start(), 10, "while2").await, []);

        store.resume_campaign(&picks, "checked", start()).await.unwrap();
        assert_eq!(claim(&database, start(), 100, "after").await.len(), 59, "{}", database.name());
        let states = store.campaign_states().await.unwrap();
        assert_eq!((states[0].running, states[0].reason.as_str()), (Running::Running, "checked"));
    }
}

#[tokio::test]
async fn a_canceled_campaign_sends_nothing_more() {
    for database in stores().await {
        let store = &database.store;
        let sends: Vec<_> = (0..5_100_i64)
            .map(|n| send(&format!("p{n:05}"), "1", Kind::Lifecycle, start() + (n / 1_000).hours()))
            .collect();
        store.plan(&sends).await.unwrap();
        given_people(&database, &["p00000", "p00001"]).await;
        let held = claim(&database, start(), 1_000, "w").await;
        let on_wire = held.iter().find(|c| c.send.profile == id("p00000")).unwrap();
        store.mark_submitting(&[mark(on_wire)], &[], start()).await.unwrap();
        let picks = CampaignId("picks".to_owned());
        assert_eq!(store.cancel_campaign(&picks, "wrong price", start()).await.unwrap(), 5_099);
        assert_eq!(store.cancel_campaign(&picks, "wrong price", start()).await.unwrap(), 0);

        // Planned by somebody who had not heard of it.
        let late = send("late", "2", Kind::Lifecycle, start());
        store.plan(std::slice::from_ref(&late)).await.unwrap();
        assert_eq!(claim(&database, start(), 100, "w2").await, []);
        let canceled = (State::Canceled, Some("campaign_canceled".to_owned()));
        assert_eq!(state(&database, &late.id).await, canceled, "{}", database.name());
        assert_eq!(state(&database, &on_wire.send.id).await.0, State::Submitting);
    }
}

#[tokio::test]
async fn failed_and_unknown_sends_come_back_only_when_asked_for() {
    for database in stores().await {
        let store = &database.store;
        let (failed, unknown) = given_two(&database).await;
        for claimed in claim(&database, start(), 10, "w").await {
            let to = if claimed.send.id == failed { State::Failed } else { State::Unknown };
            let outcome = Outcome::terminal(to, "x", "x");
            store.record_outcomes(&[settlement(&claimed, outcome)], SOFT_MAX, start()).await.unwrap();
        }
        let both = [failed.clone(), unknown.clone()];
        let later = start() + 100.hours();
        database.set_now(later).await;
        assert_eq!(store.retry(&both, later).await.unwrap(), 1);
        assert_eq!(state(&database, &unknown).await.0, State::Unknown);
        assert_eq!(store.resend_unknown(&both, later).await.unwrap(), 1);
        let again = claim(&database, later, 10, "w2").await;
        assert_eq!(again.len(), 2, "{}", database.name());
        assert!(again.iter().all(|claimed| claimed.send.attempt == 1));
        assert!(again.iter().all(|claimed| claimed.send.expires_at == later + 72.hours()));
    }
}

#[tokio::test]
async fn who_comes_back_again_and_again_has_no_more_time_for_it() {
    for database in stores().await {
        let store = &database.store;
        let (failed, _) = given_two(&database).await;
        let mut now = start();
        for round in 1..=4 {
            for claimed in claim(&database, now, 10, &format!("w{round}")).await {
                let outcome = Outcome::terminal(State::Failed, "x", "x");
                store.record_outcomes(&[settlement(&claimed, outcome)], SOFT_MAX, now).await.unwrap();
            }
            now += 100.hours();
            database.set_now(now).await;
            assert_eq!(store.retry(std::slice::from_ref(&failed), now).await.unwrap(), 1);
            let stored = store.send(&failed).await.unwrap().unwrap();
            assert_eq!(stored.send.expires_at, now + 72.hours(), "round {round} on {}", database.name());
        }
    }
}

#[tokio::test]
async fn what_is_held_is_read_again_by_who_holds_it() {
    for database in stores().await {
        let store = &database.store;
        let (lifecycle, transactional) = given_two(&database).await;
        let held = claim(&database, start(), 1, "w").await;
        let [urgent] = &held[..] else { panic!("one was asked for") };
        let found = store.leased(&transactional, &urgent.token).await.unwrap();
        assert_eq!(found.as_ref(), Some(&urgent.send), "{}", database.name());
        assert_eq!(store.leased(&transactional, &token("other")).await.unwrap(), None);
        assert_eq!(store.leased(&lifecycle, &urgent.token).await.unwrap(), None, "nobody holds it");
        store.mark_submitting(&[mark(urgent)], &[], start()).await.unwrap();
        assert_eq!(store.leased(&transactional, &urgent.token).await.unwrap(), None, "it has begun");
    }
}

/// All that is told of ends that no attempt came to, oldest first.
async fn told_ends(database: &Database) -> Vec<(SendId, State, String)> {
    let logged = database.store.outcomes_after(Arrival::default(), 10).await.unwrap();
    let told = logged.into_iter().map(|(_, told)| told.unwrap());
    told.map(|told| (told.send, told.state, told.reason)).collect()
}

#[tokio::test]
async fn an_end_that_no_worker_wrote_is_told_too() {
    for database in stores().await {
        let store = &database.store;
        let (lifecycle, transactional) = given_two(&database).await;
        store.keep_outcomes();
        let held = claim(&database, start(), 10, "dead").await;
        let on_wire = held.iter().find(|claimed| claimed.send.id == lifecycle).unwrap();
        store.mark_submitting(&[mark(on_wire)], &[], start()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(told_ends(&database).await, [], "it is not at its end");
            store.accuse(&[lifecycle.clone(), transactional.clone()], start()).await.unwrap();
        }
        let quarantined = (transactional, State::Failed, "quarantined".to_owned());
        assert_eq!(told_ends(&database).await, std::slice::from_ref(&quarantined), "{}", database.name());
        let ended = start() + (LEASE_MS + DOT_REPLY_MS + 5_001).milliseconds();
        assert_eq!(reap(&database, ended).await.unknown, std::slice::from_ref(&lifecycle));
        let unknown = (lifecycle, State::Unknown, "orphaned".to_owned());
        assert_eq!(told_ends(&database).await, [quarantined.clone(), unknown.clone()]);

        let broken = send("bo", "1", Kind::Lifecycle, start());
        store.plan(std::slice::from_ref(&broken)).await.unwrap();
        database.execute("update sends set data = '{' where profile_id = 'bo'").await;
        assert_eq!(claim(&database, ended, 10, "w").await, []);
        let unreadable = (broken.id, State::Failed, "unreadable".to_owned());
        assert_eq!(told_ends(&database).await, [quarantined, unknown, unreadable], "{}", database.name());
    }
}
