//! Telling other systems what happened, in the form of Standard Webhooks (<https://www.standardwebhooks.com>).
//!
//! Nothing is told from within the work itself: a [`Messenger`] reads events and outcomes in their order of arrival,
//! from a place that it keeps for every receiver, and queues a message for each that the receiver wants, in one
//! transaction with the new place. What a receiver does not take with a 2xx is tried again later. One process of a
//! database does this at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use secrecy::ExposeSecret as _;
use sha2::Digest as _;
use sha2::Sha256;
use url::Url;

use crate::config::WebhookSection;
use crate::digest::hex;

mod message;
mod messenger;

pub use message::KINDS;
pub use messenger::Messenger;
pub use messenger::Round;

/// Begins every secret.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, least and most (Standard Webhooks).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A receiver, checked.
#[derive(Clone)]
pub struct Endpoint {
    /// A hash of its address, under which its place and its messages are kept.
    pub id: String,
    url: Url,
    secret: Vec<u8>,
    /// Those of [`KINDS`] that it wants.
    kinds: Vec<&'static str>,
}

/// Nothing of the secret is shown.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("id", &self.id).field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Checks one section; an `Err` says what to write instead.
    pub fn new(section: &WebhookSection) -> Result<Self, String> {
        let url = Url::parse(&section.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        // Whose scheme was forgotten may hold a password.
        let url = url.ok_or("webhook.url is no web address; write https://host/path")?;
        let secret = section.secret.expose_secret();
        let secret = secret.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let secret = secret.filter(|secret| SECRET_BYTES.contains(&secret.len())).ok_or_else(|| {
            "webhook.secret is not whsec_ and the base64 of 24 to 64 bytes; make one with \
             `echo whsec_$(openssl rand -base64 32)`"
                .to_owned()
        })?;
        let known = |wanted: &String| {
            KINDS.iter().copied().find(|kind| kind == wanted).ok_or_else(|| {
                format!("webhook.events: there is no event {wanted:?}; known are {}", KINDS.join(", "))
            })
        };
        let kinds = section.events.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let kinds = if kinds.is_empty() { KINDS.to_vec() } else { kinds };
        let id = hex(&Sha256::digest(url.as_str())[..12]);
        Ok(Self { id, url, secret, kinds })
    }
}

/// The headers of one attempt: `v1,` and the base64 of HMAC-SHA256 over id, time and body.
fn headers(secret: &[u8], id: &str, seconds: i64, body: &str) -> [(&'static str, String); 4] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers =
            headers(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(headers[3].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn section(url: &str, secret: &str, events: &[&str]) -> WebhookSection {
        let events = events.iter().map(|event| (*event).to_owned()).collect();
        WebhookSection { url: url.to_owned(), secret: secret.to_owned().into(), events }
    }

    #[test]
    fn a_section_that_cannot_work_is_refused_with_what_to_write() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(Endpoint::new(&section("https://a.test/x", good, &[])).unwrap().kinds, KINDS);
        assert_eq!(Endpoint::new(&section("https://a.test/x", good, &["sent"])).unwrap().kinds, ["sent"]);
        for (url, secret, event, expected) in [
            ("ftp://a.test", good, "sent", "is no web address"),
            ("x", good, "sent", "is no web address"),
            ("shop:MfKQ@a.test/x", good, "sent", "is no web address"),
            ("https://a.test", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "sent", "whsec_"),
            ("https://a.test", "whsec_c2hvcnQ=", "sent", "24 to 64"),
            ("https://a.test", good, "email.sent", "there is no event"),
        ] {
            let refused = Endpoint::new(&section(url, secret, &[event])).unwrap_err();
            assert!(refused.contains(expected) && !refused.contains("MfKQ"), "{refused}");
        }
    }
}
