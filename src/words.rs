//! Numbers with their nouns, and long texts, as people read them.

use std::borrow::Cow;
use std::fmt;

/// `1 mail`, `2 mails`, `1,234 mails`.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> Counted<'_> {
    Counted { count: count.try_into().unwrap_or(u64::MAX), noun }
}

/// The noun alone, in the number that goes with `count`.
pub(crate) fn noun(count: impl TryInto<u64>, noun: &str) -> String {
    if count.try_into().unwrap_or(u64::MAX) == 1 { noun.to_owned() } else { plural(noun) }
}

/// A number and what is counted.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    count: u64,
    noun: &'a str,
}

impl Counted<'_> {
    /// The number.
    pub fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", grouped(&self.count.to_string()), noun(self.count, self.noun))
    }
}

/// The text, or its first `chars_max` characters with an ellipsis.
pub(crate) fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => Cow::Owned(format!("{}…", text[..end].trim_end())),
        None => Cow::Borrowed(text),
    }
}

/// Digits with commas between thousands: `1,234,567`.
pub(crate) fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn plural(noun: &str) -> String {
    match (noun, noun.strip_suffix('y')) {
        ("person", _) => "people".to_owned(),
        ("was", _) => "were".to_owned(),
        ("has", _) => "have".to_owned(),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        _ if noun.ends_with('s') => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_is_plural() {
        for (count, noun, expected) in [
            (0, "mail", "0 mails"),
            (1, "mail", "1 mail"),
            (2, "person", "2 people"),
            (1, "person", "1 person"),
            (3, "campaign day", "3 campaign days"),
            (2, "reply", "2 replies"),
            (2, "address", "2 addresses"),
            (999, "row", "999 rows"),
            (1_000, "row", "1,000 rows"),
            (1_234_567, "row", "1,234,567 rows"),
        ] {
            assert_eq!(counted(count, noun).to_string(), expected);
        }
        assert_eq!((noun(1_u32, "was"), noun(0_u32, "was")), ("was".to_owned(), "were".to_owned()));
    }
}
