//! The TOML of campaigns, heads and offers, and places in it.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;

use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::toml_text;

/// Reads the TOML that stands at `range` of `file`. All faults are pushed; `None` when there was any.
pub(super) fn parse<T: DeserializeOwned>(
    file: &SourceFile,
    range: Range<usize>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let offset = range.start;
    let read = toml_text::read::<T>(file.text.get(range)?);
    let whole = read.faults.is_empty();
    faults.extend(read.faults.into_iter().map(|found| {
        let span = found.span.start + offset..found.span.end + offset;
        Fault { help: found.help_or(toml_text::REFERENCE), ..Fault::at(file, span, found.message) }
    }));
    read.value.filter(|_| whole)
}

/// The place in `file` of `within`, a range of the text that the TOML string at `value` stands for; the whole
/// string where it holds escapes.
pub(super) fn inside_string(
    file: &SourceFile,
    value: &Range<usize>,
    text: &str,
    within: &Range<usize>,
) -> Range<usize> {
    let Some(written) = file.text.get(value.clone()) else { return value.clone() };
    match written.find(text) {
        Some(start) if !text.is_empty() => {
            value.start + start + within.start..value.start + start + within.end
        }
        _ => value.clone(),
    }
}

/// Moves the places of a head's values from the head's text to its file.
pub(super) fn shift<T>(value: &Spanned<T>, offset: usize) -> Range<usize> {
    value.span().start + offset..value.span().end + offset
}

/// Where the value at `path` stands in a file that is TOML; its start where there is none.
pub(super) fn place(file: &SourceFile, path: &[&str]) -> Range<usize> {
    toml_text::place(&file.text, path).unwrap_or(0..0)
}
