//! The last tidying of what was rendered, line by line.

use memchr::memchr_iter;

/// Longest line of a text part, in bytes (RFC 5322, 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// Characters that turn the direction of the text after them; a value could leave one open.
pub(super) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line without control characters: what a header can carry.
pub(super) fn single_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bidi_control(c) {
            continue;
        }
        let space = c.is_control() || matches!(c, ' ' | '\u{2028}' | '\u{2029}');
        if !space {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// At most one empty line in a row, no spaces at line ends, no line over 998 bytes where it has a space to break at,
/// and one line end at the end.
pub(super) fn tidy_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut empty_lines = 0;
    let ends = memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    let mut start = 0;
    for end in ends {
        let line = text[start..end].trim_end();
        start = end + 1;
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty_lines > 0 { "\n\n" } else { "\n" });
        }
        empty_lines = 0;
        push_wrapped(&mut out, line);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn push_wrapped(out: &mut String, line: &str) {
    let mut rest = line;
    while rest.len() > LINE_BYTES_MAX {
        let end = rest.floor_char_boundary(LINE_BYTES_MAX);
        let Some(space) = rest[..end].rfind(' ').filter(|space| *space > 0) else { break };
        out.push_str(rest[..space].trim_end());
        out.push('\n');
        rest = rest[space..].trim_start();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line() {
        for (text, expected) in [
            ("  a\r\nBcc: x\t b \n", "a Bcc: x b"),
            ("\u{202e}abc\u{0}\u{7f}\u{85}d", "abc d"),
            ("é 👩‍👧 שלום", "é 👩‍👧 שלום"),
            ("\n\t ", ""),
        ] {
            assert_eq!(single_line(text), expected);
        }
    }

    #[test]
    fn text_is_tidied() {
        for (text, expected) in [("\n\n a \n\n\n\nb\r\nc  \n", " a\n\nb\nc\n"), ("", ""), ("one", "one\n")] {
            assert_eq!(tidy_text(text), expected, "{text:?}");
        }
        let long = "word ".repeat(500);
        assert!(tidy_text(&long).lines().all(|line| line.len() <= LINE_BYTES_MAX));
        assert_eq!(tidy_text(&long).replace('\n', " "), long);
        let unbroken = "ü".repeat(2_000);
        assert_eq!(tidy_text(&unbroken), format!("{unbroken}\n"));
    }
}
