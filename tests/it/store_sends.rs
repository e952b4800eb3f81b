//! Conformance of the store, both databases: plan, claim, mark, outcome.

use std::collections::HashSet;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Guarantee;
use bespoke::campaign::Kind;
use bespoke::decision::VariantId;
use bespoke::profile::EmailAddress;
use bespoke::send::AttemptCount;
use bespoke::send::LeaseToken;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::SendId;
use bespoke::send::State;
use bespoke::send::Suppress;
use bespoke::send::Suppression;
use bespoke::store::Cap;
use bespoke::store::Claimed;
use bespoke::store::GroupCommit;
use bespoke::store::Mark;
use bespoke::store::Marked;
use bespoke::store::Refusal;
use bespoke::store::SendFilter;
use bespoke::store::Settlement;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::json;

use crate::store_people::id;
use crate::store_people::profile;
use crate::support::Database;
use crate::support::database::start;
use crate::support::stores;

pub(crate) const LEASE_MS: i64 = 60_000;
pub(crate) const SOFT_MAX: u32 = 3;
pub(crate) const DAILY: Cap = Cap { count: 1, within_ms: 24 * 3_600_000 };

pub(crate) fn send(profile: &str, occurrence: &str, kind: Kind, due_at: Timestamp) -> ScheduledSend {
    let campaign = CampaignId(if kind == Kind::Lifecycle { "picks" } else { "receipt" }.to_owned());
    ScheduledSend {
        id: SendId::derive(due_at, &campaign, &id(profile), occurrence),
        campaign,
        kind,
        guarantee: if kind == Kind::Lifecycle { Guarantee::AtMostOnce } else { Guarantee::AtLeastOnce },
        profile: id(profile),
        occurrence: occurrence.to_owned(),
        due_at,
        expires_at: due_at + 72.hours(),
        state: State::Scheduled,
        attempt: 0,
        orphaned: 0,
        data: json!({"order": {"id": "A-1", "note": "\u{0}\"é"}}).as_object().unwrap().clone(),
        to: None,
    }
}

pub(crate) fn token(text: &str) -> LeaseToken {
    LeaseToken(text.to_owned())
}

pub(crate) fn mark(claimed: &Claimed) -> Mark {
    Mark {
        send: claimed.send.id.clone(),
        token: claimed.token.clone(),
        to: EmailAddress::parse(&format!("{}@example.test", claimed.send.profile)).unwrap(),
        topic: "picks".to_owned(),
        variant: VariantId("picks/compare/versus".to_owned()),
        products: vec!["p1".to_owned(), "p2".to_owned()],
        domain_group: "example.test".to_owned(),
    }
}

pub(crate) fn settlement(claimed: &Claimed, outcome: Outcome) -> Settlement {
    let to = Some(mark(claimed).to);
    Settlement { send: claimed.send.id.clone(), token: claimed.token.clone(), to, outcome }
}

pub(crate) fn sent() -> Outcome {
    Outcome { relay: Some("main".to_owned()), ..Outcome::terminal(State::Sent, "sent", "250 2.0.0 ok") }
}

pub(crate) async fn given_people(database: &Database, names: &[&str]) {
    let people: Vec<_> = names.iter().map(|name| profile(name)).collect();
    database.store.upsert_profiles(&people, start()).await.unwrap();
}

pub(crate) async fn claim(database: &Database, now: Timestamp, limit: usize, name: &str) -> Vec<Claimed> {
    database.store.claim(now, LEASE_MS, limit, &token(name)).await.unwrap()
}

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
        assert_eq!(stored.variant, Some(VariantId("picks/compare/versus".to_owned())));
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
        let group = GroupCommit { marks: vec![mark(&late)], settlements: vec![settlement(&late, sent())] };
        let (settled, marked) = store.commit_group(&group, &[], SOFT_MAX, start()).await.unwrap();
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
async fn what_was_committed_before_the_mark_is_honoured() {
    for database in stores().await {
        let store = &database.store;
        let names = ["consent", "gone", "hard", "life", "topic", "other", "fine", "receipt"];
        given_people(&database, &names[..7]).await;
        let mut sends: Vec<_> = names[..7].iter().map(|n| send(n, "1", Kind::Lifecycle, start())).collect();
        sends.push(send("receipt", "1", Kind::Transactional, start()));
        sends[7].to = Some(EmailAddress::parse("receipt@example.test").unwrap());
        store.plan(&sends).await.unwrap();
        let claimed = claim(&database, start(), 10, "a").await;

        database
            .execute("update profiles set consent = 'withdrawn' where id = 'consent'; delete from profiles where id = 'gone';")
            .await;
        let suppression = |name: &str, topic: &str| Suppression {
            address: format!("{name}@example.test"),
            topic: topic.to_owned(),
            reason: "manual".to_owned(),
            at: start(),
            send: None,
        };
        let suppressions = [
            suppression("hard", "*"),
            suppression("life", "lifecycle"),
            suppression("topic", "picks"),
            suppression("other", "news"),
            suppression("receipt", "lifecycle"),
        ];
        assert_eq!(store.add_suppressions(&suppressions).await.unwrap(), 5);
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        let marked = store.mark_submitting(&marks, &[DAILY], start()).await.unwrap();
        let found = |name: &str| {
            let claimed = claimed.iter().find(|claimed| claimed.send.profile.as_str() == name).unwrap();
            marked.refused.get(&claimed.send.id).cloned()
        };
        let suppressed =
            |topic: &str| Some(Refusal::Suppressed { topic: topic.to_owned(), reason: "manual".to_owned() });
        assert_eq!(found("consent"), Some(Refusal::NoConsent));
        assert_eq!(found("gone"), Some(Refusal::ProfileGone));
        assert_eq!(found("hard"), suppressed("*"));
        assert_eq!(found("life"), suppressed("lifecycle"));
        assert_eq!(found("topic"), suppressed("picks"));
        for name in ["other", "fine", "receipt"] {
            assert_eq!(found(name), None, "{name} on {}", database.name());
        }
        assert_eq!(marked.accepted.len(), 3);
    }
}

#[tokio::test]
async fn two_sends_of_one_profile_in_one_batch_do_not_both_pass_a_cap_of_one() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store
            .plan(&[
                send("ana", "1", Kind::Lifecycle, start()),
                send("ana", "2", Kind::Lifecycle, start()),
                send("ana", "3", Kind::Transactional, start()),
            ])
            .await
            .unwrap();
        let claimed = claim(&database, start(), 10, "a").await;
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        let marked = store.mark_submitting(&marks, &[DAILY], start()).await.unwrap();
        assert_eq!(marked.accepted.len(), 2);
        let refused: Vec<_> = marked.refused.values().collect();
        assert_eq!(refused, [&Refusal::Capped { cap: DAILY, until: start() + 24.hours() }]);

        // A mail that was not taken leaves room again.
        let taken =
            claimed.iter().find(|c| c.send.kind == Kind::Lifecycle && marked.accepted.contains(&c.send.id));
        let refused = claimed.iter().find(|c| marked.refused.contains_key(&c.send.id)).unwrap();
        let failed = Outcome::terminal(State::Failed, "policy", "554 no");
        store.record_outcomes(&[settlement(taken.unwrap(), failed)], SOFT_MAX, start()).await.unwrap();
        let marked = store.mark_submitting(&[mark(refused)], &[DAILY], start()).await.unwrap();
        assert_eq!(marked.accepted, HashSet::from([refused.send.id.clone()]), "{}", database.name());
    }
}

#[tokio::test]
async fn workers_at_the_same_time_do_not_both_pass_a_cap_of_one() {
    for database in stores().await {
        let store = &database.store;
        let names: Vec<String> = (0..20).map(|n| format!("p{n}")).collect();
        given_people(&database, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let mut tasks = Vec::new();
        for occurrence in 0..4 {
            let sends: Vec<_> = names
                .iter()
                .map(|name| send(name, &occurrence.to_string(), Kind::Lifecycle, start()))
                .collect();
            store.plan(&sends).await.unwrap();
            let claimed = claim(&database, start(), 100, &format!("w{occurrence}")).await;
            assert_eq!(claimed.len(), 20);
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let mut marks: Vec<_> = claimed.iter().map(mark).collect();
                if occurrence % 2 == 1 {
                    marks.reverse();
                }
                store.mark_submitting(&marks, &[DAILY], start()).await.unwrap()
            }));
        }
        let mut accepted = 0;
        for task in tasks {
            accepted += task.await.unwrap().accepted.len();
        }
        assert_eq!(accepted, 20, "{}", database.name());
    }
}

#[tokio::test]
async fn bounces_suppress_as_design_says() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["hard", "soft"]).await;
        let bounce = |suppress: Suppress| Outcome {
            suppress,
            ..Outcome::terminal(State::Failed, "bounce", "é".repeat(2_000))
        };
        for round in 0..3_i64 {
            let now = start() + (round * 24).hours();
            database.set_now(now).await;
            let occurrence = round.to_string();
            store.plan(&[send("soft", &occurrence, Kind::Lifecycle, now)]).await.unwrap();
            let claimed = claim(&database, now, 1, &occurrence).await.remove(0);
            store
                .record_outcomes(&[settlement(&claimed, bounce(Suppress::CountSoft))], SOFT_MAX, now)
                .await
                .unwrap();
            let found = store.suppressions_of(&["soft@example.test".to_owned()]).await.unwrap();
            assert_eq!(found.len(), usize::from(round == 2), "round {round} on {}", database.name());
        }
        store.plan(&[send("hard", "1", Kind::Lifecycle, start())]).await.unwrap();
        let claimed = claim(&database, start(), 1, "h").await.remove(0);
        let bounced = settlement(&claimed, bounce(Suppress::HardBounce));
        store.record_outcomes(&[bounced], SOFT_MAX, start()).await.unwrap();
        let detail = store.send(&claimed.send.id).await.unwrap().unwrap().detail.unwrap();
        assert_eq!(detail, "é".repeat(500));

        let keys = ["hard@example.test".to_owned(), "soft@example.test".to_owned()];
        let found = store.suppressions_of(&keys).await.unwrap();
        let summary = |key: &str| {
            let suppression = &found[key][0];
            (suppression.topic.clone(), suppression.reason.clone(), suppression.send.is_some())
        };
        assert_eq!(summary("hard@example.test"), ("*".to_owned(), "hard_bounce".to_owned(), true));
        assert_eq!(summary("soft@example.test"), ("lifecycle".to_owned(), "soft_bounces".to_owned(), true));
        assert_eq!(store.remove_suppression("hard@example.test", "*").await.unwrap(), 1);
        assert_eq!(store.remove_suppression("hard@example.test", "*").await.unwrap(), 0);
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
