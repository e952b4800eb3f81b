//! Recommendations: which items somebody who had these items is likely to want next.
//!
//! Three ways to fit one [`ItemModel`]: EASE (Steck 2019, Embarrassingly Shallow Autoencoders), a linear model
//! with a closed form; item neighbours by shrunk cosine; and popularity alone. All rank by score and break
//! ties by popularity, so somebody without a history sees what most people want.

use serde::{Deserialize, Serialize};

use super::stats::as_f64;

mod ease;
pub mod input;
mod inverse;
mod neighbours;
pub mod ranking;

pub use ease::{SIDE_MAX, fit_ease};
pub use inverse::Progress;
pub use neighbours::fit_neighbours;

/// Of each item so many weights are kept, the strongest. Real catalogues lose nothing measurable by it, and a
/// model of 10,000 items takes 40 MB instead of 800.
pub const WEIGHTS_PER_ITEM_MAX: usize = 500;

/// Who had what: each pair once, however often they bought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interactions {
    /// The items of each user, ascending.
    items_of: Vec<Vec<u32>>,
    /// The users of each item, ascending.
    users_of: Vec<Vec<u32>>,
}

/// What follows from having an item, for every item, with everybody's favourites to break ties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemModel {
    /// The score of each item for somebody of whom nothing is known.
    base: Vec<f32>,
    /// For each item the weights that having it adds to other items, strongest first.
    weights: Vec<Vec<(u32, f32)>>,
    /// How many users had each item.
    popularity: Vec<u32>,
}

/// An item that is recommended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommendation {
    /// The item, as an index.
    pub item: u32,
    /// Its score, comparable only within one model.
    pub score: f32,
}

/// Why a model cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// EASE inverts a matrix as large as the smaller of both numbers.
    #[error("{users} users and {items} items: EASE needs at most {SIDE_MAX} of one of them")]
    TooLarge {
        /// Users in the interactions.
        users: usize,
        /// Items in the interactions.
        items: usize,
    },
    /// The regularisation must be above 0.
    #[error("the regularisation must be above 0")]
    Regularisation,
}

impl Interactions {
    /// Interactions from pairs of user and item, in any order and repeated or not. Pairs out of range are
    /// left out.
    pub fn new(users: usize, items: usize, pairs: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut items_of: Vec<Vec<u32>> = vec![Vec::new(); users];
        for (user, item) in pairs {
            if let Some(of_user) = items_of.get_mut(user as usize)
                && (item as usize) < items
            {
                of_user.push(item);
            }
        }
        let mut users_of: Vec<Vec<u32>> = vec![Vec::new(); items];
        for (user, of_user) in (0..).zip(&mut items_of) {
            of_user.sort_unstable();
            of_user.dedup();
            for &item in of_user.iter() {
                users_of[item as usize].push(user);
            }
        }
        Self { items_of, users_of }
    }

    /// How many users there are.
    pub fn users(&self) -> usize {
        self.items_of.len()
    }

    /// How many items there are.
    pub fn items(&self) -> usize {
        self.users_of.len()
    }

    /// The items of a user, ascending; none for somebody unknown.
    pub fn items_of(&self, user: u32) -> &[u32] {
        self.items_of.get(user as usize).map_or(&[], Vec::as_slice)
    }

    /// How many users had each item.
    pub fn popularity(&self) -> Vec<u32> {
        self.users_of.iter().map(|users| u32::try_from(users.len()).unwrap_or(u32::MAX)).collect()
    }

    /// The share of users who had each item.
    fn means(&self) -> Vec<f64> {
        let users = as_f64(self.users().max(1));
        self.users_of.iter().map(|of_item| as_f64(of_item.len()) / users).collect()
    }

    /// The same seen from the other side: users are items and items users.
    fn transposed(&self) -> Self {
        Self { items_of: self.users_of.clone(), users_of: self.items_of.clone() }
    }
}

impl ItemModel {
    fn new(interactions: &Interactions, base: Vec<f32>, weights: Vec<Vec<(u32, f32)>>) -> Self {
        Self { base, weights, popularity: interactions.popularity() }
    }

    /// How many items the model knows.
    pub fn items(&self) -> usize {
        self.popularity.len()
    }

    /// How many users had an item.
    pub fn popularity(&self, item: u32) -> u32 {
        self.popularity.get(item as usize).copied().unwrap_or(0)
    }

    /// What having an item adds to the scores of others.
    pub fn added(&self, item: u32) -> &[(u32, f32)] {
        self.weights.get(item as usize).map_or(&[], Vec::as_slice)
    }

    /// The score of every item for somebody who had `items`; unknown items say nothing.
    pub fn scores(&self, items: &[u32]) -> Vec<f32> {
        let mut scores = self.base.clone();
        for &item in items {
            for &(other, weight) in self.weights.get(item as usize).into_iter().flatten() {
                scores[other as usize] += weight;
            }
        }
        scores
    }

    /// The `count` best items for somebody who had `items`, best first, without those that `exclude` names:
    /// out of stock, already bought, shown lately. Equal scores are ordered by popularity, then by index.
    pub fn recommend(
        &self,
        items: &[u32],
        exclude: impl Fn(u32) -> bool,
        count: usize,
    ) -> Vec<Recommendation> {
        let scores = self.scores(items);
        let better = |a: &Recommendation, b: &Recommendation| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| self.popularity(b.item).cmp(&self.popularity(a.item)))
                .then_with(|| a.item.cmp(&b.item))
        };
        let candidates = (0..).zip(scores).map(|(item, score)| Recommendation { item, score });
        let mut best: Vec<Recommendation> = candidates.filter(|c| !exclude(c.item)).collect();
        if best.len() > count {
            if count == 0 {
                return Vec::new();
            }
            best.select_nth_unstable_by(count - 1, better);
            best.truncate(count);
        }
        best.sort_unstable_by(better);
        best
    }
}

/// A model that knows only what most people want.
pub fn fit_popular(interactions: &Interactions) -> ItemModel {
    let base = interactions.means().into_iter().map(to_f32).collect();
    ItemModel::new(interactions, base, vec![Vec::new(); interactions.items()])
}

/// Scores need no more than the seven digits of `f32`.
#[expect(clippy::cast_possible_truncation, reason = "scores need no more than the seven digits of f32")]
fn to_f32(value: f64) -> f32 {
    value as f32
}

/// The strongest weights of a row, strongest first; equal ones by item, so that a fit is reproducible.
fn strongest(mut row: Vec<(u32, f32)>, count: usize) -> Vec<(u32, f32)> {
    let stronger =
        |a: &(u32, f32), b: &(u32, f32)| b.1.abs().total_cmp(&a.1.abs()).then_with(|| a.0.cmp(&b.0));
    if row.len() > count && count > 0 {
        row.select_nth_unstable_by(count - 1, stronger);
    }
    row.truncate(count);
    row.sort_unstable_by(stronger);
    row.shrink_to_fit();
    row
}

#[cfg(test)]
mod tests;
