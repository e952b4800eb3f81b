//! Finding addresses, codes and our own ids in free text.

use crate::deliver::smtp::EnhancedCode;

/// Addresses in one text that are looked at.
const ADDRESSES_MAX: usize = 200;
/// Codes in one text that are looked at.
const CODES_MAX: usize = 50;

/// All addresses in a text, each with the place where it begins.
pub(super) fn addresses(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let Some(start) = local_start(bytes, at) else { continue };
        let length = bytes[at + 1..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            .count();
        let domain = text[at + 1..at + 1 + length].trim_end_matches(['.', '-']);
        if domain.contains('.') && !domain.starts_with('.') && found.len() < ADDRESSES_MAX {
            found.push((start, &text[start..at + 1 + domain.len()]));
        }
    }
    found
}

/// Where the local part before the `@` begins: a quoted string, or characters of a dot-atom.
fn local_start(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && bytes[at - 1] == b'"' {
        let open = bytes[..at - 1].iter().rposition(|b| *b == b'"' || *b == b'\n')?;
        return (bytes[open] == b'"' && open + 2 < at).then_some(open);
    }
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&*+-/=?^_`{|}~.".contains(b);
    let length = bytes[..at].iter().rev().take_while(|b| is_local(b)).count();
    // A pipe or a path in front of an address is a program's, not the address's.
    (length > 0).then(|| at - length)
}

/// The first address of a field's value: `rfc822; <a@b.test>` → `a@b.test`.
pub(super) fn first_address(text: &str) -> Option<&str> {
    addresses(text).first().map(|(_, address)| *address)
}

/// All enhanced status codes (RFC 3463) of classes 4 and 5 in a text, in their order. Parts of network addresses and
/// version numbers are none.
pub(super) fn enhanced_codes(text: &str) -> Vec<EnhancedCode> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() < CODES_MAX {
        let before = at.checked_sub(1).map_or(b' ', |i| bytes[i]);
        if matches!(bytes[at], b'4' | b'5')
            && !before.is_ascii_alphanumeric()
            && !matches!(before, b'.' | b'/' | b'@' | b'_')
            && let Some((code, length)) = enhanced_at(&bytes[at..])
        {
            found.push(code);
            at += length;
        } else {
            at += 1;
        }
    }
    found
}

fn enhanced_at(bytes: &[u8]) -> Option<(EnhancedCode, usize)> {
    let number = |bytes: &[u8]| {
        let length = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
        let value = text.parse::<u16>().ok().filter(|_| (1..=3).contains(&length))?;
        Some((value, length))
    };
    let class = bytes[0] - b'0';
    let rest = bytes[1..].strip_prefix(b".")?;
    let (subject, subject_length) = number(rest).filter(|(subject, _)| *subject <= 7)?;
    let rest = rest[subject_length..].strip_prefix(b".")?;
    let (detail, detail_length) = number(rest)?;
    let after = &rest[detail_length..];
    let ends = match after {
        [b'.', next, ..] => !next.is_ascii_digit(),
        [next, ..] => !next.is_ascii_alphanumeric(),
        [] => true,
    };
    ends.then_some((EnhancedCode { class, subject, detail }, 3 + subject_length + detail_length))
}

/// All SMTP reply codes of failures in a text, in their order: three digits that stand where a reply begins.
pub(super) fn reply_codes(text: &str) -> Vec<u16> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for at in 0..bytes.len().saturating_sub(2) {
        let [a, b, c] = [bytes[at], bytes[at + 1], bytes[at + 2]];
        let before = at.checked_sub(1).map_or(b'\n', |i| bytes[i]);
        let begins =
            before.is_ascii_whitespace() || matches!(before, b'(' | b':' | b';' | b'#' | b'<' | b'"');
        let ends = matches!(bytes.get(at + 3), None | Some(b' ' | b'-' | b'\r' | b'\n' | b'\t' | b')'));
        let failure = matches!(a, b'4' | b'5') && b.is_ascii_digit() && b <= b'7' && c.is_ascii_digit();
        if failure && begins && ends && found.len() < CODES_MAX {
            found.push(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'));
        }
    }
    found.retain(|code| matches!(code, 421..=459 | 471 | 500..=557 | 571));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("<a@b.test>: no", vec!["a@b.test"]),
            ("rfc822;a.b+c@d-e.test.", vec!["a.b+c@d-e.test"]),
            ("\"odd name\"@b.test and x@y.test", vec!["\"odd name\"@b.test", "x@y.test"]),
            ("a@localhost, @b.test, a@", vec![]),
            ("mailto:a@b.test", vec!["a@b.test"]),
        ] {
            let found: Vec<_> = addresses(text).into_iter().map(|(_, address)| address).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn enhanced_codes_are_no_network_addresses() {
        for (text, expected) in [
            ("550 5.1.1 user unknown", "5.1.1"),
            ("550-5.7.26 x (#5.1.10)", "5.7.26 5.1.10"),
            ("192.0.2.5 5.1.2.3 Exim 4.72 v4.1.1x 4.4.7.", "4.4.7"),
            ("5.9.1 5.1.1000 2.1.5", ""),
        ] {
            let found: Vec<_> = enhanced_codes(text).iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn reply_codes_stand_where_a_reply_begins() {
        for (text, expected) in [
            ("said: 550 no", vec![550]),
            ("550-5.7.1 a\n550 b", vec![550, 550]),
            ("smtp;421 later", vec![421]),
            ("550.5 1550 a550 404 port 25, 999 mails", vec![]),
        ] {
            assert_eq!(reply_codes(text), expected, "{text}");
        }
    }
}
