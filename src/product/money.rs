//! Amounts: from the decimal major units that people and Segment write to whole minor units.

/// The largest amount that is believed, in major units; more is a typing error and is not an amount.
const MAJOR_UNITS_MAX: f64 = 1e12;

/// How many decimal digits the minor unit of a currency has (ISO 4217); 2 for most, and where none is stated.
pub fn minor_digits(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// Rounds major units to minor ones, halves away from zero. `None` for what is no believable amount.
///
/// 2.675 is stored as 2.67499…; the last factor lifts such a half over the edge it was written on.
pub fn to_minor(major: f64, digits: u32) -> Option<i64> {
    if !major.is_finite() || major.abs() > MAJOR_UNITS_MAX {
        return None;
    }
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(2));
    #[expect(clippy::cast_possible_truncation, reason = "bounded by MAJOR_UNITS_MAX · 10⁴, far under 2⁶³")]
    let minor = (major * scale * (1.0 + 1e-12)).round() as i64;
    Some(minor)
}

/// Reads a decimal number as people write amounts: `12.5`, `1,234.50`, `1.234,50`, `£ 9.99`, `12,50 €`.
///
/// One comma before exactly three digits parts thousands; otherwise the last of point and comma is the decimal one.
pub fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let unit = |c: char| {
        c.is_whitespace()
            || c.is_alphabetic()
            || matches!(c, '$' | '¢' | '£' | '¤' | '¥' | '\u{20a0}'..='\u{20cf}')
    };
    let text = text.trim_matches(unit);
    let (sign, text) = match text.strip_prefix(['-', '−']) {
        Some(rest) => (-1.0, rest.trim_start_matches(unit)),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let point = decimal_point(text)?;
    let mut digits = String::with_capacity(text.len());
    for (index, character) in text.char_indices() {
        match character {
            '0'..='9' => digits.push(character),
            _ if index == point => digits.push('.'),
            '.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}' => {}
            _ => return None,
        }
    }
    digits.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| sign * number)
}

/// Where the decimal point stands, the end of the text when there is none; `None` when the text is ambiguous.
fn decimal_point(text: &str) -> Option<usize> {
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let last = text.rfind(['.', ',']);
    match (points, commas) {
        (1, 0) => last,
        (0, 1) => {
            let at = text.find(',')?;
            let thousands = text.len() - at == 4 && (1..=3).contains(&at) && !text.starts_with('0');
            Some(if thousands { text.len() } else { at })
        }
        (0, _) | (_, 0) => Some(text.len()),
        _ => {
            let at = last?;
            let mark = text[at..].chars().next()?;
            (text.matches(mark).count() == 1).then_some(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, expected) in [
            ("12.5", Some(12.5)),
            (" -3 ", Some(-3.0)),
            ("1e2", Some(100.0)),
            ("1,234.50", Some(1234.5)),
            ("1.234,50", Some(1234.5)),
            ("1,234", Some(1234.0)),
            ("0,125", Some(0.125)),
            ("12,50 €", Some(12.5)),
            ("£ 9.99", Some(9.99)),
            ("−£9.99", Some(-9.99)),
            ("1'234'567.8", Some(1_234_567.8)),
            ("1.234.567", Some(1_234_567.0)),
            ("USD 4", Some(4.0)),
            ("", None),
            ("free", None),
            ("1,2.3,4", None),
            ("NaN", None),
            ("inf", None),
            ("12-50", None),
        ] {
            assert_eq!(decimal(text), expected, "{text:?}");
        }
    }

    #[test]
    fn major_units_are_rounded_to_the_currency() {
        for (major, currency, expected) in [
            (2.675, "GBP", Some(268)),
            (-2.675, "GBP", Some(-268)),
            (0.1 + 0.2, "EUR", Some(30)),
            (1234.0, "JPY", Some(1234)),
            (1.2345, "KWD", Some(1235)),
            (1e13, "EUR", None),
            (f64::NAN, "EUR", None),
        ] {
            assert_eq!(to_minor(major, minor_digits(currency)), expected, "{major} {currency}");
        }
    }
}
