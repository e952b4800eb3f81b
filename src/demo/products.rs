//! What the demonstration's shop sells.

use crate::product::Product;
use crate::product::Repeat;

/// Id, name, category, price in pence, and whether it is used up.
const PRODUCTS: &[(&str, &str, &str, i64, Repeat)] = &[
    ("hearth-blend", "Hearth Blend", "Coffee", 995, Repeat::Consumable),
    ("orchard-filter", "Orchard Filter", "Coffee", 1_150, Repeat::Consumable),
    ("nightjar-espresso", "Nightjar Espresso", "Coffee", 1_050, Repeat::Consumable),
    ("dusk-decaf", "Dusk Decaf", "Coffee", 1_075, Repeat::Consumable),
    ("four-bag-sampler", "Four-Bag Sampler", "Coffee", 1_400, Repeat::Once),
    ("fieldgate-breakfast", "Fieldgate Breakfast", "Tea", 750, Repeat::Consumable),
    ("fern-sencha", "Fern Sencha", "Tea", 1_100, Repeat::Consumable),
    ("mistline-oolong", "Mistline Oolong", "Tea", 1_250, Repeat::Consumable),
    ("ember-chai", "Ember Chai", "Tea", 825, Repeat::Consumable),
    ("stoneware-cone", "Stoneware Cone Dripper", "Brewers", 2_400, Repeat::Once),
    ("half-litre-press", "Half-Litre Press", "Brewers", 3_200, Repeat::Once),
    ("round-teapot", "Round Teapot, 900 ml", "Brewers", 3_600, Repeat::Once),
    ("paper-filters", "Paper Filters, 100", "Brewers", 450, Repeat::Consumable),
    ("hand-grinder", "Hand Grinder No. 2", "Grinders", 6_900, Repeat::Once),
    ("countertop-grinder", "Countertop Grinder", "Grinders", 14_900, Repeat::Once),
    ("gooseneck-kettle", "Gooseneck Kettle", "Kettles", 5_900, Repeat::Once),
    ("dapple-cups", "Pair of Dapple Cups", "Cups", 2_800, Repeat::Once),
];

/// All products, with their pages under `shop_url`.
pub fn products(shop_url: &str, currency: &str) -> Vec<Product> {
    let product = |(id, name, category, price, repeat): &(&str, &str, &str, i64, Repeat)| Product {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        description: String::new(),
        category: (*category).to_owned(),
        price_minor: *price,
        list_price_minor: None,
        currency: currency.to_owned(),
        url: format!("{}/p/{id}", shop_url.trim_end_matches('/')),
        image_url: String::new(),
        availability: crate::product::Availability::InStock,
        repeat: *repeat,
        attributes: serde_json::Map::new(),
        published_at: None,
    };
    PRODUCTS.iter().map(product).collect()
}

/// Things that go together, by index: whoever buys the first often buys the second.
pub(super) const PAIRS: &[(usize, usize)] =
    &[(9, 12), (9, 15), (13, 9), (10, 0), (11, 5), (14, 2), (1, 12), (6, 11), (16, 1), (15, 1)];

/// Price of a product, by index.
pub(super) fn price_minor(index: usize) -> i64 {
    PRODUCTS[index % PRODUCTS.len()].3
}

/// Id of a product, by index.
pub(super) fn id(index: usize) -> &'static str {
    PRODUCTS[index % PRODUCTS.len()].0
}

/// Name of a product, by index.
pub(super) fn name(index: usize) -> &'static str {
    PRODUCTS[index % PRODUCTS.len()].1
}

/// Category of a product, by index.
pub(super) fn category(index: usize) -> &'static str {
    PRODUCTS[index % PRODUCTS.len()].2
}

/// How many there are.
pub(super) fn count() -> usize {
    PRODUCTS.len()
}
