//! Many short rows in one text. A driver's cost is by row, and a history has many.
//!
//! A statement packs each row with `format('%s:%s:%s', number, octet_length(text), text)` and joins them with
//! `string_agg(…, '')`: numbers end with a colon, texts stand behind their length. Nothing is escaped, so nothing is
//! copied or parsed in vain.

/// Reads packed rows, field by field.
#[derive(Debug)]
pub(super) struct Packed<'a>(&'a str);

impl<'a> Packed<'a> {
    /// From the beginning.
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether all was read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next number; an absent one reads as `None`.
    pub(super) fn number(&mut self) -> Result<Option<i64>, String> {
        let (digits, rest) = self.0.split_once(':').ok_or("a number without an end")?;
        self.0 = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| format!("`{digits}` is no number"))
    }

    /// The next text.
    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        let length = self
            .number()?
            .and_then(|length| usize::try_from(length).ok())
            .ok_or("a text without a length")?;
        let (text, rest) = self.0.split_at_checked(length).ok_or("a text shorter than its length")?;
        self.0 = rest;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn texts_of_any_content_come_back() {
        let mut packed = Packed::new("12:5:a:b\u{1}x:2:é0:-7:");
        assert_eq!(packed.number(), Ok(Some(12)));
        assert_eq!(packed.text(), Ok("a:b\u{1}x"));
        assert_eq!(packed.number(), Ok(None));
        assert_eq!(packed.text(), Ok("é"));
        assert_eq!(packed.text(), Ok(""));
        assert!(!packed.is_empty());
        assert_eq!(packed.number(), Ok(Some(-7)));
        assert!(packed.is_empty());
    }

    #[test]
    fn what_was_cut_is_an_error() {
        for text in ["12", "x:", "5:abc", "1:é", ":abc"] {
            assert!(Packed::new(text).text().is_err(), "{text}");
        }
    }
}
