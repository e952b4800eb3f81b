//! An item of the catalogue that blocks and recommendations show.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

mod index;
pub mod money;

pub use index::ProductIndex;

/// What may be bought. Prices are in minor units (cents) of [`Product::currency`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The shop's own id.
    pub id: String,
    /// As shown to people.
    pub name: String,
    /// A sentence, or empty.
    #[serde(default)]
    pub description: String,
    /// The one category it stands in, or empty.
    #[serde(default)]
    pub category: String,
    /// In minor units of `currency`.
    #[serde(default)]
    pub price_minor: i64,
    /// The price before a reduction, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_price_minor: Option<i64>,
    /// ISO 4217.
    #[serde(default)]
    pub currency: String,
    /// Its page; http or https.
    #[serde(default)]
    pub url: String,
    /// Its picture; https.
    #[serde(default)]
    pub image_url: String,
    /// Nothing out of stock is recommended.
    #[serde(default)]
    pub availability: Availability,
    /// Whether people buy it again and again (coffee), so that a purchase does not end its recommendation.
    #[serde(default)]
    pub repeat: Repeat,
    /// Whatever else the shop knows of it.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// When it was put on sale.
    #[serde(default)]
    pub published_at: Option<Timestamp>,
}

/// Whether a product can be bought now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It can be bought.
    #[default]
    InStock,
    /// It cannot be bought now.
    OutOfStock,
}

/// Whether a product is bought once or again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// A thing one has (a lamp).
    #[default]
    Once,
    /// A thing one uses up (coffee).
    Consumable,
}
