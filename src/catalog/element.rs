//! Finds our own elements in a text that is MJML with Tera tags, without parsing the MJML.

use std::ops::Range;

/// The elements that composition understands.
const NAMES: [&str; 3] = ["mj-block", "mj-slot", "mj-content"];

/// One of our elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// From `<` to the end of `/>` or of its closing tag.
    pub(super) range: Range<usize>,
    pub(super) attributes: Vec<Attribute>,
}

/// One attribute of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) name_range: Range<usize>,
    /// Between the quotes.
    pub(super) value: Range<usize>,
}

/// One of our elements that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// All of our elements in `range` of `text`, in order, up to the first that cannot be read. What stands in
/// `<!-- comments -->` and in Tera tags is left alone.
pub(super) fn find(text: &str, range: Range<usize>) -> Vec<Result<Element, Broken>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let rest = &text[at..range.end];
        if let Some(skipped) = skip_opaque(rest) {
            at += skipped;
        } else if let Some(name) = starts_element(rest) {
            match element(text, at, range.end, name) {
                Ok(element) => {
                    at = element.range.end;
                    found.push(Ok(element));
                }
                Err(broken) => {
                    found.push(Err(broken));
                    return found;
                }
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}

/// All `[[name]]` in `range` of `text`.
pub(super) fn placeholders(text: &str, range: Range<usize>) -> Vec<(String, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = range.start;
    while let Some(offset) = text[at..range.end].find("[[") {
        let start = at + offset;
        let name_start = start + 2;
        let length = text[name_start..range.end]
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
        let end = name_start + length;
        let starts_word = text[name_start..end].starts_with(|first: char| first.is_ascii_alphabetic());
        if starts_word && text[end..range.end].starts_with("]]") {
            found.push((text[name_start..end].to_owned(), start..end + 2));
            at = end + 2;
        } else {
            at = start + 1;
        }
    }
    found
}

/// Length of a comment or Tera tag that `rest` starts with.
fn skip_opaque(rest: &str) -> Option<usize> {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return Some(4 + comment.find("-->").map_or(comment.len(), |end| end + 3));
    }
    if let Some(comment) = rest.strip_prefix("{#") {
        return Some(2 + comment.find("#}").map_or(comment.len(), |end| end + 2));
    }
    let close = if rest.starts_with("{{") {
        "}}"
    } else if rest.starts_with("{%") {
        "%}"
    } else {
        return None;
    };
    Some(tag_length(rest, close))
}

/// A tag ends at the first closing delimiter outside its strings.
fn tag_length(rest: &str, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (offset, character) in rest.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            None if matches!(character, '"' | '\'' | '`') => quote = Some(character),
            None if rest[offset..].starts_with(close) => return offset + 2,
            _ => {}
        }
    }
    rest.len()
}

fn starts_element(rest: &str) -> Option<&'static str> {
    let after = rest.strip_prefix('<')?;
    NAMES.into_iter().find(|name| {
        after.strip_prefix(*name).is_some_and(|next| {
            next.starts_with(|character: char| character.is_whitespace() || matches!(character, '/' | '>'))
        })
    })
}

fn element(text: &str, start: usize, end: usize, name: &'static str) -> Result<Element, Broken> {
    let mut at = start + 1 + name.len();
    let broken = |span: Range<usize>, message: String, help| Err(Broken { span, message, help });
    let mut attributes: Vec<Attribute> = Vec::new();
    loop {
        at += whitespace(&text[at..end]);
        let rest = &text[at..end];
        if rest.starts_with("/>") {
            return Ok(Element { name: name.to_owned(), range: start..at + 2, attributes });
        }
        if let Some(inner) = rest.strip_prefix('>') {
            let gap = whitespace(inner);
            let closing = format!("</{name}>");
            if inner[gap..].starts_with(&closing) {
                let range = start..at + 1 + gap + closing.len();
                return Ok(Element { name: name.to_owned(), range, attributes });
            }
            let help = "end it with `/>`; put what it should hold into a block or an option";
            return broken(start..at + 1, format!("`<{name}>` holds nothing"), help);
        }
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
        if length == 0 {
            return broken(
                start..at.max(start + 1),
                format!("`<{name}` is never closed"),
                "end it with `/>`",
            );
        }
        let name_range = at..at + length;
        let attribute = text[name_range.clone()].to_owned();
        at += length;
        at += whitespace(&text[at..end]);
        if !text[at..end].starts_with('=') {
            return broken(name_range, format!("`{attribute}` has no value"), "write `name=\"value\"`");
        }
        at += 1;
        at += whitespace(&text[at..end]);
        let Some(quote) = text[at..end].chars().next().filter(|quote| matches!(quote, '"' | '\'')) else {
            return broken(
                name_range,
                format!("the value of `{attribute}` is not in quotes"),
                "write `name=\"value\"`",
            );
        };
        let Some(length) = value_length(&text[at + 1..end], quote) else {
            return broken(
                at..at + 1,
                format!("the quote of `{attribute}` is never closed"),
                "close the quote",
            );
        };
        if attributes.iter().any(|known| known.name == attribute) {
            return broken(name_range, format!("`{attribute}` is written twice"), "keep one of them");
        }
        attributes.push(Attribute { name: attribute, name_range, value: at + 1..at + 1 + length });
        at += length + 2;
    }
}

fn whitespace(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Bytes up to the closing quote; quotes inside Tera tags do not close.
fn value_length(text: &str, quote: char) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quote) {
            return Some(at);
        }
        at += match skip_opaque(rest) {
            Some(skipped) if rest.starts_with('{') => skipped,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_elements_are_found_outside_comments_and_tera_tags() {
        let text = r#"é<!-- <mj-block name="no" /> -->{# <mj-slot #}{{ "<mj-slot" }}<mj-block name="a" t='{{ x | d(v='"') }}'/><mj-blocks/>
            <mj-slot name="s"></mj-slot><mj-content/>"#;
        let found: Vec<(String, Vec<(String, &str)>)> = find(text, 0..text.len())
            .into_iter()
            .map(|element| {
                let element = element.unwrap();
                let attributes = element.attributes.into_iter();
                (element.name, attributes.map(|a| (a.name, &text[a.value])).collect())
            })
            .collect();
        let name = |name: &str| name.to_owned();
        assert_eq!(
            found,
            [
                (name("mj-block"), vec![(name("name"), "a"), (name("t"), r#"{{ x | d(v='"') }}"#)]),
                (name("mj-slot"), vec![(name("name"), "s")]),
                (name("mj-content"), vec![]),
            ]
        );
    }

    #[test]
    fn broken_elements_say_what_to_write() {
        for (text, at, message) in [
            ("<mj-block name=\"a\">x</mj-block>", "<mj-block name=\"a\">", "`<mj-block>` holds nothing"),
            ("<mj-block name=a />", "name", "the value of `name` is not in quotes"),
            ("<mj-block name />", "name", "`name` has no value"),
            ("<mj-slot name=\"a", "\"", "the quote of `name` is never closed"),
            ("<mj-slot name=\"a\"", "<mj-slot name=\"a\"", "`<mj-slot` is never closed"),
            ("<mj-block name=\"a\" name=\"b\"/>", "name", "`name` is written twice"),
        ] {
            let found = find(text, 0..text.len());
            let Some(Err(broken)) = found.last() else { panic!("{text}: {found:?}") };
            assert_eq!((&text[broken.span.clone()], broken.message.as_str()), (at, message));
        }
    }

    #[test]
    fn placeholders_are_words_in_double_brackets() {
        let text = "[[a]] [[[b-c]]] [[ d ]] [[e] x[[0]] [[[1, 2]]]";
        let found: Vec<String> =
            placeholders(text, 0..text.len()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, ["a", "b-c"]);
    }
}
