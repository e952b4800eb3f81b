//! Conformance of the store, both databases: what the mark refuses, and what bounces lead to.

use std::collections::HashSet;

use bespoke::campaign::Kind;
use bespoke::profile::EmailAddress;
use bespoke::send::Outcome;
use bespoke::send::State;
use bespoke::send::Suppress;
use bespoke::send::Suppression;
use bespoke::store::Arrival;
use bespoke::store::Pruned;
use bespoke::store::Refusal;
use bespoke::worker::outcomes::refused;
use jiff::ToSpan;

use crate::support::database::start;
use crate::support::given::DAILY;
use crate::support::given::LEASE_MS;
use crate::support::given::SOFT_MAX;
use crate::support::given::claim;
use crate::support::given::given_people;
use crate::support::given::id;
use crate::support::given::mark;
use crate::support::given::send;
use crate::support::given::settlement;
use crate::support::stores;

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
            until: None,
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
async fn a_relay_that_lets_the_deadline_pass_gets_no_mail() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["late", "timely"]).await;
        let mut sends = ["late", "timely"].map(|name| send(name, "1", Kind::Transactional, start()));
        sends[0].expires_at = start() + 60.seconds();
        sends[1].expires_at = start() + 91.seconds();
        store.plan(&sends).await.unwrap();
        let claimed = claim(&database, start(), 10, "a").await;
        let later = start() + 90.seconds();
        database.set_now(later).await;
        let token = claimed[0].token.clone();
        let ids = sends.clone().map(|send| send.id);
        store.renew_leases(&ids, &token, later, LEASE_MS).await.unwrap();
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        let marked = store.mark_submitting(&marks, &[DAILY], later).await.unwrap();
        assert_eq!(marked.refused.get(&ids[0]), Some(&Refusal::Expired), "{}", database.name());
        assert_eq!(marked.accepted, HashSet::from([ids[1].clone()]));
        let outcome = refused(&sends[0], &Refusal::Expired, later).unwrap();
        assert_eq!((outcome.state, outcome.reason.as_str()), (State::Expired, "deadline"));
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
async fn an_outcome_of_somebody_who_was_erased_while_on_the_wire_names_nobody() {
    for database in stores().await {
        let store = &database.store;
        store.keep_outcomes();
        given_people(&database, &["ana", "bo", "cy"]).await;
        let sends = ["ana", "bo", "cy"].map(|name| send(name, "1", Kind::Lifecycle, start()));
        store.plan(&sends).await.unwrap();
        let mut claimed = claim(&database, start(), 10, "a").await;
        claimed.sort_by_key(|claimed| claimed.send.profile.as_str().to_owned());
        let marks: Vec<_> = claimed.iter().map(mark).collect();
        assert_eq!(store.mark_submitting(&marks, &[], start()).await.unwrap().accepted.len(), 3);
        for name in ["ana", "bo"] {
            store.erase(&id(name), start()).await.unwrap().unwrap();
        }
        let bounced = |position: usize, suppress: Suppress| {
            let detail = format!("550 no <{}>", marks[position].to);
            let outcome = Outcome { suppress, ..Outcome::terminal(State::Failed, "bounce", detail) };
            settlement(&claimed[position], outcome)
        };
        let all = [
            bounced(0, Suppress::HardBounce),
            bounced(1, Suppress::CountSoft),
            bounced(2, Suppress::HardBounce),
        ];
        assert_eq!(store.record_outcomes(&all, 1, start()).await.unwrap().recorded.len(), 3);
        let mut details = Vec::new();
        for send in &sends {
            let stored = store.send(&send.id).await.unwrap().unwrap();
            assert_eq!((stored.send.state, stored.reason.as_deref()), (State::Failed, Some("bounce")));
            let attempts = store.attempts(&send.id).await.unwrap();
            details.push((stored.detail.unwrap(), attempts[0].detail.clone()));
        }
        let told = || "550 no <cy@example.test>".to_owned();
        let nothing = || (String::new(), String::new());
        assert_eq!(details, [nothing(), nothing(), (told(), told())], "{}", database.name());
        let logged = store.outcomes_after(Arrival::default(), 10).await.unwrap();
        let mut logged: Vec<_> = logged.into_iter().map(|(_, outcome)| outcome.unwrap().detail).collect();
        logged.sort();
        assert_eq!(logged, [String::new(), String::new(), told()]);
        let keys = ["ana", "bo", "cy"].map(|name| format!("{name}@example.test"));
        let found = store.suppressions_of(&keys).await.unwrap();
        let reasons = keys.map(|key| found[&key].iter().map(|one| one.reason.clone()).collect::<Vec<_>>());
        assert_eq!(reasons, [["erased"], ["erased"], ["hard_bounce"]]);
        assert_eq!(store.count_prunable(Pruned::SoftBounces, start() + 1.hour()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_no_grant_lifts_takes_the_place_of_an_unsubscribe_and_nothing_else_does() {
    for database in stores().await {
        let store = &database.store;
        let all = ["complaint", "hard_bounce", "manual", "soft_bounces", "unsubscribe", "other"];
        let key = "ana@example.test".to_owned();
        for (first, kept) in
            [("unsubscribe", &["unsubscribe", "other"][..]), ("complaint", &all[..]), ("manual", &all[..])]
        {
            for then in all {
                let one = |reason: &str, at| Suppression {
                    address: key.clone(),
                    topic: "picks".to_owned(),
                    reason: reason.to_owned(),
                    at,
                    send: None,
                    until: None,
                };
                store.add_suppressions(&[one(first, start())]).await.unwrap();
                let second = one(then, start() + 1.hour());
                store.add_suppressions(std::slice::from_ref(&second)).await.unwrap();
                let found = store.suppressions_of(std::slice::from_ref(&key)).await.unwrap();
                let expected = if kept.contains(&then) { one(first, start()) } else { second };
                assert_eq!(found[&key], [expected], "{first} then {then} on {}", database.name());
                store.lift_suppressions(&key, Some("picks"), Some("asked"), start()).await.unwrap();
            }
        }
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
        let soft = "soft@example.test";
        for round in 0..4_i64 {
            if round == 3 {
                // Whoever lifts it begins to count anew.
                store.lift_suppressions(soft, None, None, start() + 60.hours()).await.unwrap();
            }
            let now = start() + (round * 24).hours();
            database.set_now(now).await;
            let occurrence = round.to_string();
            store.plan(&[send("soft", &occurrence, Kind::Lifecycle, now)]).await.unwrap();
            let claimed = claim(&database, now, 1, &occurrence).await.remove(0);
            store
                .record_outcomes(&[settlement(&claimed, bounce(Suppress::CountSoft))], SOFT_MAX, now)
                .await
                .unwrap();
            let found = store.suppressions_of(&[soft.to_owned()]).await.unwrap().remove(soft);
            let found: Vec<_> =
                found.into_iter().flatten().map(|one| (one.topic, one.reason, one.send.is_some())).collect();
            let full = ("lifecycle".to_owned(), "soft_bounces".to_owned(), true);
            let expected = if round == 2 { vec![full] } else { Vec::new() };
            assert_eq!(found, expected, "round {round} on {}", database.name());
        }
        store.plan(&[send("hard", "1", Kind::Lifecycle, start())]).await.unwrap();
        let claimed = claim(&database, start(), 1, "h").await.remove(0);
        let bounced = settlement(&claimed, bounce(Suppress::HardBounce));
        store.record_outcomes(&[bounced], SOFT_MAX, start()).await.unwrap();
        let detail = store.send(&claimed.send.id).await.unwrap().unwrap().detail.unwrap();
        assert_eq!(detail, "é".repeat(500));

        let found = store.suppressions_of(&["hard@example.test".to_owned()]).await.unwrap();
        let [one] = &found["hard@example.test"][..] else { panic!("{found:?}") };
        assert_eq!((one.topic.as_str(), one.reason.as_str(), one.send.is_some()), ("*", "hard_bounce", true));
    }
}
