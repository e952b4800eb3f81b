//! Conformance of the store, both databases: what decisions led to, and what the learning policy keeps.

use std::collections::BTreeMap;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::decision::Candidate;
use bespoke::decision::Choice;
use bespoke::decision::Decision;
use bespoke::decision::Scoring;
use bespoke::decision::Slice;
use bespoke::decision::TemplateHash;
use bespoke::decision::VariantId;
use bespoke::send::Outcome;
use bespoke::send::ScheduledSend;
use bespoke::send::State;
use bespoke::send::Suppression;
use bespoke::stage::Stage;
use bespoke::store::DECISION_ID;
use bespoke::store::StoredModel;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::ToSpan;
use serde_json::json;

use crate::support::Database;
use crate::support::database::start;
use crate::support::given::SOFT_MAX;
use crate::support::given::claim;
use crate::support::given::clicks;
use crate::support::given::event;
use crate::support::given::given_people;
use crate::support::given::mark;
use crate::support::given::send;
use crate::support::given::sent;
use crate::support::given::settlement;
use crate::support::stores;

fn decision(send: &ScheduledSend, at: Timestamp, policy: &str) -> Decision {
    Decision {
        send: send.id.clone(),
        campaign: send.campaign.clone(),
        profile: send.profile.clone(),
        at,
        stage: Stage::Educate,
        stage_reason: String::new(),
        choice: Choice::Variant {
            variant: VariantId::new("picks/compare/versus"),
            template: TemplateHash("abc".to_owned()),
        },
        propensity: 0.5,
        slice: Slice::Policy,
        candidates: Vec::new(),
        ruled_out: Vec::new(),
        reasons: Vec::new(),
        policy: policy.to_owned(),
        policy_version: "-".to_owned(),
        catalog_version: "c1".to_owned(),
        seed: 1,
        drawn_at: Some(0.25),
        withdrawn: Vec::new(),
        scoring: (policy == "thompson").then(|| Scoring {
            features_version: 1,
            customer: vec![0.1 + 0.2, 1e-17],
            recency: [0.5, 0.25],
            draw: None,
        }),
        inputs: json!({"scoring": "not this", "data": "\u{0} \\u0000"}),
    }
}

/// Three people have mails that went out, one of them decided by another policy; a fourth mail is still on its way.
async fn given_mails(database: &Database) -> Vec<ScheduledSend> {
    let store = &database.store;
    let names = ["ana", "bo", "cy", "di"];
    given_people(database, &names).await;
    let sends: Vec<_> = names.iter().map(|name| send(name, "1", Kind::Lifecycle, start())).collect();
    store.plan(&sends).await.unwrap();
    let claimed = claim(database, start(), 10, "w").await;
    let decisions: Vec<_> = sends
        .iter()
        .zip([("thompson", 0), ("thompson", 2), ("weighted", 0), ("thompson", 5)])
        .map(|(send, (policy, minutes))| decision(send, start() + i64::from(minutes).minutes(), policy))
        .collect();
    store.save_decisions(&decisions).await.unwrap();
    let gone: Vec<_> = claimed.iter().filter(|claimed| claimed.send.id != sends[3].id).collect();
    let marks: Vec<_> = gone.iter().map(|claimed| mark(claimed)).collect();
    assert_eq!(store.mark_submitting(&marks, &[], start()).await.unwrap().accepted.len(), 3);
    let settlements: Vec<_> = gone.iter().map(|claimed| settlement(claimed, sent())).collect();
    store.record_outcomes(&settlements, SOFT_MAX, start()).await.unwrap();
    sends
}

#[tokio::test]
async fn mails_of_a_learning_policy_are_read_in_the_order_of_their_decisions() {
    for database in stores().await {
        let store = &database.store;
        let sends = given_mails(&database).await;
        let at = start() + 1.hour();
        clicks(&database, &sends[1].id, at).await;
        let campaign = CampaignId("picks".to_owned());
        let (early, ever) = ((start() - 1.minute(), "~".to_owned()), start() - 1.minute());
        let all = store.rewarded_sends(&campaign, &early, ever, 10).await.unwrap();
        let ids: Vec<_> = all.iter().map(|send| send.send.clone()).collect();
        assert_eq!(ids, [sends[0].id.clone(), sends[1].id.clone()]);
        assert_eq!(all.iter().map(|send| send.clicked_at).collect::<Vec<_>>(), [None, Some(at)]);
        assert_eq!(Some(&all[0].scoring), decision(&sends[0], start(), "thompson").scoring.as_ref());
        assert_eq!((all[0].catalog_version.as_str(), all[0].stage), ("c1", Stage::Educate));
        assert_eq!(all[1].decided_at, start() + 2.minutes());
        let place = (all[0].decided_at, all[0].send.as_str().to_owned());
        assert_eq!(store.rewarded_sends(&campaign, &place, ever, 10).await.unwrap(), all[1..]);
        let behind = (start(), "~".to_owned());
        assert_eq!(store.rewarded_sends(&campaign, &behind, ever, 10).await.unwrap(), all[1..]);
        // What went out at that time or before is not asked for.
        let out = all[0].submitted_at;
        assert_eq!(store.rewarded_sends(&campaign, &early, out, 10).await.unwrap(), []);
        // The fourth mail has not been put on the wire.
        assert_eq!(store.earliest_in_flight().await.unwrap(), None);
        let counts = store.sends_by_variant().await.unwrap();
        assert_eq!(counts, BTreeMap::from([(VariantId::new("picks/compare/versus"), 3)]));
    }
}

#[tokio::test]
async fn a_decision_that_was_kept_before_candidates_stood_in_lists_is_read_whole() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        let mail = send("ana", "1", Kind::Lifecycle, start());
        store.plan(std::slice::from_ref(&mail)).await.unwrap();
        let candidate = |name: &str, score: f64, probability: f64| Candidate {
            variant: VariantId::new(name),
            score,
            probability,
        };
        let expected = Decision {
            candidates: vec![
                candidate("picks/compare/versus", 0.1 + 0.2, 0.5),
                candidate("no_send", 0.0, 0.5),
            ],
            drawn_at: None,
            inputs: json!({"offer": {"code": "A-1"}}),
            ..decision(&mail, start(), "weighted")
        };
        store.save_decisions(std::slice::from_ref(&expected)).await.unwrap();
        let old = json!({
            "send": mail.id, "campaign": "picks", "profile": "ana", "at": "2026-03-02T09:00:00Z",
            "stage": "educate", "stage_reason": "",
            "choice": {"variant": {"variant": "picks/compare/versus", "template": "abc"}},
            "propensity": 0.5, "slice": "policy",
            "candidates": [
                {"variant": "picks/compare/versus", "score": 0.300_000_000_000_000_04, "probability": 0.5},
                {"variant": "no_send", "score": 0.0, "probability": 0.5},
            ],
            "ruled_out": [], "reasons": [], "policy": "weighted", "policy_version": "-", "catalog_version": "c1",
            "seed": 1, "inputs": {"offer": {"code": "A-1"}},
        });
        database.execute(&format!("update decisions set body = '{old}'")).await;
        let found = store.decisions(std::slice::from_ref(&mail.id)).await.unwrap();
        assert_eq!(found[&mail.id], expected, "on {}", database.name());
    }
}

#[tokio::test]
async fn what_pages_showed_is_read_with_the_first_event_that_names_it() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        let shown: Vec<_> = ["1", "2", "3"]
            .iter()
            .zip([("thompson", 0), ("thompson", 2), ("weighted", 3)])
            .map(|(name, (policy, minutes))| {
                let visit = send("ana", name, Kind::Lifecycle, start());
                decision(&visit, start() + i64::from(minutes).minutes(), policy)
            })
            .collect();
        assert_eq!(store.save_web_decisions(&shown).await.unwrap(), 3);
        let named = |minutes: i64, decision: &Decision| {
            let mut event = event("ana", &format!("e{minutes}"), "Clicked", start() + minutes.minutes());
            event.properties.insert(DECISION_ID.to_owned(), json!(decision.send));
            event
        };
        // Another page's, one from before it was shown, and two that count, the later one first.
        let events = [named(5, &shown[2]), named(1, &shown[1]), named(9, &shown[1]), named(4, &shown[1])];
        store.insert_events(&events).await.unwrap();
        let campaign = CampaignId("picks".to_owned());
        let all =
            store.rewarded_visits(&campaign, &(start() - 1.minute(), "~".to_owned()), 10).await.unwrap();
        let found: Vec<_> = all.iter().map(|one| (&one.send, one.clicked_at)).collect();
        let expected = [(&shown[0].send, None), (&shown[1].send, Some(start() + 4.minutes()))];
        assert_eq!(found, expected, "{}", database.name());
        assert_eq!(store.rewarded_visits(&campaign, &(start(), "~".to_owned()), 10).await.unwrap(), all[1..]);
        // Whose an order is, is asked of every policy's.
        let clicked = store.clicks_on_pages(&campaign, &(start(), "~".to_owned()), 10).await.unwrap();
        let found: Vec<_> = clicked.iter().map(|one| (&one.send, one.submitted_at, one.clicked_at)).collect();
        let at = |minutes: i64| start() + minutes.minutes();
        let first = [(&shown[1].send, at(2), at(4)), (&shown[1].send, at(2), at(9))];
        assert_eq!(found, [first[0], first[1], (&shown[2].send, at(3), at(5))]);
        let page = async |minutes: i64| {
            store.clicks_on_pages(&campaign, &(at(minutes), "~".to_owned()), 1).await.unwrap()
        };
        assert_eq!((page(0).await, page(2).await), (clicked[..2].to_vec(), clicked[2..].to_vec()));
        let counts = store.sends_by_variant().await.unwrap();
        assert_eq!(counts, BTreeMap::from([(VariantId::new("picks/compare/versus"), 3)]));
    }
}

#[tokio::test]
async fn a_mail_that_was_sent_again_long_after_its_decision_is_still_read() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana", "bo"]).await;
        let sends: Vec<_> =
            ["ana", "bo"].iter().map(|name| send(name, "1", Kind::Lifecycle, start())).collect();
        store.plan(&sends).await.unwrap();
        let claimed = claim(&database, start(), 10, "w").await;
        let decisions: Vec<_> = sends.iter().map(|send| decision(send, start(), "thompson")).collect();
        store.save_decisions(&decisions).await.unwrap();
        let outcomes = [sent(), Outcome::terminal(State::Failed, "policy", "554")];
        for (send, outcome) in sends.iter().zip(outcomes) {
            let one = claimed.iter().find(|claimed| claimed.send.id == send.id).unwrap();
            store.mark_submitting(&[mark(one)], &[], start()).await.unwrap();
            store.record_outcomes(&[settlement(one, outcome)], SOFT_MAX, start()).await.unwrap();
        }
        let later = start() + (30 * 24).hours();
        database.set_now(later).await;
        assert_eq!(store.retry(&[sends[1].id.clone()], later).await.unwrap(), 1);
        let again = claim(&database, later, 10, "w2").await;
        store.mark_submitting(&[mark(&again[0])], &[], later).await.unwrap();
        store.record_outcomes(&[settlement(&again[0], sent())], SOFT_MAX, later).await.unwrap();
        let (campaign, ever) = (CampaignId("picks".to_owned()), (Timestamp::MIN, "~".to_owned()));
        let late = async |decided_until: Timestamp, submitted_after: Timestamp| {
            let found = store.rewarded_late(&campaign, &ever, decided_until, submitted_after, 10).await;
            found.unwrap().into_iter().map(|send| send.send).collect::<Vec<_>>()
        };
        let month = later - 1.hour();
        assert_eq!(late(month, month).await, [sends[1].id.clone()], "on {}", database.name());
        assert_eq!(late(month, start() - 1.hour()).await, [sends[1].id.clone()], "the other was in time");
        assert_eq!(late(start() - 1.hour(), month).await, [], "read with those of its time");
        assert_eq!(late(month, later).await, [], "learnt already");
    }
}

#[tokio::test]
async fn departures_belong_to_the_mail_that_they_came_by() {
    for database in stores().await {
        let store = &database.store;
        let sends = given_mails(&database).await;
        let suppression =
            |address: &str, topic: &str, reason: &str, minutes: i64, by: Option<usize>| Suppression {
                address: address.to_owned(),
                topic: topic.to_owned(),
                reason: reason.to_owned(),
                at: start() + minutes.minutes(),
                until: None,
                send: by.map(|index| sends[index].id.clone()),
            };
        let rows = [
            suppression("ana@example.test", "picks", "unsubscribe", 9, Some(0)),
            suppression("ana@example.test", "*", "complaint", 8, Some(0)),
            suppression("bo@example.test", "*", "hard_bounce", 9, Some(1)),
            suppression("cy@example.test", "*", "unsubscribe", 9, None),
        ];
        store.add_suppressions(&rows).await.unwrap();
        let found = store.departures_since(start()).await.unwrap();
        assert_eq!(found, [(sends[0].id.clone(), start() + 8.minutes())]);
        assert_eq!(store.departures_since(start() + 10.minutes()).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_variants_were_is_kept_by_catalogue_and_the_newest_version_of_a_model_is_known() {
    for database in stores().await {
        let store = &database.store;
        assert_eq!(store.catalog_traits("c1").await.unwrap(), None);
        store.put_catalog_traits("c1", "[1]").await.unwrap();
        store.put_catalog_traits("c1", "[2]").await.unwrap();
        assert_eq!(store.catalog_traits("c1").await.unwrap().as_deref(), Some("[1]"));
        assert_eq!(store.newest_model_version("policy").await.unwrap(), None);
        for (version, minutes) in [("a", 2), ("b", 1)] {
            let model = StoredModel {
                kind: "policy".to_owned(),
                version: version.to_owned(),
                created_at: start() + i64::from(minutes).minutes(),
                body: "{}".to_owned(),
            };
            store.put_model(&model).await.unwrap();
        }
        assert_eq!(store.newest_model_version("policy").await.unwrap().as_deref(), Some("a"));
        assert_eq!(store.newest_model_version("value").await.unwrap(), None);
        assert_eq!(store.prune_models("value", 0).await.unwrap(), 0);
        assert_eq!(store.prune_models("policy", 1).await.unwrap(), 1);
        assert_eq!(store.model("policy", "b").await.unwrap(), None);
        assert!(store.model("policy", "a").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_mail_on_the_wire_is_in_flight_until_its_outcome_is_known() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        store.plan(&[send("ana", "1", Kind::Lifecycle, start())]).await.unwrap();
        let claimed = claim(&database, start(), 10, "w").await;
        store.save_decisions(&[decision(&claimed[0].send, start(), "thompson")]).await.unwrap();
        assert_eq!(store.earliest_in_flight().await.unwrap(), None);
        store.mark_submitting(&[mark(&claimed[0])], &[], start()).await.unwrap();
        let first = store.earliest_in_flight().await.unwrap().unwrap();
        let campaign = CampaignId("picks".to_owned());
        let early = (start() - 1.minute(), "~".to_owned());
        let read = async || store.rewarded_sends(&campaign, &early, start() - 1.minute(), 10).await.unwrap();
        assert_eq!(read().await, []);
        store.record_outcomes(&[settlement(&claimed[0], sent())], SOFT_MAX, start()).await.unwrap();
        assert_eq!(store.earliest_in_flight().await.unwrap(), None);
        assert_eq!(read().await[0].submitted_at, first);
    }
}

#[tokio::test]
async fn a_campaign_knows_its_first_mail_and_who_waits() {
    for database in stores().await {
        let store = &database.store;
        given_mails(&database).await;
        let campaign = CampaignId("picks".to_owned());
        let first = async |minutes: i64| {
            store.first_mail_since(&campaign, start() + minutes.minutes()).await.unwrap()
        };
        assert_eq!(first(-1).await, Some(start()));
        assert_eq!(first(1).await, Some(start() + 2.minutes()));
        assert_eq!(first(3).await, None, "the last has not gone out");
        let given = SignedDuration::from_hours(1);
        let deadline =
            async |reason| store.earliest_deadline(&campaign, reason, given, start()).await.unwrap();
        assert_eq!(deadline("pilot").await, None);
        store.plan(&[send("ana", "2", Kind::Lifecycle, start())]).await.unwrap();
        let claimed = claim(&database, start(), 10, "w2").await;
        let later = Outcome::later("pilot", "not yet", start() + 1.hour());
        store.record_outcomes(&[settlement(&claimed[0], later)], SOFT_MAX, start()).await.unwrap();
        assert_eq!(deadline("pilot").await, Some(start() + 72.hours()));
        assert_eq!(deadline("quiet_hours").await, None);
        let over = store.earliest_deadline(&campaign, "pilot", given, start() + 72.hours()).await.unwrap();
        assert_eq!(over, None, "who waits in vain sets nobody's pace");
        let days = SignedDuration::from_hours(100);
        let hurried = store.earliest_deadline(&campaign, "pilot", days, start()).await.unwrap();
        assert_eq!(hurried, Some(start() + days), "who asked for less does not hurry the others");
        // One waits for the pilot; another, for something else, and is due in time to be asked.
        let other = async |hours: i64| {
            store.waits_for_other(&campaign, "pilot", start() + hours.hours()).await.unwrap()
        };
        store.record_outcomes(&[], SOFT_MAX, start()).await.unwrap();
        assert!(other(0).await, "the fourth mail was claimed and nothing came of it yet");
        database.execute("update sends set state = 'canceled' where state = 'leased'").await;
        assert!(!other(9).await);
        store.plan(&[send("bo", "2", Kind::Lifecycle, start() + 5.hours())]).await.unwrap();
        assert_eq!((other(4).await, other(5).await), (false, true));
    }
}
