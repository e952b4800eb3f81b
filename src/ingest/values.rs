//! The type of a value, where one is stated.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

use super::times::TimeReader;
use crate::product::money;
use crate::product::money::NoNumber;
use crate::product::money::Written;
use crate::words::shortened;

/// How much of a bad value a reason repeats.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Text.
    String,
    /// A number, also as people write amounts: `1,234.50`.
    Number,
    /// True or false: `yes`, `no`, `1`, `0` … too.
    Bool,
    /// A calendar date, kept as `1990-04-23`.
    Date,
    /// A time, kept in RFC 3339.
    Time,
}

/// Makes a value one of a type, or says why it is none. `format` is for dates, where they have one of their own.
pub(super) fn typed(
    value: Value,
    value_type: ValueType,
    format: Option<&str>,
    times: &TimeReader,
    written: Written,
) -> Result<Value, String> {
    match value_type {
        ValueType::String => match value {
            Value::Array(_) => Err(format!("{} is a list, not a text", shown(&value))),
            Value::Object(_) => Err(format!("{} is an object, not a text", shown(&value))),
            Value::String(text) => Ok(Value::String(text)),
            other => Ok(Value::String(other.to_string())),
        },
        ValueType::Number => number(&value, written),
        ValueType::Bool => truth(&value)
            .map(Value::Bool)
            .ok_or_else(|| format!("{} is neither true nor false", shown(&value))),
        ValueType::Date => times.date(&value, format).map(|date| Value::String(date.to_string())),
        ValueType::Time => times.read(&value).map(|time| Value::String(time.to_string())),
    }
}

/// Makes traits what they are declared to be. Those that are not are taken out; their reasons are returned.
pub(super) fn typed_traits(
    traits: &mut Map<String, Value>,
    types: &BTreeMap<String, ValueType>,
    times: &TimeReader,
    written: Written,
) -> Vec<String> {
    let mut reasons = Vec::new();
    for (name, value_type) in types {
        let Some(value) = traits.get_mut(name).filter(|value| !value.is_null()) else { continue };
        if *value_type != ValueType::String && value.as_str().is_some_and(|text| text.trim().is_empty()) {
            traits.remove(name);
            continue;
        }
        match typed(value.take(), *value_type, None, times, written) {
            Ok(typed) => *value = typed,
            Err(reason) => {
                traits.remove(name);
                reasons.push(format!(
                    "{name}: {reason}; [traits] of bespoke.toml declares {}",
                    value_type.declared()
                ));
            }
        }
    }
    reasons
}

impl ValueType {
    /// What a trait of this type must be.
    fn declared(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Date => "a date, such as 1990-04-23",
            Self::Time => "a time",
        }
    }
}

/// A number as JSON has it; whole ones without a fraction, so that they print as people write them.
pub(super) fn number(value: &Value, written: Written) -> Result<Value, String> {
    let no_number = || format!("{} is no number", shown(value));
    let number = match value {
        Value::Number(_) => return Ok(value.clone()),
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(whole) => return Ok(Value::from(whole)),
            Err(_) => match (money::read(text, written), written) {
                (Ok(number), _) => number,
                (Err(NoNumber::Ambiguous), Written::Amount(digits)) => return Err(ambiguous(text, digits)),
                (Err(_), _) => return Err(no_number()),
            },
        },
        _ => return Err(no_number()),
    };
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "a whole number is exactly itself")]
    let same = whole as f64 == number;
    if same {
        Ok(Value::from(whole))
    } else {
        Number::from_f64(number).map(Value::Number).ok_or_else(no_number)
    }
}

/// What is said of an amount in a file that may be two.
pub(super) fn ambiguous(text: &str, digits: u32) -> String {
    let told = money::ambiguous(text, digits);
    format!("{told}, or state `decimal = \",\"` or `decimal = \".\"` under [number] in the map")
}

/// Whether a value may be two numbers, depending on who reads it.
pub(super) fn is_ambiguous(value: &Value, written: Written) -> bool {
    value.as_str().is_some_and(|text| money::read(text, written) == Err(NoNumber::Ambiguous))
}

/// Reads yes and no as files write them.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_i64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" | "on" => Some(true),
            "false" | "no" | "n" | "f" | "0" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A value as a reason shows it: short, in quotes, control characters escaped.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{:?}", shortened(&text, SHOWN_CHARACTERS_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_their_type_or_say_why_not() {
        use ValueType::*;
        for (value, value_type, expected) in [
            (json!("12.50"), Number, Ok(json!(12.5))),
            (json!("2.0"), Number, Ok(json!(2))),
            (json!("007"), Number, Ok(json!(7))),
            (json!("1,234.5"), Number, Ok(json!(1234.5))),
            (json!(true), Number, Err("\"true\" is no number".to_owned())),
            (json!("free"), Number, Err("\"free\" is no number".to_owned())),
            (json!(7), String, Ok(json!("7"))),
            (json!(["a"]), String, Err("\"[\\\"a\\\"]\" is a list, not a text".to_owned())),
            (json!("Yes"), Bool, Ok(json!(true))),
            (json!(0), Bool, Ok(json!(false))),
            (json!("maybe"), Bool, Err("\"maybe\" is neither true nor false".to_owned())),
            (json!("1990-04-23"), Date, Ok(json!("1990-04-23"))),
            (json!("2026-01-31 18:00"), Time, Ok(json!("2026-01-31T18:00:00Z"))),
        ] {
            assert_eq!(typed(value, value_type, None, &TimeReader::default(), Written::Number), expected);
        }
    }
}
