//! campaign × audience → scheduled sends. Planning twice adds nothing: every occurrence has a name.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde_json::Map;
use serde_json::Value;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::campaign::Trigger;
use crate::catalog::variant::CampaignEntry;
use crate::profile::Consent;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Error;
use crate::store::Running;
use crate::store::Store;
use crate::worker::engine::Engine;
use crate::worker::schedule::Due;
use crate::worker::schedule::Schedule;
use crate::worker::schedule::Window;
use crate::worker::schedule::date_of;
use crate::worker::schedule::yearly;

mod audience;
mod triggers;

pub(crate) use triggers::starting_data;

use audience::Audience;

/// Profiles, events or transitions of one page.
const PAGE_ROWS: usize = 1_000;

/// How far a plan reaches.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// The time now.
    pub now: Timestamp,
    /// Occurrences due within this time from now are planned.
    pub ahead: SignedDuration,
}

/// What a plan did for one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planned {
    /// Which.
    pub campaign: String,
    /// Profiles, events or transitions that were looked at.
    pub looked_at: u64,
    /// Sends that were new.
    pub scheduled: u64,
}

/// Told after every page: how many were looked at since the last call.
pub type Progress<'a> = &'a (dyn Fn(&Campaign, u64) + Send + Sync);

/// Plans all campaigns, or one.
pub async fn plan(
    store: &Store,
    engine: &Engine,
    only: Option<&str>,
    horizon: Horizon,
    progress: Progress<'_>,
) -> Result<Vec<Planned>, Error> {
    let canceled: Vec<String> = store
        .campaign_states()
        .await?
        .into_iter()
        .filter(|state| state.running == Running::Canceled)
        .map(|state| state.campaign.0)
        .collect();
    let mut done = Vec::new();
    for entry in engine.catalog.campaigns() {
        let name = entry.campaign.id.as_str();
        if only.is_some_and(|only| only != name) || canceled.iter().any(|canceled| canceled == name) {
            continue;
        }
        let planner = Planner { store, engine, entry, horizon, progress };
        let mut planned = planner.run().await?;
        name.clone_into(&mut planned.campaign);
        done.push(planned);
    }
    Ok(done)
}

struct Planner<'a> {
    store: &'a Store,
    engine: &'a Engine,
    entry: &'a CampaignEntry,
    horizon: Horizon,
    progress: Progress<'a>,
}

/// A send that is to be, before its audience was asked.
struct Wanted {
    profile: Profile,
    due: Due,
    data: Map<String, Value>,
}

impl Planner<'_> {
    async fn run(&self) -> Result<Planned, Error> {
        match &self.entry.campaign.trigger {
            Trigger::Api {} => Ok(Planned::default()),
            Trigger::Cron { schedule } => match Schedule::parse(schedule) {
                Ok(schedule) => {
                    let by_zone: Mutex<HashMap<Option<String>, Vec<Due>>> = Mutex::default();
                    self.all_profiles(&schedule, &|profile, zone, window| {
                        let mut by_zone = by_zone.lock().unwrap_or_else(PoisonError::into_inner);
                        let known = by_zone.entry(profile.time_zone.clone());
                        known.or_insert_with(|| schedule.occurrences(zone, window)).clone()
                    })
                    .await
                }
                // The catalogue has checked it.
                Err(_) => Ok(Planned::default()),
            },
            Trigger::DateTrait { name, at, days_before } => {
                let time: Time = at.parse().unwrap_or(Time::midnight());
                self.all_profiles(&Schedule::daily(time), &|profile, zone, window| {
                    let date = profile.traits.get(name).and_then(Value::as_str).and_then(date_of);
                    date.map_or_else(Vec::new, |date| yearly(date, time, *days_before, zone, window))
                })
                .await
            }
            Trigger::Event { name, delay_minutes, once_per_hours, .. } => {
                self.events(name, *delay_minutes, *once_per_hours).await
            }
            Trigger::StageEntry { stage, delay_minutes } => self.transitions(*stage, *delay_minutes).await,
        }
    }

    /// From the last plan's end, as far back as the deadline allows: what fell due while nobody planned is caught up.
    async fn window(&self) -> Result<Window, Error> {
        let Horizon { now, ahead } = self.horizon;
        let campaign = &self.entry.campaign;
        let deadline = SignedDuration::from_hours(i64::from(campaign.deadline_hours));
        let last: Option<Timestamp> =
            self.store.plan_cursor(&campaign.id, "until").await?.and_then(|text| text.parse().ok());
        let from = last.map_or(now, |last| last.min(now)).max(now - deadline);
        Ok(Window { from, until: now + ahead })
    }

    /// Goes through all profiles, page by page; `occurrences` says when each is due. Where `daily` strikes nowhere on
    /// earth within the window, nobody is due, and nobody is read.
    async fn all_profiles(
        &self,
        daily: &Schedule,
        occurrences: &(dyn Fn(&Profile, &TimeZone, Window) -> Vec<Due> + Send + Sync),
    ) -> Result<Planned, Error> {
        let window = self.window().await?;
        let mut zones = Zones::default();
        let mut planned = Planned::default();
        let mut after: Option<ProfileId> = None;
        let mut left = daily.strikes_somewhere(window);
        while left {
            let page = self.store.profiles_after(after.as_ref(), PAGE_ROWS).await?;
            left = page.len() == PAGE_ROWS;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            let looked_at = page.len() as u64;
            let mut wanted = Vec::new();
            for profile in page.into_iter().filter(|profile| self.may_get_mail(profile)) {
                let zone = zones.of(&profile, &self.engine.rules.default_zone);
                for due in occurrences(&profile, zone, window) {
                    wanted.push(Wanted { profile: profile.clone(), due, data: Map::new() });
                }
            }
            planned.looked_at += looked_at;
            planned.scheduled += self.schedule(wanted).await?;
            (self.progress)(&self.entry.campaign, looked_at);
        }
        let until = window.until.to_string();
        self.store.set_plan_cursor(&self.entry.campaign.id, "until", &until).await?;
        Ok(planned)
    }

    /// Who can never get it needs no send that says so.
    fn may_get_mail(&self, profile: &Profile) -> bool {
        profile.address.is_some()
            && (self.entry.campaign.kind == Kind::Transactional || profile.consent == Consent::Granted)
    }

    /// Asks the audience and schedules who is in it.
    async fn schedule(&self, wanted: Vec<Wanted>) -> Result<u64, Error> {
        if wanted.is_empty() {
            return Ok(0);
        }
        let audience = Audience::new(self.store, self.engine, self.entry, self.horizon.now);
        let wanted = audience.keep(wanted).await?;
        let sends: Vec<ScheduledSend> = wanted.into_iter().map(|wanted| self.send(wanted)).collect();
        self.store.plan(&sends).await
    }

    fn send(&self, wanted: Wanted) -> ScheduledSend {
        let campaign = &self.entry.campaign;
        let deadline = SignedDuration::from_hours(i64::from(campaign.deadline_hours));
        let due = wanted.due;
        ScheduledSend {
            id: SendId::derive(due.at, &campaign.id, &wanted.profile.id, &due.occurrence),
            campaign: campaign.id.clone(),
            kind: campaign.kind,
            guarantee: campaign.guarantee(),
            profile: wanted.profile.id,
            occurrence: due.occurrence,
            due_at: due.at,
            expires_at: due.at + deadline,
            state: State::Scheduled,
            attempt: 0,
            orphaned: 0,
            data: wanted.data,
            to: None,
        }
    }
}

/// Zones by name: a shop has few, and its customers many.
#[derive(Default)]
struct Zones(HashMap<Option<String>, TimeZone>);

impl Zones {
    fn of(&mut self, profile: &Profile, default: &TimeZone) -> &TimeZone {
        self.0.entry(profile.time_zone.clone()).or_insert_with(|| profile.zone(default))
    }
}
