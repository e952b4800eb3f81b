//! All products by id, for the pure middle.

use std::collections::HashMap;

use super::Availability;
use super::Product;

/// The catalogue of products in memory.
#[derive(Debug, Clone, Default)]
pub struct ProductIndex {
    by_id: HashMap<String, Product>,
}

impl ProductIndex {
    /// The product of this id.
    pub fn get(&self, id: &str) -> Option<&Product> {
        self.by_id.get(id)
    }

    /// The product, if it can be bought now.
    pub fn in_stock(&self, id: &str) -> Option<&Product> {
        self.get(id).filter(|product| product.availability == Availability::InStock)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl FromIterator<Product> for ProductIndex {
    fn from_iter<I: IntoIterator<Item = Product>>(products: I) -> Self {
        Self { by_id: products.into_iter().map(|product| (product.id.clone(), product)).collect() }
    }
}
