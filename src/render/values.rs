//! Facts as template values: cleaned of what has no place in a mail.

use std::borrow::Cow;

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap as _;
use serde_json::Value as Json;
use tera::Value;

use super::output::is_bidi_control;

/// Turns a fact into a template value.
///
/// - `null` in an object is as good as absent, so that it is never printed as nothing.
/// - Control characters other than tab and line end, and characters that turn the direction of the text after them,
///   are taken out of texts; all line ends become `\n`.
/// - Whole numbers stay whole when they were written `5.0`.
pub(super) fn convert(fact: &Json) -> Value {
    Value::from_serializable(&Fact(fact))
}

/// Every other way into Tera's values hashes each name twice.
struct Fact<'a>(&'a Json);

impl Serialize for Fact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(flag) => serializer.serialize_bool(*flag),
            Json::Number(number) => serialize_number(number, serializer),
            Json::String(text) => serializer.serialize_str(&clean(text)),
            Json::Array(items) => serializer.collect_seq(items.iter().map(Fact)),
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                    map.serialize_entry(&Name(name), &Fact(value))?;
                }
                map.end()
            }
        }
    }
}

/// The name of a field. The common ones need no memory of their own: to Tera they are the words of an enum.
struct Name<'a>(&'a str);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match COMMON_NAMES.binary_search(&self.0) {
            Ok(index) => serializer.serialize_unit_variant("Name", 0, COMMON_NAMES[index]),
            // A name of somebody's data can be printed, as a value can.
            Err(_) => serializer.serialize_str(&clean(self.0)),
        }
    }
}

/// Names that most facts have, in order.
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

fn serialize_number<S: Serializer>(number: &serde_json::Number, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(whole) = number.as_i64() {
        return serializer.serialize_i64(whole);
    }
    if let Some(whole) = number.as_u64() {
        return serializer.serialize_u64(whole);
    }
    let float = number.as_f64().unwrap_or_default();
    // Below 2^53 every whole float is exact.
    if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return serializer.serialize_i64(float as i64);
    }
    serializer.serialize_f64(float)
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
            let value = convert(&json!({ name: 1 }));
            assert_eq!(value.as_map().and_then(|map| map.get(&name.into())), Some(&Value::from(1)), "{name}");
        }
        let value = convert(&json!({ "a\u{2}b": 1 }));
        assert_eq!(value.as_map().and_then(|map| map.get(&"ab".into())), Some(&Value::from(1)), "no marks");
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
