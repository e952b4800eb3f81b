//! campaign × audience → scheduled sends. Planning twice adds nothing: every occurrence has a name.

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
use crate::clock::later_by;
use crate::profile::Consent;
use crate::profile::Profile;
use crate::send::ScheduledSend;
use crate::send::SendId;
use crate::send::State;
use crate::store::Arrival;
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
mod journey;
mod known;
mod triggers;

pub use journey::PlacingLimits;
pub use journey::place_everybody;
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
    if engine.catalog.campaigns().any(starts_by_stage) {
        place_everybody(store, engine, horizon.now, PlacingLimits::default()).await?;
    }
    let arrived = Arrived { events: store.events_end().await?, transitions: store.transitions_end().await? };
    let mut done = Vec::new();
    // Of a series, the earlier steps first: nobody is to find a later one alone.
    let mut entries: Vec<&CampaignEntry> = engine.catalog.campaigns().collect();
    entries.sort_by_key(|entry| entry.campaign.trigger.delay_minutes());
    for entry in entries {
        let name = entry.campaign.id.as_str();
        if only.is_some_and(|only| only != name) || canceled.iter().any(|canceled| canceled == name) {
            continue;
        }
        let planner = Planner { store, engine, entry, horizon, arrived, progress };
        let mut planned = planner.run().await?;
        name.clone_into(&mut planned.campaign);
        done.push(planned);
    }
    done.sort_by(|left, right| left.campaign.cmp(&right.campaign));
    Ok(done)
}

fn starts_by_stage(entry: &CampaignEntry) -> bool {
    matches!(entry.campaign.trigger, Trigger::StageEntry { .. })
}

struct Planner<'a> {
    store: &'a Store,
    engine: &'a Engine,
    entry: &'a CampaignEntry,
    horizon: Horizon,
    arrived: Arrived,
    progress: Progress<'a>,
}

/// What had arrived when a plan began. All of its campaigns read up to there: a later step of a series is not planned for
/// an event that came after the earlier steps had been gone through.
#[derive(Debug, Clone, Copy)]
struct Arrived {
    events: Arrival,
    transitions: Arrival,
}

/// A send that is to be, before its audience was asked.
struct Wanted {
    profile: Profile,
    due: Due,
    data: Map<String, Value>,
}

/// When a campaign that goes by the calendar is due.
enum Calendar<'a> {
    /// By a cron pattern.
    Cron(Schedule),
    /// By a date of the person, which comes round every year.
    Yearly {
        /// Every day at `time`: on other times nobody can be due.
        daily: Schedule,
        /// The trait that holds the date.
        name: &'a str,
        time: Time,
        days_before: u32,
    },
}

impl Calendar<'_> {
    fn daily(&self) -> &Schedule {
        match self {
            Self::Cron(schedule) => schedule,
            Self::Yearly { daily, .. } => daily,
        }
    }

    /// When it is due for a person, in whose zone `daily` strikes at these times.
    fn due(&self, profile: &Profile, zone: &TimeZone, strikes: &[Due], window: Window) -> Vec<Due> {
        match self {
            Self::Cron(_) => strikes.to_vec(),
            Self::Yearly { name, time, days_before, .. } => {
                let date = profile.traits.get(*name).and_then(Value::as_str).and_then(date_of);
                date.map_or_else(Vec::new, |date| yearly(date, *time, *days_before, zone, window))
            }
        }
    }
}

impl Planner<'_> {
    async fn run(&self) -> Result<Planned, Error> {
        match &self.entry.campaign.trigger {
            Trigger::Api {} => Ok(Planned::default()),
            Trigger::Cron { schedule } => match Schedule::parse(schedule) {
                Ok(schedule) => self.by_calendar(&Calendar::Cron(schedule)).await,
                // The catalogue has checked it.
                Err(_) => Ok(Planned::default()),
            },
            Trigger::DateTrait { name, at, days_before } => {
                let time: Time = at.parse().unwrap_or(Time::midnight());
                let daily = Schedule::daily(time);
                self.by_calendar(&Calendar::Yearly { daily, name, time, days_before: *days_before }).await
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
        Ok(Window { from, until: later_by(now, ahead) })
    }

    /// Goes through the people of each zone in which it is due within the window, page by page. Of other zones nobody is
    /// read.
    async fn by_calendar(&self, calendar: &Calendar<'_>) -> Result<Planned, Error> {
        let window = self.window().await?;
        let mut planned = Planned::default();
        for name in self.store.time_zones().await? {
            let default = &self.engine.rules.default_zone;
            let zone = name.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(default.clone());
            let strikes = calendar.daily().occurrences(&zone, window);
            if strikes.is_empty() {
                continue;
            }
            let mut page = self.store.profiles_in_zone(name.as_deref(), None, PAGE_ROWS).await?;
            loop {
                let (people, last) = page;
                let looked_at = people.len() as u64;
                let mut wanted = Vec::new();
                for profile in people.into_iter().filter(|profile| self.may_get_mail(profile)) {
                    for due in calendar.due(&profile, &zone, &strikes, window) {
                        wanted.push(Wanted { profile: profile.clone(), due, data: Map::new() });
                    }
                }
                // While one page is written, the next is read.
                let next = async {
                    let Some(last) = last else { return Ok(None) };
                    self.store.profiles_in_zone(name.as_deref(), Some(&last), PAGE_ROWS).await.map(Some)
                };
                let (scheduled, next) = tokio::try_join!(self.schedule(wanted), next)?;
                planned.looked_at += looked_at;
                planned.scheduled += scheduled;
                (self.progress)(&self.entry.campaign, looked_at);
                let Some(next) = next else { break };
                page = next;
            }
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
        let campaign = &self.entry.campaign;
        let sends: Vec<ScheduledSend> = wanted.iter().map(|wanted| wanted.send(campaign)).collect();
        self.store.plan(&sends).await
    }
}

impl Wanted {
    /// The send as it is planned.
    fn send(&self, campaign: &Campaign) -> ScheduledSend {
        let Self { profile, due, data } = self;
        let deadline = SignedDuration::from_hours(i64::from(campaign.deadline_hours));
        ScheduledSend {
            id: SendId::derive(due.at, &campaign.id, &profile.id, &due.occurrence),
            campaign: campaign.id.clone(),
            kind: campaign.kind,
            guarantee: campaign.guarantee(),
            profile: profile.id.clone(),
            occurrence: due.occurrence.clone(),
            due_at: due.at,
            expires_at: later_by(due.at, deadline),
            state: State::Scheduled,
            attempt: 0,
            orphaned: 0,
            data: data.clone(),
            to: None,
        }
    }
}
