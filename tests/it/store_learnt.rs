//! Conformance of the store, both databases: decisions, templates, mails, coupons, consents, models, rates, workers.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use bespoke::campaign::CampaignId;
use bespoke::campaign::Kind;
use bespoke::decision::Candidate;
use bespoke::decision::Choice;
use bespoke::decision::Decision;
use bespoke::decision::Slice;
use bespoke::decision::TemplateHash;
use bespoke::decision::VariantId;
use bespoke::history::Mail;
use bespoke::profile::Consent;
use bespoke::profile::ProfileId;
use bespoke::send::State;
use bespoke::stage::Stage;
use bespoke::store::ConsentProof;
use bespoke::store::CouponCount;
use bespoke::store::Neighbour;
use bespoke::store::StoredModel;
use bespoke::tracking::HitKind;
use jiff::ToSpan;
use serde_json::json;

use crate::support::database::start;
use crate::support::given::SOFT_MAX;
use crate::support::given::claim;
use crate::support::given::given_people;
use crate::support::given::hit;
use crate::support::given::id;
use crate::support::given::mark;
use crate::support::given::profile;
use crate::support::given::send;
use crate::support::given::sent;
use crate::support::given::settlement;
use crate::support::stores;

fn decision(name: &str, choice: Choice) -> Decision {
    let send = send(name, "1", Kind::Lifecycle, start());
    Decision {
        send: send.id,
        campaign: send.campaign,
        profile: send.profile,
        at: start(),
        stage: Stage::Compare,
        stage_reason: "three looks in two days".to_owned(),
        choice,
        propensity: 0.123_456_789_012_345_68,
        slice: Slice::Policy,
        candidates: vec![Candidate {
            variant: VariantId::new("picks/compare/versus"),
            score: 1.0e-17,
            probability: 0.1 + 0.2,
        }],
        ruled_out: Vec::new(),
        reasons: vec!["because \u{0} \u{202e}rtl".to_owned()],
        policy: "weighted".to_owned(),
        policy_version: "-".to_owned(),
        catalog_version: "c1".to_owned(),
        seed: u64::MAX,
        drawn_at: Some(0.25),
        withdrawn: Vec::new(),
        scoring: None,
        inputs: json!({"profile": {"first_name": "A\u{0}na {{ 7*7 }}"}, "n": 1.5}),
    }
}

#[tokio::test]
async fn a_decision_is_made_once_and_read_back_to_the_last_digit() {
    for database in stores().await {
        let store = &database.store;
        let variant = Choice::Variant {
            variant: VariantId::new("picks/compare/versus"),
            template: TemplateHash("abc".to_owned()),
        };
        let first = decision("ana", variant);
        let second = decision("bo", Choice::NoSend);
        let planned = ["ana", "bo"].map(|name| send(name, "1", Kind::Lifecycle, start()));
        assert_eq!(
            store.save_decisions(std::slice::from_ref(&first)).await.unwrap(),
            HashSet::new(),
            "not planned"
        );
        store.plan(&planned).await.unwrap();
        let saved = store.save_decisions(&[first.clone(), second.clone()]).await.unwrap();
        assert_eq!(saved, HashSet::from([first.send.clone(), second.send.clone()]));
        let other = Decision { propensity: 1.0, ..first.clone() };
        assert_eq!(store.save_decisions(&[other]).await.unwrap(), HashSet::new());
        let missing = send("cy", "1", Kind::Lifecycle, start()).id;
        let found = store.decisions(&[first.send.clone(), second.send.clone(), missing]).await.unwrap();
        let expected = HashMap::from([(first.send.clone(), first), (second.send.clone(), second)]);
        assert_eq!(found, expected, "{}", database.name());
    }
}

#[tokio::test]
async fn what_was_decided_for_somebody_who_was_erased_meanwhile_is_not_kept() {
    for database in stores().await {
        let store = &database.store;
        let planned = ["ana", "bo"].map(|name| send(name, "1", Kind::Lifecycle, start()));
        store.plan(&planned).await.unwrap();
        store.upsert_profiles(&[profile("ana")], start()).await.unwrap();
        let made = ["ana", "bo"].map(|name| decision(name, Choice::NoSend));
        store.erase(&made[0].profile, start()).await.unwrap().unwrap();
        let kept = HashSet::from([made[1].send.clone()]);
        assert_eq!(store.save_decisions(&made).await.unwrap(), kept, "{}", database.name());
        let ids = made.clone().map(|decision| decision.send);
        assert_eq!(store.decisions(&ids).await.unwrap().into_keys().collect::<HashSet<_>>(), kept);
    }
}

#[tokio::test]
async fn templates_are_kept_by_their_content() {
    for database in stores().await {
        let store = &database.store;
        let (hash, body) = (TemplateHash("h1".to_owned()), "{\"html\":\"<p>\\u0000é</p>\"}".to_owned());
        assert_eq!(store.save_templates(&[(hash.clone(), body.clone())]).await.unwrap(), 1);
        assert_eq!(store.save_templates(&[(hash.clone(), body.clone())]).await.unwrap(), 0);
        assert_eq!(store.template(&hash).await.unwrap(), Some(body), "{}", database.name());
        assert_eq!(store.template(&TemplateHash("h2".to_owned())).await.unwrap(), None);
    }
}

#[tokio::test]
async fn mails_are_what_was_taken_and_what_people_did_with_it() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana", "bo"]).await;
        let sends = ["1", "2", "3"].map(|n| send("ana", n, Kind::Lifecycle, start()));
        store.plan(&sends).await.unwrap();
        let mut expected = Vec::new();
        for (hour, claimed) in claim(&database, start(), 10, "w").await.into_iter().enumerate() {
            let at = start() + i64::try_from(hour).unwrap().hours();
            database.set_now(at).await;
            store.mark_submitting(&[mark(&claimed)], &[], at).await.unwrap();
            let outcome = match hour {
                0 => sent(),
                1 => bespoke::send::Outcome::terminal(State::Failed, "policy", "554"),
                _ => bespoke::send::Outcome::terminal(State::Unknown, "cut", "after the dot"),
            };
            store.record_outcomes(&[settlement(&claimed, outcome)], SOFT_MAX, at).await.unwrap();
            if hour != 1 {
                expected.insert(
                    0,
                    Mail {
                        send: claimed.send.id,
                        campaign: CampaignId("picks".to_owned()),
                        kind: Kind::Lifecycle,
                        variant: VariantId::new("picks/compare/versus"),
                        products: vec!["p1".to_owned(), "p2".to_owned()],
                        at,
                        opened_at: None,
                        clicked_at: None,
                    },
                );
            }
        }
        let mails = store.mails_of(&[id("ana"), id("bo")]).await.unwrap();
        assert_eq!(mails, HashMap::from([(id("ana"), expected.clone())]), "{}", database.name());

        let first = expected[0].send.clone();
        let later = start() + 5.hours();
        hit(&database, &first, HitKind::Open, later).await;
        for hours in [1, 9] {
            hit(&database, &first, HitKind::Click, later + hours.hours()).await;
        }
        expected[0].opened_at = Some(later);
        expected[0].clicked_at = Some(later + 1.hour());
        let mails = store.mails_of(&[id("ana")]).await.unwrap();
        assert_eq!(mails, HashMap::from([(id("ana"), expected)]));
    }
}

#[tokio::test]
async fn no_code_goes_to_two_people_and_nobody_gets_two() {
    for database in stores().await {
        let store = &database.store;
        let codes: Vec<String> = (0..50).map(|n| format!("CODE-{n:03}")).collect();
        assert_eq!(store.import_coupons("welcome", &codes).await.unwrap(), 50);
        assert_eq!(store.import_coupons("welcome", &codes).await.unwrap(), 0);
        assert_eq!(store.import_coupons("other", &codes[..1]).await.unwrap(), 1);
        // Each of 40 profiles asks three times, all at once.
        let mut tasks = Vec::new();
        for n in 0..120 {
            let store = store.clone();
            let profile = ProfileId::parse(&format!("p{}", n % 40)).unwrap();
            tasks.push(tokio::spawn(async move {
                let code = store.claim_coupon("welcome", &profile, start()).await.unwrap();
                (profile, code.unwrap())
            }));
        }
        let mut codes_of: HashMap<ProfileId, HashSet<String>> = HashMap::new();
        for task in tasks {
            let (profile, code) = task.await.unwrap();
            codes_of.entry(profile).or_default().insert(code);
        }
        assert_eq!(codes_of.len(), 40);
        assert!(codes_of.values().all(|codes| codes.len() == 1), "{}", database.name());
        let all: HashSet<&String> = codes_of.values().flatten().collect();
        assert_eq!(all.len(), 40);
        let known = store.coupon_of("welcome", &id("p7")).await.unwrap().unwrap();
        assert!(codes_of[&id("p7")].contains(&known));

        assert!(store.claim_coupon("other", &id("p1"), start()).await.unwrap().is_some());
        assert_eq!(store.claim_coupon("other", &id("p2"), start()).await.unwrap(), None, "the pool is empty");
        let expected = BTreeMap::from([
            ("other".to_owned(), CouponCount { free: 0, claimed: 1 }),
            ("welcome".to_owned(), CouponCount { free: 10, claimed: 40 }),
        ]);
        assert_eq!(store.count_coupons().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn consent_is_what_its_newest_proof_says() {
    for database in stores().await {
        let store = &database.store;
        given_people(&database, &["ana"]).await;
        let proof = |status: Consent, hours: i64| ConsentProof {
            profile: id("ana"),
            at: start() + hours.hours(),
            status,
            source: "form".to_owned(),
            who: "the person".to_owned(),
            wording: "v3".to_owned(),
            address: None,
        };
        let withdrawn = proof(Consent::Withdrawn, 1);
        let granted = proof(Consent::Granted, 2);
        let late = proof(Consent::Granted, 0);
        for (proof, expected) in [
            (&withdrawn, Consent::Withdrawn),
            (&late, Consent::Withdrawn),
            (&granted, Consent::Granted),
            (&granted, Consent::Granted),
        ] {
            store.append_consents(std::slice::from_ref(proof), start()).await.unwrap();
            let consent = store.profile(&id("ana")).await.unwrap().unwrap().consent;
            assert_eq!(consent, expected, "{} after {proof:?}", database.name());
        }
        assert_eq!(store.consents_of(&id("ana")).await.unwrap(), [late, withdrawn, granted]);
        assert_eq!(store.consents_of(&id("bo")).await.unwrap(), []);
        let unchanged = store.upsert_profiles(&[profile("ana")], start()).await.unwrap().unchanged;
        assert_eq!(unchanged, 1);
    }
}

#[tokio::test]
async fn the_newest_model_is_found_and_old_ones_stay() {
    for database in stores().await {
        let store = &database.store;
        let model = |version: &str, hours: i64| StoredModel {
            kind: "policy".to_owned(),
            version: version.to_owned(),
            created_at: start() + hours.hours(),
            body: format!("{{\"v\":\"{version}\"}}"),
        };
        assert_eq!(store.newest_model("policy").await.unwrap(), None);
        store.put_model(&model("b", 2)).await.unwrap();
        store.put_model(&model("a", 1)).await.unwrap();
        assert_eq!(store.newest_model("policy").await.unwrap(), Some(model("b", 2)));
        store.put_model(&model("a", 3)).await.unwrap();
        assert_eq!(store.newest_model("policy").await.unwrap(), Some(model("a", 3)), "rolled back to a");
        assert_eq!(store.model("policy", "b").await.unwrap(), Some(model("b", 2)), "{}", database.name());
        assert_eq!(store.model("value", "b").await.unwrap(), None);
        let listed: Vec<_> =
            store.list_models().await.unwrap().into_iter().map(|m| (m.version, m.body)).collect();
        assert_eq!(listed, [("a".to_owned(), String::new()), ("b".to_owned(), String::new())]);
    }
}

#[tokio::test]
async fn neighbours_are_replaced_all_at_once() {
    for database in stores().await {
        let store = &database.store;
        let pair = |product: &str, neighbour: &str, score: f64| Neighbour {
            product: product.to_owned(),
            neighbour: neighbour.to_owned(),
            score,
        };
        store.replace_neighbours(&[pair("a", "b", 0.5), pair("gone", "b", 1.0)]).await.unwrap();
        let new = [pair("a", "b", 0.1 + 0.2), pair("a", "c", 0.9), pair("b", "a", -1.5e-9)];
        store.replace_neighbours(&new).await.unwrap();
        let found = store.neighbours_of(&["a", "gone"]).await.unwrap();
        let expected = HashMap::from([("a".to_owned(), vec![new[1].clone(), new[0].clone()])]);
        assert_eq!(found, expected, "{}", database.name());
        assert_eq!(store.all_neighbours().await.unwrap(), [new[1].clone(), new[0].clone(), new[2].clone()]);
    }
}

#[tokio::test]
async fn planning_goes_on_where_it_was() {
    for database in stores().await {
        let store = &database.store;
        let picks = CampaignId("picks".to_owned());
        assert_eq!(store.plan_cursor(&picks, "profiles").await.unwrap(), None);
        store.set_plan_cursor(&picks, "profiles", "p1").await.unwrap();
        store.set_plan_cursor(&picks, "profiles", "p2").await.unwrap();
        store.set_plan_cursor(&picks, "events", "7").await.unwrap();
        assert_eq!(store.plan_cursor(&picks, "profiles").await.unwrap().as_deref(), Some("p2"));
        assert_eq!(store.plan_cursor(&CampaignId("x".to_owned()), "events").await.unwrap(), None);
    }
}
