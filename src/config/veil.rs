//! Secrets of a configuration file, hidden before any of its lines is shown to anybody.
//!
//! Works on the text alone, so that it also hides what stands in a file that cannot be parsed. What is hidden keeps its
//! length in bytes: places in the file stay where they are.

use std::ops::Range;

/// Keys whose values nobody may see, by the last part of their names.
const SECRET_KEYS: [&str; 5] = ["secret", "secrets", "key", "basic_auth", "password"];
/// What stands for a byte of a secret.
const HIDDEN: &str = "*";

/// A text, and what must not be seen of it.
#[derive(Debug)]
pub(super) struct Veil {
    text: String,
    secrets: Vec<String>,
}

impl Veil {
    /// Finds the secrets of a TOML text: values of secret keys, and passwords in URLs.
    pub(super) fn over(toml: &str) -> Self {
        let mut text = toml.to_owned();
        let mut secrets = Vec::new();
        let found = values_of_secret_keys(toml).into_iter().chain(passwords_in_urls(toml));
        for range in found.filter(|range| !range.is_empty()) {
            let hidden = |c: char| if c == '\n' { "\n".to_owned() } else { HIDDEN.repeat(c.len_utf8()) };
            let stars: String = toml[range.clone()].chars().map(hidden).collect();
            text.replace_range(range.clone(), &stars);
            secrets.push(toml[range].to_owned());
        }
        Self { text, secrets }
    }

    /// The text as it may be shown.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A message about the text, without what the message may have quoted of its secrets.
    pub(super) fn clean(&self, message: &str) -> String {
        self.secrets.iter().fold(message.to_owned(), |message, secret| message.replace(secret, "…"))
    }
}

/// A message about one value that is secret.
pub(super) fn clean_of(message: &str, path: &str, value: &str) -> String {
    let secret =
        is_secret(path.rsplit('.').next().unwrap_or_default()) || path == "relay" || path.ends_with("url");
    if secret && !value.is_empty() { message.replace(value, "…") } else { message.to_owned() }
}

fn is_secret(key: &str) -> bool {
    SECRET_KEYS
        .iter()
        .any(|secret| key.strip_suffix(secret).is_some_and(|rest| rest.is_empty() || rest.ends_with('_')))
}

/// Behind each `key =`, at the start of a line or within an inline table, in a comment too.
fn values_of_secret_keys(toml: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(equals) = toml[from..].find('=').map(|at| from + at) {
        from = equals + 1;
        let before = toml[..equals].trim_end_matches([' ', '\t', '"', '\'']);
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let key = &before[before.trim_end_matches(is_part).len()..];
        if is_secret(key) {
            let value = value_at(toml, from);
            from = value.end;
            found.push(value);
        }
    }
    found
}

/// The value that begins behind `from`, without its quotes: up to its end, or, where it has none, up to that of the line.
fn value_at(toml: &str, from: usize) -> Range<usize> {
    let start = from + toml[from..].len() - toml[from..].trim_start_matches([' ', '\t']).len();
    let rest = &toml[start..];
    let line_end = rest.find('\n').unwrap_or(rest.len());
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quotes) {
            let length = inner.find(quotes).unwrap_or(inner.len());
            return start + 3..start + 3 + length;
        }
    }
    let until = |skipped: usize, end: Option<usize>| {
        start + skipped..start + end.map_or(line_end, |end| end + skipped)
    };
    match rest.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => {
            let end = rest[1..line_end].rfind(char::from(*quote));
            until(1, end)
        }
        Some(b'[') => until(1, rest[1..].find(']')),
        _ => start..start + rest[..line_end].find([',', '}', '#']).unwrap_or(line_end),
    }
}

/// From the first colon behind `://` to the last `@` before the text of the URL ends.
fn passwords_in_urls(toml: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, separator) in toml.match_indices("://") {
        let start = at + separator.len();
        let rest = &toml[start..];
        let end = rest.find(['"', '\'', '\n', ' ', '\t']).unwrap_or(rest.len());
        let Some(last) = rest[..end].rfind('@') else { continue };
        let user = rest[..last].find(':').map_or(0, |colon| colon + 1);
        found.push(start + user..start + last);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_hidden_and_all_else_stays_where_it_is() {
        for (text, expected) in [
            ("[public]\nsecret = \"hunter2\"\nurl = 1\n", "[public]\nsecret = \"*******\"\nurl = 1\n"),
            ("secret = \"hunter2", "secret = \"*******"),
            ("secret = \"hunter2\nfrom = \"x\"", "secret = \"*******\nfrom = \"x\""),
            ("secret = 12345 # why", "secret = ******# why"),
            ("public.secret='hunter2'", "public.secret='*******'"),
            ("\"secret\" = 'hun\"ter2'", "\"secret\" = '********'"),
            ("previous_secrets = [\"ab\",\n \"c\"]", "previous_secrets = [*****\n****]"),
            ("key = '''\n-----é\nabc'''\nx = 2", "key = '''\n*******\n***'''\nx = 2"),
            ("dkim = [{ domain = \"d\", key = \"abc\" }]", "dkim = [{ domain = \"d\", key = \"***\" }]"),
            ("postmark_basic_auth = \"a:b\"", "postmark_basic_auth = \"***\""),
            ("url = \"mysql://u:hunter2@h/x\"", "url = \"mysql://u:*******@h/x\""),
            ("url = \"smtp://u:p@ss:w/rd@h:25\" # u", "url = \"smtp://u:*********@h:25\" # u"),
            ("url = \"https://token@h\"", "url = \"https://*****@h\""),
            ("url = \"https://shop.example/a@b\"", "url = \"https://**************@b\""),
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
    fn a_message_quotes_no_secret() {
        let veil = Veil::over("secret = 12345678\nurl = \"mysql://u:hunter2@h\"");
        let message = "invalid type: integer `12345678`, not mysql://u:hunter2@h";
        assert_eq!(veil.clean(message), "invalid type: integer `…`, not mysql://u:…@h");
        assert_eq!(clean_of("integer `12345678`", "public.secret", "12345678"), "integer `…`");
        assert_eq!(clean_of("not a number: many", "worker.batch", "many"), "not a number: many");
    }
}
