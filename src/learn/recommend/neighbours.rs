//! Item neighbours: cosine similarity of who had them, shrunk where few people say so.

use super::{Interactions, ItemModel, strongest, to_f32};
use crate::learn::stats::as_f64;

/// A similarity from n common users is trusted n ÷ (n + this).
const SHRINKAGE: f64 = 10.0;
/// An item speaks for so many neighbours.
const NEIGHBOURS_MAX: usize = 100;

/// Fits item neighbours: the weight of one item for another is c ÷ √(a·b) · c ÷ (c + shrinkage), where a users
/// had the one, b the other and c both. Takes any number of items; the work grows with the squares of the users' histories.
pub fn fit_neighbours(interactions: &Interactions) -> ItemModel {
    let counts: Vec<f64> = interactions.users_of.iter().map(|users| as_f64(users.len())).collect();
    let mut common = vec![0u32; interactions.items()];
    let mut touched: Vec<u32> = Vec::new();
    let mut row = |item: usize| {
        for &user in &interactions.users_of[item] {
            for &other in interactions.items_of(user) {
                if common[other as usize] == 0 {
                    touched.push(other);
                }
                common[other as usize] += 1;
            }
        }
        let similarity = |other: u32| {
            let both = f64::from(common[other as usize]);
            both / (counts[item] * counts[other as usize]).sqrt() * both / (both + SHRINKAGE)
        };
        let similar: Vec<(u32, f32)> = touched
            .iter()
            .filter(|&&other| other as usize != item)
            .map(|&other| (other, to_f32(similarity(other))))
            .collect();
        for other in touched.drain(..) {
            common[other as usize] = 0;
        }
        strongest(similar, NEIGHBOURS_MAX)
    };
    let weights = (0..interactions.items()).map(&mut row).collect();
    ItemModel::new(interactions, vec![0.0; interactions.items()], weights)
}
