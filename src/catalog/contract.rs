//! The contract between the facts and everything that names them: which paths rules and templates may use,
//! of which type each is, and which may be absent.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

use super::nearest::nearest;
pub use crate::config::TraitType;
use crate::event;

pub(super) mod breaches;
mod sample_history;
#[cfg(test)]
mod tests;

/// The type of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactType {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A whole or decimal number.
    Number,
    /// Text.
    Text,
    /// Text of the form `2026-11-22`.
    Date,
    /// Any number of the same.
    List(Box<FactType>),
    /// Named facts.
    Object(BTreeMap<String, Fact>),
    /// Not checked: what a request brought along.
    Any,
}

/// One named fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is when it is there.
    pub kind: FactType,
    /// Whether it may be absent or null.
    pub presence: Presence,
}

/// Whether a fact may be absent or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It is always there.
    Always,
    /// It may be absent or null.
    Optional,
}

/// A path that the contract does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPath {
    /// Index of the first unknown name in the path that was asked for.
    pub position: usize,
    /// What is wrong, such as "`history` has no `order_total`".
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl FactType {
    /// The word for people.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer | Self::Number => "a number",
            Self::Text => "text",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::Any => "anything",
        }
    }

    /// The fact called `name` in this object; everything is known of nothing in [`FactType::Any`].
    pub fn field(&self, name: &str) -> Option<(&Self, Presence)> {
        match self {
            Self::Object(fields) => fields.get(name).map(|fact| (&fact.kind, fact.presence)),
            Self::Any => Some((self, Presence::Optional)),
            _ => None,
        }
    }
}

/// All facts by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    root: FactType,
}

/// Traits cannot take these names: what the profile itself says wins.
pub const RESERVED_TRAITS: &[&str] = &["id", "email", "locale", "time_zone", "consent", "created_at"];

impl Contract {
    /// Everything that rules and templates may name, with the traits, own events and `[shop]` table of the
    /// configuration. `offer` and `links` are left out by [`Contract::without`] where they are not known yet.
    pub fn new(
        traits: &BTreeMap<String, TraitType>,
        own_events: &[String],
        shop: &Map<String, Value>,
    ) -> Self {
        let product = product();
        let products = FactType::List(Box::new(product.clone()));
        let line = object([
            ("product", product.clone()),
            ("quantity", FactType::Integer),
            ("price", FactType::Integer),
            ("total", FactType::Integer),
        ]);
        let mut root = fields([
            ("profile", profile(traits)),
            ("history", history(own_events)),
            ("stage", FactType::Text),
            ("campaign", texts(&["name", "kind", "topic", "description"])),
            ("cart", object([("items", FactType::List(Box::new(line))), ("value", FactType::Integer)])),
            ("offer", offer()),
            ("data", FactType::Any),
            ("shop", infer(&Value::Object(shop.clone()), None)),
            ("now", FactType::Text),
            ("links", links()),
        ]);
        for list in ["recommended", "related", "viewed", "wish_list", "popular", "purchased"] {
            root.insert(list.to_owned(), always(products.clone()));
        }
        root.insert("related_to".to_owned(), optional(product));
        Self { root: FactType::Object(root) }
    }

    /// The same contract without these roots.
    #[must_use]
    pub fn without(&self, roots: &[&str]) -> Self {
        let mut contract = self.clone();
        if let FactType::Object(fields) = &mut contract.root {
            fields.retain(|name, _| !roots.contains(&name.as_str()));
        }
        contract
    }

    /// The same contract with these roots only.
    #[must_use]
    pub fn only(&self, roots: &[&str]) -> Self {
        let mut contract = self.clone();
        if let FactType::Object(fields) = &mut contract.root {
            fields.retain(|name, _| roots.contains(&name.as_str()));
        }
        contract
    }

    /// All facts as one object.
    pub fn root(&self) -> &FactType {
        &self.root
    }

    /// The type at `path` (`["history", "orders_total"]`) and whether it, or anything on the way, may be absent.
    pub fn lookup(&self, path: &[&str]) -> Result<(FactType, Presence), UnknownPath> {
        descend(&self.root, Presence::Always, path, &[])
    }

    /// Where `facts` (a sample) does not keep the contract: unknown names, wrong types, missing facts; at most
    /// `limit` of them, each with its path.
    pub fn breaches(&self, facts: &Value, limit: usize) -> Vec<String> {
        let mut found = breaches::find(&self.root, facts);
        found.truncate(limit);
        found
    }
}

/// Walks `path` from `start`. `above` are the names that led to `start`, for messages.
pub fn descend(
    start: &FactType,
    presence: Presence,
    path: &[&str],
    above: &[&str],
) -> Result<(FactType, Presence), UnknownPath> {
    let (mut kind, mut presence) = (start, presence);
    for (position, name) in path.iter().enumerate() {
        let Some((next, next_presence)) = kind.field(name) else {
            let parent = [above, &path[..position]].concat().join(".");
            return Err(unknown(kind, position, name, &parent));
        };
        kind = next;
        presence = presence.max(next_presence);
    }
    Ok((kind.clone(), presence))
}

fn unknown(kind: &FactType, position: usize, name: &str, parent: &str) -> UnknownPath {
    let place = if parent.is_empty() { "the facts have".to_owned() } else { format!("`{parent}` has") };
    let FactType::Object(fields) = kind else {
        return UnknownPath {
            position,
            message: format!("`{parent}` is {}: it has no `{name}`", kind.describe()),
            help: match kind {
                FactType::List(_) => "go through the list, or take one of it, such as `[0]`".to_owned(),
                _ => format!("write `{parent}` alone"),
            },
        };
    };
    let names = fields.keys().map(String::as_str);
    let help = match nearest(name, names.clone()) {
        // Templates know links, rules do not; an offer is known to templates whose head names one.
        _ if name == "offer" && parent.is_empty() && fields.contains_key("links") => {
            "write `offer = \"NAME\"` in the head, an offer of offers.toml".to_owned()
        }
        Some(near) if parent.is_empty() => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{parent}.{near}`?"),
        None if parent == "profile" => {
            format!(
                "declare it under [traits] in bespoke.toml, or use one of: {}",
                names.collect::<Vec<_>>().join(", ")
            )
        }
        None if parent == "shop" && fields.is_empty() => {
            format!("write `{name} = \"…\"` under [shop] in bespoke.toml")
        }
        None => format!("known here: {}", names.collect::<Vec<_>>().join(", ")),
    };
    UnknownPath { position, message: format!("{place} no `{name}`"), help }
}

fn always(kind: FactType) -> Fact {
    Fact { kind, presence: Presence::Always }
}

fn optional(kind: FactType) -> Fact {
    Fact { kind, presence: Presence::Optional }
}

fn fields<const N: usize>(facts: [(&str, FactType); N]) -> BTreeMap<String, Fact> {
    facts.into_iter().map(|(name, kind)| (name.to_owned(), always(kind))).collect()
}

fn object<const N: usize>(facts: [(&str, FactType); N]) -> FactType {
    FactType::Object(fields(facts))
}

fn texts(names: &[&str]) -> FactType {
    FactType::Object(names.iter().map(|name| ((*name).to_owned(), always(FactType::Text))).collect())
}

/// A product, as blocks and recommendations see it. Money is in minor units.
fn product() -> FactType {
    let mut product: BTreeMap<String, Fact> =
        ["id", "name", "description", "category", "currency", "url", "image_url"]
            .into_iter()
            .map(|name| (name.to_owned(), always(FactType::Text)))
            .collect();
    product.insert("price".to_owned(), always(FactType::Integer));
    product.insert("list_price".to_owned(), optional(FactType::Integer));
    FactType::Object(product)
}

/// Addresses of this very mail. Those of pages are absent where there are none.
fn links() -> FactType {
    let mut links = fields([("unsubscribe", FactType::Text)]);
    links.extend(["preferences", "view"].map(|name| (name.to_owned(), optional(FactType::Text))));
    FactType::Object(links)
}

/// The offer that a variant's head names, with its values for this profile.
fn offer() -> FactType {
    let mut offer = fields([("name", FactType::Text), ("description", FactType::Text)]);
    for (name, kind) in [
        ("code", FactType::Text),
        ("percent", FactType::Number),
        ("amount", FactType::Integer),
        ("expires_at", FactType::Text),
    ] {
        offer.insert(name.to_owned(), optional(kind));
    }
    FactType::Object(offer)
}

fn profile(traits: &BTreeMap<String, TraitType>) -> FactType {
    let mut profile: BTreeMap<String, Fact> = traits
        .iter()
        .map(|(name, declared)| {
            let kind = match declared {
                TraitType::String => FactType::Text,
                TraitType::Number => FactType::Number,
                TraitType::Bool => FactType::Bool,
                TraitType::Date => FactType::Date,
            };
            (name.clone(), optional(kind))
        })
        .collect();
    for name in ["id", "consent", "created_at"] {
        profile.insert(name.to_owned(), always(FactType::Text));
    }
    for name in ["email", "locale", "time_zone"] {
        profile.insert(name.to_owned(), optional(FactType::Text));
    }
    FactType::Object(profile)
}

/// The history's facts, read off its serialisation: types from a full one, what may be absent from a minimal one.
fn history(own_events: &[String]) -> FactType {
    let names = || event::name::ALL.iter().copied().chain(own_events.iter().map(String::as_str));
    let full = serde_json::to_value(sample_history::full(names())).unwrap_or_default();
    let minimal = serde_json::to_value(sample_history::minimal(names())).unwrap_or_default();
    infer(&full, Some(&minimal))
}

/// The type of a value. What is null in `minimal` may be absent.
fn infer(full: &Value, minimal: Option<&Value>) -> FactType {
    match full {
        Value::Null => FactType::Any,
        Value::Bool(_) => FactType::Bool,
        Value::Number(number) if number.is_f64() => FactType::Number,
        Value::Number(_) => FactType::Integer,
        Value::String(_) => FactType::Text,
        Value::Array(items) => {
            let minimal = minimal.and_then(|minimal| minimal.get(0));
            FactType::List(Box::new(items.first().map_or(FactType::Any, |item| infer(item, minimal))))
        }
        Value::Object(fields) => FactType::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let minimal = minimal.and_then(|minimal| minimal.get(name));
                    let absent = minimal.is_some_and(Value::is_null);
                    let presence = if absent { Presence::Optional } else { Presence::Always };
                    (name.clone(), Fact { kind: infer(value, minimal), presence })
                })
                .collect(),
        ),
    }
}
