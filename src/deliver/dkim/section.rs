//! From a `[[dkim]]` of the configuration to a key.

use std::io::ErrorKind;

use secrecy::ExposeSecret as _;

use super::DkimKey;
use crate::config::DkimSection;

/// A `[[dkim]]` of the configuration that cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("the DKIM key {selector}._domainkey.{domain} {problem}")]
pub struct UnusableKey {
    domain: String,
    selector: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    NoFile(String),
    Other(String),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NoFile(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}

impl UnusableKey {
    /// Whether its file is not on this machine, which is right wherever nothing is signed.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.problem, Problem::NoFile(_))
    }
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
            (None, Some(path)) => std::fs::read_to_string(path).map_err(|error| {
                let problem = format!("cannot be read from {}: {error}", path.display());
                let is_missing = error.kind() == ErrorKind::NotFound;
                if is_missing { Problem::NoFile(problem) } else { Problem::Other(problem) }
            }),
            (None, None) => Err(Problem::Other("states neither key_file nor key".to_owned())),
        };
        let key = pem.and_then(|pem| {
            Self::from_pem(domain, selector, &pem)
                .map_err(|error| Problem::Other(format!("cannot be used: {error}")))
        });
        key.map_err(|problem| UnusableKey {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            problem,
        })
    }
}
