//! Signed tokens in links and return paths: purpose-separated HMAC keys, key ids, constant-time checks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Digest as _;
use sha2::Sha256;

use crate::digest::hex;
use crate::send::SendId;

/// Bytes of the MAC in a link: 128 bits, more than anybody can guess online.
const LINK_MAC_BYTES: usize = 16;
/// Bytes of the MAC in a return path: 96 bits, because a local part holds 64 characters (RFC 5321 §4.5.3.1.1).
const VERP_MAC_BYTES: usize = 12;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a token may be used for. A token of one purpose never verifies as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A click: send, link, target.
    Click,
    /// The pixel.
    Open,
    /// One-click unsubscribe and the page for people.
    Unsubscribe,
    /// Topics to choose.
    Preferences,
    /// The mail as a web page.
    View,
    /// The return path.
    Bounce,
    /// A double opt-in that is asked for.
    Confirm,
}

impl Purpose {
    const ALL: [Self; 7] = [
        Self::Click,
        Self::Open,
        Self::Unsubscribe,
        Self::Preferences,
        Self::View,
        Self::Bounce,
        Self::Confirm,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Open => "open",
            Self::Unsubscribe => "unsubscribe",
            Self::Preferences => "preferences",
            Self::View => "view",
            Self::Bounce => "bounce",
            Self::Confirm => "confirm",
        }
    }
}

/// The current key, which signs, and earlier ones, which are still believed.
#[derive(Clone)]
pub struct Keyring(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: u8,
    /// One prepared state per purpose: half of an HMAC's work is its key.
    by_purpose: [Hmac<Sha256>; 7],
}

/// Nothing of a key is shown.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

impl Keyring {
    /// `secret` signs; tokens signed by `previous` are still believed.
    pub fn new<'a>(secret: &'a [u8], previous: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(std::iter::once(secret).chain(previous).map(Key::new).collect())
    }

    /// A token over `payload`, safe in a URL's path.
    pub fn sign(&self, purpose: Purpose, payload: &[u8]) -> String {
        let mut token = String::new();
        self.sign_onto(&mut token, purpose, &[payload]);
        token
    }

    /// Adds a token over the pieces of a payload to `out`: what [`Keyring::sign`] gives for all of it.
    pub fn sign_onto(&self, out: &mut String, purpose: Purpose, payload: &[&[u8]]) {
        let key = &self.0[0];
        let length = 1 + payload.iter().map(|piece| piece.len()).sum::<usize>() + LINK_MAC_BYTES;
        let mut bytes = Vec::with_capacity(length);
        bytes.push(key.id);
        for piece in payload {
            bytes.extend_from_slice(piece);
        }
        let mac = key.mac(purpose, &bytes[1..]);
        bytes.extend_from_slice(&mac[..LINK_MAC_BYTES]);
        out.reserve(length.div_ceil(3) * 4);
        URL_SAFE_NO_PAD.encode_string(bytes, out);
    }

    /// The payload of a token that one of our keys signed for this purpose.
    pub fn verify(&self, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (id, rest) = bytes.split_first()?;
        let (payload, mac) = rest.split_at_checked(rest.len().checked_sub(LINK_MAC_BYTES)?)?;
        let known = |key: &&Key| key.id == *id && key.verifies(purpose, payload, mac);
        self.0.iter().find(known).map(|_| payload.to_vec())
    }

    /// The local part of a send's return path: `b-<send>-<key id><mac>`, all lower-case hex, 60 characters.
    pub fn sign_return_path(&self, send: &SendId) -> String {
        let key = &self.0[0];
        let mac = key.mac(Purpose::Bounce, send.as_str().as_bytes());
        format!("b-{send}-{:02x}{}", key.id, hex(&mac[..VERP_MAC_BYTES]))
    }

    /// The send of a return path that we made; letter case does not matter, since some hosts change it.
    pub fn verify_return_path(&self, local: &str) -> Option<SendId> {
        let local = local.to_ascii_lowercase();
        let (send, mac) = local.strip_prefix("b-")?.split_once('-')?;
        let send = SendId::parse(send)?;
        let bytes: Vec<u8> = (0..mac.len() / 2)
            .map(|i| u8::from_str_radix(mac.get(2 * i..2 * i + 2)?, 16).ok())
            .collect::<Option<_>>()?;
        let (id, mac) = bytes.split_first()?;
        let right_length = mac.len() == VERP_MAC_BYTES;
        let known =
            |key: &&Key| key.id == *id && key.verifies(Purpose::Bounce, send.as_str().as_bytes(), mac);
        (right_length && self.0.iter().any(|key| known(&key))).then_some(send)
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let state = |purpose: Purpose| {
            let mut derive = keyed(secret);
            derive.update(b"bespoke/");
            derive.update(purpose.label().as_bytes());
            keyed(&derive.finalize().into_bytes())
        };
        Self { id: Sha256::digest(secret)[0], by_purpose: Purpose::ALL.map(state) }
    }

    fn state(&self, purpose: Purpose, payload: &[u8]) -> Hmac<Sha256> {
        let mut state = self.by_purpose[purpose as usize].clone();
        state.update(payload);
        state
    }

    fn mac(&self, purpose: Purpose, payload: &[u8]) -> [u8; 32] {
        self.state(purpose, payload).finalize().into_bytes().into()
    }

    /// In constant time.
    fn verifies(&self, purpose: Purpose, payload: &[u8], mac: &[u8]) -> bool {
        self.state(purpose, payload).verify_truncated_left(mac).is_ok()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Keyring {
        Keyring::new(b"a secret of at least thirty-two bytes", [])
    }

    #[test]
    fn a_token_gives_its_payload_back_for_its_purpose_only() {
        for (i, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, i);
            let token = ring().sign(purpose, b"payload");
            for other in Purpose::ALL {
                let expected = (other == purpose).then(|| b"payload".to_vec());
                assert_eq!(ring().verify(other, &token), expected);
            }
        }
    }

    #[test]
    fn no_flipped_bit_and_no_truncation_verifies() {
        let token = ring().sign(Purpose::Unsubscribe, b"someone");
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring().verify(Purpose::Unsubscribe, &URL_SAFE_NO_PAD.encode(forged)), None);
        }
        for end in 0..token.len() {
            assert_eq!(ring().verify(Purpose::Unsubscribe, &token[..end]), None);
        }
    }

    #[test]
    fn earlier_keys_are_believed_and_unknown_ones_are_not() {
        let old = Keyring::new(b"the old secret, thirty-two bytes long", []);
        let new = Keyring::new(
            b"the new secret, thirty-two bytes long",
            [b"the old secret, thirty-two bytes long".as_slice()],
        );
        let token = old.sign(Purpose::Click, b"x");
        assert_eq!(new.verify(Purpose::Click, &token), Some(b"x".to_vec()));
        assert_eq!(ring().verify(Purpose::Click, &token), None);
    }

    #[test]
    fn a_return_path_fits_and_comes_back_in_any_letter_case() {
        let send = SendId::parse("0193f0a1b2c3d4e5f60718293a4b5c6d").unwrap();
        let local = ring().sign_return_path(&send);
        assert!(local.len() <= 64, "{local}");
        assert_eq!(ring().verify_return_path(&local), Some(send.clone()));
        assert_eq!(ring().verify_return_path(&local.to_uppercase()), Some(send));
        assert_eq!(ring().verify_return_path(&local[..local.len() - 2]), None);
        assert_eq!(ring().verify_return_path(&local.replace("b-0", "b-1")), None);
        assert_eq!(ring().verify_return_path("hello"), None);
    }
}
