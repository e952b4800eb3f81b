//! Whether anybody can get a variant, and why not.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;

use super::Catalog;
use super::contract::Contract;
use super::contract::FactType;
use super::contract::Presence;
use super::name;
use super::rule::Rule;
use super::variant::Arm;
use super::variant::CampaignEntry;
use super::variant::Variant;
use crate::campaign::Kind;
use crate::campaign::PolicyKind;
use crate::fault::Fault;
use crate::stage::Stage;

/// Starts the reason of a recipient who is not in the audience.
const AUDIENCE: &str = "the audience does not hold";

/// Facts that a recipient of any mail has.
const ALWAYS_KEPT: &[&str] = &["profile.email", "profile.locale"];

/// The facts with the locale of the variant's file, where their own would get another file.
pub(super) fn as_recipient(mut facts: Value, variant: &Variant) -> Value {
    if let Some(locale) = &variant.locale
        && name::locale_rank(Some(locale), facts["profile"]["locale"].as_str()).is_none()
    {
        facts["profile"]["locale"] = json!(locale);
    }
    facts
}

/// Why these facts keep a variant from its recipient; `None` when nothing does.
pub(super) fn refusal(entry: &CampaignEntry, variant: &Variant, facts: &Value) -> Option<String> {
    if let Some(path) = variant.missing_input(facts) {
        return Some(format!("`{path}` is absent or empty, and it is one of the `inputs`"));
    }
    let rules = variant.when.iter().map(AsRef::as_ref).map(|rule| ("`when`", rule));
    rules
        .chain(entry.audience.iter().map(|rule| ("the audience", rule)))
        .find_map(|(what, rule)| refused(what, rule, facts))
}

fn refused(what: &str, rule: &Rule, facts: &Value) -> Option<String> {
    match rule.holds(facts) {
        Ok(true) => None,
        Ok(false) => Some(format!("{what} does not hold: {}", rule.source())),
        Err(error) => Some(error.to_string()),
    }
}

/// The fault of a variant that no sample can get, with the commonest reason.
pub(super) fn unreachable(catalog: &Catalog, variant: &Variant, reasons: &BTreeMap<String, usize>) -> Fault {
    let commonest = reasons.iter().max_by_key(|(_, count)| **count);
    let Some((reason, _)) = commonest else {
        return catalog.fault_in(variant, "", "there is no sample recipient to try it with");
    };
    if let Some(rule) = reason.strip_prefix(AUDIENCE) {
        let path = std::path::PathBuf::from(format!("{}/campaign.toml", variant.campaign));
        if let Some(file) = catalog.sources.files.get(&path) {
            let place = super::toml_text::place(file, &["audience"]);
            let message = format!("no sample recipient is in the audience{rule}");
            let help = "correct the rule, or write a sample that it is meant for";
            return Fault::at(file, place, message).with_help(help);
        }
    }
    let key = if reason.starts_with('`') && !reason.starts_with("`when`") { "inputs" } else { "when" };
    let count: usize = reasons.values().sum();
    let message = format!("none of the {count} sample recipients can get this variant: {reason}");
    catalog
        .fault_in(variant, key, message)
        .with_help("correct the head, or write a sample that it is meant for")
}

/// The same recipient with everything absent that may be, so long as the variant is still theirs.
pub(super) fn barest(contract: &Contract, entry: &CampaignEntry, variant: &Variant, facts: &Value) -> Value {
    let mut kept: BTreeSet<String> = variant.inputs.iter().cloned().collect();
    kept.extend(ALWAYS_KEPT.iter().map(|path| (*path).to_owned()));
    for rule in variant.when.iter().map(AsRef::as_ref).chain(&entry.audience) {
        kept.extend(rule.facts_used(facts).into_iter().map(|(path, _)| path));
    }
    for items in [Items::First, Items::All] {
        let bare = strip(contract.root(), facts, "", &kept, items);
        if refusal(entry, variant, &bare).is_none() {
            return bare;
        }
    }
    facts.clone()
}

/// The same recipient with products of which no picture and no page is known; `None` where there is no product.
pub(super) fn without_pictures(facts: &Value) -> Option<Value> {
    let front = facts["shop"]["url"].as_str().unwrap_or_default().to_owned();
    let mut bare = facts.clone();
    for (name, fact) in bare.as_object_mut()? {
        if !["data", "shop", "links", "offer"].contains(&name.as_str()) {
            take_pictures(fact, &front);
        }
    }
    (bare != *facts).then_some(bare)
}

fn take_pictures(fact: &mut Value, front: &str) {
    match fact {
        Value::Array(items) => items.iter_mut().for_each(|item| take_pictures(item, front)),
        Value::Object(fields) => {
            if fields.contains_key("image_url") {
                fields.insert("image_url".to_owned(), Value::from(""));
                fields.insert("url".to_owned(), Value::from(front));
            }
            fields.values_mut().for_each(|field| take_pictures(field, front));
        }
        _ => {}
    }
}

/// How much is left of a list that must not be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    First,
    All,
}

fn strip(kind: &FactType, value: &Value, path: &str, kept: &BTreeSet<String>, items: Items) -> Value {
    match (kind, value) {
        (FactType::Object(fields), Value::Object(values)) => {
            let mut out = serde_json::Map::new();
            for (name, value) in values {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let Some(fact) = fields.get(name) else {
                    out.insert(name.clone(), value.clone());
                    continue;
                };
                if fact.presence == Presence::Always || is_kept(&inner, kept) {
                    out.insert(name.clone(), strip(&fact.kind, value, &inner, kept, items));
                }
            }
            Value::Object(out)
        }
        (FactType::List(item), Value::Array(values)) if is_kept(path, kept) => {
            let count = if items == Items::First { 1 } else { values.len() };
            values
                .iter()
                .take(count)
                .map(|value| strip(item, value, &format!("{path}[]"), kept, items))
                .collect()
        }
        (FactType::List(_), Value::Array(_)) => json!([]),
        _ => value.clone(),
    }
}

/// Whether a path, something in it, or something that it is in, must be kept.
fn is_kept(path: &str, kept: &BTreeSet<String>) -> bool {
    let inside = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    kept.iter().any(|kept| inside(kept, path) || (inside(path, kept) && !path.contains("[]")))
}

/// Under `rules` without recency the first variant that fits everybody hides those after it.
pub(super) fn shadowed(catalog: &Catalog, entry: &CampaignEntry) -> Vec<Fault> {
    let recency = entry.campaign.no_repeat_variant_days > 0 && entry.campaign.kind == Kind::Lifecycle;
    if entry.campaign.policy != PolicyKind::Rules || recency {
        return Vec::new();
    }
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut shadows: BTreeMap<&str, &str> = BTreeMap::new();
    for stage in Stage::ALL {
        let mut first: Option<&Arm> = None;
        for arm in entry.arms_at(stage) {
            if let Some(shadow) = first {
                shadows.entry(arm.id.as_str()).or_insert(shadow.id.as_str());
                continue;
            }
            reached.insert(arm.id.as_str());
            first = Some(arm).filter(|arm| arm.locales.iter().any(fits_everybody));
        }
    }
    let hidden = entry.arms.iter().filter(|arm| !reached.contains(arm.id.as_str()));
    hidden
        .filter_map(|arm| {
            let shadow = shadows.get(arm.id.as_str())?;
            let message = format!("`{shadow}` fits everybody and comes first: this variant is never chosen");
            let help = "give it a lower `order`, or the other one a `when`";
            Some(catalog.fault_in(arm.locales.first()?, "order", message).with_help(help))
        })
        .collect()
}

fn fits_everybody(variant: &Variant) -> bool {
    variant.locale.is_none()
        && variant.when.is_empty()
        && variant.inputs.is_empty()
        && variant.offer.is_none()
}

/// What tells two variants apart: content, locale, offer.
type Difference<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

/// Variants that a customer could not tell apart.
pub(super) fn duplicates(catalog: &Catalog, entry: &CampaignEntry) -> Vec<Fault> {
    let mut same: BTreeMap<Difference<'_>, Vec<&Variant>> = BTreeMap::new();
    for variant in entry.variants() {
        let key = (variant.template.0.as_str(), variant.locale.as_deref(), variant.offer.as_deref());
        same.entry(key).or_default().push(variant);
    }
    same.into_values()
        .filter(|variants| variants.len() > 1)
        .map(|variants| {
            let others: Vec<&str> = variants.iter().skip(1).map(|variant| variant.id.as_str()).collect();
            let message = format!("`{}` is the same mail as {}", variants[0].id.as_str(), list(&others));
            let fault = catalog.fault_in(variants[0], "", message).as_warning();
            fault.with_help("make them differ in what a customer notices, or delete one")
        })
        .collect()
}

fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(3);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// Stages at which a lifecycle campaign has nothing to say.
pub(super) fn empty_stages(catalog: &Catalog, entry: &CampaignEntry) -> Option<Fault> {
    let empty: Vec<&str> = Stage::ALL
        .into_iter()
        .filter(|stage| entry.arms_at(*stage).next().is_none())
        .map(Stage::as_str)
        .collect();
    let any = entry.variants().next()?;
    if empty.is_empty() || entry.campaign.audience.is_some() {
        return None;
    }
    let path = std::path::PathBuf::from(format!("{}/campaign.toml", any.campaign));
    let file = catalog.sources.files.get(&path)?;
    let message =
        format!("people at the stages {} get nothing: there is no variant for them", empty.join(", "));
    let fault = Fault::at(file, 0..0, message).as_warning();
    Some(fault.with_help("write variants for them, or into the folder `any`, or state an `audience`"))
}
