//! The names under which files without a map may hold each field.

use super::Noun;

/// A field and the names that stand for it, best first. Names are compared in lower case with `_` between words.
type Aliases = &'static [(&'static str, &'static [&'static str])];

const PROFILE: Aliases = &[
    ("id", &["external_id", "profile_id", "user_id", "customer_id", "profile", "customer", "id"]),
    ("email", &["email", "email_address", "e_mail", "mail"]),
    ("locale", &["locale", "language", "lang"]),
    ("time_zone", &["time_zone", "timezone", "tz"]),
    ("consent", &["consent", "marketing_consent", "opt_in", "subscribed"]),
    ("created_at", &["created_at", "created"]),
];
const EVENT: Aliases = &[
    ("id", &["message_id", "event_id", "id"]),
    ("profile", &["profile", "profile_id", "external_id", "user_id", "customer_id", "customer"]),
    ("name", &["event", "event_name", "name"]),
    ("at", &["at", "timestamp", "time", "occurred_at", "created_at"]),
];
const PRODUCT: Aliases = &[
    ("id", &["product_id", "sku", "id"]),
    ("name", &["name", "title", "product_name"]),
    ("description", &["description"]),
    ("category", &["category", "product_category"]),
    ("price", &["price"]),
    ("price_minor", &["price_minor"]),
    ("list_price", &["list_price", "compare_at_price"]),
    ("list_price_minor", &["list_price_minor"]),
    ("currency", &["currency"]),
    ("url", &["url", "link", "product_url"]),
    ("image_url", &["image_url", "image", "image_link"]),
    ("availability", &["availability", "in_stock"]),
    ("repeat", &["repeat", "consumable"]),
    ("published_at", &["published_at"]),
];
const SUPPRESSION: Aliases = &[
    ("address", &["address", "email", "email_address", "e_mail", "mail", "recipient"]),
    ("reason", &["reason", "suppression_reason", "type", "status"]),
    ("topic", &["topic", "list"]),
    (
        "at",
        &["at", "created_at", "created", "last_update_time", "unsubscribed_at", "timestamp", "date", "time"],
    ),
    ("until", &["until"]),
];
const COUPON: Aliases = &[("offer", &["offer", "offer_name"]), ("code", &["code", "coupon", "coupon_code"])];

/// What Segment puts around an event that says nothing of the deed itself.
const ENVELOPE: &[&str] = &[
    "type",
    "context",
    "integrations",
    "anonymous_id",
    "received_at",
    "sent_at",
    "original_timestamp",
    "write_key",
    "channel",
    "version",
    "metadata",
];

/// Event properties that are numbers where they read as such, so that rules can compare them.
pub(super) const AMOUNTS: &[&str] =
    &["price", "quantity", "total", "revenue", "value", "tax", "shipping", "discount", "rating"];

/// What a column is, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A field; of several columns that mean the same field, the least rank counts.
    Field { name: &'static str, rank: usize },
    /// The object that holds all traits, properties or attributes.
    Extras,
    /// A trait, property or attribute of this name.
    Extra(String),
    /// Nothing that is kept.
    Envelope,
}

/// All fields of a noun.
pub(super) fn fields(noun: Noun) -> Vec<&'static str> {
    table(noun).iter().map(|(field, _)| *field).collect()
}

/// Fields without which a row is not one.
pub(super) fn required(noun: Noun) -> &'static [&'static str] {
    match noun {
        Noun::Profiles => &["id"],
        Noun::Events => &["profile", "name", "at"],
        Noun::Products => &["id", "name"],
        Noun::Coupons => &["code"],
        Noun::Suppressions => &["address"],
    }
}

/// What the traits, properties or attributes of a noun are called, in lower case.
pub(super) fn extras(noun: Noun) -> &'static str {
    match noun {
        Noun::Profiles => "traits",
        Noun::Events => "properties",
        Noun::Products | Noun::Coupons | Noun::Suppressions => "attributes",
    }
}

/// What a column is, by its name alone. `First Name` becomes the trait `first_name`, as templates would write it;
/// what stands behind `traits.` is kept as it is.
pub(super) fn meaning(noun: Noun, column: &str) -> Meaning {
    let name = snake(column);
    for (field, aliases) in table(noun) {
        if let Some(rank) = aliases.iter().position(|alias| *alias == name) {
            return Meaning::Field { name: field, rank };
        }
    }
    if name == extras(noun) {
        return Meaning::Extras;
    }
    if noun == Noun::Events && ENVELOPE.contains(&name.as_str()) {
        return Meaning::Envelope;
    }
    let prefix = extras(noun).len();
    match column.get(..prefix) {
        Some(start) if start.eq_ignore_ascii_case(extras(noun)) && column[prefix..].starts_with('.') => {
            Meaning::Extra(column[prefix + 1..].to_owned())
        }
        _ => Meaning::Extra(if name.is_empty() { column.to_owned() } else { name }),
    }
}

/// `, or what else stands for it (code, coupon_code)`; nothing where nothing else does.
pub(super) fn else_called(noun: Noun, field: &str) -> String {
    let others: Vec<&str> = names(noun, field).iter().copied().filter(|name| *name != field).collect();
    if others.is_empty() {
        String::new()
    } else {
        format!(", or what else stands for it ({})", others.join(", "))
    }
}

/// All names that stand for a field.
fn names(noun: Noun, field: &str) -> &'static [&'static str] {
    table(noun).iter().find(|(name, _)| *name == field).map_or(&[], |(_, names)| names)
}

/// The name of this rank for a field.
pub(super) fn alias(noun: Noun, field: &str, rank: usize) -> Option<&'static str> {
    names(noun, field).get(rank).copied()
}

fn table(noun: Noun) -> Aliases {
    match noun {
        Noun::Profiles => PROFILE,
        Noun::Events => EVENT,
        Noun::Products => PRODUCT,
        Noun::Coupons => COUPON,
        Noun::Suppressions => SUPPRESSION,
    }
}

/// `userId`, `User ID` and `user-id` are all `user_id`.
fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before_lower = false;
    for character in name.chars() {
        if character.is_alphanumeric() {
            if character.is_uppercase() && before_lower {
                out.push('_');
            }
            before_lower = character.is_lowercase() || character.is_numeric();
            out.extend(character.to_lowercase());
        } else {
            before_lower = false;
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
        }
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_columns_name_says_what_it_is() {
        let field = |name, rank| Meaning::Field { name, rank };
        for (noun, column, expected) in [
            (Noun::Profiles, "External ID", field("id", 0)),
            (Noun::Profiles, "userId", field("id", 2)),
            (Noun::Profiles, "E-Mail", field("email", 2)),
            (Noun::Profiles, "traits", Meaning::Extras),
            (Noun::Profiles, "traits.firstName", Meaning::Extra("firstName".to_owned())),
            (Noun::Profiles, "First Name", Meaning::Extra("first_name".to_owned())),
            (Noun::Profiles, "traitsé", Meaning::Extra("traitsé".to_owned())),
            (Noun::Events, "messageId", field("id", 0)),
            (Noun::Events, "context", Meaning::Envelope),
            (Noun::Events, "Properties.total", Meaning::Extra("total".to_owned())),
            (Noun::Products, "image_link", field("image_url", 2)),
        ] {
            assert_eq!(meaning(noun, column), expected, "{column}");
        }
    }
}
