//! Text of a header written in encoded words from end to end (RFC 2047).
//!
//! Who reads a mail decodes whatever looks like an encoded word, also where a customer typed it. Text that holds such a
//! thing is encoded as a whole, so that it is shown as it was typed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text in one encoded word: `=?utf-8?b?` and `?=` beside its base64 leave it under the 75 characters of
/// RFC 2047 section 2, behind the name of the header too.
const WORD_BYTES_MAX: usize = 36;

/// Whether a reader might take a part of this for an encoded word.
pub(super) fn is_mistakable(text: &str) -> bool {
    text.contains("=?")
}

/// The text in encoded words, one a line; no character is cut.
pub(super) fn encoded_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(rest.floor_char_boundary(WORD_BYTES_MAX));
        let fold = if out.is_empty() { "" } else { "\r\n " };
        let _ = write!(out, "{fold}=?utf-8?b?{}?=", STANDARD.encode(word));
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_word_and_no_character_is_cut() {
        for (text, expected) in [
            ("", ""),
            ("=?utf-8?q?evil?=", "=?utf-8?b?PT91dGYtOD9xP2V2aWw/PQ==?="),
            (
                "Thank you, order =?utf-8?q?evil?= 🎉 is with us",
                "=?utf-8?b?VGhhbmsgeW91LCBvcmRlciA9P3V0Zi04P3E/ZXZpbD89IA==?=\r\n =?utf-8?b?8J+OiSBpcyB3aXRoIHVz?=",
            ),
        ] {
            assert_eq!(encoded_words(text), expected, "{text}");
        }
        let long = "é".repeat(300);
        assert!(encoded_words(&long).split("\r\n").all(|line| line.len() <= 1 + 75));
    }
}
