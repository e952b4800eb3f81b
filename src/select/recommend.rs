//! Which products to show a person: neighbours of what they bought, viewed and like, times recent popularity.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::history::History;
use crate::product::ProductIndex;
use crate::product::Repeat;

/// Products per list, at most.
const LIST_MAX: usize = 12;
/// How much each kind of evidence counts as interest in a product.
const PURCHASED_INTEREST: f64 = 1.0;
const CART_INTEREST: f64 = 0.8;
const WISH_INTEREST: f64 = 0.7;
const VIEWED_INTEREST: f64 = 0.5;
const FAVOURITE_INTEREST: f64 = 0.4;
/// A consumable is due again after this many days, where the person's own interval is not known.
const REPEAT_DAYS: i64 = 21;

/// What the whole shop's events say about products: who is bought with whom, and what sells now.
#[derive(Debug, Clone, Default)]
pub struct ItemModel {
    /// Per product, the products that go with it, best first, with a score above 0.
    pub neighbours: HashMap<String, Vec<(String, f32)>>,
    /// Products by recent popularity, best first, with a score in (0, 1].
    pub popular: Vec<(String, f32)>,
    popularity: HashMap<String, f32>,
}

impl ItemModel {
    /// Indexes the popularity.
    pub fn new(neighbours: HashMap<String, Vec<(String, f32)>>, popular: Vec<(String, f32)>) -> Self {
        let popularity = popular.iter().cloned().collect();
        Self { neighbours, popular, popularity }
    }

    fn popularity(&self, id: &str) -> f64 {
        f64::from(self.popularity.get(id).copied().unwrap_or(0.0))
    }
}

/// What we would show one person: product ids, best first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recommendations {
    /// "For you".
    pub for_you: Vec<String>,
    /// "Based on your purchase" of [`Recommendations::related_to`].
    pub related: Vec<String>,
    /// The last purchase that has neighbours.
    pub related_to: Option<String>,
    /// What sells now.
    pub popular: Vec<String>,
}

/// Recommends. Nothing out of stock, nothing lately shown in a mail, nothing already bought unless it is used up.
pub fn recommend(
    history: &History,
    model: &ItemModel,
    products: &ProductIndex,
    lately_shown: &HashSet<&str>,
) -> Recommendations {
    let allowed = |id: &str| products.in_stock(id).is_some() && !lately_shown.contains(id);
    let bought: HashMap<&str, i64> =
        history.purchased.iter().map(|p| (p.product_id.as_str(), p.days_since)).collect();
    let due = history.order_interval_days.unwrap_or(REPEAT_DAYS);
    let wanted = |id: &str| match bought.get(id) {
        None => true,
        Some(days) => products.get(id).is_some_and(|p| p.repeat == Repeat::Consumable) && *days >= due,
    };
    let in_cart: HashSet<&str> = history.cart.iter().map(|line| line.product_id.as_str()).collect();
    let fresh = |id: &str| allowed(id) && wanted(id) && !in_cart.contains(id);

    let mut scores: HashMap<&str, f64> = HashMap::new();
    for (seed, interest) in interests(history) {
        for (neighbour, score) in model.neighbours.get(seed).into_iter().flatten() {
            let weight = interest * f64::from(*score) * (0.5 + model.popularity(neighbour));
            *scores.entry(neighbour).or_default() += weight;
        }
    }
    for purchase in &history.purchased {
        if wanted(&purchase.product_id) {
            *scores.entry(&purchase.product_id).or_default() += f64::from(purchase.orders.min(5));
        }
    }
    let mut for_you = ranked(scores, &fresh);
    fill(&mut for_you, favourites_by_popularity(history, model, products), &fresh);
    let related_to = history.purchased.iter().find(|p| model.neighbours.contains_key(&p.product_id));
    let related = related_to.and_then(|p| model.neighbours.get(&p.product_id)).into_iter().flatten();
    let related: Vec<String> =
        related.map(|(id, _)| id.clone()).filter(|id| fresh(id)).take(LIST_MAX).collect();
    let mut popular = Vec::new();
    fill(&mut popular, model.popular.iter().map(|(id, _)| id.as_str()), &fresh);
    Recommendations {
        for_you,
        related_to: related_to.filter(|_| !related.is_empty()).map(|p| p.product_id.clone()),
        related,
        popular,
    }
}

/// Every product that the person showed interest in, with how much.
fn interests(history: &History) -> impl Iterator<Item = (&str, f64)> {
    let recent = |days: i64| 0.5_f64.powf(f64::from(i32::try_from(days).unwrap_or(i32::MAX)) / 180.0);
    let purchased = history
        .purchased
        .iter()
        .map(move |p| (p.product_id.as_str(), PURCHASED_INTEREST * recent(p.days_since)));
    let cart = history.cart.iter().map(|line| (line.product_id.as_str(), CART_INTEREST));
    let wished = history.wish_list.iter().map(|id| (id.as_str(), WISH_INTEREST));
    let viewed = history.viewed_products.iter().map(|id| (id.as_str(), VIEWED_INTEREST));
    let favourite = history.favourite_products.iter().map(|id| (id.as_str(), FAVOURITE_INTEREST));
    purchased.chain(cart).chain(wished).chain(viewed).chain(favourite)
}

/// Where neighbours are few: what sells in the person's favourite categories, then what sells at all.
fn favourites_by_popularity<'a>(
    history: &'a History,
    model: &'a ItemModel,
    products: &'a ProductIndex,
) -> impl Iterator<Item = &'a str> {
    let ids = || model.popular.iter().map(|(id, _)| id.as_str());
    let liked =
        |id: &str| products.get(id).is_some_and(|p| history.favourite_categories.contains(&p.category));
    ids().filter(move |id| liked(id)).chain(ids())
}

fn ranked(scores: HashMap<&str, f64>, fresh: &impl Fn(&str) -> bool) -> Vec<String> {
    let mut scored: Vec<(&str, f64)> = scores.into_iter().filter(|(id, _)| fresh(id)).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    scored.into_iter().take(LIST_MAX).map(|(id, _)| id.to_owned()).collect()
}

fn fill<'a>(list: &mut Vec<String>, ids: impl Iterator<Item = &'a str>, fresh: &impl Fn(&str) -> bool) {
    for id in ids {
        if list.len() >= LIST_MAX {
            return;
        }
        if fresh(id) && !list.iter().any(|known| known == id) {
            list.push(id.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::CartLine;
    use crate::history::Purchased;
    use crate::product::Availability;
    use crate::product::Product;

    fn product(id: &str, category: &str) -> Product {
        serde_json::from_value(serde_json::json!({ "id": id, "name": id, "category": category })).unwrap()
    }

    fn shop() -> (ItemModel, ProductIndex) {
        let neighbours = HashMap::from([(
            "kettle".to_owned(),
            vec![("tea".to_owned(), 0.9), ("cup".to_owned(), 0.5), ("gone".to_owned(), 0.4)],
        )]);
        let popular = vec![("tea".to_owned(), 1.0), ("beans".to_owned(), 0.8), ("cup".to_owned(), 0.2)];
        let mut products: Vec<Product> =
            ["tea", "cup", "kettle", "beans", "gone"].map(|id| product(id, "x")).into();
        products[0].repeat = Repeat::Consumable;
        products[4].availability = Availability::OutOfStock;
        (ItemModel::new(neighbours, popular), products.into_iter().collect())
    }

    fn bought(id: &str, days_since: i64) -> Purchased {
        Purchased { product_id: id.to_owned(), quantity: 1, orders: 1, days_since }
    }

    #[test]
    fn what_goes_with_a_purchase_comes_first_and_nothing_is_out_of_stock() {
        let (model, products) = shop();
        let history = History { purchased: vec![bought("kettle", 3)], ..History::default() };
        let found = recommend(&history, &model, &products, &HashSet::new());
        assert_eq!(found.for_you, ["tea", "cup", "beans"]);
        assert_eq!(found.related, ["tea", "cup"]);
        assert_eq!(found.related_to.as_deref(), Some("kettle"));
    }

    #[test]
    fn nothing_bought_in_the_cart_or_lately_shown_is_recommended() {
        let (model, products) = shop();
        let history = History {
            purchased: vec![bought("kettle", 3), bought("tea", 2)],
            cart: vec![CartLine { product_id: "beans".to_owned(), quantity: 1, price: 1 }],
            ..History::default()
        };
        let found = recommend(&history, &model, &products, &HashSet::from(["cup"]));
        assert_eq!(found, Recommendations::default());
    }

    #[test]
    fn what_is_used_up_is_recommended_again_when_it_is_due() {
        let (model, products) = shop();
        let history = History { purchased: vec![bought("tea", 30)], ..History::default() };
        assert_eq!(recommend(&history, &model, &products, &HashSet::new()).for_you[0], "tea");
    }

    #[test]
    fn somebody_unknown_gets_what_is_popular() {
        let (model, products) = shop();
        let found = recommend(&History::default(), &model, &products, &HashSet::new());
        assert_eq!(found.for_you, ["tea", "beans", "cup"]);
        assert_eq!(found.popular, found.for_you);
        assert_eq!(found.related_to, None);
    }
}
