//! The type of a value, where one is stated.

use serde::Deserialize;
use serde_json::Number;
use serde_json::Value;

use super::times;
use super::times::TimeReader;
use crate::product::money;
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

/// Makes a value one of a type, or says why it is none. `format` is for dates; times bring theirs along.
pub(super) fn typed(
    value: Value,
    value_type: ValueType,
    format: Option<&str>,
    times: &TimeReader,
) -> Result<Value, String> {
    match value_type {
        ValueType::String => Ok(Value::String(match value {
            Value::String(text) => text,
            other => other.to_string(),
        })),
        ValueType::Number => number(&value).ok_or_else(|| format!("{} is no number", shown(&value))),
        ValueType::Bool => truth(&value)
            .map(Value::Bool)
            .ok_or_else(|| format!("{} is neither true nor false", shown(&value))),
        ValueType::Date => times::date(&value, format).map(|date| Value::String(date.to_string())),
        ValueType::Time => times.read(&value).map(|time| Value::String(time.to_string())),
    }
}

/// A number as JSON has it; whole ones without a fraction, so that they print as people write them.
pub(super) fn number(value: &Value) -> Option<Value> {
    let number = match value {
        Value::Number(_) => return Some(value.clone()),
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(whole) => return Some(Value::from(whole)),
            Err(_) => money::decimal(text)?,
        },
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    let whole = number as i64;
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "a whole number is exactly itself")]
    let same = whole as f64 == number;
    if same { Some(Value::from(whole)) } else { Number::from_f64(number).map(Value::Number) }
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
            (json!("Yes"), Bool, Ok(json!(true))),
            (json!(0), Bool, Ok(json!(false))),
            (json!("maybe"), Bool, Err("\"maybe\" is neither true nor false".to_owned())),
            (json!("1990-04-23"), Date, Ok(json!("1990-04-23"))),
            (json!("2026-01-31 18:00"), Time, Ok(json!("2026-01-31T18:00:00Z"))),
        ] {
            assert_eq!(typed(value, value_type, None, &TimeReader::default()), expected);
        }
    }
}
