//! What a rendered part goes through: a writer with a limit, and the last tidying of lines.

use std::io;
use std::io::Write;

use memchr::memchr;

/// Template text that the compiler puts at the start of every loop's body; the writer counts it and takes it out.
/// Values cannot hold it: control characters are taken out of them.
pub(super) const ROUND_MARK: char = '\u{1}';

/// Longest line of a text part, in bytes (RFC 5322, 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// Why a writer took no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// Over the byte limit.
    Bytes,
    /// Over the limit of loop rounds.
    Rounds,
}

/// Collects output up to a limit.
#[derive(Debug)]
pub(super) struct CappedWriter {
    bytes: Vec<u8>,
    bytes_max: usize,
    rounds: usize,
    rounds_max: usize,
    pub(super) excess: Option<Excess>,
}

impl CappedWriter {
    pub(super) fn new(capacity: usize, bytes_max: usize, rounds_max: usize) -> Self {
        let bytes = Vec::with_capacity(capacity.min(bytes_max));
        Self { bytes, bytes_max, rounds: 0, rounds_max, excess: None }
    }

    /// What was written, as text.
    pub(super) fn into_text(self) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(self.bytes)
    }

    fn refuse(&mut self, excess: Excess) -> io::Error {
        self.excess = Some(excess);
        io::Error::other("over the limit")
    }
}

impl Write for CappedWriter {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.bytes_max {
            return Err(self.refuse(Excess::Bytes));
        }
        if memchr(ROUND_MARK as u8, piece).is_some() {
            for part in piece.split_inclusive(|byte| *byte == ROUND_MARK as u8) {
                let kept = part.strip_suffix(&[ROUND_MARK as u8]);
                self.rounds += usize::from(kept.is_some());
                self.bytes.extend_from_slice(kept.unwrap_or(part));
            }
            if self.rounds > self.rounds_max {
                return Err(self.refuse(Excess::Rounds));
            }
        } else {
            self.bytes.extend_from_slice(piece);
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    for line in text.split('\n') {
        let line = line.trim_end();
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
    fn the_writer_stops_at_its_limits_and_counts_rounds() {
        let mut writer = CappedWriter::new(10, 10, 2);
        assert!(writer.write_all(b"\x01ab\x01c").is_ok());
        assert!(writer.write_all(b"\x01").is_err());
        assert_eq!(writer.excess, Some(Excess::Rounds));
        let mut writer = CappedWriter::new(10, 4, 2);
        assert!(writer.write_all(b"abcde").is_err());
        assert_eq!(writer.excess, Some(Excess::Bytes));
        let mut writer = CappedWriter::new(10, 5, 2);
        assert!(writer.write_all("\u{1}é\u{1}b".as_bytes()).is_ok());
        assert_eq!(writer.into_text().as_deref(), Ok("éb"));
    }

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
