//! Topics that no campaign has: what is stopped for them stops nothing.

use std::collections::BTreeSet;

use clap::builder::PossibleValuesParser;

use crate::campaign::Kind;
use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::catalog::nearest::nearest;
use crate::config::Config;
use crate::send::EVERY_TOPIC;
use crate::send::LIFECYCLE_TOPIC;
use crate::send::LISTED_REASONS;
use crate::send::PAUSE_TOPIC;

/// Topics that are told, at most.
const TOLD_MAX: usize = 5;

/// Topics that are there without any campaign.
const FIXED: [&str; 3] = [EVERY_TOPIC, LIFECYCLE_TOPIC, PAUSE_TOPIC];

/// The reasons that somebody who keeps a list may give.
pub(in crate::cli) fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(LISTED_REASONS.map(|(reason, _)| reason))
}

/// The topics of all campaigns that people can unsubscribe from; `None` where the campaigns cannot be read, which
/// `bespoke check` tells of.
pub(in crate::cli) fn known(config: &Config) -> Option<BTreeSet<String>> {
    let settings = CatalogSettings::of_config(config);
    let campaigns = Catalog::campaigns_of(&config.templates.folder, &settings).ok()?;
    let lifecycle = campaigns.iter().filter(|campaign| campaign.kind == Kind::Lifecycle);
    Some(lifecycle.map(|campaign| campaign.topic().to_owned()).collect())
}

/// A sentence for a topic that stops nothing.
pub(in crate::cli) fn unknown(topic: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(topic) || FIXED.contains(&topic) {
        return None;
    }
    let near = nearest(topic, known.iter().map(String::as_str));
    let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    Some(format!(
        "no campaign has the topic {topic:?}, so nothing is stopped by it; {near}there are * (all mail), lifecycle (all \
         but transactional mail), {}",
        all.join(", ")
    ))
}

/// A sentence for each of `imported` that no campaign has. The rows are kept: the campaign may come later.
pub(super) fn warnings(config: &Config, imported: &BTreeSet<String>) -> Vec<String> {
    if imported.iter().all(|topic| FIXED.contains(&topic.as_str())) {
        return Vec::new();
    }
    let Some(known) = known(config) else { return Vec::new() };
    let mut told: Vec<String> = imported.iter().filter_map(|topic| unknown(topic, &known)).collect();
    let more = told.len().saturating_sub(TOLD_MAX);
    told.truncate(TOLD_MAX);
    let mut told: Vec<String> = told.into_iter().map(|text| format!("warning: {text}")).collect();
    if more > 0 {
        told.push(format!("warning: and {more} more such topics"));
    }
    told
}
