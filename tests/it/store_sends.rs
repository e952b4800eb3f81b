//! Conformance of the store, both databases: plan, claim, mark, outcome.

use std::collections::HashMap;
use std::collections::HashSet;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::decision::VariantId;
use bespoke::send::AttemptCount;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::store::Claimed;
use bespoke::store::GroupCommit;
use bespoke::store::GroupCommitted;
use bespoke::store::Marked;
use bespoke::store::Refusal;
use bespoke::store::SendFilter;
use futures_util::TryStreamExt;
use jiff::ToSpan;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::DAILY;
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

fn ids(claimed: &[Claimed]) -> Vec<SendId> {
    claimed.iter().map(|claimed| claimed.send.id.clone()).collect()
}

async fn state_of(database: &Database, send: &SendId) -> State {
    database.store.send(send).await.unwrap().unwrap().send.state
}

#[tokio::test]
async fn planning_twice_adds_nothing() {
    for database in stores().await {
        let store = &database.store;
        let sends: Vec<_> = (0..2_300)
            .map(|n| send(&format!("p{n}"), "2026-03-02", Kind::Lifecycle, start() + n.seconds()))
            .collect();
        assert_eq!(store.plan(&sends).await.unwrap(), 2_300);
        assert_eq!(store.plan(&sends).await.unwrap(), 0);
        let moved = send("p7", "2026-03-02", Kind::Lifecycle, start() + 30.hours());
        assert_eq!(store.plan(&[moved]).await.unwrap(), 0);
        assert_eq!(store.plan(&[send("p7", "2026-03-09", Kind::Lifecycle, start())]).await.unwrap(), 1);
        let stored = store.send(&sends[7].id).await.unwrap().unwrap();
        assert_eq!(stored.send, sends[7], "{}", database.name());
    }
}

#[tokio::test]
async fn the_latest_send_of_a_campaign_is_found_unless_it_was_called_off() {
    for database in stores().await {
        let store = &database.store;
        let at =
            |occurrence: &str, hours: i64| send("ana", occurrence, Kind::Lifecycle, start() + hours.hours());
        let other = send("bo", "1", Kind::Transactional, start() + 90.hours());
        store.plan(&[at("1", 1), at("2", 9), at("3", 5), other]).await.unwrap();
        let campaign = at("1", 1).campaign;
        let latest = async || store.latest_due(&campaign, &[id("ana"), id("bo")]).await.unwrap();
        assert_eq!(latest().await, HashMap::from([(id("ana"), start() + 9.hours())]), "{}", database.name());
        store.cancel_send(&at("2", 9).id, "by hand", start()).await.unwrap();
        assert_eq!(latest().await, HashMap::from([(id("ana"), start() + 5.hours())]));
    }
}

#[tokio::test]
async fn claims_take_what_is_due_transactional_first_and_nothing_twice() {
    for database in stores().await {
        let store = &database.store;
        let second = send("ana", "2", Kind::Lifecycle, start() - 1.hour());
        let first = send("bo", "1", Kind::Lifecycle, start() - 2.hours());
        let urgent = send("cy", "3", Kind::Transactional, start());
        let future = send("di", "4", Kind::Transactional, start() + 1.second());
        let all = [&second, &first, &urgent, &future].map(Clone::clone);
        store.plan(&all).await.unwrap();

        let claimed = claim(&database, start(), 2, "a").await;
        assert_eq!(ids(&claimed), [urgent.id.clone(), first.id.clone()], "{}", database.name());
        let expected = ScheduledSend { state: State::Leased, attempt: 1, ..urgent.clone() };
        assert_eq!(claimed[0].send, expected);
        assert_eq!(ids(&claim(&database, start(), 10, "b").await), [second.id]);
        assert_eq!(claim(&database, start(), 10, "c").await, []);
        database.set_now(start() + 1.second()).await;
        assert_eq!(ids(&claim(&database, start() + 1.second(), 10, "d").await), [future.id]);
    }
}

#[tokio::test]
async fn workers_at_the_same_time_never_claim_the_same_send() {
    for database in stores().await {
        let store = &database.store;
        let sends: Vec<_> = (0..600).map(|n| send(&format!("p{n}"), "x", Kind::Lifecycle, start())).collect();
        store.plan(&sends).await.unwrap();
        let workers = (0..8).map(|worker| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for round in 0.. {
                    let token = token(&format!("{worker}.{round}"));
                    let claimed = store.claim(start(), LEASE_MS, 17, &token).await.unwrap();
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed.into_iter().map(|claimed| claimed.send.id));
                }
                mine
            })
        });
        let mut all = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            all.extend(worker.await.unwrap());
        }
        assert_eq!(all.len(), 600, "{}", database.name());
        assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 600);
    }
}

#[tokio::test]
async fn a_send_goes_from_claim_over_mark_to_outcome() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store.plan(&[send("ana", "1", Kind::Lifecycle, start())]).await.unwrap();
        let claimed = claim(&database, start(), 10, "a").await;
        let marked = store.mark_submitting(&[mark(&claimed[0])], &[DAILY], start()).await.unwrap();
        assert_eq!(marked.accepted, HashSet::from([claimed[0].send.id.clone()]));
        assert_eq!(state_of(&database, &claimed[0].send.id).await, State::Submitting);

        let later = start() + 2.seconds();
        database.set_now(later).await;
        let settled =
            store.record_outcomes(&[settlement(&claimed[0], sent())], SOFT_MAX, later).await.unwrap();
        assert_eq!(settled.recorded, HashSet::from([claimed[0].send.id.clone()]));
        let stored = store.send(&claimed[0].send.id).await.unwrap().unwrap();
        assert_eq!(stored.send.state, State::Sent);
        assert_eq!(stored.reason.as_deref(), Some("sent"));
        assert_eq!(stored.detail.as_deref(), Some("250 2.0.0 ok"));
        assert_eq!(stored.relay.as_deref(), Some("main"));
        assert_eq!(stored.recipient.as_deref(), Some("ana@example.test"));
        assert_eq!(stored.variant, Some(VariantId::new("picks/compare/versus")));
        assert_eq!(stored.products, ["p1", "p2"]);
        assert_eq!((stored.submitted_at, stored.finished_at), (Some(start()), Some(later)));
        assert_eq!(stored.lease_until, None);
        assert_eq!(store.attempts(&claimed[0].send.id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_late_token_writes_nothing() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store.plan(&[send("ana", "1", Kind::Lifecycle, start())]).await.unwrap();
        let late = claim(&database, start(), 1, "late").await.remove(0);
        store.release(&[(late.send.id.clone(), late.token.clone())], start()).await.unwrap();
        let holder = claim(&database, start(), 1, "holder").await.remove(0);
        assert_eq!(holder.send.attempt, 1);

        let before = store.send(&late.send.id).await.unwrap();
        let group = GroupCommit {
            marks: vec![mark(&late)],
            settlements: vec![settlement(&late, sent())],
            ..GroupCommit::default()
        };
        let GroupCommitted { settled, marked, .. } =
            store.commit_group(&group, &[], SOFT_MAX, start()).await.unwrap();
        assert_eq!(settled.lost, HashSet::from([late.send.id.clone()]));
        assert_eq!(settled.recorded, HashSet::new());
        assert_eq!(marked.refused.get(&late.send.id), Some(&Refusal::LeaseLost));
        assert_eq!(store.release(&[(late.send.id.clone(), late.token.clone())], start()).await.unwrap(), 0);
        let renewed = store
            .renew_leases(std::slice::from_ref(&late.send.id), &late.token, start(), LEASE_MS)
            .await
            .unwrap();
        assert_eq!(renewed, []);
        assert_eq!(store.send(&late.send.id).await.unwrap(), before, "{}", database.name());
        let renewed = store
            .renew_leases(std::slice::from_ref(&late.send.id), &holder.token, start(), LEASE_MS)
            .await
            .unwrap();
        assert_eq!(renewed, std::slice::from_ref(&late.send.id));
    }
}

#[tokio::test]
async fn a_send_that_is_being_written_keeps_nobody_from_renewing_the_others() {
    let Some(database) = Database::postgres().await else { return };
    let store = &database.store;
    store.plan(&["ana", "bo"].map(|who| send(who, "1", Kind::Lifecycle, start()))).await.unwrap();
    let both = claim(&database, start(), 2, "a").await;
    let mut sends = ids(&both);
    sends.sort();
    let sql = format!("select 1 from sends where id = '{}' for update", sends[0]);
    let mut writing = database.begun(&sql).await;
    let renew = async || store.renew_leases(&sends, &both[0].token, start(), LEASE_MS).await.unwrap();
    assert_eq!(renew().await, &sends[1..]);
    sqlx::raw_sql("rollback").execute(&mut writing).await.unwrap();
    assert_eq!(renew().await, sends);
}

#[tokio::test]
async fn deferred_sends_wait_and_only_spent_attempts_count() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store.plan(&[send("ana", "1", Kind::Lifecycle, start())]).await.unwrap();
        let first = claim(&database, start(), 1, "a").await.remove(0);
        let quiet = Outcome::later("quiet_hours", "until 09:00", start() + 1.hour());
        store.record_outcomes(&[settlement(&first, quiet)], SOFT_MAX, start()).await.unwrap();
        assert_eq!(claim(&database, start(), 1, "b").await, []);

        let later = start() + 1.hour();
        database.set_now(later).await;
        let second = claim(&database, later, 1, "c").await.remove(0);
        assert_eq!(second.send.attempt, 1, "the first attempt was not spent");
        let busy = Outcome { attempt: AttemptCount::Spent, ..Outcome::later("busy", "451 later", later) };
        store.record_outcomes(&[settlement(&second, busy)], SOFT_MAX, later).await.unwrap();
        let third = claim(&database, later, 1, "d").await.remove(0);
        assert_eq!(third.send.attempt, 2);
        store.record_outcomes(&[settlement(&third, sent())], SOFT_MAX, later).await.unwrap();
        let attempts = store.attempts(&third.send.id).await.unwrap();
        let lines: Vec<_> =
            attempts.iter().map(|line| (line.attempt, line.reason.as_str(), line.times)).collect();
        assert_eq!(lines, [(0, "quiet_hours", 1), (1, "busy", 1), (2, "sent", 1)], "{}", database.name());
    }
}

#[tokio::test]
async fn lists_and_exports_show_every_send_once() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        let mut sends: Vec<_> =
            (0..1_201).map(|n| send(&format!("p{n}"), "1", Kind::Lifecycle, start() + n.seconds())).collect();
        sends.push(send("ana", "1", Kind::Transactional, start()));
        store.plan(&sends).await.unwrap();
        let exported: Vec<_> = store.export_sends(SendFilter::default()).try_collect().await.unwrap();
        assert_eq!(exported.len(), 1_202);
        let seen: HashSet<_> = exported.iter().map(|stored| stored.send.id.clone()).collect();
        assert_eq!(seen.len(), 1_202);
        assert!(exported.windows(2).all(|pair| pair[0].send.id < pair[1].send.id));

        let filter = SendFilter {
            campaign: Some(CampaignId("receipt".to_owned())),
            state: Some(State::Scheduled),
            profile: Some(id("ana")),
            reason: None,
        };
        let found = store.sends(&filter, None, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].recipient.as_deref(), Some("ana@example.test"));
        assert_eq!(store.sends(&filter, Some(&found[0].send.id), 10).await.unwrap(), []);
        let counts: Vec<_> = store
            .count_sends()
            .await
            .unwrap()
            .into_iter()
            .map(|c| (c.campaign.0, c.state, c.count))
            .collect();
        let expected =
            [("picks".to_owned(), State::Scheduled, 1_201), ("receipt".to_owned(), State::Scheduled, 1)];
        assert_eq!(counts, expected, "{}", database.name());
    }
}

#[tokio::test]
async fn an_empty_batch_is_no_work() {
    for database in stores().await {
        let store = &database.store;
        assert_eq!(store.plan(&[]).await.unwrap(), 0);
        assert_eq!(store.mark_submitting(&[], &[DAILY], start()).await.unwrap(), Marked::default());
        assert_eq!(store.record_outcomes(&[], SOFT_MAX, start()).await.unwrap().recorded, HashSet::new());
        assert_eq!(store.insert_events(&[]).await.unwrap(), 0);
        assert_eq!(store.claim(start(), LEASE_MS, 0, &token("a")).await.unwrap(), []);
    }
}
