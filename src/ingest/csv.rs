//! One CSV record out of the bytes ahead (RFC 4180, with any separator and any line ending).
//!
//! The crate `csv` reads a record of any length into memory before it returns it, and does not give its raw bytes:
//! one quote that is never closed would swallow a file. Here a record is looked for within the longest row only.

use super::window::View;
use super::window::ending_length;

/// Separators that are recognised, the usual one first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The cells of one record: all in one buffer, `ends[i]` is where cell `i` ends.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
    /// Whether text stands behind a closing quote: `"a"b`. No writer writes that; a quote is missing or too many.
    pub(super) loose_quote: bool,
}

/// What was found ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// A record: its bytes without and with line ending, and the line endings in it.
    Record { length: usize, with_ending: usize, endings: u64 },
    /// A quote is open where the bytes end.
    OpenQuote,
    /// The record does not end within the longest row.
    TooLong,
}

/// Reads the record at the start of `view` into `cells`.
pub(super) fn scan(view: View<'_>, separator: u8, cells: &mut Cells) -> Scan {
    cells.text.clear();
    cells.ends.clear();
    cells.loose_quote = false;
    let bytes = view.bytes;
    let mut at = 0;
    let mut endings = 0;
    loop {
        let quote = bytes.get(at) == Some(&b'"');
        if quote {
            match quoted(bytes, at + 1, &mut cells.text) {
                Some((behind, inner)) => {
                    at = behind;
                    endings += inner;
                }
                None => return Scan::OpenQuote,
            }
        }
        let rest = &bytes[at..];
        let plain = rest
            .iter()
            .position(|byte| *byte == separator || matches!(byte, b'\n' | b'\r'))
            .unwrap_or(rest.len());
        cells.loose_quote |= quote && plain > 0;
        cells.text.extend_from_slice(&rest[..plain]);
        cells.ends.push(cells.text.len());
        at += plain;
        match bytes.get(at) {
            Some(byte) if *byte == separator => at += 1,
            Some(_) => {
                let with_ending = at + ending_length(&bytes[at..]);
                return Scan::Record { length: at, with_ending, endings: endings + 1 };
            }
            None if view.last => return Scan::Record { length: at, with_ending: at, endings: endings + 1 },
            None => return Scan::TooLong,
        }
    }
}

/// Reads on from behind an opening quote to behind the closing one; the second number is line endings on the way.
fn quoted(bytes: &[u8], start: usize, text: &mut Vec<u8>) -> Option<(usize, u64)> {
    let mut at = start;
    loop {
        let length = bytes[at..].iter().position(|byte| *byte == b'"')?;
        text.extend_from_slice(&bytes[at..at + length]);
        at += length + 1;
        if bytes.get(at) != Some(&b'"') {
            return Some((at, line_endings(&bytes[start..at])));
        }
        text.push(b'"');
        at += 1;
    }
}

/// Line endings, CRLF counted once.
fn line_endings(bytes: &[u8]) -> u64 {
    let single = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    let double = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    (single - double) as u64
}

/// The separator that a header has most of outside quotes, a comma when it has none.
pub(super) fn separator_of(header: &[u8]) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut inside = false;
    for byte in header {
        inside ^= *byte == b'"';
        if let Some(index) = SEPARATORS.iter().position(|separator| separator == byte && !inside) {
            counts[index] += 1;
        }
    }
    let mut best = 0;
    for index in 1..SEPARATORS.len() {
        if counts[index] > counts[best] {
            best = index;
        }
    }
    SEPARATORS[best]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, last: bool, expected: Scan, expected_cells: &[&str]) {
        let mut cells = Cells::default();
        let scan = scan(View { bytes: input.as_bytes(), last }, b',', &mut cells);
        assert_eq!(scan, expected, "{input:?}");
        let mut start = 0;
        let cells: Vec<String> = cells
            .ends
            .iter()
            .map(|end| {
                String::from_utf8(cells.text[std::mem::replace(&mut start, *end)..*end].to_vec()).unwrap()
            })
            .collect();
        if matches!(scan, Scan::Record { .. }) {
            assert_eq!(cells, expected_cells, "{input:?}");
        }
    }

    #[test]
    fn a_record_ends_where_a_line_ends_outside_quotes() {
        let record = |length, with_ending, endings| Scan::Record { length, with_ending, endings };
        check("a,b\nc", true, record(3, 4, 1), &["a", "b"]);
        check("a,b\r\nc", true, record(3, 5, 1), &["a", "b"]);
        check("a,b\rc", true, record(3, 4, 1), &["a", "b"]);
        check("a,b", true, record(3, 3, 1), &["a", "b"]);
        check("a,b", false, Scan::TooLong, &[]);
        check(",\n", true, record(1, 2, 1), &["", ""]);
        check("\n", true, record(0, 1, 1), &[""]);
        check("\"a,\r\nb\"\"c\",d\n", true, record(12, 13, 2), &["a,\r\nb\"c", "d"]);
        check("\"a\"x,5\" pipe\n", true, record(12, 13, 1), &["ax", "5\" pipe"]);
        check("\"a,b\nc,d\n", true, Scan::OpenQuote, &[]);
        check("\"a\"\"", true, Scan::OpenQuote, &[]);
        check("", true, record(0, 0, 1), &[""]);
    }

    #[test]
    fn the_separator_is_what_the_header_has_most_of() {
        for (header, expected) in
            [("a,b;c", b','), ("a;b;\"c,d,e\"", b';'), ("a\tb", b'\t'), ("a|b", b'|'), ("a", b',')]
        {
            assert_eq!(separator_of(header.as_bytes()), expected);
        }
    }
}
