//! A batch of rows as one JSON text, and values that are bound one by one.

use serde::Serialize;
use serde_json::Value;

/// Most rows that one statement takes; methods cut larger batches themselves, inside their transaction.
pub(super) const ROWS_PER_STATEMENT_MAX: usize = 1_000;

/// A value to bind. NUL, which PostgreSQL cannot keep in a text, becomes U+FFFD on both databases.
#[derive(Debug, Clone)]
pub(super) enum Arg {
    /// Text, or null.
    Text(Option<String>),
    /// A number, or null.
    Integer(Option<i64>),
    /// A real number.
    Real(f64),
    /// The bytes that `{heap:NAME}` points into.
    Bytes(Vec<u8>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.replace('\0', "\u{fffd}")))
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::from)
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Integer(Some(i64::from(number)))
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        Self::Integer(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<f64> for Arg {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<jiff::Timestamp> for Arg {
    fn from(at: jiff::Timestamp) -> Self {
        Self::Integer(Some(at.as_millisecond()))
    }
}

impl From<Heap> for Arg {
    fn from(heap: Heap) -> Self {
        Self::Bytes(heap.0)
    }
}

impl From<Rows> for Arg {
    fn from(rows: Rows) -> Self {
        Self::Text(Some(rows.0))
    }
}

/// The JSON text that `{rows}` reads.
#[derive(Debug, Clone)]
pub(super) struct Rows(String);

impl Rows {
    /// One JSON array of `rows`. Every row is a plain struct, list or text, so it always has a JSON form.
    pub(super) fn of<T: Serialize>(rows: &[T]) -> Self {
        let text = serde_json::to_string(rows).expect("rows of texts and numbers have a JSON form");
        Self(if text.contains("\\u0000") { without_nul(&text) } else { text })
    }
}

/// Long texts of a batch, end to end, bound as bytes: written as JSON text within JSON text, they would be escaped,
/// parsed and unescaped for nothing. The rows hold where each begins and how long it is.
#[derive(Debug, Default)]
pub(super) struct Heap(Vec<u8>);

/// From which byte, counted from 1, and how many bytes. In a row it is what `{heap:NAME}` reads.
pub(super) type HeapText = (usize, usize);

impl Heap {
    /// Appends the JSON text of `value`, which is a map or a struct, so it always has one.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> HeapText {
        let from = self.0.len();
        serde_json::to_writer(&mut self.0, value).expect("maps and structs have a JSON form");
        (from + 1, self.0.len() - from)
    }
}

/// Rare, so it may be slow: parses, replaces NUL in every text, writes again.
fn without_nul(text: &str) -> String {
    fn clean(value: &mut Value) {
        match value {
            Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
            Value::Array(items) => items.iter_mut().for_each(clean),
            Value::Object(fields) => fields.values_mut().for_each(clean),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(text).expect("it was written by serde_json just now");
    clean(&mut value);
    value.to_string()
}

/// The arguments of a statement, in the order of their numbers.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::batch::Arg::from($value)),*] };
}
pub(super) use args;

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn nul_becomes_a_replacement_character_and_escaped_text_stays() {
        for (rows, expected) in [
            (vec!["a\0b"], "[\"a\u{fffd}b\"]"),
            (vec!["{\"inner\":\"\\u0000\"}"], "[\"{\\\"inner\\\":\\\"\\\\u0000\\\"}\"]"),
            (vec!["plain"], "[\"plain\"]"),
        ] {
            assert_eq!(Rows::of(&rows).0, expected);
        }
    }
}
