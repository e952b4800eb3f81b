//! What an event's free properties say, in whichever JSON type their source used.

use std::borrow::Cow;

use serde_json::Map;
use serde_json::Value;

use crate::product::money;

/// The most of one thing that is believed; more is a typing error and is cut to this.
const QUANTITY_MAX: f64 = 1_000_000.0;

/// An id: text, or a number as it is printed. Empty is absent.
pub(super) fn id<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<Cow<'a, str>> {
    match properties.get(key)? {
        Value::String(text) => {
            let text = text.trim();
            (!text.is_empty()).then_some(Cow::Borrowed(text))
        }
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The product that an event or an order line is about: `product_id`, else `sku`.
pub(super) fn product_id(properties: &Map<String, Value>) -> Option<Cow<'_, str>> {
    id(properties, "product_id").or_else(|| id(properties, "sku"))
}

/// An amount in major units of a currency with so many digits behind the point.
pub(super) fn amount(properties: &Map<String, Value>, key: &str, digits: u32) -> Option<f64> {
    money::major(properties.get(key)?, digits)
}

/// `quantity`, which may be negative on a line that gives something back; `None` where none is stated.
pub(super) fn quantity(properties: &Map<String, Value>) -> Option<f64> {
    let quantity = match properties.get("quantity")? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => money::decimal(text),
        _ => None,
    };
    quantity.map(|quantity| quantity.clamp(-QUANTITY_MAX, QUANTITY_MAX))
}

/// Whole pieces of a positive quantity, at least one: half a kilogram is one thing in a cart.
pub(super) fn pieces(quantity: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1 … QUANTITY_MAX"
    )]
    let pieces = quantity.round().clamp(1.0, QUANTITY_MAX) as u32;
    pieces
}

/// A text as it stands. Empty is absent.
pub(super) fn text<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    properties.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}
