//! From a `[[dkim]]` of the configuration to a key.

use secrecy::ExposeSecret as _;

use super::DkimKey;
use crate::config::DkimSection;

/// A `[[dkim]]` of the configuration that cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("the DKIM key {selector}._domainkey.{domain} {problem}")]
pub struct UnusableKey {
    domain: String,
    selector: String,
    problem: String,
}

/// The keys of a configuration, or everything that is wrong with them.
pub fn keys(sections: &[DkimSection]) -> Result<Vec<DkimKey>, Vec<UnusableKey>> {
    let (keys, faults): (Vec<_>, Vec<_>) = sections.iter().map(DkimKey::of_section).partition(Result::is_ok);
    if faults.is_empty() {
        return Ok(keys.into_iter().filter_map(Result::ok).collect());
    }
    Err(faults.into_iter().filter_map(Result::err).collect())
}

impl DkimKey {
    /// The key that a section of the configuration states, as text or in a file.
    pub fn of_section(section: &DkimSection) -> Result<Self, UnusableKey> {
        let (domain, selector) = (section.domain.as_str(), section.selector.as_str());
        let pem = match (&section.key, &section.key_file) {
            (Some(key), _) => Ok(key.expose_secret().to_owned()),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| format!("cannot be read from {}: {error}", path.display())),
            (None, None) => Err("states neither key_file nor key".to_owned()),
        };
        let key = pem.and_then(|pem| {
            Self::from_pem(domain, selector, &pem).map_err(|error| format!("cannot be used: {error}"))
        });
        key.map_err(|problem| UnusableKey {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            problem,
        })
    }
}
