//! Where given facts (a sample) do not keep the contract.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

use super::Fact;
use super::FactType;
use super::Presence;
use crate::catalog::nearest::nearest;

/// Unknown names, wrong types and missing facts, each with its path.
pub(in crate::catalog) fn find(kind: &FactType, facts: &Value) -> Vec<String> {
    let mut found = Vec::new();
    breaches(kind, facts, "", &mut found);
    found
}

fn breaches(kind: &FactType, value: &Value, path: &str, found: &mut Vec<String>) {
    let matches = match (kind, value) {
        (FactType::Any, _)
        | (FactType::Bool, Value::Bool(_))
        | (FactType::Number, Value::Number(_))
        | (FactType::Text, Value::String(_)) => true,
        (FactType::Integer, Value::Number(number)) => !number.is_f64(),
        (FactType::Date, Value::String(text)) => text.parse::<jiff::civil::Date>().is_ok(),
        (FactType::List(item), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                breaches(item, value, &format!("{path}[{index}]"), found);
            }
            true
        }
        (FactType::Object(fields), Value::Object(values)) => {
            object_breaches(fields, values, path, found);
            true
        }
        _ => false,
    };
    if !matches {
        found.push(format!("`{path}` must be {}", kind.describe()));
    }
}

fn object_breaches(
    fields: &BTreeMap<String, Fact>,
    values: &Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, value) in values {
        match fields.get(name) {
            None => {
                let near = nearest(name, fields.keys().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                found.push(format!("`{}` is not a fact{hint}", inner(name)));
            }
            Some(fact) if value.is_null() && fact.presence == Presence::Optional => {}
            Some(fact) => breaches(&fact.kind, value, &inner(name), found),
        }
    }
    for (name, fact) in fields {
        if fact.presence == Presence::Always && !values.contains_key(name) {
            found.push(format!("`{}` is missing", inner(name)));
        }
    }
}
