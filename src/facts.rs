//! The facts: one JSON object with everything that rules and templates may name (the contract is in `catalog::contract`).

use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::campaign::Campaign;
use crate::history::History;
use crate::product::Product;
use crate::product::ProductIndex;
use crate::profile::Profile;
use crate::select::recommend::Recommendations;
use crate::stage::Stage;

/// Products in a list of the facts, at most.
pub const PRODUCTS_PER_LIST_MAX: usize = 6;
/// Lines of the cart in the facts, at most.
pub const CART_LINES_MAX: usize = 20;
/// Longest text of a trait or of request data that is taken over, in bytes; what is longer is cut.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What the facts are made of.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// To whom.
    pub profile: &'a Profile,
    /// What they did.
    pub history: &'a History,
    /// Where they stand.
    pub stage: Stage,
    /// For which campaign.
    pub campaign: &'a Campaign,
    /// The catalogue of products.
    pub products: &'a ProductIndex,
    /// What we would show them.
    pub recommendations: &'a Recommendations,
    /// What the request, or the starting event, brought along.
    pub data: &'a Map<String, Value>,
    /// `[shop]` of the configuration.
    pub shop: &'a Map<String, Value>,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Builds the facts. The same sources give the same facts.
pub fn build(sources: &Sources<'_>) -> Value {
    let mut facts = Map::new();
    let list = |ids: &mut dyn Iterator<Item = &String>| {
        let known = ids.filter_map(|id| sources.products.get(id));
        Value::Array(known.take(PRODUCTS_PER_LIST_MAX).map(product).collect())
    };
    let history = sources.history;
    let recommended = sources.recommendations;
    facts.insert("profile".to_owned(), profile(sources.profile));
    facts.insert("history".to_owned(), serde_json::to_value(history).unwrap_or_default());
    facts.insert("stage".to_owned(), Value::from(sources.stage.as_str()));
    facts.insert("campaign".to_owned(), campaign(sources.campaign));
    facts.insert("cart".to_owned(), cart(history, sources.products));
    facts.insert("recommended".to_owned(), list(&mut recommended.for_you.iter()));
    facts.insert("related".to_owned(), list(&mut recommended.related.iter()));
    if let Some(product_) = recommended.related_to.as_ref().and_then(|id| sources.products.get(id)) {
        facts.insert("related_to".to_owned(), product(product_));
    }
    facts.insert("popular".to_owned(), list(&mut recommended.popular.iter()));
    facts.insert("viewed".to_owned(), list(&mut history.viewed_products.iter()));
    facts.insert("wish_list".to_owned(), list(&mut history.wish_list.iter()));
    facts.insert("purchased".to_owned(), list(&mut history.purchased.iter().map(|p| &p.product_id)));
    facts.insert("data".to_owned(), Value::Object(sources.data.iter().map(bounded_entry).collect()));
    facts.insert("shop".to_owned(), Value::Object(sources.shop.clone()));
    facts.insert("now".to_owned(), Value::from(sources.now.to_string()));
    Value::Object(facts)
}

/// Traits first, so that what the profile itself says wins.
fn profile(profile: &Profile) -> Value {
    let mut fields: Map<String, Value> = profile.traits.iter().map(bounded_entry).collect();
    fields.insert("id".to_owned(), Value::from(profile.id.as_str()));
    fields.insert("email".to_owned(), json!(profile.address));
    fields.insert("locale".to_owned(), json!(profile.locale));
    fields.insert("time_zone".to_owned(), json!(profile.time_zone));
    fields.insert("consent".to_owned(), Value::from(profile.consent.as_str()));
    fields.insert("created_at".to_owned(), Value::from(profile.created_at.to_string()));
    Value::Object(fields)
}

fn campaign(campaign: &Campaign) -> Value {
    json!({
        "name": campaign.id.as_str(),
        "kind": campaign.kind.as_str(),
        "topic": campaign.topic(),
        "description": campaign.description,
    })
}

/// A product as templates see it; see the contract.
pub fn product(product: &Product) -> Value {
    let mut fields = json!({
        "id": product.id,
        "name": product.name,
        "description": product.description,
        "category": product.category,
        "price": product.price_minor,
        "currency": product.currency,
        "url": product.url,
        "image_url": product.image_url,
    });
    if let (Some(price), Value::Object(fields)) = (product.list_price_minor, &mut fields) {
        fields.insert("list_price".to_owned(), Value::from(price));
    }
    fields
}

/// What lies in the cart and is still in the catalogue.
fn cart(history: &History, products: &ProductIndex) -> Value {
    let lines = history.cart.iter().take(CART_LINES_MAX).filter_map(|line| {
        let known = products.get(&line.product_id)?;
        let price = if line.price > 0 { line.price } else { known.price_minor };
        Some((line.quantity, price, product(known)))
    });
    let mut value = 0_i64;
    let items: Vec<Value> = lines
        .map(|(quantity, price, product)| {
            let total = price.saturating_mul(i64::from(quantity));
            value = value.saturating_add(total);
            json!({ "product": product, "quantity": quantity, "price": price, "total": total })
        })
        .collect();
    json!({ "items": items, "value": value })
}

fn bounded_entry((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), bounded(value))
}

fn bounded(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            Value::from(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
        }
        Value::Array(items) => items.iter().map(bounded).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(bounded_entry).collect()),
        other => other.clone(),
    }
}
