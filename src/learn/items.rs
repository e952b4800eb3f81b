//! What the shop's own events say about products: which go together, and what sells now.

use std::collections::HashMap;

use jiff::Timestamp;

use super::recommend::Interactions;
use super::recommend::ItemModel;
use super::recommend::Progress;
use super::recommend::fit_ease;
use super::recommend::fit_neighbours;

/// Neighbours kept per product.
const NEIGHBOURS_MAX: usize = 20;
/// λ of EASE: the default of `bespoke evaluate recommend`, by which any shop can try others on its own data.
const REGULARISATION: f64 = 500.0;
/// Products kept in the popularity list.
const POPULAR_MAX: usize = 500;
/// A sale counts half after this many days.
const POPULARITY_HALF_LIFE_DAYS: f64 = 30.0;

/// Purchases, gathered one by one: memory grows with distinct people and products, not with events.
#[derive(Debug)]
pub struct Purchases {
    now: Timestamp,
    users: HashMap<String, u32>,
    items: HashMap<String, u32>,
    names: Vec<String>,
    pairs: std::collections::HashSet<(u32, u32)>,
    popularity: Vec<f64>,
}

/// What goes with what, and what sells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ItemFit {
    /// Product, neighbour, score above 0; best first per product.
    pub neighbours: Vec<(String, String, f64)>,
    /// Product and popularity in (0, 1], best first.
    pub popular: Vec<(String, f64)>,
}

impl Purchases {
    /// Counts purchases up to `now`.
    pub fn until(now: Timestamp) -> Self {
        Self {
            now,
            users: HashMap::new(),
            items: HashMap::new(),
            names: Vec::new(),
            pairs: std::collections::HashSet::new(),
            popularity: Vec::new(),
        }
    }

    /// One product bought by one person. What lies in the future is ignored.
    pub fn add(&mut self, user: &str, item: &str, at: Timestamp) {
        if at > self.now {
            return;
        }
        let next_user = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        let user = *self.users.entry(user.to_owned()).or_insert(next_user);
        let index = if let Some(index) = self.items.get(item) {
            *index
        } else {
            let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.items.insert(item.to_owned(), index);
            self.names.push(item.to_owned());
            self.popularity.push(0.0);
            index
        };
        self.pairs.insert((user, index));
        let days = self.now.duration_since(at).as_secs_f64() / 86_400.0;
        self.popularity[index as usize] += 0.5_f64.powf(days / POPULARITY_HALF_LIFE_DAYS);
    }

    /// The best neighbours of an item by what having it adds to the scores of others.
    fn ranked(&self, model: &ItemModel, index: usize) -> Vec<(usize, f64)> {
        let item = u32::try_from(index).unwrap_or(u32::MAX);
        let added = model.added(item).iter();
        let mut ranked: Vec<(usize, f64)> = added
            .map(|(other, weight)| (*other as usize, f64::from(*weight)))
            .filter(|(other, weight)| *other != index && *weight > 0.0)
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(self.names[a.0].cmp(&self.names[b.0])));
        ranked.truncate(NEIGHBOURS_MAX);
        ranked
    }

    /// Fits which items go together and decayed popularity. EASE (closed form) for up to about 10,000 people or items;
    /// beyond, and where it has nothing to say, item neighbours (cosine with shrinkage).
    pub fn fit(mut self, progress: Progress<'_>) -> ItemFit {
        if self.names.is_empty() {
            return ItemFit::default();
        }
        let mut pairs: Vec<(u32, u32)> = std::mem::take(&mut self.pairs).into_iter().collect();
        pairs.sort_unstable();
        let interactions = Interactions::new(self.users.len(), self.names.len(), pairs);
        let common = fit_neighbours(&interactions);
        let linear = fit_ease(&interactions, REGULARISATION, progress).ok();
        let mut neighbours = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            let mut ranked = linear.as_ref().map_or_else(Vec::new, |model| self.ranked(model, index));
            // What nearly everybody bought says nothing to EASE; then those who bought both speak, more softly.
            let softly = ranked.last().map_or(1.0, |(_, score)| 0.5 * score);
            for (other, score) in self.ranked(&common, index) {
                if ranked.len() < NEIGHBOURS_MAX && ranked.iter().all(|(known, _)| *known != other) {
                    ranked.push((other, softly * score));
                }
            }
            let named =
                ranked.into_iter().map(|(other, score)| (name.clone(), self.names[other].clone(), score));
            neighbours.extend(named);
        }
        let top = self.popularity.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let mut popular: Vec<(String, f64)> =
            self.names.into_iter().zip(self.popularity.iter().map(|sales| sales / top)).collect();
        popular.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        popular.truncate(POPULAR_MAX);
        ItemFit { neighbours, popular }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bought_together_is_a_neighbour_and_what_sold_lately_is_popular() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let ago = |days: i64| now - jiff::SignedDuration::from_hours(24 * days);
        let mut purchases = Purchases::until(now);
        for i in 0..30 {
            let user = format!("u{i}");
            purchases.add(&user, "kettle", ago(200));
            purchases.add(
                &user,
                if i % 3 == 0 { "tea" } else { "cup" },
                ago(if i % 3 == 0 { 1 } else { 300 }),
            );
        }
        purchases.add("later", "future", now + jiff::SignedDuration::from_hours(1));
        let fit = purchases.fit(&|_, _| {});
        assert_eq!(fit.popular.first().map(|(id, share)| (id.as_str(), *share)), Some(("tea", 1.0)));
        let of_tea: Vec<_> = fit
            .neighbours
            .iter()
            .filter(|(id, ..)| id == "tea")
            .map(|(_, other, _)| other.as_str())
            .collect();
        assert_eq!(of_tea.first(), Some(&"kettle"));
        assert!(fit.popular.iter().all(|(id, _)| id != "future"));
    }
}
