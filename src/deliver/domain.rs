//! Recipient domains that share one mailbox host, and so one patience.

use std::collections::HashMap;

use crate::config::Rates;

/// Hosts that receive for several domains. A domain that is in no group is its own.
const KNOWN_GROUPS: &[(&str, &[&str])] = &[
    ("gmail", &["gmail.com", "googlemail.com"]),
    (
        "microsoft",
        &["outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.co.uk", "hotmail.fr", "outlook.de"],
    ),
    (
        "yahoo",
        &["yahoo.com", "ymail.com", "aol.com", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "rocketmail.com"],
    ),
    ("icloud", &["icloud.com", "me.com", "mac.com"]),
    ("gmx", &["gmx.de", "gmx.net", "gmx.at", "gmx.ch", "web.de"]),
];

/// Finds the group of a domain.
#[derive(Debug, Clone)]
pub struct DomainGroups {
    by_domain: HashMap<String, String>,
}

impl DomainGroups {
    /// The known groups, and those that the configuration states (which win).
    pub fn new(rates: &Rates) -> Self {
        let mut by_domain = HashMap::new();
        for (group, domains) in KNOWN_GROUPS {
            by_domain.extend(domains.iter().map(|domain| ((*domain).to_owned(), (*group).to_owned())));
        }
        for (group, rate) in &rates.domain {
            by_domain.extend(rate.domains.iter().map(|domain| (domain.to_lowercase(), group.clone())));
        }
        Self { by_domain }
    }

    /// The group of a domain (lower case, A-labels): a known one, or the domain itself.
    pub fn group<'a>(&'a self, domain: &'a str) -> &'a str {
        self.by_domain.get(domain).map_or(domain, String::as_str)
    }
}
