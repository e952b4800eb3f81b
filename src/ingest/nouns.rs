//! Fields become a noun, or the reason why they cannot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;
use url::Url;

use super::COLUMNS_MAX;
use super::Noun;
use super::fields::Fields;
use super::identity::event_id;
use super::suppression::suppression;
use super::times::TimeReader;
use super::values;
use super::values::ValueType;
use super::values::shown;
use crate::clock::is_plausible;
use crate::config::Config;
use crate::config::TraitType;
use crate::event::EVENT_SIZE_BYTES_MAX;
use crate::event::Event;
use crate::product::Availability;
use crate::product::Product;
use crate::product::Repeat;
use crate::product::money;
use crate::product::money::Written;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::send::Suppression;

/// Longest id, name of an event, trait or offer, and code, in characters.
const NAME_CHARACTERS_MAX: usize = 255;
/// Longest name of a product, in bytes.
const PRODUCT_NAME_BYTES_MAX: usize = 1_000;
/// All traits of a profile as JSON, in bytes.
const TRAITS_BYTES_MAX: usize = 48 * 1024;
/// A product as JSON, in bytes.
const PRODUCT_BYTES_MAX: usize = 32 * 1024;

/// What the shop adds to what rows say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shop {
    /// Currency of products that state none (ISO 4217).
    pub currency: String,
    /// Offer of coupons that state none.
    pub offer: Option<String>,
    /// Reason of suppressions that state none.
    pub reason: Option<String>,
    /// Topic of suppressions that state none.
    pub topic: Option<String>,
    /// What traits must be, as the configuration declares them.
    pub traits: BTreeMap<String, ValueType>,
}

impl Shop {
    /// What the configuration says.
    pub fn of_config(config: &Config) -> Self {
        let value_type = |declared: &TraitType| match declared {
            TraitType::String => ValueType::String,
            TraitType::Number => ValueType::Number,
            TraitType::Bool => ValueType::Bool,
            TraitType::Date => ValueType::Date,
        };
        Self {
            currency: config.currency().unwrap_or_default().to_owned(),
            offer: None,
            reason: None,
            topic: None,
            traits: config
                .traits
                .iter()
                .map(|(name, declared)| (name.clone(), value_type(declared)))
                .collect(),
        }
    }

    /// Digits behind the point of its currency.
    pub(super) fn minor_digits(&self) -> u32 {
        money::minor_digits(&self.currency)
    }
}

/// A code of a unique offer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coupon {
    /// Name of the offer, as in `offers.toml`.
    pub offer: String,
    /// What a person types in.
    pub code: String,
}

/// What a row became.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A person.
    Profile(Profile),
    /// Something done. `identity` says whether its source gave it an id.
    Event {
        /// The event.
        event: Event,
        /// Whether its id was stated.
        identity: Identity,
    },
    /// A product.
    Product(Product),
    /// A code.
    Coupon(Coupon),
    /// An address that must not be written to.
    Suppression(Suppression),
}

/// Where an event's id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Its source stated it.
    Stated,
    /// It was derived from what the event says, as the first such ([`event_id`]).
    Derived,
}

/// Makes a noun of fields. The reason, where it cannot be, names the field. `now` is for what states no time.
pub fn record(noun: Noun, fields: Fields, shop: &Shop, now: Timestamp) -> Result<Record, String> {
    if fields.extras.len() > COLUMNS_MAX {
        return Err(format!("{} fields; at most {COLUMNS_MAX} are allowed", fields.extras.len()));
    }
    if let Some(name) =
        fields.extras.keys().find(|name| name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX)
    {
        let name = shown(&Value::String(name.clone()));
        return Err(format!("the name {name} has not 1 to {NAME_CHARACTERS_MAX} characters"));
    }
    match noun {
        Noun::Profiles => profile(fields, now).map(Record::Profile),
        Noun::Events => event(fields, shop),
        Noun::Products => product(fields, shop).map(Record::Product),
        Noun::Coupons => coupon(fields, shop).map(Record::Coupon),
        Noun::Suppressions => suppression(fields, shop, now).map(Record::Suppression),
    }
}

fn profile(mut fields: Fields, now: Timestamp) -> Result<Profile, String> {
    let id = required(&mut fields, "id")?;
    let id = ProfileId::parse(&id).map_err(|error| error.to_string())?;
    let address = match fields.take_text("email")? {
        Some(text) => {
            Some(EmailAddress::parse(&text).map_err(|error| format!("email {}: {error}", quoted(&text)))?)
        }
        None => None,
    };
    let locale = fields.take_text("locale")?.map(|text| locale(&text)).transpose()?;
    let time_zone = fields.take_text("time_zone")?.map(|text| time_zone(&text)).transpose()?;
    let consent = fields.take("consent").map_or(Ok(Consent::Unknown), |value| consent(&value))?;
    let created_at = plausible_time(&mut fields, "created_at")?.unwrap_or(now);
    within("the traits have", json_bytes(&fields.extras), TRAITS_BYTES_MAX)?;
    Ok(Profile {
        id,
        address,
        traits: fields.extras,
        locale,
        time_zone,
        consent,
        created_at,
        updated_at: now,
    })
}

fn event(mut fields: Fields, shop: &Shop) -> Result<Record, String> {
    let profile = required(&mut fields, "profile")?;
    let profile = ProfileId::parse(&profile).map_err(|error| format!("profile: {error}"))?;
    let name = name(required(&mut fields, "name")?, "name")?;
    let (at, said) = time(&mut fields, "at")?.ok_or_else(|| missing("at"))?;
    if !is_plausible(at) {
        return Err(format!("at: {} is outside the years 1900 to 2199", shown(&said)));
    }
    let id = fields.take_text("id")?.map(|id| self::name(id, "id")).transpose()?;
    let mut properties = fields.extras;
    properties.retain(|_, value| !value.is_null());
    if let Some(fault) = money::unclear(&properties, shop.minor_digits()) {
        return Err(fault);
    }
    let bytes = json_bytes(&properties) + profile.as_str().len() + name.len();
    within("the event has", bytes, EVENT_SIZE_BYTES_MAX)?;
    let identity = if id.is_some() { Identity::Stated } else { Identity::Derived };
    let mut event = Event { id: id.unwrap_or_default(), profile, name, at, properties };
    if identity == Identity::Derived {
        event.id = event_id(&event, 0);
    }
    Ok(Record::Event { event, identity })
}

fn product(mut fields: Fields, shop: &Shop) -> Result<Product, String> {
    let id = name(required(&mut fields, "id")?, "id")?;
    let name = required(&mut fields, "name")?;
    within("name has", name.len(), PRODUCT_NAME_BYTES_MAX)?;
    let currency = match fields.take_text("currency")? {
        Some(code) => currency(&code)?,
        None => shop.currency.clone(),
    };
    let price_minor = price(&mut fields, "price", "price_minor", &currency)?.unwrap_or(0);
    let list_price_minor = price(&mut fields, "list_price", "list_price_minor", &currency)?;
    let published_at = plausible_time(&mut fields, "published_at")?;
    let availability =
        fields.take("availability").map_or(Ok(Availability::InStock), |value| availability(&value))?;
    let repeat = fields.take("repeat").map_or(Ok(Repeat::Once), |value| repeat(&value))?;
    let mut attributes = fields.extras.clone();
    attributes.retain(|_, value| !value.is_null());
    let product = Product {
        id,
        name,
        description: fields.take_text("description")?.unwrap_or_default(),
        category: fields.take_text("category")?.unwrap_or_default(),
        price_minor,
        list_price_minor,
        currency,
        url: web_address(&mut fields, "url", &["http", "https"])?,
        image_url: web_address(&mut fields, "image_url", &["https"])?,
        availability,
        repeat,
        attributes,
        published_at,
    };
    let bytes = json_bytes(&product.attributes)
        + product.description.len()
        + product.url.len()
        + product.image_url.len();
    within("the product has", bytes, PRODUCT_BYTES_MAX)?;
    Ok(product)
}

fn coupon(mut fields: Fields, shop: &Shop) -> Result<Coupon, String> {
    let offer = fields.take_text("offer")?.or_else(|| shop.offer.clone());
    let offer =
        offer.ok_or_else(|| "offer is missing; state it in the row, the map, or with --offer".to_owned())?;
    Ok(Coupon { offer: name(offer, "offer")?, code: name(required(&mut fields, "code")?, "code")? })
}

fn missing(field: &str) -> String {
    format!("{field} is missing")
}

pub(super) fn quoted(text: &str) -> String {
    shown(&Value::String(text.to_owned()))
}

pub(super) fn required(fields: &mut Fields, field: &str) -> Result<String, String> {
    fields.take_text(field)?.ok_or_else(|| missing(field))
}

/// A short text without control characters: ids, names, codes.
pub(super) fn name(text: String, field: &str) -> Result<String, String> {
    let characters = text.chars().count();
    if characters > NAME_CHARACTERS_MAX {
        return Err(format!(
            "too long: {field} has {characters} characters, at most {NAME_CHARACTERS_MAX} are allowed"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{field} {} holds a control character", quoted(&text)));
    }
    Ok(text)
}

fn within(what: &str, bytes: usize, bytes_max: usize) -> Result<(), String> {
    if bytes > bytes_max {
        return Err(format!("too long: {what} {bytes} bytes, at most {bytes_max} are allowed"));
    }
    Ok(())
}

fn json_bytes(map: &Map<String, Value>) -> usize {
    serde_json::to_string(map).map_or(usize::MAX, |text| text.len())
}

/// A time in one of the usual forms, and how it was said; a mapping has already brought others to RFC 3339.
fn time(fields: &mut Fields, field: &str) -> Result<Option<(Timestamp, Value)>, String> {
    let Some(value) = fields.take(field) else { return Ok(None) };
    let time = TimeReader::default().read(&value).map_err(|error| format!("{field}: {error}"))?;
    Ok(Some((time, value)))
}

/// A time that a noun can do without. The first day of a program's calendar stands for none.
pub(super) fn plausible_time(fields: &mut Fields, field: &str) -> Result<Option<Timestamp>, String> {
    let time = time(fields, field)?.map(|(time, _)| time);
    Ok(time.filter(|time| is_plausible(*time)))
}

/// A BCP 47 tag; `en_GB` is taken for `en-GB`.
fn locale(text: &str) -> Result<String, String> {
    let tag = text.replace('_', "-");
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let well_formed = (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && tag.len() <= 35
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
    if well_formed {
        Ok(tag)
    } else {
        Err(format!("locale {} is no language tag such as en-GB", quoted(text)))
    }
}

fn time_zone(text: &str) -> Result<String, String> {
    let zone = TimeZone::get(text)
        .map_err(|_| format!("there is no time zone {}; write Europe/Berlin", quoted(text)))?;
    Ok(zone.iana_name().unwrap_or(text).to_owned())
}

fn consent(value: &Value) -> Result<Consent, String> {
    if let Some(truth) = values::truth(value) {
        return Ok(if truth { Consent::Granted } else { Consent::Withdrawn });
    }
    let word = value.as_str().map(|text| text.trim().to_lowercase().replace([' ', '-'], "_"));
    match word.as_deref() {
        Some("granted" | "subscribed" | "opted_in" | "opt_in") => Ok(Consent::Granted),
        Some("withdrawn" | "unsubscribed" | "opted_out" | "opt_out") => Ok(Consent::Withdrawn),
        Some("unknown") => Ok(Consent::Unknown),
        _ => Err(format!("consent {} is none of granted, withdrawn, unknown", shown(value))),
    }
}

fn currency(code: &str) -> Result<String, String> {
    let code = code.to_ascii_uppercase();
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(code)
    } else {
        Err(format!("currency {} is no code such as EUR", quoted(&code)))
    }
}

/// A price in major units under one name or in minor units under another.
fn price(fields: &mut Fields, major: &str, minor: &str, currency: &str) -> Result<Option<i64>, String> {
    let (major_value, minor_value) = (fields.take(major), fields.take(minor));
    let (name, value, found) = match (minor_value, major_value) {
        (Some(value), _) => {
            let number = values::number(&value, Written::Number).ok().and_then(|number| number.as_i64());
            (minor, value, number)
        }
        (None, Some(value)) => {
            let digits = money::minor_digits(currency);
            if let (true, Some(text)) =
                (values::is_ambiguous(&value, Written::Amount(digits)), value.as_str())
            {
                return Err(format!("{major}: {}", values::ambiguous(text, digits)));
            }
            let found = money::major(&value, digits).and_then(|amount| money::to_minor(amount, digits));
            (major, value, found)
        }
        (None, None) => return Ok(None),
    };
    match found {
        Some(price) if price >= 0 => Ok(Some(price)),
        _ => Err(format!("{name} {} is no price", shown(&value))),
    }
}

fn web_address(fields: &mut Fields, field: &str, schemes: &[&str]) -> Result<String, String> {
    let Some(text) = fields.take_text(field)? else { return Ok(String::new()) };
    match Url::parse(&text) {
        Ok(url) if schemes.contains(&url.scheme()) && url.has_host() => Ok(url.into()),
        _ => Err(format!("{field} {} is no {} address", quoted(&text), schemes.join(" or "))),
    }
}

/// Words of product feeds, truths, or a number of pieces.
fn availability(value: &Value) -> Result<Availability, String> {
    let known = |stock: bool| Ok(if stock { Availability::InStock } else { Availability::OutOfStock });
    if let Some(pieces) = values::number(value, Written::Number).ok().and_then(|number| number.as_f64()) {
        return known(pieces > 0.0);
    }
    if let Some(truth) = values::truth(value) {
        return known(truth);
    }
    let word = value.as_str().map(|text| text.trim().to_lowercase().replace([' ', '-'], "_"));
    match word.as_deref() {
        Some("in_stock" | "instock" | "available" | "preorder" | "backorder") => known(true),
        Some("out_of_stock" | "outofstock" | "sold_out" | "unavailable" | "discontinued") => known(false),
        _ => Err(format!("availability {} is neither in_stock nor out_of_stock", shown(value))),
    }
}

fn repeat(value: &Value) -> Result<Repeat, String> {
    match (values::truth(value), value.as_str().map(str::trim)) {
        (Some(true), _) | (None, Some("consumable")) => Ok(Repeat::Consumable),
        (Some(false), _) | (None, Some("once")) => Ok(Repeat::Once),
        _ => Err(format!("repeat {} is neither once nor consumable", shown(value))),
    }
}
