//! Properties of a choice: exact, repeatable, within its caps, and better than chance.

use proptest::prelude::*;

use super::*;
use crate::select::model::heads::BaseRates;
use crate::select::model::space::{FeatureId, FeatureSpace, Kind};

const CLICKS: Values = Values { earned: Earned::ByClick, unsubscribe_loss: 0.0 };
const ALL_HEADS: Values = Values { earned: Earned::ByPurchase, unsubscribe_loss: 3.0 };

/// A model with `count` arms of two options each, and the arms' features.
fn arms(count: usize) -> (Heads, Vec<SparseVector>, SparseVector) {
    let mut model = Heads::new(FeatureSpace::new(), BaseRates::default());
    let stage = model.intern("stage", Kind::Shared, "stage=educate").unwrap();
    let features = (0..count).map(|arm| {
        let pairs = [
            (model.intern("hero", Kind::Arm, &format!("hero={}", arm % 5)).unwrap(), 1.0),
            (model.intern("offer", Kind::Arm, &format!("offer={}", arm % 3)).unwrap(), 1.0),
            (model.intern("arm", Kind::Arm, &format!("arm={arm}")).unwrap(), 1.0),
        ];
        SparseVector::new(pairs.to_vec()).unwrap()
    });
    let features = features.collect();
    (model, features, SparseVector::new(vec![(FeatureId::INTERCEPT, 1.0), (stage, 1.0)]).unwrap())
}

fn sends(features: &[SparseVector], share_max: Option<f64>) -> Vec<Arm<'_>> {
    features.iter().map(|features| Arm::Send { features, margin: 10.0, cost: 0.01, share_max }).collect()
}

#[test]
fn the_choice_is_drawn_from_the_logged_probabilities() {
    let (model, features, shared) = arms(3);
    let list = sends(&features, None);
    let options = ChoiceOptions::new(CLICKS);
    let (mut expected, mut chosen) = ([0.0; 3], [0.0; 3]);
    for seed in 0..4_000 {
        let choice = thompson(&list, &shared, &model, seed, &options);
        for (sum, p) in expected.iter_mut().zip(&choice.probabilities) {
            *sum += p / 4_000.0;
        }
        chosen[choice.index] += 1.0 / 4_000.0;
    }
    for (expected, chosen) in expected.iter().zip(chosen) {
        assert!((expected - chosen).abs() < 0.03, "{expected} and {chosen}");
    }
}

#[test]
fn inverse_propensities_are_unbiased_over_all_arms_with_a_shortlist() {
    let (model, features, shared) = arms(60);
    let list = sends(&features, None);
    let options = ChoiceOptions { best: 6, others: 4, ..ChoiceOptions::new(CLICKS) };
    let worth = |arm: usize| if arm.is_multiple_of(2) { 1.0 } else { 3.0 };
    let truth: f64 = (0..60).map(worth).sum::<f64>() / 60.0;
    let mut estimates = Vec::new();
    for seed in 0..20_000 {
        let choice = thompson(&list, &shared, &model, seed, &options);
        assert!(choice.shortlist.contains(&choice.index) && choice.shortlist.len() == 10);
        estimates.push(worth(choice.index) / 60.0 / choice.propensity());
    }
    let mean = estimates.iter().sum::<f64>() / 20_000.0;
    let spread =
        (estimates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt() / 20_000_f64.sqrt();
    assert!((mean - truth).abs() < 4.0 * spread, "{mean} ± {spread} for {truth}");
}

#[test]
fn not_to_write_wins_when_every_send_loses_money() {
    let (model, features, shared) = arms(4);
    let costly = |features| Arm::Send { features, margin: 10.0, cost: 9.0, share_max: None };
    let mut list: Vec<Arm<'_>> = features.iter().map(costly).collect();
    list.push(Arm::NoSend);
    let choice = thompson(&list, &shared, &model, 3, &ChoiceOptions::new(CLICKS));
    assert!(choice.probabilities[4] > 0.97, "{:?}", choice.probabilities);
    assert!(choice.scores[4] == 0.0 && choice.scores[..4].iter().all(|score| *score < 0.0));
}

#[test]
fn a_better_option_is_chosen_more_often_by_all_heads() {
    let (mut model, features, shared) = arms(6);
    let hero = model.space().lookup("hero=1").unwrap();
    model.click.set_published(hero, 2.0, 0.01);
    let share = |model: &Heads, values| {
        let choose =
            |seed| thompson(&sends(&features, None), &shared, model, seed, &ChoiceOptions::new(values));
        (0..200).filter(|seed| choose(*seed).index == 1).count()
    };
    let with_clicks = share(&model, ALL_HEADS);
    assert!(with_clicks > 80, "{with_clicks}");
    model.unsubscribe.set_published(hero, 7.0, 0.01);
    assert!(share(&model, ALL_HEADS) < 10, "a variant that loses subscribers is not worth its clicks");
}

#[test]
fn a_new_variant_stays_under_its_cap() {
    let (mut model, features, shared) = arms(3);
    let best = model.space().lookup("arm=2").unwrap();
    model.click.set_published(best, 4.0, 0.01);
    let mut list = sends(&features, None);
    if let Arm::Send { share_max, .. } = &mut list[2] {
        *share_max = Some(0.10);
    }
    let choice = thompson(&list, &shared, &model, 5, &ChoiceOptions::new(CLICKS));
    assert!((choice.probabilities[2] - 0.10).abs() < 1e-12, "{:?}", choice.probabilities);
}

#[test]
fn new_variants_do_not_make_it_likelier_that_nothing_is_sent() {
    let (model, features, shared) = arms(2);
    let probabilities = |share_max| {
        let mut list = sends(&features, share_max);
        list.push(Arm::NoSend);
        thompson(&list, &shared, &model, 5, &ChoiceOptions::new(CLICKS)).probabilities
    };
    let (old, new) = (probabilities(None), probabilities(Some(0.10)));
    assert!((new[2] - old[2]).abs() < 1e-12 && new[2] < 0.1, "{old:?} and {new:?}");
    assert!((new[0] - new[1]).abs() < 1e-12, "{new:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn probabilities_sum_to_one_and_a_stored_model_scores_the_same(
        count in 1_usize..90, seed: u64, no_send: bool, all_heads: bool, weights in prop::collection::vec(-2.0..2.0_f64, 8),
    ) {
        let (mut model, features, shared) = arms(count);
        for (index, weight) in weights.into_iter().enumerate() {
            if let Some(id) = model.space().lookup(&format!("hero={index}")) {
                model.click.set_published(id, weight, 0.3);
            }
        }
        let mut list = sends(&features, None);
        if no_send {
            list.push(Arm::NoSend);
        }
        let options = ChoiceOptions::new(if all_heads { ALL_HEADS } else { CLICKS });
        let choice = thompson(&list, &shared, &model, seed, &options);
        prop_assert!((choice.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(choice.probabilities[choice.index] > 0.0 && choice.propensity() <= 1.0);
        prop_assert!(choice.probabilities.iter().enumerate().all(|(arm, p)| (*p > 0.0) == choice.shortlist.contains(&arm)));

        // The row that the database keeps, and the features by name that the decision keeps.
        let stored: Heads = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        let resolve = |vector: &SparseVector| vector.named(model.space()).resolve(stored.space()).unwrap();
        let again: Vec<SparseVector> = features.iter().map(resolve).collect();
        let mut list = sends(&again, None);
        if no_send {
            list.push(Arm::NoSend);
        }
        let rescored = thompson(&list, &resolve(&shared), &stored, seed, &options);
        prop_assert_eq!(choice.index, rescored.index);
        for (one, two) in choice.probabilities.iter().zip(&rescored.probabilities) {
            prop_assert!((one - two).abs() < 1e-9);
        }
    }
}
