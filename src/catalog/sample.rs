//! Sample recipients: `samples/*.json`, facts objects that say only what matters; the rest is filled in.

use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::CatalogSettings;
use super::contract::Contract;
use super::contract::FactType;
use super::contract::Presence;
use crate::campaign::Campaign;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::profile::EmailAddress;
use crate::stage::Stage;

/// Breaches told of one sample, at most.
const BREACHES_MAX: usize = 10;
/// The time at which samples live where they state none.
const NOW: &str = "2026-11-22T10:00:00Z";
/// The address of what a sample leaves out.
const ADDRESS: &str = "https://shop.example/sample";

/// One sample recipient.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its file's name.
    pub name: String,
    /// The campaign that it was written for, where it states one (`"campaign": {"name": …}`): the data of
    /// transactional mail differs by campaign.
    pub campaign: Option<String>,
    /// Its facts, complete but for `campaign`, `offer`.
    pub facts: Value,
}

impl Sample {
    /// The facts that a variant of this campaign at this stage would see, without an offer.
    pub fn facts_for(&self, campaign: &Campaign, stage: Option<Stage>) -> Value {
        let mut facts = self.facts.clone();
        facts["campaign"] = json!({
            "name": campaign.id.as_str(),
            "kind": campaign.kind.as_str(),
            "topic": campaign.topic(),
            "description": campaign.description,
        });
        if let Some(stage) = stage {
            facts["stage"] = Value::from(stage.as_str());
        }
        facts
    }
}

/// Reads one sample.
pub(super) fn read(
    file: &SourceFile,
    name: &str,
    settings: &CatalogSettings,
    contract: &Contract,
    faults: &mut Vec<Fault>,
) -> Option<Sample> {
    let written: Value = match serde_json::from_str(&file.text) {
        Ok(written) => written,
        Err(error) => {
            let line_start: usize =
                file.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = file
                .text
                .floor_char_boundary((line_start + error.column().saturating_sub(1)).min(file.text.len()));
            let words = error.to_string();
            let reason = words.split(" at line ").next().unwrap_or_default();
            faults.push(
                Fault::at(file, at..at, format!("this is not JSON: {reason}"))
                    .with_help("correct it here, or just before"),
            );
            return None;
        }
    };
    if !written.is_object() {
        let help = "write an object, such as `{\"profile\": {\"id\": \"ana\"}}`";
        faults.push(Fault::at(file, 0..0, "a sample is an object of facts").with_help(help));
        return None;
    }
    let campaign = written.pointer("/campaign/name").and_then(Value::as_str).map(str::to_owned);
    let mut facts = minimal(contract.root());
    facts["stage"] = Value::from(Stage::Discover.as_str());
    facts["now"] = Value::from(NOW);
    facts["profile"]["consent"] = Value::from("granted");
    facts["profile"]["created_at"] = Value::from(NOW);
    facts["data"] = json!({});
    for link in ["unsubscribe", "preferences", "view"] {
        facts["links"][link] = Value::from(format!("{ADDRESS}/{link}"));
    }
    if let Some(facts) = facts.as_object_mut() {
        facts.remove("offer");
    }
    merge(&mut facts, written, contract.root());
    facts["shop"] = Value::Object(settings.shop.clone());
    let breaches = contract.without(&["offer"]).breaches(&facts, BREACHES_MAX);
    for breach in &breaches {
        faults.push(Fault::at(file, find(&file.text, breach), breach.clone()));
    }
    let unknown = unknown_words(&facts);
    for (message, help) in &unknown {
        faults.push(Fault::at(file, find(&file.text, message), message.clone()).with_help(*help));
    }
    (breaches.is_empty() && unknown.is_empty()).then(|| Sample { name: name.to_owned(), campaign, facts })
}

/// Texts that only some words can be, each with what to write.
fn unknown_words(facts: &Value) -> Vec<(String, &'static str)> {
    let text = |path: &str| facts.pointer(path).and_then(Value::as_str);
    let stage = text("/stage").filter(|stage| Stage::parse(stage).is_none());
    let email = text("/profile/email").filter(|email| EmailAddress::parse(email).is_err());
    let zone = text("/profile/time_zone").filter(|zone| TimeZone::get(zone).is_err());
    let found = [
        ("stage", stage, "no stage", "write discover, educate, compare or purchase"),
        ("profile.email", email, "no address", "write such as ana@shop.example"),
        ("profile.time_zone", zone, "no time zone", "write an IANA name, such as Europe/Berlin"),
    ];
    let told = |(path, value, what, help): (&str, Option<&str>, &str, &'static str)| {
        Some((format!("`{path}` is {what}: {:?}", value?), help))
    };
    found.into_iter().filter_map(told).collect()
}

/// The least facts that keep the contract.
fn minimal(kind: &FactType) -> Value {
    match kind {
        FactType::Bool => Value::Bool(false),
        FactType::Integer => Value::from(0),
        FactType::Number => Value::from(0.0),
        FactType::Text | FactType::Date => Value::from(""),
        FactType::List(_) => json!([]),
        FactType::Any => Value::Null,
        FactType::Object(fields) => {
            let always = fields.iter().filter(|(_, fact)| fact.presence == Presence::Always);
            let fill = |name: &str, kind: &FactType| match name {
                "url" => Value::from(ADDRESS),
                _ => minimal(kind),
            };
            Value::Object(
                always.map(|(name, fact)| (name.clone(), fill(name, &fact.kind))).collect::<Map<_, _>>(),
            )
        }
    }
}

/// Lays what is written over what is filled in; the items of lists are filled in too.
fn merge(facts: &mut Value, written: Value, kind: &FactType) {
    match (written, kind) {
        (Value::Object(written), FactType::Object(known)) => {
            if !facts.is_object() {
                *facts = minimal(kind);
            }
            for (name, value) in written {
                let any = FactType::Any;
                let kind = known.get(&name).map_or(&any, |fact| &fact.kind);
                merge(&mut facts[name.as_str()], value, kind);
            }
        }
        (Value::Array(items), FactType::List(kind)) => {
            let filled = items.into_iter().map(|item| {
                let mut filled = Value::Null;
                merge(&mut filled, item, kind);
                filled
            });
            *facts = filled.collect();
        }
        (written, _) => *facts = written,
    }
}

/// The last name of the path that a breach begins with, where it stands in the text after the names before it.
fn find(text: &str, breach: &str) -> std::ops::Range<usize> {
    let path = breach.split('`').nth(1).unwrap_or_default();
    let mut span = 0..0;
    for name in path.split('.') {
        let quoted = format!("\"{}\"", name.split('[').next().unwrap_or_default());
        match text[span.end..].find(&quoted) {
            Some(offset) => span = span.end + offset..span.end + offset + quoted.len(),
            None => break,
        }
    }
    span
}
