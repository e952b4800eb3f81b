//! The model finds what it should: rates, sizes, effects of context, and nothing where there is nothing.

use super::*;
use crate::select::model::normal::unit;

/// A context of one number with gaps and one category; rewards by `reward(number or gap, category, action, luck)`.
fn world(
    rows: usize,
    actions: usize,
    reward: impl Fn(Option<f64>, u32, usize, &mut dyn FnMut() -> f64) -> f64,
) -> (Vec<ContextColumn>, Vec<Sample>) {
    let mut random = generator(11, 0);
    let (mut numbers, mut categories, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let number = (unit(&mut random) > 0.2).then(|| 100.0 * unit(&mut random));
        let category = u32::from(unit(&mut random) < 0.4);
        let action = row % actions;
        numbers.push(number);
        categories.push(Some(category));
        let mut luck = || unit(&mut random);
        samples.push(Sample { row, action, reward: reward(number, category, action, &mut luck) });
    }
    let names = vec!["a".to_owned(), "b".to_owned()];
    let columns = vec![
        ContextColumn::Number { name: "age".to_owned(), values: numbers },
        ContextColumn::Category { name: "kind".to_owned(), values: categories, names },
    ];
    (columns, samples)
}

fn learnt(columns: &[ContextColumn], samples: &[Sample], actions: usize) -> RewardModel {
    let mut model = RewardModel::new(Actions { count: actions, none: None }, 6);
    model.recode(columns, &(0..samples.len()).collect::<Vec<_>>());
    model.learn(columns, samples, 4, Effort::CLOSE);
    model
}

/// The mean over rows for which `pick` holds of what the model expects of `action`.
fn mean_expected(
    model: &RewardModel,
    columns: &[ContextColumn],
    rows: usize,
    action: usize,
    pick: impl Fn(Option<f64>, u32) -> bool,
) -> f64 {
    let [ContextColumn::Number { values: numbers, .. }, ContextColumn::Category { values: kinds, .. }] =
        columns
    else {
        panic!("the columns of this test")
    };
    let chosen = (0..rows).filter(|row| pick(numbers[*row], kinds[*row].unwrap()));
    let values: Vec<f64> = chosen.map(|row| model.expected(columns, row)[action]).collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean
}

#[test]
fn clicks_are_predicted_by_action_category_and_gap() {
    let rate = |number: Option<f64>, kind: u32, action: usize| match (action, kind, number) {
        (1, 1, _) => 0.40,
        (_, _, None) => 0.05,
        _ => 0.15,
    };
    let (columns, samples) = world(12_000, 2, |number, kind, action, luck| {
        f64::from(u8::from(luck() < rate(number, kind, action)))
    });
    let model = learnt(&columns, &samples, 2);
    let check = |action, pick: &dyn Fn(Option<f64>, u32) -> bool, expected: f64| {
        let found = mean_expected(&model, &columns, 12_000, action, pick);
        assert!((found - expected).abs() < 0.03, "{found} for {expected}");
    };
    check(1, &|_, kind| kind == 1, 0.40);
    check(1, &|number, kind| kind == 0 && number.is_some(), 0.15);
    check(0, &|number, kind| kind == 0 && number.is_none(), 0.05);
}

#[test]
fn money_with_heavy_tails_keeps_its_level_and_its_effects() {
    // A tenth of the rows buys for 20 on average, for action 1 and large numbers for 40; one in 200 orders tenfold.
    let (columns, samples) = world(20_000, 2, |number, _, action, luck| {
        if luck() > 0.1 {
            return 0.0;
        }
        let mean = if action == 1 && number.is_some_and(|number| number > 50.0) { 40.0 } else { 20.0 };
        mean * 2.0 * luck() * if luck() < 0.005 { 10.0 } else { 1.0 }
    });
    let model = learnt(&columns, &samples, 2);
    let at = |action, pick: &dyn Fn(Option<f64>, u32) -> bool| {
        mean_expected(&model, &columns, 20_000, action, pick)
    };
    let large = |number: Option<f64>, _| number.is_some_and(|number| number > 60.0);
    let small = |number: Option<f64>, _| number.is_some_and(|number| number < 40.0);
    assert!((at(1, &large) - 4.2).abs() < 0.8, "{}", at(1, &large));
    assert!((at(1, &small) - 2.1).abs() < 0.6, "{}", at(1, &small));
    assert!(at(1, &large) > 1.4 * at(0, &large));
}

#[test]
fn rewards_that_are_never_nought_and_may_be_negative_are_sized() {
    let (columns, samples) = world(6_000, 3, |_, kind, action, luck| {
        [-3.0, 0.5, 2.0][action] + f64::from(kind) + 8.0 * (luck() - 0.5)
    });
    let model = learnt(&columns, &samples, 3);
    for (action, expected) in [(0, -2.0), (1, 1.5), (2, 3.0)] {
        let found = mean_expected(&model, &columns, 6_000, action, |_, kind| kind == 1);
        assert!((found - expected).abs() < 0.35, "{found} for {expected}");
    }
}

#[test]
fn a_rest_that_is_not_nought_is_found() {
    // Action 1 costs a tenth whether somebody buys or not.
    let (columns, samples) = world(8_000, 2, |_, _, action, luck| {
        let bought = if luck() < 0.2 { 10.0 + 5.0 * luck() } else { 0.0 };
        [bought, bought - 0.1][action]
    });
    let model = learnt(&columns, &samples, 2);
    let difference = mean_expected(&model, &columns, 8_000, 0, |_, _| true)
        - mean_expected(&model, &columns, 8_000, 1, |_, _| true);
    assert!(model.scale.rest(1) < -0.09 && difference.abs() < 0.4, "{difference}");
}

#[test]
fn draws_centre_on_what_is_expected_and_narrow_with_exploration() {
    let (columns, samples) =
        world(
            3_000,
            2,
            |_, _, action, luck| {
                if luck() < [0.2, 0.3][action] { 5.0 + 10.0 * luck() } else { 0.0 }
            },
        );
    let mut model = learnt(&columns, &samples, 2);
    let expected = model.expected(&columns, 7);
    let moments = |draws: &[Row], action: usize| {
        let mean = draws[action].iter().map(|draw| f64::from(*draw)).sum::<f64>() / 256.0;
        let squares = draws[action].iter().map(|draw| (f64::from(*draw) - mean).powi(2)).sum::<f64>();
        (mean, (squares / 256.0).sqrt())
    };
    let wide = moments(model.draw(&columns, 7, 1.0, 1), 1);
    let narrow = moments(model.draw(&columns, 7, 0.5, 1), 1);
    assert!((wide.0 - expected[1]).abs() < 0.2 * expected[1], "{} for {}", wide.0, expected[1]);
    assert!((narrow.1 / wide.1 - 0.5).abs() < 0.1);
}

#[test]
fn what_was_learnt_survives_a_new_coding() {
    let (columns, samples) =
        world(4_000, 2, |_, kind, _, luck| f64::from(u8::from(luck() < [0.1, 0.6][kind as usize])));
    let mut model = learnt(&columns, &samples, 2);
    let before = model.expected(&columns, 3);
    model.recode(&columns, &(0..2_000).collect::<Vec<_>>());
    let after = model.expected(&columns, 3);
    assert!(before.iter().zip(&after).all(|(one, two)| (one - two).abs() < 0.1), "{before:?} and {after:?}");
}
