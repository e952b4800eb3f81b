//! The learning policy in the whole program: evenly at first, then by its model, each decision scored again from its record.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use bespoke::campaign::Campaign;
use bespoke::campaign::PolicyKind;
use bespoke::decision::Choice;
use bespoke::decision::Decision;
use bespoke::decision::NO_SEND;
use bespoke::decision::Slice;
use bespoke::decision::VariantId;
use bespoke::learn::orders::OrderBook;
use bespoke::learn::teach::Taught;
use bespoke::learn::teach::roll_back;
use bespoke::learn::teach::teach;
use bespoke::select::NoCoupon;
use bespoke::select::Situation;
use bespoke::select::features::CampaignTraits;
use bespoke::select::features::Customer;
use bespoke::select::learnt::POLICY_MODEL;
use bespoke::select::learnt::PolicyBody;
use bespoke::select::learnt::PolicyModel;
use bespoke::select::select;
use bespoke::select::thompson::rescore;
use bespoke::send::State;
use bespoke::stage::Stage;
use bespoke::store::StoredModel;
use jiff::ToSpan;
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::support::TestApp;
use crate::support::given;

const BODY: &str = "<mj-section><mj-column><mj-text>Good day.</mj-text></mj-column></mj-section>";

/// A campaign of eight variants: two files, two heroes, two tones of the subject.
fn tips() -> Vec<(&'static str, String)> {
    let head = |subject: &str, more: &str| {
        format!(
            "+++\nsubject = \"{subject}\"\n{more}\n[slots]\nhero = [\"photo\", \"quote\"]\naction = [\"shop\", \"read\"]\n\
             +++\n<mj-slot name=\"hero\" />{BODY}<mj-slot name=\"action\" />"
        )
    };
    vec![
        (
            "tips/campaign.toml",
            "kind = \"lifecycle\"\npolicy = \"thompson\"\nno_repeat_variant_days = 0\naudience = 'profile.consent == \"granted\"'\ntrigger = { cron = { schedule = \"0 10 * * MON\" } }\n[reward]\nunsubscribe_cost_minor = 10\n".to_owned(),
        ),
        ("tips/any/short.mjml", head("In short", "tone = \"brisk\"")),
        ("tips/any/long.mjml", head("At length", "tone = \"warm\"\ndiscount_depth = 10")),
        ("tips/slots/hero/photo.mjml", BODY.to_owned()),
        ("tips/slots/hero/quote.mjml", BODY.to_owned()),
        ("tips/slots/action/shop.mjml", BODY.to_owned()),
        ("tips/slots/action/read.mjml", BODY.to_owned()),
        ("news/campaign.toml", "kind = \"lifecycle\"\naudience = 'profile.consent == \"granted\"'\ntrigger = { api = {} }\n".to_owned()),
    ]
}

async fn apps() -> Vec<TestApp> {
    let files = tips();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let apps = TestApp::on_each_database(&files).await;
    for app in &apps {
        for number in 0..40 {
            app.given_profile(&format!("p{number}")).await;
        }
    }
    apps
}

/// Everybody gets the mail of a day.
async fn mails_of(app: &TestApp, day: &str) -> Vec<Decision> {
    let before: BTreeSet<_> = app.sends().await.into_iter().map(|stored| stored.send.id).collect();
    app.at(&format!("{day}T00:30:00Z")).await;
    app.plans().await;
    app.at(&format!("{day}T10:00:00Z")).await;
    app.runs_until_idle().await;
    let mut decisions = Vec::new();
    for stored in app.sends().await.into_iter().filter(|stored| !before.contains(&stored.send.id)) {
        assert!(matches!(stored.send.state, State::Sent | State::Skipped), "{stored:?}");
        decisions.push(app.decision(&stored.send.id).await);
    }
    decisions
}

async fn learns(app: &TestApp) -> Taught {
    let engine = app.engine().await;
    teach(&app.database.store, &engine.catalog, &OrderBook::default(), app.now()).await.unwrap().unwrap()
}

/// Publishes the newest model as if the account had sent much already.
async fn grows_up(app: &TestApp, change: impl FnOnce(&mut PolicyBody)) -> String {
    let store = &app.database.store;
    let stored = store.newest_model(POLICY_MODEL).await.unwrap().unwrap();
    let mut body = PolicyBody::parse(&stored.version, &stored.body).unwrap();
    body.account_sends = 2_000;
    change(&mut body);
    let version = format!("{} grown", app.now());
    let body = serde_json::to_string(&body).unwrap();
    let model =
        StoredModel { kind: POLICY_MODEL.to_owned(), version: version.clone(), created_at: app.now(), body };
    store.put_model(&model).await.unwrap();
    version
}

/// The probabilities of a decision from what the database keeps, and nothing else.
async fn scored_again(app: &TestApp, decision: &Decision) -> Option<Vec<f64>> {
    let store = &app.database.store;
    let stored = store.model(POLICY_MODEL, &decision.policy_version).await.unwrap()?;
    let traits = store.catalog_traits(&decision.catalog_version).await.unwrap().unwrap();
    let traits: Vec<CampaignTraits> = serde_json::from_str(&traits).unwrap();
    let body = PolicyBody::parse(&stored.version, &stored.body).unwrap();
    rescore(decision, &PolicyModel::new(&stored.version, body, &traits).unwrap()).unwrap()
}

fn variant(decision: &Decision) -> &str {
    match &decision.choice {
        Choice::Variant { variant, .. } => variant.as_str(),
        Choice::NoSend => NO_SEND,
    }
}

fn check_probabilities(decision: &Decision) {
    let sum: f64 = decision.candidates.iter().map(|candidate| candidate.probability).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    let own = decision.candidates.iter().find(|candidate| candidate.variant.as_str() == variant(decision));
    assert!((own.unwrap().probability - decision.propensity).abs() < 1e-12);
}

#[tokio::test]
async fn the_policy_draws_evenly_learns_and_chooses_and_every_decision_can_be_scored_again() {
    for app in apps().await {
        let store = &app.database.store;
        // No model yet: even, and what a decision knew is kept.
        let first = mails_of(&app, "2026-03-02").await;
        assert_eq!(first.len(), 40);
        for decision in &first {
            assert_eq!((decision.policy.as_str(), decision.policy_version.as_str()), ("thompson", "-"));
            assert_eq!(decision.propensity.to_bits(), 0.125_f64.to_bits());
            assert_eq!(decision.scoring.as_ref().unwrap().draw, None);
            assert!(decision.reasons.iter().any(|reason| reason.contains("no model was fitted yet")));
            check_probabilities(decision);
        }
        // Who got a photo clicked, and one of them left.
        let photos: Vec<&Decision> =
            first.iter().filter(|decision| variant(decision).contains("hero=photo")).collect();
        let at = app.now() + 1.hour();
        for decision in &photos {
            given::clicks(&app.database, &decision.send, at).await;
        }

        app.at("2026-03-06T00:00:00Z").await;
        let taught = learns(&app).await;
        assert_eq!((taught.sends, taught.account_sends, taught.unreadable), (40, 40, 0));
        assert_eq!((taught.fit.click.absorbed, taught.fit.unsubscribe.open), (40, 40));
        let published = taught.published.unwrap();
        let engine = app.engine().await;
        assert_eq!(engine.policy.current().unwrap().version, published);
        // Learning twice changes nothing: no version is published, and the one there is stays as it was.
        let before = store.newest_model(POLICY_MODEL).await.unwrap();
        assert_eq!(learns(&app).await.published, None);
        assert_eq!(store.newest_model(POLICY_MODEL).await.unwrap(), before);
        assert_eq!(store.list_models().await.unwrap().len(), 1);

        // Forty mails are not two thousand: still even, now with the reason that a model is there.
        let second = mails_of(&app, "2026-03-09").await;
        assert!(second.iter().all(|decision| decision.policy_version == "-"));
        assert!(second[0].reasons.iter().any(|reason| reason.contains("2000") && reason.contains("40")));

        // A grown account chooses by its model, and prefers what was clicked.
        let version = grows_up(&app, |body| {
            body.variant_sends.values_mut().for_each(|sends| *sends = 500);
            body.order_value_minor = Some(4_000.0);
        })
        .await;
        let third = mails_of(&app, "2026-03-16").await;
        assert_eq!(third.len(), 40);
        let mut photo = 0.0;
        for decision in &third {
            assert_eq!(decision.policy_version, version);
            check_probabilities(decision);
            let logged: Vec<f64> =
                decision.candidates.iter().map(|candidate| candidate.probability).collect();
            let again = scored_again(&app, decision).await.unwrap();
            assert_eq!(logged.len(), again.len());
            for (one, two) in logged.iter().zip(&again) {
                assert!((one - two).abs() < 1e-9, "{one} and {two}");
            }
            let photos = decision.candidates.iter().filter(|c| c.variant.as_str().contains("hero=photo"));
            photo += photos.map(|candidate| candidate.probability).sum::<f64>();
            assert!(
                decision
                    .reasons
                    .iter()
                    .any(|reason| reason.contains("expects a click") || reason.contains("alone"))
            );
        }
        assert!(photo / 40.0 > 0.6, "photos got {}", photo / 40.0);
    }
}

#[tokio::test]
async fn a_running_engine_takes_a_newer_model_and_goes_back_to_an_older_one() {
    for app in apps().await {
        let store = &app.database.store;
        mails_of(&app, "2026-03-02").await;
        let engine = app.engine().await;
        assert!(engine.policy.current().is_none());
        let first = learns(&app).await.published.unwrap();
        engine.refresh_policy(store, app.now()).await.unwrap();
        assert_eq!(engine.policy.current().unwrap().version, first);
        app.at("2026-03-03T00:00:00Z").await;
        let second = learns(&app).await.published.unwrap();
        engine.refresh_policy(store, app.now()).await.unwrap();
        assert_eq!(engine.policy.current().unwrap().version, second);
        // It looks every few seconds, not at every mail.
        app.at("2026-03-03T00:00:01Z").await;
        let third = roll_back(store, &first, app.now()).await.unwrap().unwrap();
        engine.refresh_policy(store, app.now()).await.unwrap();
        assert_eq!(engine.policy.current().unwrap().version, second);
        app.at("2026-03-03T00:00:05Z").await;
        engine.refresh_policy(store, app.now()).await.unwrap();
        let model = engine.policy.current().unwrap();
        assert_eq!(model.version, third);
        assert_eq!(model.body().restored_from.as_deref(), Some(first.as_str()));
        assert_eq!(roll_back(store, "none such", app.now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_new_variant_starts_at_its_options_coefficients_and_gets_a_tenth_at_most() {
    let app = apps().await.remove(0);
    let first = mails_of(&app, "2026-03-02").await;
    for decision in first.iter().filter(|decision| variant(decision).contains("hero=photo")) {
        given::clicks(&app.database, &decision.send, app.now() + 1.hour()).await;
    }
    app.at("2026-03-06T00:00:00Z").await;
    learns(&app).await;
    let stored = app.database.store.newest_model(POLICY_MODEL).await.unwrap().unwrap();
    let mut body = PolicyBody::parse(&stored.version, &stored.body).unwrap();
    body.variant_sends.values_mut().for_each(|sends| *sends = 500);
    // Two variants of a new file: nothing is known of it but its hero.
    let mut traits = app.engine().await.policy.traits().to_vec();
    let tips = traits.iter_mut().find(|campaign| campaign.campaign.as_str() == "tips").unwrap();
    let campaign = tips.campaign.clone();
    for hero in ["photo", "quote"] {
        let mut arm = tips.arms[0].clone();
        arm.id = VariantId::new(format!("tips/any/new+hero={hero}"));
        arm.options = BTreeMap::from([("hero".to_owned(), hero.to_owned())]);
        tips.arms.push(arm);
    }
    let known = tips.arms[0].id.clone();
    let model = PolicyModel::new(&stored.version, body, &traits).unwrap();
    let stage = bespoke::stage::Stage::Discover;
    let facts = Customer::default().facts;
    let shared = model.shared(&campaign, stage, &facts);
    let click = |hero: &str| {
        let id = VariantId::new(format!("tips/any/new+hero={hero}"));
        let own = model.arm(&id, stage, &facts, [0.0; 2]).unwrap();
        model.heads().click_probability(&shared.plus(&own))
    };
    assert!(click("photo") > 1.5 * click("quote"), "{} and {}", click("photo"), click("quote"));
    assert_eq!(model.share_max(&VariantId::new("tips/any/new+hero=photo")), Some(0.10));
    assert_eq!(model.share_max(&known), None);
}

#[tokio::test]
async fn nobody_is_written_to_where_no_mail_is_worth_it() {
    let app = apps().await.remove(0);
    mails_of(&app, "2026-03-02").await;
    app.at("2026-03-06T00:00:00Z").await;
    learns(&app).await;
    // An order is worth next to nothing, a mail costs a tenth of a cent.
    grows_up(&app, |body| body.order_value_minor = Some(1.0)).await;
    let decisions = mails_of(&app, "2026-03-09").await;
    let left_alone = decisions.iter().filter(|decision| variant(decision) == NO_SEND).count();
    assert!(left_alone >= 35, "{left_alone} of 40");
    for decision in &decisions {
        check_probabilities(decision);
        let p = decision.candidates.iter().find(|candidate| candidate.variant.as_str() == NO_SEND).unwrap();
        assert!(p.probability > 0.9 && p.score.abs() < 1e-12, "{p:?}");
    }
    // What was drawn by chance all the same is a mail like any other.
    let page = {
        let send = &decisions.iter().find(|decision| variant(decision) == NO_SEND).unwrap().send;
        let told = bespoke::explain::explain(&app.database.store, send).await.unwrap().unwrap();
        bespoke::explain::text(&told)
    };
    assert!(page.contains("leaving the person alone") && page.contains("were in the shortlist"), "{page}");
}

#[tokio::test]
async fn what_rules_keep_out_is_never_drawn_by_the_model() {
    let app = apps().await.remove(0);
    mails_of(&app, "2026-03-02").await;
    app.at("2026-03-06T00:00:00Z").await;
    learns(&app).await;
    grows_up(&app, |_| {}).await;
    let engine = app.engine().await;
    let campaign = engine.catalog.campaigns().find(|entry| entry.campaign.id.as_str() == "tips").unwrap();
    let model = engine.policy.current().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut told_in_part = 0;
    for seed in 0..400 {
        let mut entry = campaign.clone();
        let policies = [PolicyKind::Thompson, PolicyKind::Weighted, PolicyKind::Rules, PolicyKind::Ab];
        let policy = policies[random.random_range(0..4)];
        entry.campaign = Arc::new(Campaign { policy, ..(*entry.campaign).clone() });
        // Any of them is switched off, lacks a fact that it prints, or has no coupon left.
        let mut kept_out: BTreeSet<VariantId> = BTreeSet::new();
        for arm in &mut entry.arms {
            let variant = &mut arm.locales[0];
            match random.random_range(0..6) {
                0 => variant.weight = 0.0,
                1 => variant.inputs = vec!["data.nothing".to_owned()],
                2 => variant.offer = Some("empty".to_owned()),
                _ => continue,
            }
            kept_out.insert(arm.id.clone());
        }
        let slice = [Slice::Policy, Slice::Uniform][random.random_range(0..2)];
        let selection = select(&Situation {
            entry: &entry,
            facts: &json!({}),
            mails: &[],
            customer: Customer::default(),
            model: Some(&model),
            stage: Stage::ALL[random.random_range(0..4)],
            locale: None,
            slice,
            position: random.random(),
            no_coupons: &[NoCoupon::Left("empty".to_owned())],
            now: app.now(),
            seed,
        });
        let drawable = selection.candidates.iter().filter(|candidate| candidate.probability > 0.0);
        let wrong: Vec<_> = drawable.filter(|candidate| kept_out.contains(&candidate.variant)).collect();
        assert!(wrong.is_empty(), "{policy:?} {slice:?}: {wrong:?}");
        assert!(selection.variant.is_none_or(|variant| !kept_out.contains(&variant.id)));
        // A file of which something may be shown is never told as ruled out whole.
        let told = selection.ruled_out.iter().flat_map(|out| &out.variants);
        for name in told {
            let is_open = selection.candidates.iter().any(|candidate| candidate.variant.family() == &**name);
            assert!(!is_open, "{name}");
            told_in_part += usize::from(name.ends_with(" (in part)"));
        }
        let sum: f64 = selection.candidates.iter().map(|candidate| candidate.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!(selection.propensity > 0.0 && selection.propensity <= 1.0);
    }
    assert!(told_in_part > 0);
}

#[tokio::test]
async fn what_a_customer_is_worth_is_a_fact_once_it_was_learnt() {
    let app = apps().await.remove(0);
    for day in 0..150_i64 {
        let at: jiff::Timestamp = "2025-10-01T12:00:00Z".parse().unwrap();
        app.at(&(at + (24 * day).hours()).to_string()).await;
        for number in (0..40).filter(|number| day % (3 + number) == 0 && (number % 2 == 0 || day < 60)) {
            app.does(
                &format!("p{number}"),
                "Order Completed",
                json!({"order_id": format!("{day}"), "total": 20 + number}),
            )
            .await;
        }
    }
    app.at("2026-03-02T00:30:00Z").await;
    let learnt = bespoke::cli::learn::learn_all(&app.database.store, &app.config, app.now()).await.unwrap();
    assert_eq!(learnt.value.as_ref().unwrap().customers, 40);
    let engine = app.engine().await;
    let model = engine.value.as_ref().unwrap();
    assert!(model.check.is_some() && model.told().contains("multiplied by"), "{}", model.told());
    app.plans().await;
    app.at("2026-03-02T10:00:00Z").await;
    app.runs_until_idle().await;
    let sends = app.sends().await;
    let alive = async |name: &str| {
        let send = &sends.iter().find(|stored| stored.send.profile.as_str() == name).unwrap().send.id;
        let position = bespoke::select::features::FACTS.iter().position(|fact| *fact == "alive").unwrap();
        app.decision(send).await.scoring.unwrap().customer[position]
    };
    let (goes_on, stopped) = (alive("p0").await, alive("p1").await);
    assert!(goes_on > 0.7 && stopped < 0.3, "{goes_on} and {stopped}");
}
