//! An address that we may put into an envelope: parsed once, never checked again.

use std::fmt;
use std::str::FromStr;

use idna::AsciiDenyList;
use idna::uts46::DnsLength;
use idna::uts46::Hyphens;
use idna::uts46::Uts46;
use lettre::Address;
use serde::Deserialize;
use serde::Serialize;

/// Longest address: a path of 256 octets (RFC 5321, 4.5.3.1.3) less its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
/// Longest text that is looked at; the domain may be longer in U-labels than in A-labels.
const INPUT_BYTES_MAX: usize = 1_024;
/// A few countries receive mail at their own top-level domain (`x@ai`); any other single label is a typing error.
const COUNTRY_LABEL_BYTES: usize = 2;
const TOO_LONG: AddressError = AddressError("the address is longer than 254 bytes");

/// An address for mail to people: a dot-atom local part and a domain name in A-label form.
///
/// RFC 5321 allows more (quoted local parts, literals, comments of RFC 5322); nobody's customers have such
/// addresses, and every list that takes them takes typing errors. The domain is stored as A-labels (RFC 5890),
/// lower case, because lettre sends what it is given.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress {
    text: String,
    at: usize,
}

/// Why a text is no address for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

impl EmailAddress {
    /// Parses and canonicalises: the domain becomes lower-case A-labels. White space around it is refused like
    /// any other folding of RFC 5322; who reads what people typed trims it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError("the address is empty"));
        }
        if text.len() > INPUT_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError("the address has no @"))?;
        check_local(local)?;
        let domain = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify)
            .map_err(|_| AddressError("the part behind the @ is no domain name"))?;
        check_domain(&domain)?;
        let canonical = format!("{local}@{domain}");
        if canonical.len() > ADDRESS_BYTES_MAX {
            return Err(TOO_LONG);
        }
        Address::from_str(&canonical).map_err(|_| AddressError("the address is not well formed"))?;
        Ok(Self { at: local.len(), text: canonical })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the @.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// The domain, lower case, A-labels.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// The form under which suppressions and duplicates are found: all lower case.
    pub fn key(&self) -> String {
        self.text.to_lowercase()
    }

    /// The same for lettre's envelope.
    pub fn to_lettre(&self) -> Address {
        Address::from_str(&self.text).expect("parse() has put the same text through lettre")
    }
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError("nothing stands before the @"));
    }
    if local.len() > 64 {
        return Err(AddressError("the part before the @ is longer than 64 bytes"));
    }
    if local.starts_with('"') {
        return Err(AddressError("quoted local parts are not accepted"));
    }
    let atom = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(c)
            || (!c.is_ascii() && c.is_alphanumeric())
    };
    if local.split('.').any(|part| part.is_empty() || !part.chars().all(atom)) {
        return Err(AddressError("the part before the @ holds a character that is not allowed there"));
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), AddressError> {
    if !domain.contains('.') && domain.len() != COUNTRY_LABEL_BYTES {
        return Err(AddressError("the domain has no dot"));
    }
    let well_formed = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if !domain.split('.').all(well_formed) {
        return Err(AddressError("a label of the domain is empty, or starts or ends with a hyphen"));
    }
    let top = domain.rsplit('.').next().unwrap_or_default();
    if top.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError("the domain ends in a number"));
    }
    Ok(())
}

/// `ana@example.com` → `a***@e***.com`: what logs may show.
pub fn mask(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    match domain.rsplit_once('.') {
        Some((name, top)) => format!("{}***@{}***.{top}", first(local), first(name)),
        None => format!("{}***", first(local)),
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Masked, so that an address cannot slip into a log by `{:?}`.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({})", mask(&self.text))
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.text
    }
}
