//! Facts as template values: cleaned of what has no place in a mail.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use tera::Value;
use tera::value::Key;

use super::output::is_bidi_control;

/// Turns a fact into a template value.
///
/// - `null` in an object is as good as absent, so that it is never printed as nothing.
/// - Control characters other than tab and line end, and characters that turn the direction of the text after them,
///   are taken out of texts; all line ends become `\n`.
/// - Whole numbers stay whole when they were written `5.0`.
pub(super) fn convert(fact: &Json) -> Value {
    match fact {
        Json::Null => Value::none(),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => convert_number(number),
        Json::String(text) => Value::from(clean(text).as_ref()),
        Json::Array(items) => Value::from(items.iter().map(convert).collect::<Vec<Value>>()),
        // Tera hashes every name of whatever map it is given. This one comes in order, and costs next to nothing.
        Json::Object(fields) => {
            let present = fields.iter().filter(|(_, value)| !value.is_null());
            Value::from(present.map(|(name, value)| (key(name), convert(value))).collect::<BTreeMap<_, _>>())
        }
    }
}

/// Names that most facts have, in order: they need no memory of their own.
const COMMON_NAMES: [&str; 24] = [
    "category",
    "consent",
    "created_at",
    "currency",
    "description",
    "email",
    "first_name",
    "id",
    "image_url",
    "items",
    "last_name",
    "list_price",
    "locale",
    "name",
    "price",
    "product",
    "product_id",
    "quantity",
    "time_zone",
    "title",
    "total",
    "url",
    "value",
    "values",
];

fn key(name: &str) -> Key<'static> {
    match COMMON_NAMES.binary_search(&name) {
        Ok(index) => Key::Str(COMMON_NAMES[index]),
        Err(_) => Key::String(Arc::from(name)),
    }
}

fn convert_number(number: &serde_json::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    if let Some(whole) = number.as_u64() {
        return Value::from(whole);
    }
    let float = number.as_f64().unwrap_or_default();
    // Below 2^53 every whole float is exact.
    if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::from(float as i64);
    }
    Value::from(float)
}

fn clean(text: &str) -> Cow<'_, str> {
    let unclean = |c: char| (c.is_control() && !matches!(c, '\t' | '\n')) || is_bidi_control(c);
    // Nearly every text is plain: look at bytes first. 0xc2 starts the C1 controls, 0xe2 the direction controls.
    let suspicious =
        |byte: u8| (byte < b' ' && byte != b'\t' && byte != b'\n') || matches!(byte, 0x7f | 0xc2 | 0xe2);
    if !text.bytes().any(suspicious) || !text.chars().any(unclean) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\r' {
            if characters.peek() != Some(&'\n') {
                out.push('\n');
            }
        } else if !unclean(c) {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_cleaned_and_everything_printable_stays() {
        for (text, expected) in [
            ("a\u{0}\u{1}\u{7f}\u{9b}b", "ab"),
            ("a\r\nb\rc\td", "a\nb\nc\td"),
            ("\u{202e}evil\u{2066}", "evil"),
            ("👩‍👧 שלום é «“”»", "👩‍👧 שלום é «“”»"),
            ("{{ 7*7 }}<script>", "{{ 7*7 }}<script>"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn common_names_are_found_by_their_order() {
        assert!(COMMON_NAMES.is_sorted());
        for name in COMMON_NAMES.into_iter().chain(["a", "shoe_size", "zone", "ÿ"]) {
            assert_eq!(key(name).as_str(), Some(name));
        }
    }

    #[test]
    fn null_is_absent_and_whole_numbers_are_whole() {
        let value = convert(&json!({"a": null, "b": 5.0, "c": 5.5, "d": u64::MAX, "e": [null, true]}));
        let map = value.as_map().expect("a map");
        assert!(map.get(&"a".into()).is_none());
        let shown: Vec<String> = ["b", "c", "d", "e"]
            .into_iter()
            .map(|name| map.get(&name.into()).expect("a field").to_string())
            .collect();
        assert_eq!(shown, ["5", "5.5", "18446744073709551615", "[, true]"]);
    }
}
