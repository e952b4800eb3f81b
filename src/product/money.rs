//! Amounts: from the decimal major units that people and Segment write to whole minor units.

use serde_json::Map;
use serde_json::Value;

use crate::words::shortened;

/// The largest amount that is believed, in major units; more is a typing error and is not an amount.
const MAJOR_UNITS_MAX: f64 = 1e12;
/// How much of a bad amount a reason repeats.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// How many decimal digits the minor unit of a currency has (ISO 4217); 2 for most, and where none is stated.
pub fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Rounds major units to minor ones, halves away from zero. `None` for what is no believable amount.
///
/// 2.675 is stored as 2.67499…; the last factor lifts such a half over the edge it was written on.
pub fn to_minor(major: f64, digits: u32) -> Option<i64> {
    if !major.is_finite() || major.abs() > MAJOR_UNITS_MAX {
        return None;
    }
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(2));
    #[expect(clippy::cast_possible_truncation, reason = "bounded by MAJOR_UNITS_MAX · 10⁴, far under 2⁶³")]
    let minor = (major * scale * (1.0 + 1e-12)).round() as i64;
    Some(minor)
}

/// The currency of a shop that states none.
pub const EURO: &str = "EUR";

/// Properties of events, of their lines and of what requests bring along that are money: major units there (Segment),
/// minor units in the facts.
pub const FIELDS: [&str; 8] =
    ["price", "total", "subtotal", "revenue", "shipping", "tax", "discount", "value"];

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As people write numbers: one comma before exactly three digits parts thousands.
    Number,
    /// As an amount of a currency whose minor unit has so many digits. In most, three digits behind the only point or
    /// comma are no fraction that the currency has, and may be either.
    Amount(u32),
    /// With this decimal sign, whatever else parts thousands.
    With(char),
}

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoNumber {
    /// It says something else.
    Text,
    /// It says two numbers, depending on who reads it: `1.299`.
    Ambiguous,
}

/// Reads a number as people write amounts: `12.5`, `1,234.50`, `1.234,50`, `£ 9.99`, `12,50 €`.
///
/// The last of point and comma is the decimal one; `written` says what a single one before three digits is.
pub fn read(text: &str, written: Written) -> Result<f64, NoNumber> {
    let unit = |c: char| {
        c.is_whitespace()
            || c.is_alphabetic()
            || matches!(c, '$' | '¢' | '£' | '¤' | '¥' | '\u{20a0}'..='\u{20cf}')
    };
    let bare = text.trim().trim_matches(unit);
    let (sign, bare) = match bare.strip_prefix(['-', '−']) {
        Some(rest) => (-1.0, rest.trim_start_matches(unit)),
        None => (1.0, bare.strip_prefix('+').unwrap_or(bare)),
    };
    let point = decimal_point(bare, written);
    // A program's number, such as 1e2: its point is the decimal one.
    if point.is_ok_and(|at| !bare[at..].starts_with(',') && !bare[..at].contains('.'))
        && let Ok(number) = text.trim().parse::<f64>()
    {
        return if number.is_finite() { Ok(number) } else { Err(NoNumber::Text) };
    }
    let point = point?;
    let mut digits = String::with_capacity(bare.len());
    for (index, character) in bare.char_indices() {
        match character {
            '0'..='9' => digits.push(character),
            _ if index == point => digits.push('.'),
            '.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}' => {}
            _ => return Err(NoNumber::Text),
        }
    }
    digits
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(|number| sign * number)
        .ok_or(NoNumber::Text)
}

/// Reads a number of which nothing is known: [`Written::Number`].
pub fn decimal(text: &str) -> Option<f64> {
    read(text, Written::Number).ok()
}

/// Where the decimal point stands, the end of the text when there is none.
fn decimal_point(text: &str, written: Written) -> Result<usize, NoNumber> {
    if let Written::With(sign) = written {
        let at = text.find(sign).unwrap_or(text.len());
        let (whole, fraction) = text.split_at(at);
        // What parts thousands stands before three digits each: `12.5` is not 125 because the sign is said to be a comma.
        let parted = whole.split(['.', ',']).skip(1).all(|digits| digits.len() == 3);
        let once =
            !fraction.trim_start_matches(sign).contains(['.', ',']) && fraction.matches(sign).count() <= 1;
        return if parted && once { Ok(at) } else { Err(NoNumber::Text) };
    }
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let Some(at) = text.rfind(['.', ',']) else { return Ok(text.len()) };
    let mark = &text[at..=at];
    match (points, commas) {
        (1, 0) | (0, 1) if !before_three(text, at) => Ok(at),
        (1, 0) | (0, 1) => match (written, mark) {
            (Written::Number, ",") | (Written::Amount(0), _) => Ok(text.len()),
            (Written::Amount(digits), _) if digits != 3 || mark == "," => Err(NoNumber::Ambiguous),
            _ => Ok(at),
        },
        (0, _) | (_, 0) => Ok(text.len()),
        _ if text.matches(mark).count() == 1 => Ok(at),
        _ => Err(NoNumber::Text),
    }
}

/// Whether a mark stands where one that parts thousands would: behind one to three digits, before exactly three.
fn before_three(text: &str, at: usize) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = (&text[..at], &text[at + 1..]);
    fraction.len() == 3
        && (1..=3).contains(&whole.len())
        && !whole.starts_with('0')
        && is_number(whole)
        && is_number(fraction)
}

/// An amount in major units: a number, or a text that can be read in one way only.
pub fn major(value: &Value, digits: u32) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => read(text, Written::Amount(digits)).ok(),
        _ => None,
    }
}

/// What is said of an amount that can be read in two ways.
pub fn ambiguous(text: &str, digits: u32) -> String {
    let [thousands, fraction] = [',', '.'].map(|sign| {
        let point = text.replace(',', ".");
        read(&point, Written::With(sign)).unwrap_or_default()
    });
    let digits = usize::try_from(digits).unwrap_or(2);
    format!(
        "{:?} may be {thousands} or {fraction}; write {thousands:.digits$} or {fraction:.digits$}, without a sign \
         between thousands",
        shortened(text, SHOWN_CHARACTERS_MAX)
    )
}

/// What is said besides of one of [`FIELDS`]: that its name makes it money.
pub fn by_name(field: &str) -> String {
    format!("`{field}` is money: a number that is not needs another name")
}

/// The first of [`FIELDS`], here or in one of `products`, that can be read in two ways: where it stands, and what to
/// write instead.
pub fn unclear(data: &Map<String, Value>, digits: u32) -> Option<String> {
    let fault = |fields: &Map<String, Value>, place: &str| {
        FIELDS.into_iter().find_map(|name| {
            let text = fields.get(name)?.as_str()?;
            let told = || format!("{place}{name}: {}; {}", ambiguous(text, digits), by_name(name));
            (read(text, Written::Amount(digits)) == Err(NoNumber::Ambiguous)).then(told)
        })
    };
    let lines = data.get("products").and_then(Value::as_array).into_iter().flatten().enumerate();
    fault(data, "").or_else(|| {
        lines
            .filter_map(|(index, line)| Some((index, line.as_object()?)))
            .find_map(|(index, line)| fault(line, &format!("products[{index}].")))
    })
}

/// Brings what an event or a request says to what templates see: [`FIELDS`], here and in each of `products`, from
/// major to minor units. What is no amount stays as it is.
pub fn in_minor_units(data: &mut Map<String, Value>, digits: u32) {
    let convert = |fields: &mut Map<String, Value>| {
        for name in FIELDS {
            if let Some(field) = fields.get_mut(name)
                && let Some(minor) = major(field, digits).and_then(|major| to_minor(major, digits))
            {
                *field = Value::from(minor);
            }
        }
    };
    convert(data);
    let lines = data.get_mut("products").and_then(Value::as_array_mut);
    lines.into_iter().flatten().filter_map(Value::as_object_mut).for_each(convert);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, expected) in [
            ("12.5", Some(12.5)),
            (" -3 ", Some(-3.0)),
            ("1e2", Some(100.0)),
            ("1,234.50", Some(1234.5)),
            ("1.234,50", Some(1234.5)),
            ("1,234", Some(1234.0)),
            ("0,125", Some(0.125)),
            ("12,50 €", Some(12.5)),
            ("£ 9.99", Some(9.99)),
            ("−£9.99", Some(-9.99)),
            ("1'234'567.8", Some(1_234_567.8)),
            ("1.234.567", Some(1_234_567.0)),
            ("USD 4", Some(4.0)),
            ("", None),
            ("free", None),
            ("1,2.3,4", None),
            ("NaN", None),
            ("inf", None),
            ("12-50", None),
        ] {
            assert_eq!(decimal(text), expected, "{text:?}");
        }
    }

    #[test]
    fn three_digits_behind_the_only_mark_are_read_by_the_currency() {
        use NoNumber::{Ambiguous, Text};
        for (text, written, expected) in [
            ("1.299", Written::Amount(2), Err(Ambiguous)),
            ("1,299", Written::Amount(2), Err(Ambiguous)),
            ("-12,500 €", Written::Amount(2), Err(Ambiguous)),
            ("EUR 1.299", Written::Amount(4), Err(Ambiguous)),
            ("1.299", Written::Amount(0), Ok(1299.0)),
            ("1,299", Written::Amount(0), Ok(1299.0)),
            ("1.299", Written::Amount(3), Ok(1.299)),
            ("1,299", Written::Amount(3), Err(Ambiguous)),
            ("0.299", Written::Amount(2), Ok(0.299)),
            ("0,299", Written::Amount(2), Ok(0.299)),
            ("1299", Written::Amount(2), Ok(1299.0)),
            ("1299.000", Written::Amount(2), Ok(1299.0)),
            ("1.299,00", Written::Amount(2), Ok(1299.0)),
            ("1.299.000", Written::Amount(2), Ok(1_299_000.0)),
            ("1.2990", Written::Amount(2), Ok(1.299)),
            ("1.2e3", Written::Amount(2), Ok(1200.0)),
            ("1.299", Written::Number, Ok(1.299)),
            ("1.299", Written::With(','), Ok(1299.0)),
            ("1,299", Written::With(','), Ok(1.299)),
            ("1.299", Written::With('.'), Ok(1.299)),
            ("1,299", Written::With('.'), Ok(1299.0)),
            ("1,2,3", Written::With(','), Err(Text)),
            ("12.5", Written::With(','), Err(Text)),
            ("1.234.567,5", Written::With(','), Ok(1_234_567.5)),
        ] {
            assert_eq!(read(text, written), expected, "{text:?} {written:?}");
        }
        assert_eq!(
            ambiguous("1.299", 2),
            "\"1.299\" may be 1299 or 1.299; write 1299.00 or 1.30, without a sign between thousands"
        );
    }

    #[test]
    fn the_money_of_a_request_becomes_minor_units_and_nothing_else_does() {
        let mut data = json!({
            "order_id": 12, "total": 24, "shipping": "3,50", "value": "blue", "tax": null, "amount": 5,
            "products": [{"product_id": "p", "quantity": 2, "price": 12, "list_price": 13}, "p", 7],
            "nested": {"price": 1},
        });
        in_minor_units(data.as_object_mut().unwrap(), 2);
        let expected = json!({
            "order_id": 12, "total": 2400, "shipping": 350, "value": "blue", "tax": null, "amount": 5,
            "products": [{"product_id": "p", "quantity": 2, "price": 1200, "list_price": 13}, "p", 7],
            "nested": {"price": 1},
        });
        assert_eq!(data, expected);
        let unclear = |data: Value| unclear(data.as_object().unwrap(), 2);
        assert_eq!(unclear(json!({"total": "12.50", "products": [{"price": 1.299}]})), None);
        let told = unclear(json!({"products": [{}, {"price": "1,299"}]})).unwrap();
        assert!(told.starts_with("products[1].price: \"1,299\" may be 1299 or 1.299; write "), "{told}");
        let told = unclear(json!({"value": "123.456"})).unwrap();
        let expected = "value: \"123.456\" may be 123456 or 123.456; write 123456.00 or 123.46, without a sign between \
                        thousands; `value` is money: a number that is not needs another name";
        assert_eq!(told, expected);
    }

    #[test]
    fn major_units_are_rounded_to_the_currency() {
        for (major, currency, expected) in [
            (2.675, "GBP", Some(268)),
            (-2.675, "GBP", Some(-268)),
            (0.1 + 0.2, "EUR", Some(30)),
            (1234.0, "JPY", Some(1234)),
            (1.2345, "KWD", Some(1235)),
            (1e13, "EUR", None),
            (f64::NAN, "EUR", None),
        ] {
            assert_eq!(to_minor(major, minor_digits(currency)), expected, "{major} {currency}");
        }
    }
}
