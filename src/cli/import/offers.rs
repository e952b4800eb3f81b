//! Codes that no mail will ever give out.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::catalog::nearest::nearest;
use crate::catalog::offer::Offer;
use crate::catalog::offer::OfferKind;
use crate::config::Config;

/// Warnings that are told, at most.
const WARNINGS_MAX: usize = 5;

/// A sentence for each of `imported` that the templates do not give codes of. The codes are kept: the offer may come
/// later. Where the offers cannot be read nothing is said; `bespoke check` says it.
pub(super) fn warnings(config: &Config, imported: &BTreeSet<String>) -> Vec<String> {
    if imported.is_empty() {
        return Vec::new();
    }
    Catalog::offers_of(&config.templates.folder, &CatalogSettings::of_config(config))
        .map_or_else(|_| Vec::new(), |offers| unknown(&offers, imported))
}

fn unknown(offers: &BTreeMap<String, Offer>, imported: &BTreeSet<String>) -> Vec<String> {
    let coupons = || offers.values().filter(|offer| offer.kind == OfferKind::Coupon);
    let known: Vec<&str> = coupons().map(|offer| offer.name.as_str()).collect();
    let strange: Vec<&String> = imported.iter().filter(|name| !known.contains(&name.as_str())).collect();
    let mut told: Vec<String> = strange
        .iter()
        .take(WARNINGS_MAX)
        .map(|name| {
            let help = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write it into offers.toml with `kind = \"coupon\"`".to_owned(),
            };
            format!("warning: no offer with codes is called `{name}`, so nobody gets them; {help}")
        })
        .collect();
    if strange.len() > told.len() {
        told.push(format!("warning: and {} more such offers", strange.len() - told.len()));
    }
    told
}
