//! DKIM signatures (RFC 6376, RFC 8463) over the final bytes: relaxed/relaxed, RSA-SHA256 and Ed25519-SHA256.

use std::borrow::Cow;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::Ed25519KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use memchr::memchr;
use memchr::memmem;
use secrecy::SecretString;
use sha2::Digest as _;
use sha2::Sha256;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

mod section;
#[cfg(test)]
mod tests;

pub use section::UnusableKey;
pub use section::keys;

/// What is signed where it is there. `From` is signed once more than it occurs, so that nobody can add another.
const SIGNED_HEADERS: &[&str] = &[
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "mime-version",
    "content-type",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "auto-submitted",
];
/// Bytes of a line of PEM (RFC 7468 §2).
const PEM_LINE_BYTES: usize = 64;
/// Smallest RSA key that mailbox hosts believe.
const RSA_BITS_MIN: usize = 2_048;

/// One key of one domain.
#[derive(Debug)]
pub struct DkimKey {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Nothing of a key is shown.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.algorithm())
    }
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum DkimError {
    /// No private key stands in the text.
    #[error("no private key in PEM form is there; `bespoke dkim create` makes one")]
    NoKey,
    /// The key is of a kind that DKIM does not know, or broken.
    #[error("the private key is neither RSA nor Ed25519, or is damaged")]
    UnknownKey,
    /// The key is too short to be believed.
    #[error("the RSA key is too short: at least {RSA_BITS_MIN} bits are needed")]
    ShortKey,
    /// The bytes to sign are no mail.
    #[error("the mail has no end of its headers")]
    NoMail,
    /// The library failed.
    #[error("signing failed")]
    Signing,
}

impl DkimKey {
    /// A key from PEM text (PKCS#8, or PKCS#1 for RSA).
    pub fn from_pem(domain: &str, selector: &str, pem: &str) -> Result<Self, DkimError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| DkimError::NoKey)?;
        let rsa = match &der {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                if let Ok(key) = Ed25519KeyPair::from_pkcs8(der) {
                    return Self::new(domain, selector, Key::Ed25519(Box::new(key)));
                }
                RsaKeyPair::from_pkcs8(der)
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(DkimError::UnknownKey),
        };
        // The library tells its reasons apart by their words alone.
        let rsa = rsa.map_err(|rejected| match rejected.to_string().as_str() {
            "TooSmall" => DkimError::ShortKey,
            _ => DkimError::UnknownKey,
        })?;
        Self::new(domain, selector, Key::Rsa(Box::new(rsa)))
    }

    /// A fresh RSA-2048 key.
    pub fn generate_rsa(domain: &str, selector: &str) -> Result<Self, DkimError> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| DkimError::Signing)?;
        Self::new(domain, selector, Key::Rsa(Box::new(key)))
    }

    /// A fresh Ed25519 key.
    pub fn generate_ed25519(domain: &str, selector: &str) -> Result<Self, DkimError> {
        let key = Ed25519KeyPair::generate().map_err(|_| DkimError::Signing)?;
        Self::new(domain, selector, Key::Ed25519(Box::new(key)))
    }

    fn new(domain: &str, selector: &str, key: Key) -> Result<Self, DkimError> {
        if let Key::Rsa(pair) = &key
            && pair.public_modulus_len() * 8 < RSA_BITS_MIN
        {
            return Err(DkimError::ShortKey);
        }
        Ok(Self { domain: domain.to_ascii_lowercase(), selector: selector.to_owned(), key })
    }

    /// The private key as PEM text, which [`DkimKey::from_pem`] reads.
    pub fn to_pem(&self) -> Result<SecretString, DkimError> {
        let der: Pkcs8V1Der<'_> = match &self.key {
            Key::Rsa(pair) => pair.as_der(),
            Key::Ed25519(pair) => pair.as_der(),
        }
        .map_err(|_| DkimError::Signing)?;
        let text = STANDARD.encode(der.as_ref());
        let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        for line in text.as_bytes().chunks(PEM_LINE_BYTES) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        Ok((pem + "-----END PRIVATE KEY-----\n").into())
    }

    /// Where the public key is looked up, and the TXT record that belongs there.
    pub fn dns_record(&self) -> Result<(String, String), DkimError> {
        let public = match &self.key {
            Key::Rsa(pair) => {
                let der = pair.public_key().as_der().map_err(|_| DkimError::Signing)?;
                STANDARD.encode(der.as_ref())
            }
            Key::Ed25519(pair) => STANDARD.encode(pair.public_key().as_ref()),
        };
        let name = format!("{}._domainkey.{}", self.selector, self.domain);
        Ok((name, format!("v=DKIM1; k={}; p={public}", self.key.dns_name())))
    }
}

impl Key {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn dns_name(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Ed25519(_) => "ed25519",
        }
    }

    /// RSA signs the data by its hash; Ed25519 signs the hash itself (RFC 8463 §3).
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, DkimError> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| DkimError::Signing)?;
                Ok(signature)
            }
            Self::Ed25519(pair) => Ok(pair.sign(&Sha256::digest(data)).as_ref().to_vec()),
        }
    }
}

/// The mail with one signature per key before its first header. Signed at `at`, which is the mail's Date, so that
/// a retry gives the same bytes.
pub fn sign(mail: &[u8], keys: &[DkimKey], at: Timestamp) -> Result<Vec<u8>, DkimError> {
    let (head, body) = split(mail).ok_or(DkimError::NoMail)?;
    let headers = canonical_headers(head);
    let body_hash = STANDARD.encode(Sha256::digest(canonical_body(body).as_ref()));
    let (names, signed) = select_headers(&headers);
    let mut out = Vec::with_capacity(mail.len() + keys.len() * 1_024);
    for key in keys {
        let unsigned = format!(
            "v=1; a={}; c=relaxed/relaxed; d={};\r\n\ts={}; t={};\r\n\th={};\r\n\tbh={body_hash};\r\n\tb=",
            key.key.algorithm(),
            key.domain,
            key.selector,
            at.as_second(),
            fold_names(&names),
        );
        let mut data = signed.clone();
        data.extend_from_slice(b"dkim-signature:");
        data.extend_from_slice(&unfold(unsigned.as_bytes()));
        let signature = STANDARD.encode(key.key.sign(&data)?);
        out.extend_from_slice(b"DKIM-Signature: ");
        out.extend_from_slice(unsigned.as_bytes());
        for (i, line) in signature.as_bytes().chunks(72).enumerate() {
            out.extend_from_slice(if i == 0 { b"" } else { b"\r\n\t" });
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(mail);
    Ok(out)
}

fn split(mail: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memmem::find(mail, b"\r\n\r\n")?;
    Some((&mail[..end + 2], &mail[end + 4..]))
}

/// Each header as (lower-case name, canonical line), in order (RFC 6376 §3.4.2).
fn canonical_headers(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut headers: Vec<Vec<u8>> = Vec::new();
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        match headers.last_mut() {
            Some(header) if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) => {
                header.extend_from_slice(line);
            }
            _ => headers.push(line.to_vec()),
        }
    }
    headers
        .into_iter()
        .filter_map(|header| {
            let colon = header.iter().position(|byte| *byte == b':')?;
            let name = String::from_utf8_lossy(&header[..colon]).trim_end().to_ascii_lowercase();
            let value = unfold(&header[colon + 1..]);
            let line = [name.as_bytes(), b":", &value, b"\r\n"].concat();
            Some((name, line))
        })
        .collect()
}

/// Drops CR and LF, folds white space to one space, drops it at both ends.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        match byte {
            b' ' | b'\t' if out.is_empty() || out.last() == Some(&b' ') => {}
            b' ' | b'\t' => out.push(b' '),
            byte => out.push(*byte),
        }
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

/// Names for `h=` and the lines they stand for. A name beyond the last header stands for nothing: it forbids adding one.
fn select_headers(headers: &[(String, Vec<u8>)]) -> (Vec<&'static str>, Vec<u8>) {
    let mut names = Vec::with_capacity(SIGNED_HEADERS.len() + 1);
    let mut lines = Vec::with_capacity(1_024);
    for name in SIGNED_HEADERS {
        for (_, line) in headers.iter().rev().filter(|(header, _)| header == name) {
            names.push(*name);
            lines.extend_from_slice(line);
        }
    }
    names.push("from");
    (names, lines)
}

fn fold_names(names: &[&str]) -> String {
    let mut out = String::new();
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            out.push_str(if i % 6 == 0 { ":\r\n\t " } else { ":" });
        }
        out.push_str(name);
    }
    out
}

/// Relaxed body (RFC 6376 §3.4.4). Our mails have few tabs and few runs of spaces: nearly all of one is copied in long
/// pieces, or borrowed.
fn canonical_body(body: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\t', body).is_some() || !body.ends_with(b"\r\n") {
        return Cow::Owned(relaxed_body(body));
    }
    let spaces = |rest: &[u8]| rest.iter().take_while(|byte| **byte == b' ').count();
    let body = match without(body, b"  ", |rest| spaces(rest) - 1) {
        Cow::Borrowed(body) => without(body, b" \r\n", |_| 1),
        Cow::Owned(body) => Cow::Owned(without(&body, b" \r\n", |_| 1).into_owned()),
    };
    let mut end = body.len();
    while body[..end].ends_with(b"\r\n\r\n") {
        end -= 2;
    }
    if body[..end] == *b"\r\n" {
        end = 0;
    }
    match body {
        Cow::Borrowed(body) => Cow::Borrowed(&body[..end]),
        Cow::Owned(mut body) => {
            body.truncate(end);
            Cow::Owned(body)
        }
    }
}

/// Takes out, wherever `needle` is found, as many bytes as `count` says of what begins there.
fn without<'a>(text: &'a [u8], needle: &[u8], count: impl Fn(&[u8]) -> usize) -> Cow<'a, [u8]> {
    let finder = memmem::Finder::new(needle);
    let Some(mut at) = finder.find(text) else { return Cow::Borrowed(text) };
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    loop {
        out.extend_from_slice(&text[copied..at]);
        copied = at + count(&text[at..]);
        match finder.find(&text[copied..]) {
            Some(next) => at = copied + next,
            None => break,
        }
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut empty_lines = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = out.len();
        let mut space = false;
        for byte in line.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
            if matches!(byte, b' ' | b'\t') {
                space = true;
                continue;
            }
            if out.len() == start {
                out.extend(std::iter::repeat_n(*b"\r\n", empty_lines).flatten());
                empty_lines = 0;
            }
            if space {
                out.push(b' ');
                space = false;
            }
            out.push(*byte);
        }
        if out.len() == start {
            empty_lines += 1;
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}
