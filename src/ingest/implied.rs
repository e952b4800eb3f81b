//! People whom nobody introduced: events speak of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::event::Event;
use crate::profile::Profile;
use crate::profile::ProfileId;

/// The people of these events, known since their earliest one. Of people who are known already only that may change.
pub fn implied_profiles<'a>(events: impl IntoIterator<Item = &'a Event>, now: Timestamp) -> Vec<Profile> {
    let mut since: BTreeMap<&ProfileId, Timestamp> = BTreeMap::new();
    for event in events {
        let known = since.entry(&event.profile).or_insert(event.at);
        *known = event.at.min(*known);
    }
    let profile = |(id, created_at): (&ProfileId, Timestamp)| Profile {
        created_at,
        ..Profile::nameless(id.clone(), now)
    };
    since.into_iter().map(profile).collect()
}
