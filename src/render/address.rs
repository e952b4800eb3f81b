//! What may stand as an address in a mail: the check at rendering time, when the value is known.

/// Longest address of a link or picture, in bytes: what fits into a signed click.
pub const ADDRESS_BYTES_MAX: usize = 6_000;

/// An address that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// `http` or `https`, with a host.
    Web(&'a str),
    /// `mailto:` or `tel:`.
    Contact(&'a str),
}

/// Checks a link's address. The message never holds the address: it may be somebody's data.
pub(super) fn check(address: &str) -> Result<Address<'_>, &'static str> {
    let address = address.trim_matches(|c: char| c.is_ascii_whitespace());
    if address.is_empty() {
        return Err("the address is empty");
    }
    if address.len() > ADDRESS_BYTES_MAX {
        return Err("the address is over 6,000 bytes");
    }
    if address.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '<' | '>' | '"')) {
        return Err(
            "the address holds a space, a control character, a backslash, a quote or an angle bracket",
        );
    }
    let Some((scheme, rest)) = address.split_once(':') else {
        return Err("the address has no `https://`");
    };
    if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err("the address has no `//` after its scheme");
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("the address holds a user name before its host");
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err("the address has no host");
        }
        return Ok(Address::Web(address));
    }
    if scheme.eq_ignore_ascii_case("mailto") || scheme.eq_ignore_ascii_case("tel") {
        return Ok(Address::Contact(address));
    }
    Err("the address is neither http, https, mailto nor tel")
}

/// Checks a picture's address, and encodes what could end a CSS `url()`.
pub(super) fn picture(address: &str) -> Result<String, &'static str> {
    match check(address)? {
        Address::Contact(_) => Err("the address of a picture is neither http nor https"),
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
            Ok(out)
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
            assert_eq!(check(good), Ok(Address::Web(good.trim())), "{good}");
        }
        for good in ["mailto:a@shop.example", "tel:+4930123"] {
            assert_eq!(check(good), Ok(Address::Contact(good)));
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
            "https://shop.example/\"><img src=x onerror=alert(1)>",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&format!("https://a/{}", "x".repeat(ADDRESS_BYTES_MAX))).is_err());
    }

    #[test]
    fn a_picture_cannot_leave_its_css_url() {
        assert_eq!(picture("https://a/b')x(.png").as_deref(), Ok("https://a/b%27%29x%28.png"));
        assert!(picture("mailto:a@b").is_err());
        assert!(picture("data:image/png;base64,AA").is_err());
    }
}
