//! The facts: one JSON object with everything that rules and templates may name (the contract is in `catalog::contract`).

use std::collections::HashSet;

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

/// The facts by name, in the order in which they stand.
const NAMES: [&str; 15] = [
    "profile",
    "history",
    "stage",
    "campaign",
    "cart",
    "recommended",
    "related",
    "related_to",
    "popular",
    "viewed",
    "wish_list",
    "purchased",
    "data",
    "shop",
    "now",
];

/// Which facts the rules of a campaign ask for. Lists of products and counts of events that nobody asks for are most
/// of all facts.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    names: HashSet<String>,
    events: EventsAsked,
}

#[derive(Debug, Clone)]
enum EventsAsked {
    All,
    Slugs(HashSet<String>),
}

impl Default for EventsAsked {
    fn default() -> Self {
        Self::Slugs(HashSet::new())
    }
}

impl Asked {
    /// Adds a path that is read, such as `history.events.product_viewed.count_30d` or `cart.items[0].price`.
    pub fn path(&mut self, path: &str) {
        let mut steps = path.split(['.', '[']);
        let name = steps.next().unwrap_or_default();
        self.names.insert(name.to_owned());
        match (name, steps.next(), steps.next()) {
            ("history", Some("events"), Some(slug)) => {
                if let EventsAsked::Slugs(slugs) = &mut self.events {
                    slugs.insert(slug.to_owned());
                }
            }
            ("history", None | Some("events"), _) => self.events = EventsAsked::All,
            _ => {}
        }
    }

    /// Whether the fact of this name is asked for.
    pub fn name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether `history.events` is asked for the event of this slug.
    pub fn event(&self, slug: &str) -> bool {
        match &self.events {
            EventsAsked::All => true,
            EventsAsked::Slugs(slugs) => slugs.contains(slug),
        }
    }
}

/// Builds the facts whose names are `wanted`. The same sources give the same facts.
pub fn build(sources: &Sources<'_>, wanted: impl Fn(&str) -> bool) -> Value {
    let mut facts = Map::new();
    add(&mut facts, sources, wanted);
    Value::Object(facts)
}

/// Adds the facts whose names are `wanted` and that are not there.
pub fn add(facts: &mut Map<String, Value>, sources: &Sources<'_>, wanted: impl Fn(&str) -> bool) {
    for name in NAMES {
        if wanted(name)
            && !facts.contains_key(name)
            && let Some(fact) = fact(name, sources)
        {
            facts.insert(name.to_owned(), fact);
        }
    }
}

fn fact(name: &str, sources: &Sources<'_>) -> Option<Value> {
    let shown = |known: &Product| product(known, sources.shop);
    let list = |ids: &mut dyn Iterator<Item = &String>| {
        let known = ids.filter_map(|id| sources.products.get(id));
        Value::Array(known.take(PRODUCTS_PER_LIST_MAX).map(shown).collect())
    };
    let history = sources.history;
    let recommended = sources.recommendations;
    Some(match name {
        "profile" => profile(sources.profile),
        "history" => serde_json::to_value(history).unwrap_or_default(),
        "stage" => Value::from(sources.stage.as_str()),
        "campaign" => campaign(sources.campaign),
        "cart" => cart(history, sources),
        "recommended" => list(&mut recommended.for_you.iter()),
        "related" => list(&mut recommended.related.iter()),
        "related_to" => shown(sources.products.get(recommended.related_to.as_ref()?)?),
        "popular" => list(&mut recommended.popular.iter()),
        "viewed" => list(&mut history.viewed_products.iter()),
        "wish_list" => list(&mut history.wish_list.iter()),
        "purchased" => list(&mut history.purchased.iter().map(|p| &p.product_id)),
        "data" => data(sources),
        "shop" => Value::Object(sources.shop.clone()),
        "now" => Value::from(sources.now.to_string()),
        _ => return None,
    })
}

/// Traits first, so that what the profile itself says wins. Blanks around a trait would show (`Hello   ,`), and one of
/// blanks alone is absent.
fn profile(profile: &Profile) -> Value {
    let trimmed = |(name, value): (&String, &Value)| match value {
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) if text.trim().len() < text.len() => {
            Some((name.clone(), bounded(&Value::from(text.trim()))))
        }
        value => Some((name.clone(), bounded(value))),
    };
    let mut fields: Map<String, Value> = profile.traits.iter().filter_map(trimmed).collect();
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

/// A product as templates see it; see the contract. Who follows the link of one without a page comes to the shop.
fn product(product: &Product, shop: &Map<String, Value>) -> Value {
    let front = || shop.get("url").and_then(Value::as_str).unwrap_or_default();
    let mut fields = json!({
        "id": product.id,
        "name": product.name,
        "description": product.description,
        "category": product.category,
        "price": product.price_minor,
        "currency": product.currency,
        "url": if product.url.is_empty() { front() } else { &product.url },
        "image_url": product.image_url,
    });
    if let (Some(price), Value::Object(fields)) = (product.list_price_minor, &mut fields) {
        fields.insert("list_price".to_owned(), Value::from(price));
    }
    fields
}

/// What came along. Lines that name a product say of it what the catalogue knows and they do not: `name`, `url` and
/// `image_url`.
fn data(sources: &Sources<'_>) -> Value {
    let mut data: Map<String, Value> = sources.data.iter().map(bounded_entry).collect();
    let lines = data.get_mut("products").and_then(Value::as_array_mut);
    for line in lines.into_iter().flatten().filter_map(Value::as_object_mut) {
        let stated = |name: &str| line.get(name).filter(|id| !id.is_null());
        let id = match stated("product_id").or_else(|| stated("sku")) {
            Some(Value::String(id)) => id.trim().to_owned(),
            Some(Value::Number(id)) => id.to_string(),
            _ => continue,
        };
        let Some(known) = sources.products.get(&id) else { continue };
        let known = product(known, sources.shop);
        for name in ["name", "url", "image_url"] {
            let is_stated = line.get(name).is_some_and(|stated| !stated.is_null() && stated != "");
            if let (false, Some(value)) = (is_stated, known.get(name).filter(|value| *value != "")) {
                line.insert(name.to_owned(), value.clone());
            }
        }
    }
    Value::Object(data)
}

/// What lies in the cart and is still in the catalogue.
fn cart(history: &History, sources: &Sources<'_>) -> Value {
    let lines = history.cart.iter().take(CART_LINES_MAX).filter_map(|line| {
        let known = sources.products.get(&line.product_id)?;
        let price = if line.price > 0 { line.price } else { known.price_minor };
        Some((line.quantity, price, product(known, sources.shop)))
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

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use serde_json::Value;
    use serde_json::json;

    use super::Asked;
    use crate::profile::Consent;
    use crate::profile::Profile;
    use crate::profile::ProfileId;

    #[test]
    fn blanks_around_traits_do_not_show_and_blanks_alone_are_nothing() {
        let traits = json!({"first_name": " \t ", "city": " Bonn\n", "shoe": "42", "vip": true});
        let profile = Profile {
            id: ProfileId::parse("ana").unwrap(),
            address: None,
            traits: traits.as_object().cloned().unwrap_or_else(Map::new),
            locale: None,
            time_zone: None,
            consent: Consent::Unknown,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let facts = super::profile(&profile);
        let found = ["first_name", "city", "shoe", "vip"].map(|name| facts[name].clone());
        assert_eq!(found, [Value::Null, "Bonn".into(), "42".into(), true.into()]);
    }

    #[test]
    fn what_rules_read_is_asked_for_and_nothing_else() {
        let mut asked = Asked::default();
        for path in ["history.events.product_viewed.count_30d", "cart.items[0].price", "stage"] {
            asked.path(path);
        }
        let names = ["history", "cart", "stage", "viewed", "shop", "items"];
        assert_eq!(names.map(|name| asked.name(name)), [true, true, true, false, false, false]);
        assert_eq!(["product_viewed", "signed_up"].map(|slug| asked.event(slug)), [true, false]);
        for whole in ["history", "history.events"] {
            let mut asked = asked.clone();
            asked.path(whole);
            assert!(asked.event("signed_up"), "{whole}");
        }
        asked.path("history.orders_total");
        assert!(!asked.event("signed_up"));
    }
}
