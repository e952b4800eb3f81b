//! Triggers that start from what happened: events, and steps on the journey. Read in order of arrival, so that what
//! arrives late is not missed.

use std::collections::HashMap;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::PAGE_ROWS;
use super::Planned;
use super::Planner;
use super::Wanted;
use crate::clock::later_by;
use crate::event::Event;
use crate::product::money;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::stage::Stage;
use crate::store::Arrival;
use crate::store::Error;
use crate::worker::schedule::Due;

/// At most one send per profile within a window, wherever it begins.
struct OncePer {
    /// Zero: every one.
    window: SignedDuration,
    latest: HashMap<ProfileId, Timestamp>,
}

impl OncePer {
    /// Whether a send due at `at` may be; it counts from then on.
    fn admits(&mut self, profile: &ProfileId, at: Timestamp) -> bool {
        if self.window.is_zero() {
            return true;
        }
        let latest = self.latest.get(profile);
        let free = latest.is_none_or(|latest| at.duration_since(*latest).abs() >= self.window);
        if free {
            self.latest.insert(profile.clone(), at);
        }
        free
    }
}

impl Planner<'_> {
    /// One send per starting event, `delay` after it.
    pub(super) async fn events(
        &self,
        name: &str,
        delay_minutes: u32,
        once_per_hours: u32,
    ) -> Result<Planned, Error> {
        let mut planned = Planned::default();
        let mut after = self.cursor("events").await?;
        loop {
            let mut page = self.store.events_after(&[name], after, PAGE_ROWS).await?;
            page.retain(|(place, _)| *place <= self.arrived.events);
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let events: Vec<&Event> = page.iter().filter_map(|(_, event)| event.as_ref()).collect();
            let ids: Vec<ProfileId> = events.iter().map(|event| event.profile.clone()).collect();
            let profiles = self.store.readable_profiles(&ids).await?;
            let mut once = self.once_per(once_per_hours, &ids).await?;
            let started = events.iter().filter_map(|event| {
                let profile = profiles.get(&event.profile).filter(|profile| self.may_get_mail(profile))?;
                let wanted = self.wanted_by(event, profile, delay_minutes)?;
                once.admits(&event.profile, wanted.due.at).then_some(wanted)
            });
            let started = started.collect();
            let looked_at = page.len() as u64;
            planned.looked_at += looked_at;
            planned.scheduled += self.schedule(started).await?;
            self.set_cursor("events", after).await?;
            (self.progress)(&self.entry.campaign, looked_at);
        }
        Ok(planned)
    }

    /// `None` when the event is so old that its send would have expired: a history that is imported starts nothing.
    fn wanted_by(&self, event: &Event, profile: &Profile, delay_minutes: u32) -> Option<Wanted> {
        let at = later_by(event.at, SignedDuration::from_mins(i64::from(delay_minutes)));
        self.is_fresh(at).then(|| Wanted {
            profile: profile.clone(),
            due: Due { at, occurrence: event.id.clone() },
            data: starting_data(event, self.engine.minor_digits()),
        })
    }

    /// What these people have of this campaign already, where it may come only so often.
    async fn once_per(&self, hours: u32, profiles: &[ProfileId]) -> Result<OncePer, Error> {
        let window = SignedDuration::from_hours(i64::from(hours));
        let latest = match hours {
            0 => HashMap::new(),
            _ => self.store.latest_due(&self.entry.campaign.id, profiles).await?,
        };
        Ok(OncePer { window, latest })
    }

    fn is_fresh(&self, due: Timestamp) -> bool {
        let deadline = SignedDuration::from_hours(i64::from(self.entry.campaign.deadline_hours));
        later_by(due, deadline) > self.horizon.now
    }

    /// One send per step into `stage`, of those that were recorded by placing and by sending.
    pub(super) async fn transitions(&self, stage: Stage, delay_minutes: u32) -> Result<Planned, Error> {
        let mut planned = Planned::default();
        let mut after = self.cursor("transitions").await?;
        loop {
            let mut page = self.store.transitions_after(stage, after, PAGE_ROWS).await?;
            page.retain(|(place, _)| *place <= self.arrived.transitions);
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let steps: Vec<_> = page.iter().filter_map(|(_, step)| step.as_ref()).collect();
            let ids: Vec<ProfileId> = steps.iter().map(|(profile, _)| profile.clone()).collect();
            let profiles = self.store.readable_profiles(&ids).await?;
            let mut wanted = Vec::new();
            for (id, transition) in steps {
                let at = later_by(transition.at, SignedDuration::from_mins(i64::from(delay_minutes)));
                let profile = profiles.get(id).filter(|profile| self.may_get_mail(profile));
                if let Some(profile) = profile.filter(|_| self.is_fresh(at)) {
                    let occurrence = format!("{stage} since {}", transition.at);
                    let data = Map::from_iter([("stage_reason".to_owned(), json!(transition.reason))]);
                    wanted.push(Wanted { profile: profile.clone(), due: Due { at, occurrence }, data });
                }
            }
            let looked_at = page.len() as u64;
            planned.looked_at += looked_at;
            planned.scheduled += self.schedule(wanted).await?;
            self.set_cursor("transitions", after).await?;
            (self.progress)(&self.entry.campaign, looked_at);
        }
        Ok(planned)
    }

    async fn cursor(&self, key: &str) -> Result<Arrival, Error> {
        let text = self.store.plan_cursor(&self.entry.campaign.id, key).await?;
        Ok(text.and_then(|text| Arrival::parse(&text)).unwrap_or_default())
    }

    async fn set_cursor(&self, key: &str, at: Arrival) -> Result<(), Error> {
        self.store.set_plan_cursor(&self.entry.campaign.id, key, &at.to_string()).await
    }
}

/// What an event that starts a send brings along: `data` in rules and templates. Money becomes minor units, as
/// everywhere in the facts.
pub(crate) fn starting_data(event: &Event, minor_digits: u32) -> Map<String, Value> {
    let mut data = event.properties.clone();
    money::in_minor_units(&mut data, minor_digits);
    let started = json!({ "id": event.id, "name": event.name, "at": event.at.to_string() });
    data.insert("event".to_owned(), started);
    data
}
