//! Names of files, folders, slots, options and offers: what may be one.

use std::ops::Range;

use crate::fault::Fault;
use crate::fault::SourceFile;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether `name` is lower-case letters, digits, `-` and `_`, starting with a letter or digit.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

/// Pushes a fault where `name` is none.
pub(super) fn check(file: &SourceFile, span: Range<usize>, what: &str, name: &str, faults: &mut Vec<Fault>) {
    if !is_name(name) {
        let message = format!("{what} cannot be `{name}`");
        let help = format!("use lower-case letters, digits, `-` and `_`, at most {NAME_BYTES_MAX}");
        faults.push(Fault::at(file, span, message).with_help(help));
    }
}

/// Whether `locale` is a language, perhaps with a script and a region: `de`, `de-AT`, `zh-Hant-TW`.
pub(crate) fn is_locale(locale: &str) -> bool {
    let mut parts = locale.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// `versus.de` → `versus` and `de`; `versus` → `versus` alone.
pub(super) fn split_locale(stem: &str) -> (&str, Option<&str>) {
    match stem.split_once('.') {
        Some((name, locale)) => (name, Some(locale)),
        None => (stem, None),
    }
}

/// How well a file's locale serves a person's: exactly (3), by its language (2), as the file for everybody (1);
/// `None` where it does not.
pub(super) fn locale_rank(of_file: Option<&str>, of_person: Option<&str>) -> Option<u8> {
    let Some(of_file) = of_file else { return Some(1) };
    let person = of_person?.replace('_', "-");
    if person.eq_ignore_ascii_case(of_file) {
        return Some(3);
    }
    let language = person.split('-').next().unwrap_or_default();
    language.eq_ignore_ascii_case(of_file).then_some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_locales_are_told_from_anything_else() {
        for good in ["versus", "2nd-look", "a_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Versus", "a b", "../x", "-a", "a+b", "é", "a.b"] {
            assert!(!is_name(bad), "{bad}");
        }
        for (locale, expected) in [
            ("de", true),
            ("de-AT", true),
            ("zh-Hant-TW", true),
            ("DE", false),
            ("german", false),
            ("de-", false),
        ] {
            assert_eq!(is_locale(locale), expected, "{locale}");
        }
    }

    #[test]
    fn a_locale_falls_back_to_its_language_and_then_to_the_file_for_everybody() {
        for (file, person, expected) in [
            (Some("de-AT"), Some("de-AT"), Some(3)),
            (Some("de-AT"), Some("de_at"), Some(3)),
            (Some("de"), Some("de-AT"), Some(2)),
            (Some("de-AT"), Some("de"), None),
            (Some("de"), Some("fr"), None),
            (Some("de"), None, None),
            (None, Some("fr"), Some(1)),
            (None, None, Some(1)),
        ] {
            assert_eq!(locale_rank(file, person), expected, "{file:?} {person:?}");
        }
    }
}
