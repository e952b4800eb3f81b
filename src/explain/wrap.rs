//! Text in columns: words are kept whole where they fit, and nothing from people moves a terminal's cursor.

/// Columns of a page.
pub(super) const COLUMNS: usize = 100;

/// Appends a line as it is.
pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// Appends `text` behind `label`, its later lines under its first.
pub(super) fn paragraph(out: &mut String, indent: usize, label: &str, width: usize, text: &str) {
    let start = indent + width;
    let mut lines = lines(text, COLUMNS.saturating_sub(start).max(20)).into_iter();
    let padded = format!("{:indent$}{label:<width$}", "");
    out.push_str(format!("{padded}{}", lines.next().unwrap_or_default()).trim_end());
    out.push('\n');
    for line in lines {
        self::line(out, &format!("{:start$}{line}", ""));
    }
}

fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in harmless(text).split_whitespace() {
        let mut rest: &str = word;
        loop {
            let length = rest.chars().count();
            if used > 0 && used + 1 + length > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
                continue;
            }
            if length <= width {
                if used > 0 {
                    line.push(' ');
                    used += 1;
                }
                line.push_str(rest);
                used += length;
                break;
            }
            let full = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
            // The names of variants are longer than a line: they are cut between their parts.
            let cut = rest[..full].rfind(['+', '/']).filter(|at| *at > 0).unwrap_or(full);
            lines.push(rest[..cut].to_owned());
            rest = &rest[cut..];
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Controls and the marks that reorder text are shown as `�`.
pub(super) fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_long_ones_are_cut_between_their_parts() {
        for (text, width, expected) in [
            ("one two three", 7, vec!["one two", "three"]),
            ("abcdefghij", 4, vec!["abcd", "efgh", "ij"]),
            ("ab/cd+efg+hij", 8, vec!["ab/cd", "+efg+hij"]),
            ("a abcdefghij b", 4, vec!["a", "abcd", "efgh", "ij b"]),
            ("", 4, vec![]),
            ("a\u{1b}[2J\nb", 20, vec!["a\u{fffd}[2J b"]),
        ] {
            assert_eq!(lines(text, width), expected, "{text:?}");
        }
    }
}
