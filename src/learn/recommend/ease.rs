//! EASE (Steck 2019), the best linear prediction of each item from the others, in closed form:
//! `B = I − P·diag(1/P)` with `P = (XᵀX + λI)⁻¹`.
//!
//! X is centred first: the prediction has an intercept, so that where a history says little the score is the
//! item's popularity instead of nothing. On sparse logs this is what makes EASE better than popularity.
//!
//! The matrix has a row per item. When there are fewer users than items the same P follows from the users'
//! matrix (Woodbury): `P = (I − XᵀK⁻¹X)/λ` with `K = XXᵀ + λI`. The smaller side is inverted, so a catalogue
//! of any size is exact for up to 10,000 users, and any number of users for up to 10,000 items.

use nalgebra::DMatrix;

use super::inverse::Progress;
use super::{FitError, Interactions, ItemModel, WEIGHTS_PER_ITEM_MAX, inverse, strongest, to_f32};
use crate::learn::stats::as_f64;

/// The largest matrix that is inverted: 800 MB, and a minute or two on one core.
pub const SIDE_MAX: usize = 10_000;

/// Fits EASE with regularisation `lambda`: the larger it is, the less rare coincidences count. Some hundreds
/// suit most shops. `progress` hears of the columns that are done: for 10,000 it takes minutes.
pub fn fit_ease(
    interactions: &Interactions,
    lambda: f64,
    progress: Progress<'_>,
) -> Result<ItemModel, FitError> {
    let (users, items) = (interactions.users(), interactions.items());
    if !(lambda.is_finite() && lambda > 0.0) {
        return Err(FitError::Regularisation);
    }
    if users.min(items) > SIDE_MAX {
        return Err(FitError::TooLarge { users, items });
    }
    let fitted = if items <= users {
        by_items(interactions, lambda, progress)
    } else {
        by_users(interactions, lambda, progress)
    };
    // The matrix is positive definite for every X, so only a λ that rounding swallows has no inverse.
    let Rows { base, weights } = fitted.ok_or(FitError::Regularisation)?;
    Ok(ItemModel::new(interactions, base.into_iter().map(to_f32).collect(), weights))
}

/// The model as it is fitted, row by row.
struct Rows {
    /// What is predicted for somebody without a history: the mean, less what a mean history adds.
    base: Vec<f64>,
    weights: Vec<Vec<(u32, f32)>>,
}

impl Rows {
    fn new(means: &[f64]) -> Self {
        Self { base: means.to_vec(), weights: Vec::with_capacity(means.len()) }
    }

    /// Adds the weights that the next item gives to all others; it gives none to itself.
    fn push(&mut self, mean: f64, weights: impl Iterator<Item = f64>) {
        let item = self.weights.len();
        let mut row = Vec::new();
        for (other, weight) in (0u32..).zip(weights) {
            if other as usize != item && weight != 0.0 {
                self.base[other as usize] -= mean * weight;
                row.push((other, to_f32(weight)));
            }
        }
        self.weights.push(strongest(row, WEIGHTS_PER_ITEM_MAX));
    }
}

fn by_items(interactions: &Interactions, lambda: f64, progress: Progress<'_>) -> Option<Rows> {
    let (means, users) = (interactions.means(), as_f64(interactions.users()));
    let mut inverse = common(interactions);
    for column in 0..means.len() {
        for row in column..means.len() {
            inverse[(row, column)] -= users * means[row] * means[column];
        }
        inverse[(column, column)] += lambda;
    }
    inverse::invert(&mut inverse, progress)?;
    let diagonal: Vec<f64> = inverse.diagonal().iter().copied().collect();
    let mut rows = Rows::new(&means);
    for (item, &mean) in means.iter().enumerate() {
        rows.push(mean, inverse.column(item).into_iter().zip(&diagonal).map(|(p, own)| -p / own));
    }
    Some(rows)
}

fn by_users(interactions: &Interactions, lambda: f64, progress: Progress<'_>) -> Option<Rows> {
    let means = interactions.means();
    let mut inverse = common(&interactions.transposed());
    let mean_of = |items: &Vec<u32>| -> f64 { items.iter().map(|&item| means[item as usize]).sum() };
    let typical: Vec<f64> = interactions.items_of.iter().map(mean_of).collect();
    let squares: f64 = means.iter().map(|mean| mean * mean).sum();
    for column in 0..typical.len() {
        for row in column..typical.len() {
            inverse[(row, column)] += squares - typical[row] - typical[column];
        }
        inverse[(column, column)] += lambda;
    }
    inverse::invert(&mut inverse, progress)?;

    // A centred column sums to zero over the users, so K⁻¹ takes a constant c to c/λ.
    let sum_over = |item: usize, values: &dyn Fn(usize) -> f64| -> f64 {
        interactions.users_of[item].iter().map(|&user| values(user as usize)).sum()
    };
    let own = |item: usize| {
        let explained = sum_over(item, &|a| sum_over(item, &|b| inverse[(a, b)]) - means[item] / lambda);
        1.0 - explained
    };
    let diagonal: Vec<f64> = (0..means.len()).map(own).collect();
    let mut rows = Rows::new(&means);
    let mut spread = vec![0.0; interactions.users()];
    for (item, &mean) in means.iter().enumerate() {
        spread.fill(-mean / lambda);
        for &user in &interactions.users_of[item] {
            for (sum, value) in spread.iter_mut().zip(inverse.column(user as usize)) {
                *sum += value;
            }
        }
        rows.push(mean, (0..means.len()).map(|other| sum_over(other, &|a| spread[a]) / diagonal[other]));
    }
    Some(rows)
}

/// How many users each pair of items has in common; the lower triangle only.
fn common(interactions: &Interactions) -> DMatrix<f64> {
    let mut common = DMatrix::<f64>::zeros(interactions.items(), interactions.items());
    for items in &interactions.items_of {
        for (place, &column) in items.iter().enumerate() {
            for &row in &items[place..] {
                common[(row as usize, column as usize)] += 1.0;
            }
        }
    }
    common
}
