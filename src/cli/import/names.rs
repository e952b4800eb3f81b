//! Names of events that nothing looks at: most are typing errors, or want a map.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::campaign::Trigger;
use crate::catalog::Catalog;
use crate::catalog::CatalogSettings;
use crate::catalog::nearest::nearest;
use crate::config::Config;
use crate::event::name;
use crate::words::counted;

/// Names that are told, at most.
const TOLD_MAX: usize = 5;

/// A sentence for each name that no fact, campaign or `[events] known` knows; how many events have it stands with it.
/// Where the campaigns cannot be read nothing is said; `bespoke check` says it.
pub(super) fn warnings(config: &Config, imported: &BTreeMap<String, u64>) -> Vec<String> {
    if imported.keys().all(|event| name::ALL.contains(&event.as_str())) {
        return Vec::new();
    }
    let settings = CatalogSettings::of_config(config);
    let Ok(campaigns) = Catalog::campaigns_of(&config.templates.folder, &settings) else { return Vec::new() };
    let mut known: BTreeSet<String> = name::ALL.iter().map(|name| (*name).to_owned()).collect();
    known.extend(config.events.known.iter().cloned());
    for campaign in campaigns {
        if let Trigger::Event { name, cancel_on, .. } = campaign.trigger {
            known.insert(name);
            known.extend(cancel_on);
        }
    }
    unknown(&known, imported)
}

fn unknown(known: &BTreeSet<String>, imported: &BTreeMap<String, u64>) -> Vec<String> {
    let mut strange: Vec<(&String, &u64)> =
        imported.iter().filter(|(name, _)| !known.contains(*name)).collect();
    strange.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let mut told: Vec<String> = strange
        .iter()
        .take(TOLD_MAX)
        .map(|(name, count)| {
            let near = nearest(name, known.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
            format!(
                "note: {} called {name:?}, which no fact and no campaign asks for; {near}map it to a known name, or name \
                 it under `known` in [events] of bespoke.toml",
                counted(**count, "event")
            )
        })
        .collect();
    if strange.len() > told.len() {
        let more: u64 = strange.iter().skip(TOLD_MAX).map(|(_, count)| **count).sum();
        let names = counted(strange.len() - TOLD_MAX, "such name");
        told.push(format!("note: and {} under {names} more", counted(more, "event")));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nothing_asks_for_are_told_with_how_often_they_came() {
        let known: BTreeSet<String> = ["Order Completed", "Signed Up"].map(str::to_owned).into();
        let imported = [("Order Complete", 120), ("Signed Up", 5), ("purchase_v2", 1)];
        let imported = imported.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(
            unknown(&known, &imported),
            [
                "note: 120 events called \"Order Complete\", which no fact and no campaign asks for; did you mean \
                 \"Order Completed\"? map it to a known name, or name it under `known` in [events] of bespoke.toml",
                "note: 1 event called \"purchase_v2\", which no fact and no campaign asks for; map it to a known name, \
                 or name it under `known` in [events] of bespoke.toml",
            ]
        );
    }
}
