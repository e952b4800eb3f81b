//! The whole loop of learning, simulated: decide, wait for answers, fit, decide again; tastes change meanwhile.

use std::collections::BTreeMap;

use bespoke::campaign::CampaignId;
use bespoke::decision::Channel;
use bespoke::decision::VariantId;
use bespoke::learn::fit::{DecidedSend, fit, needed_after};
use bespoke::select::features;
use bespoke::select::features::ArmTraits;
use bespoke::select::features::CampaignTraits;
use bespoke::select::features::Customer;
use bespoke::select::learnt::PolicyBody;
use bespoke::select::model::heads::BaseRates;
use bespoke::select::model::heads::Windows;
use bespoke::select::model::vector::NamedFeatures;
use bespoke::select::model::{
    Arm, Chooser, FeatureId, FeatureSpace, Heads, Kind, SparseVector, Values, choose::ChoiceOptions,
    heads::Earned,
};
use bespoke::stage::Stage;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DAYS: u32 = 40;
const SENDS_PER_DAY: u32 = 100;
/// On this day the taste of everyone changes.
const TASTE_CHANGES_ON_DAY: u32 = 20;
const HEROES: usize = 3;
const OFFERS: usize = 4;

/// A world in which heroes and offers work differently in two stages, answers come late and tastes change.
struct World {
    model: Heads,
    stages: [SparseVector; 2],
    /// By stage: the features of each variant, a hero and an offer.
    variants: [Vec<SparseVector>; 2],
}

impl World {
    fn new() -> Self {
        let mut model = Heads::new(FeatureSpace::new(), BaseRates { click: 0.15, ..BaseRates::default() });
        let mut feature = |group: &str, kind, name: String| (model.intern(group, kind, &name).unwrap(), 1.0);
        let mut stages = Vec::new();
        let mut variants = Vec::new();
        for stage in ["discover", "compare"] {
            let own = feature("stage", Kind::Shared, format!("stage={stage}"));
            stages.push(SparseVector::new(vec![(FeatureId::INTERCEPT, 1.0), own]).unwrap());
            let variant = |number: usize| {
                let (hero, offer) = (number % HEROES, number / HEROES);
                let pairs = vec![
                    feature("hero", Kind::Arm, format!("hero={hero}")),
                    feature("offer", Kind::Arm, format!("offer={offer}")),
                    feature("stage×offer", Kind::Interaction, format!("stage={stage}×offer={offer}")),
                    feature("variant", Kind::Arm, format!("variant={number}")),
                ];
                SparseVector::new(pairs).unwrap()
            };
            variants.push((0..HEROES * OFFERS).map(variant).collect::<Vec<_>>());
        }
        // Tastes that change within weeks ask for a memory of weeks.
        model.click = model.click.clone().with_half_life(SignedDuration::from_hours(8 * 24));
        let both = "two stages were made";
        Self { model, stages: stages.try_into().expect(both), variants: variants.try_into().expect(both) }
    }

    /// The true probability of a click.
    fn rate(day: u32, stage: usize, variant: usize) -> f64 {
        let (hero, offer) = (variant % HEROES, variant / HEROES);
        let liked = if day < TASTE_CHANGES_ON_DAY { [0, 1][stage] } else { [2, 3][stage] };
        let hero = [0.0, 0.04, 0.10][hero];
        0.06 + hero + if offer == liked { 0.20 } else { 0.0 }
    }
}

/// What a run earned: expected clicks a send of the policy, an even draw and the best variant of each moment.
#[derive(Debug, PartialEq)]
struct Clicks {
    policy: f64,
    uniform: f64,
    oracle: f64,
}

fn simulate(seed: u64) -> (Clicks, Heads) {
    let mut world = World::new();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut chooser = Chooser::default();
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let options = ChoiceOptions::new(Values { earned: Earned::ByClick, unsubscribe_loss: 0.0 });
    let mut sends: Vec<DecidedSend> = Vec::new();
    let mut sums = [0.0; 3];
    for day in 0..DAYS {
        for number in 0..SENDS_PER_DAY {
            let stage = usize::from(random.random::<f64>() < 0.5);
            let offer = |features| Arm::Send { features, margin: 1.0, cost: 0.0, share_max: None };
            let arms: Vec<Arm<'_>> = world.variants[stage].iter().map(offer).collect();
            let send_seed = u64::from(day * SENDS_PER_DAY + number) + seed * 1_000_000;
            let choice = chooser.choose(&arms, &world.stages[stage], &world.model, send_seed, &options);
            let rates: Vec<f64> = (0..arms.len()).map(|variant| World::rate(day, stage, variant)).collect();
            sums[0] += choice.probabilities.iter().zip(&rates).map(|(p, rate)| p * rate).sum::<f64>();
            sums[1] += rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap());
            sums[2] += rates.iter().copied().fold(0.0, f64::max);
            let decided_at = start + SignedDuration::from_mins(i64::from(day * 1_440 + number * 14));
            let clicks = random.random::<f64>() < rates[choice.index];
            let minutes = i64::from(random.random_range(5..48 * 60_u32));
            let features = world.stages[stage].plus(&world.variants[stage][choice.index]);
            sends.push(DecidedSend {
                channel: Channel::Mail,
                send_id: format!("{day}-{number}"),
                submitted_at: decided_at,
                windows: Windows::default(),
                features: features.named(world.model.space()),
                clicked_at: clicks.then(|| decided_at + SignedDuration::from_mins(minutes)),
                purchased_at: None,
                unsubscribed_at: None,
            });
        }
        let now = start + SignedDuration::from_hours(24 * i64::from(day + 1));
        let needed = needed_after(&world.model);
        let known: Vec<DecidedSend> = sends
            .iter()
            .filter(|send| needed.is_none_or(|after| send.submitted_at > after))
            .map(|send| DecidedSend { clicked_at: send.clicked_at.filter(|at| *at <= now), ..send.clone() })
            .collect();
        fit(&mut world.model, &known, now, now);
    }
    let count = f64::from(DAYS * SENDS_PER_DAY);
    (Clicks { policy: sums[0] / count, uniform: sums[1] / count, oracle: sums[2] / count }, world.model)
}

#[test]
fn the_policy_approaches_the_oracle_with_delays_and_drift() {
    let (earned, _) = simulate(1);
    let share = (earned.policy - earned.uniform) / (earned.oracle - earned.uniform);
    assert!(share > 0.5, "{share} of the oracle's gain: {earned:?}");
}

/// A shop whose pages are clicked ten times as often as its mails, and for another hero.
#[test]
fn what_works_on_pages_does_not_teach_mails() {
    let campaign = CampaignId("tips".to_owned());
    let arm = |hero: &str| ArmTraits {
        id: VariantId::new(format!("tips/any/a+hero={hero}")),
        stage: None,
        options: BTreeMap::from([("hero".to_owned(), hero.to_owned())]),
        offer: None,
        tone: None,
        category: None,
        discount_percent: None,
    };
    let arms = ["photo", "quote"].map(arm);
    let named = |hero: usize, channel: Channel| {
        let customer = Customer::default().shown(channel);
        features::named(&campaign, &arms[hero], Stage::Educate, &customer.facts, [0.0, 0.0])
    };
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let now = start + SignedDuration::from_hours(24 * 30);
    let taught = |told: fn(Channel) -> Channel| {
        let mut body = PolicyBody::new(BaseRates::default());
        let traits = CampaignTraits { campaign: campaign.clone(), arms: arms.to_vec() };
        body.cover(&[traits]).unwrap();
        let send = |number: usize| {
            let (channel, hero) = ([Channel::Mail, Channel::Page][number % 2], number / 2 % 2);
            let submitted_at = start + SignedDuration::from_mins(i64::try_from(number).unwrap());
            let clicked = match (channel, hero) {
                (Channel::Mail, 0) => number.is_multiple_of(80),
                (Channel::Page, 0) => number % 20 < 12,
                _ => number % 40 < 4,
            };
            DecidedSend {
                send_id: number.to_string(),
                channel,
                submitted_at,
                windows: Windows::default(),
                features: named(hero, told(channel)),
                clicked_at: clicked.then(|| submitted_at + SignedDuration::from_mins(1)),
                purchased_at: None,
                unsubscribed_at: None,
            }
        };
        let sends: Vec<DecidedSend> = (0..8_000).map(send).collect();
        fit(&mut body.heads, &sends, now, now);
        body.heads
    };
    let probability = |heads: &Heads, hero: usize, channel: Channel| {
        heads.click_probability(&named(hero, channel).resolve(heads.space()).unwrap())
    };
    let (apart, as_one) = (taught(|channel| channel), taught(|_| Channel::Mail));
    let mail = [0, 1].map(|hero| probability(&apart, hero, Channel::Mail));
    let page = [0, 1].map(|hero| probability(&apart, hero, Channel::Page));
    assert!(mail[0] < 0.07 && mail[0] < mail[1] && mail[1] < 0.15, "mails like quotes: {mail:?}");
    assert!(page[0] > 0.5 && page[1] < 0.2, "pages like photos: {page:?}");
    let confused = [0, 1].map(|hero| probability(&as_one, hero, Channel::Mail));
    assert!(confused[0] > 0.2 && confused[0] > confused[1], "not told apart, pages would speak for mails");
}

#[test]
fn a_simulation_is_the_same_by_its_seed() {
    let (one, first) = simulate(2);
    let (two, second) = simulate(2);
    assert_eq!((one, first), (two, second));
}

#[test]
fn a_stored_decision_is_scored_again_from_its_record_alone() {
    let world = World::new();
    let (_, model) = simulate(3);
    let stored = serde_json::to_string(&model).unwrap();
    let options = ChoiceOptions::new(Values { earned: Earned::ByPurchase, unsubscribe_loss: 2.0 });
    let choose = |model: &Heads, shared: &SparseVector, own: &[SparseVector], seed| {
        let send = |features| Arm::Send { features, margin: 20.0, cost: 0.01, share_max: Some(0.4) };
        let mut list: Vec<Arm<'_>> = own.iter().map(send).collect();
        list.push(Arm::NoSend);
        Chooser::default().choose(&list, shared, model, seed, &options)
    };
    for seed in 0..50 {
        let own = &world.variants[1];
        let logged = choose(&model, &world.stages[1], own, seed);
        let named: Vec<NamedFeatures> = own.iter().map(|features| features.named(model.space())).collect();
        let shared = world.stages[1].named(model.space());

        let read: Heads = serde_json::from_str(&stored).unwrap();
        let resolved: Vec<SparseVector> =
            named.iter().map(|named| named.resolve(read.space()).unwrap()).collect();
        let again = choose(&read, &shared.resolve(read.space()).unwrap(), &resolved, seed);
        assert_eq!(again.index, logged.index);
        for (one, two) in logged.probabilities.iter().zip(&again.probabilities) {
            assert!((one - two).abs() < 1e-9, "{one} and {two}");
        }
        assert!((logged.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
