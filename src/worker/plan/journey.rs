//! Places people on the journey who get no mail just now, so that campaigns that start by a step see every step: those
//! who did something, and those whose evidence has decayed meanwhile.

use std::collections::HashSet;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::PAGE_ROWS;
use super::known::Known;
use crate::campaign::CampaignId;
use crate::event;
use crate::profile::ProfileId;
use crate::stage;
use crate::store::Arrival;
use crate::store::Error;
use crate::store::Store;
use crate::worker::engine::Engine;

/// Where the cursors of placing are kept: no campaign can have this name.
const EVERYBODY: &str = "*";
/// Up to which event the active were placed.
const PLACED: &str = "placed";
/// How far the present round through the others has come: a profile's id, or `done` and when.
const ROUND: &str = "round";
/// Evidence decays over days: it is looked at again once in this time.
const ROUND_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How much placing does in one plan, at most: a shop that has just brought its history does not wait with everything
/// else that is planned until all of it was gone through. What is left is for the next plan.
#[derive(Debug, Clone, Copy)]
pub struct PlacingLimits {
    /// Events after which people are placed.
    pub active_events_max: usize,
    /// People of the round through the others.
    pub silent_people_max: usize,
}

impl Default for PlacingLimits {
    fn default() -> Self {
        Self { active_events_max: 100_000, silent_people_max: 20_000 }
    }
}

/// Places everybody who did something since this was last done, and goes on with the day's round through the others.
///
/// # Errors
/// When the database does not answer.
pub async fn place_everybody(
    store: &Store,
    engine: &Engine,
    now: Timestamp,
    limits: PlacingLimits,
) -> Result<(), Error> {
    place_the_active(store, engine, now, limits.active_events_max).await?;
    place_the_silent(store, engine, now, limits.silent_people_max).await
}

fn everybody() -> CampaignId {
    CampaignId(EVERYBODY.to_owned())
}

async fn place_the_active(
    store: &Store,
    engine: &Engine,
    now: Timestamp,
    events_max: usize,
) -> Result<(), Error> {
    let own = engine.config.events.known.iter().map(String::as_str);
    let names: Vec<&str> = event::name::ALL.iter().copied().chain(own).collect();
    let known = store.plan_cursor(&everybody(), PLACED).await?;
    let mut after = known.and_then(|text| Arrival::parse(&text)).unwrap_or_default();
    let mut left = events_max;
    while left > 0 {
        let page = store.events_after(&names, after, PAGE_ROWS.min(left)).await?;
        let Some((last, _)) = page.last() else { break };
        left -= page.len();
        after = *last;
        let events = page.iter().filter_map(|(_, event)| event.as_ref());
        let ids: HashSet<ProfileId> = events.map(|event| event.profile.clone()).collect();
        place(store, engine, &ids.into_iter().collect::<Vec<_>>(), now).await?;
        store.set_plan_cursor(&everybody(), PLACED, &after.to_string()).await?;
    }
    Ok(())
}

/// How far a round has come.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// Behind this profile.
    Behind(ProfileId),
    /// It ended then.
    Done(Timestamp),
}

impl Round {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("done", at) => Some(Self::Done(at.parse().ok()?)),
            ("behind", id) => Some(Self::Behind(ProfileId::parse(id).ok()?)),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Behind(id) => format!("behind {id}"),
            Self::Done(at) => format!("done {at}"),
        }
    }
}

async fn place_the_silent(
    store: &Store,
    engine: &Engine,
    now: Timestamp,
    people_max: usize,
) -> Result<(), Error> {
    let known = store.plan_cursor(&everybody(), ROUND).await?;
    let mut after = match known.as_deref().and_then(Round::parse) {
        Some(Round::Done(at)) if now < at + ROUND_EVERY => return Ok(()),
        Some(Round::Behind(after)) => Some(after),
        Some(Round::Done(_)) | None => None,
    };
    let mut left = people_max;
    while left > 0 {
        let rows = PAGE_ROWS.min(left);
        let page = store.placed_after(after.as_ref(), rows).await?;
        left -= page.len();
        place(store, engine, &page, now).await?;
        let round = match page.last().filter(|_| page.len() == rows) {
            Some(last) => Round::Behind(last.clone()),
            None => Round::Done(now),
        };
        store.set_plan_cursor(&everybody(), ROUND, &round.text()).await?;
        match round {
            Round::Behind(last) => after = Some(last),
            Round::Done(_) => break,
        }
    }
    Ok(())
}

/// Places these people and records their steps.
async fn place(store: &Store, engine: &Engine, ids: &[ProfileId], now: Timestamp) -> Result<(), Error> {
    let mut profiles = store.readable_profiles(ids).await?;
    let mut ids: Vec<ProfileId> = profiles.keys().cloned().collect();
    let Known { mut events, mut mails, stages } = Known::of(store, &mut ids).await?;
    let mut steps = Vec::new();
    for id in ids {
        let Some(profile) = profiles.remove(&id) else { continue };
        let (events, mails) = (events.remove(&id).unwrap_or_default(), mails.remove(&id).unwrap_or_default());
        let history = engine.history_of(profile.created_at, &events, &mails, now);
        let placement = stage::place(&history, stages.get(&id), &engine.config.stage, now);
        steps.extend(placement.transition.map(|step| (id, step)));
    }
    store.record_transitions(&steps).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_read_back_as_it_was_written() {
        let at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for round in [Round::Behind(ProfileId::parse("done 2026").unwrap()), Round::Done(at)] {
            assert_eq!(Round::parse(&round.text()), Some(round));
        }
        assert_eq!(Round::parse("done soon"), None);
    }
}
