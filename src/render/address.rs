//! What may stand as an address in a mail: the check at rendering time, when the value is known.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest address of a link or picture, in bytes: what fits into a signed click.
pub const ADDRESS_BYTES_MAX: usize = 6_000;

/// Said of an address of which nothing is there.
pub(super) const EMPTY: &str = "the address is empty";

/// An address that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// `http` or `https`, with a host.
    Web(Cow<'a, str>),
    /// `mailto:` or `tel:`.
    Contact(Cow<'a, str>),
}

/// Checks a link's address, and encodes what no address may hold but behind a host does no harm: an order called
/// `SO 12` is no reason to send no receipt. The message never holds the address: it may be somebody's data.
pub(super) fn check(address: &str) -> Result<Address<'_>, &'static str> {
    let address = address.trim_matches(|c: char| c.is_ascii_whitespace());
    if address.is_empty() {
        return Err(EMPTY);
    }
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(TOO_LONG);
    }
    // As nearly all addresses are: nothing in them needs a second look.
    let is_plain =
        address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'<' | b'>' | b'"'));
    let ready = |address| if is_plain { Ok(Cow::Borrowed(address)) } else { encoded(address) };
    let Some((scheme, rest)) = address.split_once(':') else {
        return Err("the address has no `https://`");
    };
    if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err("the address has no `//` after its scheme");
        };
        let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let authority = &rest[..end.unwrap_or(rest.len())];
        if authority.contains('@') {
            return Err("the address holds a user name before its host");
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err("the address has no host");
        }
        if !is_plain && authority.contains(is_foreign) {
            return Err(
                "its host holds a space, a control character, a backslash, a quote or an angle bracket",
            );
        }
        return Ok(Address::Web(ready(address)?));
    }
    if scheme.eq_ignore_ascii_case("mailto") || scheme.eq_ignore_ascii_case("tel") {
        return Ok(Address::Contact(ready(address)?));
    }
    Err("the address is neither http, https, mailto nor tel")
}

/// What no address may hold (RFC 3986), and a mail program may stumble over. Letters of all scripts may stay.
fn is_foreign(c: char) -> bool {
    c.is_control() || c.is_whitespace() || matches!(c, '\\' | '<' | '>' | '"')
}

const TOO_LONG: &str = "the address is over 6,000 bytes";

/// As it stands in the mail, which is what has to fit.
fn encoded(address: &str) -> Result<Cow<'_, str>, &'static str> {
    if !address.contains(is_foreign) {
        return Ok(Cow::Borrowed(address));
    }
    let mut out = String::with_capacity(address.len() + 16);
    for c in address.chars() {
        if is_foreign(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    if out.len() > ADDRESS_BYTES_MAX { Err(TOO_LONG) } else { Ok(Cow::Owned(out)) }
}

/// Checks a picture's address, and encodes what could end a CSS `url()`.
pub(super) fn picture(address: &str) -> Result<Cow<'_, str>, &'static str> {
    match check(address)? {
        Address::Contact(_) => Err("the address of a picture is neither http nor https"),
        Address::Web(address) if !address.contains(['\'', '(', ')']) => Ok(address),
        Address::Web(address) => {
            let mut out = String::with_capacity(address.len());
            for c in address.chars() {
                match c {
                    '\'' => out.push_str("%27"),
                    '(' => out.push_str("%28"),
                    ')' => out.push_str("%29"),
                    _ => out.push(c),
                }
            }
            Ok(Cow::Owned(out))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_web_mail_and_phone_addresses_pass() {
        for good in [
            "https://shop.example/p/1?a=b&c=d#e",
            " http://shop.example ",
            "HTTPS://shop.example",
            "https://shop.example:8443/ü",
            "https://[::1]/",
        ] {
            assert_eq!(check(good), Ok(Address::Web(good.trim().into())), "{good}");
        }
        for good in ["mailto:a@shop.example", "tel:+4930123"] {
            assert_eq!(check(good), Ok(Address::Contact(good.into())));
        }
        for (odd, expected) in [
            ("https://shop.example/orders/SO 12", "https://shop.example/orders/SO%2012"),
            ("https://shop.example/\"><img src=x>", "https://shop.example/%22%3E%3Cimg%20src=x%3E"),
            ("https://a/\r\nBcc: x\u{2028}", "https://a/%0D%0ABcc:%20x%E2%80%A8"),
            ("https://shop.example/a\\b", "https://shop.example/a%5Cb"),
        ] {
            assert_eq!(check(odd), Ok(Address::Web(expected.into())), "{odd}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "https:evil.example",
            "\\\\evil",
            "/p/1",
            "shop.example",
            "https://",
            "https://shop.example@evil.example",
            "https:///x",
            "https://a b",
            "https://a\r\nBcc: x",
            "vbscript:x",
            "https://shop.example\\@evil.example",
            "https://\"><img src=x onerror=alert(1)>",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let long = |path: String| check(&format!("https://a/{path}")).map(|_| ());
        assert_eq!(long("x".repeat(ADDRESS_BYTES_MAX - 10)), Ok(()));
        // What counts is what stands in the mail: `%22` for a quote.
        for path in ["x".repeat(ADDRESS_BYTES_MAX - 9), "\"".repeat(ADDRESS_BYTES_MAX / 3)] {
            assert_eq!(long(path), Err("the address is over 6,000 bytes"));
        }
    }

    #[test]
    fn a_picture_cannot_leave_its_css_url() {
        assert_eq!(picture("https://a/b')x(.png").as_deref(), Ok("https://a/b%27%29x%28.png"));
        assert!(picture("mailto:a@b").is_err());
        assert!(picture("data:image/png;base64,AA").is_err());
    }
}
