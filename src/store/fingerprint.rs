//! Names for people that do not say who they are: a keyed hash, the same for the same text on this database.

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Sha256;

use super::Error;
use super::Store;

use crate::digest::hex;

/// Name of the stored secret that keys the hash.
pub(super) const SECRET: &str = "people";
/// Half of the hash names enough people.
const BYTES: usize = 16;

/// Makes fingerprints. Who reads the hash without the database's secret cannot try addresses against it.
#[derive(Clone)]
pub struct Fingerprints(Hmac<Sha256>);

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints")
    }
}

impl Fingerprints {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// 32 hex digits over `text`; what different `kind`s stand for never looks alike.
    pub fn of(&self, kind: &str, text: &str) -> String {
        let mut state = self.0.clone();
        state.update(kind.as_bytes());
        state.update(b"/");
        state.update(text.as_bytes());
        hex(&state.finalize().into_bytes()[..BYTES])
    }
}

impl Store {
    /// The fingerprints of this database; its secret is made when it is first asked for.
    pub async fn fingerprints(&self) -> Result<&Fingerprints, Error> {
        let made = self.shared.fingerprints.get_or_try_init(async || {
            let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            Ok::<_, Error>(Fingerprints::new(self.secret(SECRET, &fresh).await?.as_bytes()))
        });
        made.await
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprints;

    #[test]
    fn a_fingerprint_depends_on_secret_kind_and_text_and_on_nothing_else() {
        let (one, two) = (Fingerprints::new(b"one"), Fingerprints::new(b"two"));
        let print = one.of("address", "ana@example.test");
        assert_eq!(print, one.of("address", "ana@example.test"));
        assert_eq!((print.len(), print.contains("ana")), (32, false));
        for other in [
            one.of("profile", "ana@example.test"),
            one.of("address", "b"),
            two.of("address", "ana@example.test"),
        ] {
            assert_ne!(print, other);
        }
    }
}
