//! Who asks, as far as a request tells and as far as it is kept.

use std::net::IpAddr;
use std::net::SocketAddr;

use axum::http::HeaderMap;
use axum::http::header;

use crate::http::Service;
use crate::tracking::AGENT_BYTES_MAX;
use crate::tracking::network;

/// Headers by which a program says that nobody has asked for the page yet.
const PREFETCH_HEADERS: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];
/// Longest text of them that is kept, in bytes.
const PREFETCH_BYTES_MAX: usize = 64;

/// The network of the client: of the address that the proxy says, where the configuration names its header, else of
/// the connection.
pub(super) fn network_of(service: &Service, headers: &HeaderMap, peer: SocketAddr) -> String {
    let header = service.engine().config.http.client_address_header.clone();
    let said = header.as_deref().and_then(|name| said_by_proxy(headers, name));
    network(said.unwrap_or_else(|| peer.ip()))
}

/// The last entry: the one that the proxy itself has added.
fn said_by_proxy(headers: &HeaderMap, name: &str) -> Option<IpAddr> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = value.rsplit(',').next()?.trim();
    let with_port = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    last.parse().ok().or_else(with_port)
}

/// The `User-Agent`, cut; what is not ASCII is replaced.
pub(super) fn agent_of(headers: &HeaderMap) -> String {
    let bytes = headers.get(header::USER_AGENT).map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
    cut(String::from_utf8_lossy(bytes).into_owned(), AGENT_BYTES_MAX)
}

/// What the headers say of a prefetch; empty where they say nothing. Safari sends `Purpose: preview` for its start page.
pub(super) fn prefetch_of(headers: &HeaderMap) -> String {
    let said = PREFETCH_HEADERS.iter().filter_map(|name| headers.get(*name)?.to_str().ok());
    let machine = |value: &&str| {
        let value = value.to_ascii_lowercase();
        ["prefetch", "prerender", "preview"].iter().any(|word| value.contains(word))
    };
    cut(said.filter(|value| machine(value)).collect::<Vec<_>>().join(", "), PREFETCH_BYTES_MAX)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::http::HeaderValue;

    use super::prefetch_of;
    use super::said_by_proxy;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_proxys_own_entry_counts_and_not_what_the_client_claims() {
        for (value, expected) in [
            ("1.2.3.4, 203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.9:4711", Some("203.0.113.9")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("unknown", None),
            ("", None),
        ] {
            let headers = headers(&[("x-forwarded-for", value)]);
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(said_by_proxy(&headers, "x-forwarded-for"), expected, "{value}");
        }
    }

    #[test]
    fn prefetches_are_heard_by_any_of_their_headers() {
        for (pairs, expected) in [
            (&[("purpose", "prefetch")][..], "prefetch"),
            (&[("sec-purpose", "prefetch;prerender")], "prefetch;prerender"),
            (&[("x-moz", "prefetch")], "prefetch"),
            (&[("purpose", "reading")], ""),
            (&[], ""),
        ] {
            assert_eq!(prefetch_of(&headers(pairs)), expected);
        }
    }
}
