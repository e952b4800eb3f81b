//! Secrets of a configuration file, hidden before any of its lines is shown to anybody.
//!
//! Works on the text alone, so that it also hides what stands in a file that cannot be parsed; of two readings the one
//! counts that hides more. What is hidden keeps its length in bytes: places in the file stay where they are.

use std::ops::Range;

/// Keys whose values nobody may see, by the last part of their names.
const SECRET_KEYS: [&str; 5] = ["secret", "secrets", "key", "basic_auth", "password"];
/// Keys whose values may hold a password behind their scheme, or anywhere where the scheme was forgotten.
const URL_KEYS: [&str; 2] = ["url", "urls"];
/// What stands for a byte of a secret.
const HIDDEN: &str = "*";

/// A text, and what must not be seen of it.
#[derive(Debug)]
pub(super) struct Veil {
    text: String,
    hidden: Vec<Range<usize>>,
}

impl Veil {
    /// Finds the secrets of a TOML text: values of secret keys, and passwords in URLs, well formed or not.
    pub(super) fn over(toml: &str) -> Self {
        let mut text = toml.to_owned();
        let found = values_of_secret_keys(toml).into_iter().chain(passwords_in_lines(toml));
        let hidden: Vec<Range<usize>> = found.filter(|range| !range.is_empty()).collect();
        for range in &hidden {
            let stars = |c: char| if c == '\n' { "\n".to_owned() } else { HIDDEN.repeat(c.len_utf8()) };
            let stars: String = toml[range.clone()].chars().map(stars).collect();
            text.replace_range(range.clone(), &stars);
        }
        Self { text, hidden }
    }

    /// The text as it may be shown.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What a parser says of this part of the text: without what it quotes, where anything of it is hidden.
    pub(super) fn clean(&self, span: &Range<usize>, message: &str) -> String {
        let touches = |hidden: &Range<usize>| hidden.start <= span.end && span.start <= hidden.end;
        if self.hidden.iter().any(touches) { without_quotes(message) } else { message.to_owned() }
    }
}

/// What a parser says of one value that was stated for this key.
pub(super) fn clean_of(message: &str, path: &str, value: &str) -> String {
    let veil = Veil::over(&format!("{path} = {value}"));
    veil.clean(&(0..veil.text.len()), message)
}

/// A parser names keys, and quotes values: from the first quote to what was expected instead.
pub(super) fn without_quotes(message: &str) -> String {
    let names_a_key =
        ["missing field", "unknown field", "duplicate "].iter().any(|start| message.starts_with(start));
    match message.find(['"', '`']) {
        Some(start) if !names_a_key => {
            let end = message.rfind(", expected").filter(|end| *end > start).unwrap_or(message.len());
            format!("{}…{}", &message[..start], &message[end..])
        }
        _ => message.to_owned(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Secret,
    Url,
}

/// What the value of a key holds that must not be seen.
fn holds(key: &str) -> Option<Holds> {
    let key = key.to_ascii_lowercase();
    let ends_with =
        |end: &&str| key.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    if SECRET_KEYS.iter().any(ends_with) {
        return Some(Holds::Secret);
    }
    URL_KEYS.iter().any(ends_with).then_some(Holds::Url)
}

/// Behind each secret key, at the start of a line or within an inline table, in a comment too.
fn values_of_secret_keys(toml: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = toml[from..].find(is_part).map(|at| from + at) {
        let end = start + toml[start..].find(|c: char| !is_part(c)).unwrap_or(toml.len() - start);
        from = end;
        let Some((holds, value)) = holds(&toml[start..end]).zip(value_behind(toml, end)) else { continue };
        from = value.end;
        // The scheme is worth seeing: it is the part that is often wrong.
        let scheme = scheme_length(&toml[value.clone()]);
        let skipped = if holds == Holds::Url { scheme } else { 0 };
        found.push(value.start + skipped..value.end);
    }
    found
}

/// The length of `https://` and the like; 0 where a text does not begin with one.
fn scheme_length(text: &str) -> usize {
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.split_once("://")
        .filter(|(scheme, _)| scheme.chars().all(is_scheme))
        .map_or(0, |(scheme, _)| scheme.len() + 3)
}

/// The value of the key that ends at `from`, behind `=`, behind what is often written instead of it, or behind nothing.
fn value_behind(toml: &str, from: usize) -> Option<Range<usize>> {
    let behind_key = toml[from..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
    let value = match behind_key.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches([' ', '\t']),
        None if behind_key.starts_with(['"', '\'']) => behind_key,
        None => return None,
    };
    Some(value_at(toml, toml.len() - value.len()))
}

/// The value that begins at `start`, without its quotes: up to its end, or, where it has none, up to that of the line.
fn value_at(toml: &str, start: usize) -> Range<usize> {
    let rest = &toml[start..];
    let line_end = rest.find('\n').unwrap_or(rest.len());
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quotes) {
            return start + 3..start + 3 + inner.find(quotes).unwrap_or(inner.len());
        }
    }
    match rest.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => {
            let end = rest[1..line_end].rfind(char::from(*quote)).map(|end| end + 1);
            // What follows the string can only be this; else it was no end.
            let ends = |end: &usize| {
                let after = rest[end + 1..line_end].trim_start();
                after.is_empty() || after.starts_with([',', '}', ']', '#'])
            };
            start + 1..start + end.filter(ends).unwrap_or(line_end)
        }
        Some(b'[') => start + 1..start + list_length(rest),
        _ => start..start + line_end,
    }
}

/// Up to the bracket that closes the list with which a text begins; all of it where none does.
fn list_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return at,
            ']' => depth -= 1,
            '"' | '\'' => {
                at += string_length(rest, c);
                continue;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    text.len()
}

/// The length of the string with which a text begins; one that nothing closes ends with its line.
fn string_length(text: &str, quote: char) -> usize {
    let long = quote.to_string().repeat(3);
    if let Some(inner) = text.strip_prefix(&long) {
        return inner.find(&long).map_or(text.len(), |end| end + 6);
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// In each line with an `@`, whatever the key: from the colon behind a user's name on, or from behind `://` where no
/// name is, up to the last `@`.
fn passwords_in_lines(toml: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in toml.split_inclusive('\n') {
        if let Some(last) = line.rfind('@')
            && let Some(colon) = line[..last].find(':')
        {
            let mut start = colon + 1;
            if line[start..last].starts_with("//") {
                start += 2;
                start += line[start..last].find(':').map_or(0, |colon| colon + 1);
            }
            found.push(line_start + start..line_start + last);
        }
        line_start += line.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_and_all_else_stays_where_it_is() {
        for (text, expected) in [
            ("[public]\nsecret = \"hunter2\"\nx = 1\n", "[public]\nsecret = \"*******\"\nx = 1\n"),
            ("secret = \"hunter2", "secret = \"*******"),
            ("secret = \"hunter2\nfrom = \"x\"", "secret = \"*******\nfrom = \"x\""),
            ("secret = \"hunter\"2", "secret = \"********"),
            ("secret = \"a\" # why", "secret = \"*\" # why"),
            ("secret = 12345 # why", "secret = ***********"),
            ("secret: hunter2", "secret: *******"),
            ("secret \"hunter2\"", "secret \"*******\""),
            ("Secret = \"hunter2\"", "Secret = \"*******\""),
            ("public.secret='hunter2'", "public.secret='*******'"),
            ("\"secret\" = 'hun\"ter2'", "\"secret\" = '********'"),
            ("previous_secrets = [\"ab\",\n \"c\"]", "previous_secrets = [*****\n****]"),
            ("previous_secrets = [\"a]b\", 5] # x", "previous_secrets = [********] # x"),
            ("previous_secrets = [[\"a\\\"]\"], 'b]'] # x", "previous_secrets = [**************] # x"),
            ("previous_secrets = [\"\"\"\na]b\"\"\"]\nx = 1", "previous_secrets = [***\n******]\nx = 1"),
            ("previous_secrets = [\"a]b\nx = 1", "previous_secrets = [****\n*****"),
            ("key = '''\n-----é\nabc'''\nx = 2", "key = '''\n*******\n***'''\nx = 2"),
            ("dkim = [{ domain = \"d\", key = \"abc\" }]", "dkim = [{ domain = \"d\", key = \"***\" }]"),
            ("postmark_basic_auth = \"a:b\"", "postmark_basic_auth = \"***\""),
            ("url = \"mysql://u:hunter2@h/x\"", "url = \"mysql://*************\""),
            ("url = \"smtp://u:p@ss:w/rd@h:25\" # u", "url = \"smtp://****************\" # u"),
            ("url = \"user:hunter2@host\"", "url = \"*****************\""),
            ("url = \"smtp://u:it's-hunter2@h:99999\"", "url = \"smtp://**********************\""),
            ("url = \"smtp://u:hun ter2@h\"", "url = \"smtp://************\""),
            ("url = \"p://u:hun'ter2@db/x\"", "url = \"p://***************\""),
            ("url = \"smtp://u:hun\"ter2@h\"", "url = \"smtp://************\""),
            ("url = smtp://u:hunter2@h", "url = smtp://***********"),
            ("ulr = \"smtp://u:hun'ter 2@h\" # x", "ulr = \"smtp://u:*********@h\" # x"),
            ("ulr = \"user:hunter2@host\"", "ulr = \"user:*******@host\""),
            ("# smtp://token@h", "# smtp://*****@h"),
            ("from = \"Shop <a@b>\"", "from = \"Shop <a@b>\""),
            (
                "key_file = \"a.pem\"\nmonkey = \"b\"\nsecrets_seen = 1",
                "key_file = \"a.pem\"\nmonkey = \"b\"\nsecrets_seen = 1",
            ),
        ] {
            let veil = Veil::over(text);
            assert_eq!(veil.text().len(), text.len(), "{text}");
            assert_eq!(veil.text(), expected, "{text}");
        }
    }

    #[test]
    fn a_parser_quotes_nothing_that_is_hidden() {
        let text = "previous_secrets = [\"a\", 12345678]\nbatch = \"many\"";
        let veil = Veil::over(text);
        let of = |part: &str| {
            let start = text.find(part).unwrap();
            start..start + part.len()
        };
        for (part, message, expected) in [
            (
                "12345678",
                "invalid type: integer `12345678`, expected a string",
                "invalid type: integer …, expected a string",
            ),
            (
                "\"a\"",
                "invalid value: string \"a, expected b\", expected c",
                "invalid value: string …, expected c",
            ),
            ("\"a\"", "unknown field `a`, expected `b`", "unknown field `a`, expected `b`"),
            (
                "\"many\"",
                "invalid type: string \"many\", expected usize",
                "invalid type: string \"many\", expected usize",
            ),
        ] {
            assert_eq!(veil.clean(&of(part), message), expected);
        }
        let message = "invalid type: integer `12345678`, expected a string";
        let hidden = "invalid type: integer …, expected a string";
        for (path, value, expected) in [
            ("public.secret", "12345678", hidden),
            ("public.previous_secrets", "[\"a\", 12345678]", hidden),
            ("dkim", "[{ key = 12345678 }]", hidden),
            ("worker.batch", "12345678", message),
        ] {
            assert_eq!(clean_of(message, path, value), expected, "{path}");
        }
    }
}
