//! What stands inside a Tera tag, cut into tokens by the rules of Tera's own lexer.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or keyword.
    Name,
    /// A string, with its quotes.
    Text,
    /// A number.
    Number,
    /// Everything else.
    Sign,
}

/// One token with its place in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) kind: TokenKind,
    pub(super) text: &'s str,
    pub(super) span: Range<usize>,
}

impl Token<'_> {
    /// Whether it is this sign or this name.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, TokenKind::Sign | TokenKind::Name)
    }
}

/// What a control tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control<'s> {
    /// `{% if %}`, `{% for %}`, `{% filter %}`, or a `{% set %}` that goes on to its end.
    Opens(&'s str),
    /// `{% elif %}` or `{% else %}`.
    Branches(&'s str),
    /// The end of what this word opens.
    Closes(&'s str),
    /// Everything else, by its first word.
    Stands(&'s str),
}

impl<'s> Control<'s> {
    /// The tag of `source` whose inside is `inner`.
    pub(super) fn of(source: &'s str, inner: Range<usize>) -> Self {
        let tokens = tokens(source, inner);
        let word = tokens.first().map_or("", |token| token.text);
        match word {
            "if" | "for" | "filter" => Self::Opens(word),
            "set" | "set_global" if !tokens.get(2).is_some_and(|token| token.is("=")) => Self::Opens("set"),
            "elif" | "else" => Self::Branches(word),
            "endif" | "endfor" | "endfilter" | "endset" => Self::Closes(&word["end".len()..]),
            _ => Self::Stands(word),
        }
    }
}

/// Signs of more than one character, longest first.
const LONG_SIGNS: &[&str] = &["...", "//", "**", "==", "!=", ">=", "<=", "</", "?.", "?["];

/// Cuts `source[inner]`.
pub(super) fn tokens(source: &str, inner: Range<usize>) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut at = inner.start;
    while at < inner.end {
        let rest = &source[at..inner.end];
        let bytes = rest.as_bytes();
        let (kind, length) = match bytes[0] {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            quote @ (b'"' | b'\'' | b'`') => (TokenKind::Text, string_length(bytes, quote)),
            byte if byte.is_ascii_digit() => (TokenKind::Number, number_length(bytes)),
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                let name =
                    bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
                (TokenKind::Name, name)
            }
            _ => {
                let long = LONG_SIGNS.iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len());
                let one = rest.chars().next().map_or(1, char::len_utf8);
                (TokenKind::Sign, long.unwrap_or(one))
            }
        };
        let end = at + length.min(rest.len());
        out.push(Token { kind, text: &source[at..end], span: at..end });
        at = end;
    }
    out
}

fn string_length(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn number_length(bytes: &[u8]) -> usize {
    let mut point = false;
    bytes
        .iter()
        .take_while(|byte| {
            let first_point = **byte == b'.' && !point;
            point |= **byte == b'.';
            first_point || byte.is_ascii_digit()
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_cut_as_tera_cuts_it() {
        for (source, expected) in [
            ("a.b?.c[\"d e\"]", vec!["a", ".", "b", "?.", "c", "[", "\"d e\"", "]"]),
            (
                "x | f(n=1.5, s='it\\'s')",
                vec!["x", "|", "f", "(", "n", "=", "1.5", ",", "s", "=", "'it\\'s'", ")"],
            ),
            ("[...a, 1//2]", vec!["[", "...", "a", ",", "1", "//", "2", "]"]),
            ("a==b != c_1", vec!["a", "==", "b", "!=", "c_1"]),
            ("é", vec!["é"]),
        ] {
            let found: Vec<&str> =
                tokens(source, 0..source.len()).into_iter().map(|token| token.text).collect();
            assert_eq!(found, expected);
        }
    }
}
