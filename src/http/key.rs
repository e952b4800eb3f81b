//! API keys: 256 random bits, shown once, kept as a hash, with scopes.
//!
//! `bsp_<id>_<secret>`: the id may be shown and finds the row; the whole text is what is hashed. A plain SHA-256 is
//! enough, since nobody guesses 256 bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::digest::hex;
use crate::store::ApiKey;

/// Begins every key, so that scanners of leaked secrets know it.
const PREFIX: &str = "bsp_";
/// Longest text that is looked at.
const KEY_BYTES_MAX: usize = 128;

/// What a key may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Segment's calls: what people are and do. A key of this scope and no other may stand in a web page:
    /// [`crate::store::Trust::Public`] says what it may not.
    Ingest,
    /// Transactional sends, and what became of them.
    Send,
    /// Decisions for other channels, dry renders.
    Decide,
    /// Bounces and complaints.
    Feedback,
    /// Everything that is held on a person, and its erasure.
    Privacy,
    /// Metrics.
    Metrics,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ingest, Self::Send, Self::Decide, Self::Feedback, Self::Privacy, Self::Metrics];

    /// The word that the command line and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Send => "send",
            Self::Decide => "decide",
            Self::Feedback => "feedback",
            Self::Privacy => "privacy",
            Self::Metrics => "metrics",
        }
    }

    /// Reads [`Scope::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// A new key and its row. `random` are 256 bits from the system; the text is shown once and never again.
pub fn make(name: &str, scopes: &[Scope], random: [u8; 32], now: Timestamp) -> (String, ApiKey) {
    let id = hex(&Sha256::digest([b"id".as_slice(), &random].concat())[..6]);
    let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(random));
    let row = ApiKey {
        secret_hash: hash(&text),
        id,
        name: name.to_owned(),
        scopes: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: now,
        revoked_at: None,
    };
    (text, row)
}

/// 256 bits from the system's generator, which has none to give only where the system is broken.
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// The id inside a key, by which its row is found.
pub fn id_of(text: &str) -> Option<&str> {
    let inside = text.len() <= KEY_BYTES_MAX;
    text.strip_prefix(PREFIX)?.split_once('_').map(|(id, _)| id).filter(|id| inside && !id.is_empty())
}

/// Whether `text` is the key of this row, in constant time, and not revoked.
pub fn fits(text: &str, row: &ApiKey) -> bool {
    let same: bool = hash(text).as_bytes().ct_eq(row.secret_hash.as_bytes()).into();
    same && row.revoked_at.is_none()
}

/// Whether a key may ask for this.
pub fn has(row: &ApiKey, scope: Scope) -> bool {
    row.scopes.iter().any(|word| word == scope.as_str())
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_fits_and_only_until_it_is_revoked() {
        let (text, mut row) = make("web", &[Scope::Ingest], [7; 32], Timestamp::UNIX_EPOCH);
        assert_eq!(id_of(&text), Some(row.id.as_str()));
        assert_eq!((text.len(), row.secret_hash.contains(&text)), (60, false));
        assert!(fits(&text, &row));
        for wrong in [&text[..59], &text.replace("Bw", "Bx"), "", "bsp_", &row.secret_hash] {
            assert!(!fits(wrong, &row), "{wrong}");
        }
        row.revoked_at = Some(Timestamp::UNIX_EPOCH);
        assert!(!fits(&text, &row));
    }

    #[test]
    fn scopes_are_read_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("all"), None);
    }
}
