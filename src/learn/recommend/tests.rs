//! The models on interactions small enough to compute by hand.

use nalgebra::DMatrix;
use proptest::prelude::*;

use super::*;

fn near(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected} ± {tolerance}");
}

/// B by the formula of the paper on the centred matrix, with the library's own inverse, and the base scores.
fn textbook_ease(interactions: &Interactions, lambda: f64) -> (DMatrix<f64>, Vec<f64>) {
    let (users, items) = (interactions.users(), interactions.items());
    let mut x = DMatrix::<f64>::zeros(users, items);
    for (user, of_user) in interactions.items_of.iter().enumerate() {
        for &item in of_user {
            x[(user, item as usize)] = 1.0;
        }
    }
    let means: Vec<f64> = (0..items).map(|item| x.column(item).mean()).collect();
    for (item, mean) in means.iter().enumerate() {
        x.column_mut(item).add_scalar_mut(-mean);
    }
    let p = (x.transpose() * &x + DMatrix::identity(items, items) * lambda).try_inverse().unwrap();
    let weights = DMatrix::from_fn(items, items, |i, j| if i == j { 0.0 } else { -p[(i, j)] / p[(j, j)] });
    let base =
        (0..items).map(|j| means[j] - (0..items).map(|i| means[i] * weights[(i, j)]).sum::<f64>()).collect();
    (weights, base)
}

fn weight(model: &ItemModel, from: u32, to: u32) -> f64 {
    let found = model.weights[from as usize].iter().find(|(other, _)| *other == to);
    found.map_or(0.0, |&(_, weight)| f64::from(weight))
}

/// Two items, both had by one of two users: the centred Gram matrix is [[0, 0], [0, 1/2]], so with λ = 1
/// nothing follows from either, and everybody's score is the share who had it.
/// One of three users who had both makes it [[2/3, 2/3], [2/3, 2/3]]: B is 2/5 both ways, the base 1/3 · 3/5.
#[test]
fn ease_on_two_items_is_that_of_the_formula() {
    let model = fit_ease(&Interactions::new(2, 2, [(0, 0), (0, 1), (1, 0)]), 1.0, &|_, _| {}).unwrap();
    assert_eq!(model.scores(&[0, 1]), [1.0, 0.5]);
    let model = fit_ease(&Interactions::new(3, 2, [(0, 0), (0, 1)]), 1.0, &|_, _| {}).unwrap();
    near(weight(&model, 0, 1), 2.0 / 5.0, 1e-6);
    near(weight(&model, 1, 0), 2.0 / 5.0, 1e-6);
    near(f64::from(model.scores(&[])[0]), 1.0 / 5.0, 1e-6);
}

#[test]
fn pairs_count_once_and_those_out_of_range_not_at_all() {
    let interactions = Interactions::new(2, 3, [(1, 2), (1, 0), (1, 2), (7, 0), (0, 9)]);
    assert_eq!(
        (interactions.items_of(0), interactions.items_of(1), interactions.items_of(7)),
        (&[][..], &[0, 2][..], &[][..])
    );
    assert_eq!(interactions.popularity(), [1, 0, 1]);
}

#[test]
fn neighbours_are_shrunk_cosines() {
    let pairs = (0..30).flat_map(|user| [(user, 0), (user, 1)]).chain([(30, 0), (30, 2)]);
    let model = fit_neighbours(&Interactions::new(31, 3, pairs));
    near(weight(&model, 0, 1), 30.0 / (31.0f64 * 30.0).sqrt() * 30.0 / 40.0, 1e-6);
    near(weight(&model, 2, 0), 1.0 / 31.0f64.sqrt() / 11.0, 1e-6);
    near(weight(&model, 1, 2), 0.0, 0.0);
}

#[test]
fn recommendations_leave_out_what_is_excluded_and_fall_back_on_popularity() {
    let pairs = (0..30).flat_map(|user| [(user, 0), (user, 1)]).chain([(30, 3), (31, 3), (30, 2)]);
    let interactions = Interactions::new(32, 5, pairs);
    let model = fit_neighbours(&interactions);
    let items = |history: &[u32], exclude: &[u32], count| -> Vec<u32> {
        model.recommend(history, |item| exclude.contains(&item), count).iter().map(|r| r.item).collect()
    };
    assert_eq!(items(&[0], &[0], 3), [1, 3, 2]);
    assert_eq!(items(&[0], &[0, 1], 1), [3]);
    assert_eq!(items(&[], &[], 9), [0, 1, 3, 2, 4]);
    assert_eq!(items(&[77], &[], 0), [] as [u32; 0]);
    assert_eq!(
        fit_popular(&interactions).recommend(&[3], |_| false, 1)[0],
        Recommendation { item: 0, score: 30.0 / 32.0 }
    );
}

#[test]
fn what_is_too_large_or_not_regularised_is_refused() {
    let side = u32::try_from(SIDE_MAX).unwrap() + 1;
    let large = Interactions::new(SIDE_MAX + 1, SIDE_MAX + 1, (0..side).map(|i| (i, i)));
    let expected = FitError::TooLarge { users: SIDE_MAX + 1, items: SIDE_MAX + 1 };
    assert_eq!(fit_ease(&large, 100.0, &|_, _| {}), Err(expected));
    let small = Interactions::new(1, 1, [(0, 0)]);
    assert_eq!(fit_ease(&small, 0.0, &|_, _| {}), Err(FitError::Regularisation));
    assert_eq!(fit_ease(&small, f64::NAN, &|_, _| {}), Err(FitError::Regularisation));
}

#[test]
fn a_model_survives_being_stored() {
    let interactions = Interactions::new(3, 3, [(0, 0), (0, 1), (1, 1), (2, 2), (2, 1)]);
    let model = fit_ease(&interactions, 2.0, &|_, _| {}).unwrap();
    let stored = serde_json::to_string(&model).unwrap();
    assert_eq!(serde_json::from_str::<ItemModel>(&stored).unwrap(), model);
}

proptest! {
    /// The smaller side is inverted; both must give the paper's weights.
    #[test]
    fn ease_by_items_and_by_users_is_the_textbooks(
        users in 1usize..12, items in 1usize..12, lambda in 0.5f64..50.0,
        pairs in prop::collection::vec((0u32..12, 0u32..12), 0..60),
    ) {
        let interactions = Interactions::new(users, items, pairs);
        let (model, (expected, base)) = (fit_ease(&interactions, lambda, &|_, _| {}).unwrap(), textbook_ease(&interactions, lambda));
        for (actual, expected) in model.scores(&[]).iter().zip(&base) {
            prop_assert!((f64::from(*actual) - expected).abs() < 1e-5);
        }
        for i in 0..items {
            for j in 0..items {
                let actual = weight(&model, u32::try_from(i).unwrap(), u32::try_from(j).unwrap());
                prop_assert!((actual - expected[(i, j)]).abs() < 1e-5, "{i} {j}: {actual} {}", expected[(i, j)]);
            }
        }
    }

    #[test]
    fn nothing_excluded_is_ever_recommended_and_the_order_is_by_score(
        pairs in prop::collection::vec((0u32..9, 0u32..9), 1..60),
        history in prop::collection::vec(0u32..9, 0..5), exclude in prop::collection::vec(0u32..9, 0..9), count in 0usize..12,
    ) {
        let model = fit_ease(&Interactions::new(9, 9, pairs), 3.0, &|_, _| {}).unwrap();
        let found = model.recommend(&history, |item| exclude.contains(&item), count);
        let allowed = (0..9).filter(|item| !exclude.contains(item)).count();
        prop_assert_eq!(found.len(), count.min(allowed));
        prop_assert!(found.iter().all(|r| !exclude.contains(&r.item)));
        prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
}
