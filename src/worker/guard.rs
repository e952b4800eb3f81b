//! Guard rails: a campaign that people complain about stops by itself, and a new one goes to the most active first.

use std::collections::HashMap;
use std::fmt;

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::ToSpan as _;

use crate::campaign::Campaign;
use crate::campaign::CampaignId;
use crate::campaign::Guard;
use crate::campaign::Kind;
use crate::campaign::Pilot;
use crate::catalog::Catalog;
use crate::clock::later_by;
use crate::history::History;
use crate::send::Outcome;
use crate::store::Error;
use crate::store::Reception;
use crate::store::Running;
use crate::store::Store;

/// Under this key the open ring of a campaign's pilot is kept.
const RING_KEY: &str = "pilot";
/// The reason of sends that wait for their ring.
const WAITING: &str = "pilot";
/// Mails of so many hours are judged.
const WINDOW_HOURS: i64 = 7 * 24;
/// An hour of the day comes to all zones within this time: from UTC+14 to UTC−12.
const ZONES: SignedDuration = SignedDuration::from_hours(26);
/// Who waits for a ring of which it is not known when it opens asks again after this time at most.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// The widest ring of a pilot that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRing {
    /// Which, from 0 on; as many as the pilot states when everybody may get the campaign.
    pub ring: usize,
    /// Since when it is open.
    pub opened_at: Timestamp,
    /// What is known of its people.
    pub watch: Watch,
}

/// What is known of the people of the widest ring that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nothing is sent and nobody waits: a campaign that rests is not watched.
    Resting,
    /// Since then others wait for the next ring, and nobody of this one has got a mail.
    Empty(Timestamp),
    /// Their first mail went out then.
    Mailed(Timestamp),
}

impl OpenRing {
    fn opened(ring: usize, now: Timestamp) -> Self {
        Self { ring, opened_at: now, watch: Watch::Resting }
    }

    /// `1 2026-03-01T00:00:00Z 2026-03-02T10:00:00Z`; the last word is `-` while it rests, and begins with `~` while it
    /// is empty.
    fn text(self) -> String {
        let watch = match self.watch {
            Watch::Resting => "-".to_owned(),
            Watch::Empty(since) => format!("~{since}"),
            Watch::Mailed(since) => since.to_string(),
        };
        format!("{} {} {watch}", self.ring, self.opened_at)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (ring, opened_at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let word = words.next()?;
        let watch = match word.strip_prefix('~') {
            Some(since) => Watch::Empty(since.parse().ok()?),
            None if word == "-" => Watch::Resting,
            None => Watch::Mailed(word.parse().ok()?),
        };
        Some(Self { ring, opened_at, watch })
    }
}

/// When a ring that is empty since then is passed, so that a mail with this deadline can still go when the last of the
/// `rings_behind` it opens: each of them, and the mail, get an equal part of the time. Never later than an hour of the
/// day has come to all zones.
fn passed_at(since: Timestamp, deadline: Timestamp, rings_behind: usize) -> Timestamp {
    let parts = i32::try_from(rings_behind + 1).unwrap_or(i32::MAX);
    let part = deadline.duration_since(since).max(SignedDuration::ZERO) / parts;
    later_by(since, part.min(ZONES))
}

/// What a review changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A campaign was paused.
    Paused {
        /// Which.
        campaign: CampaignId,
        /// Why.
        reason: String,
    },
    /// The next ring of a pilot is open.
    Widened {
        /// Of which campaign.
        campaign: CampaignId,
        /// Which ring, from 0 on.
        ring: usize,
    },
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused { campaign, reason } => write!(f, "paused {campaign}: {reason}"),
            Self::Widened { campaign, ring } => {
                write!(f, "{campaign}: ring {} of its pilot is open", ring + 1)
            }
        }
    }
}

/// The first limit that was passed, in a sentence; `None` while all hold. A limit of 5 percent allows 5 percent.
pub fn passed(guard: &Guard, met: &Reception, mails_min: u64) -> Option<String> {
    if met.mails == 0 || met.mails < mails_min {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "mails of a week are far below 2^52")]
    let percent = |count: u64| 100.0 * count as f64 / met.mails as f64;
    let limits = [
        ("complaints", met.complaints, guard.complaint_percent),
        ("hard bounces", met.bounces, guard.bounce_percent),
        ("unsubscribes", met.unsubscribes, guard.unsubscribe_percent),
    ];
    let (what, count, limit) = limits.into_iter().find(|(_, count, limit)| percent(*count) > *limit)?;
    Some(format!("{count} {what} of {} mails are {:.2} %, the limit is {limit} %", met.mails, percent(count)))
}

/// The ring of somebody last active so many days ago.
fn ring_of(pilot: &Pilot, days_since_seen: Option<i64>) -> usize {
    let within = |limit: &u32| days_since_seen.is_some_and(|days| days <= i64::from(*limit));
    pilot.active_days.iter().position(within).unwrap_or(pilot.active_days.len())
}

/// Whether somebody whose mail has this deadline must wait until their ring of a pilot opens, and until when at least.
/// Pure.
pub fn waits(
    campaign: &Campaign,
    rings: &HashMap<CampaignId, OpenRing>,
    history: &History,
    deadline: Timestamp,
    now: Timestamp,
) -> Option<Outcome> {
    let pilot = campaign.pilot.as_ref().filter(|_| campaign.kind == Kind::Lifecycle)?;
    let own = ring_of(pilot, history.days_since_seen);
    let open = rings.get(&campaign.id).copied().unwrap_or(OpenRing::opened(0, now));
    if own <= open.ring {
        return None;
    }
    let steps = i64::try_from(own - open.ring).unwrap_or(1);
    let opens = match open.watch {
        Watch::Resting => now,
        Watch::Empty(since) => passed_at(since, deadline, pilot.active_days.len() - open.ring),
        Watch::Mailed(since) => since + (steps * i64::from(pilot.step_hours)).hours(),
    };
    // Where the deadline is near, it is asked often enough to be in time.
    let soon = ASK_AGAIN.min(deadline.duration_since(now) / 4).max(SignedDuration::from_secs(1));
    let detail = format!("ring {} of {} of the pilot is not open yet", own + 1, pilot.active_days.len() + 1);
    Some(Outcome::later(WAITING, detail, opens.max(later_by(now, soon))))
}

/// What is open of every pilot.
pub async fn open_rings(store: &Store, catalog: &Catalog) -> Result<HashMap<CampaignId, OpenRing>, Error> {
    let mut rings = HashMap::new();
    for entry in catalog.campaigns().filter(|entry| entry.campaign.pilot.is_some()) {
        if let Some(ring) = open_ring(store, &entry.campaign.id).await? {
            rings.insert(entry.campaign.id.clone(), ring);
        }
    }
    Ok(rings)
}

async fn open_ring(store: &Store, campaign: &CampaignId) -> Result<Option<OpenRing>, Error> {
    Ok(store.plan_cursor(campaign, RING_KEY).await?.as_deref().and_then(OpenRing::parse))
}

/// Looks at every running lifecycle campaign: pauses those whose mails met with too much trouble, and opens the next
/// ring of a pilot when the open one was watched long enough.
///
/// # Errors
/// When the database does not answer.
pub async fn review(store: &Store, catalog: &Catalog, now: Timestamp) -> Result<Vec<Found>, Error> {
    let states = store.campaign_states().await?;
    let mut found = Vec::new();
    let lifecycle = catalog.campaigns().map(|entry| &entry.campaign);
    for campaign in lifecycle.filter(|campaign| campaign.kind == Kind::Lifecycle) {
        let state = states.iter().find(|state| state.campaign == campaign.id);
        if state.is_some_and(|state| state.running != Running::Running) {
            continue;
        }
        // Whoever resumed the campaign knew of what came before.
        let window = now - WINDOW_HOURS.hours();
        let since = state.map_or(window, |state| state.since.max(window));
        let met = store.reception(&campaign.id, since).await?;
        if let Some(reason) = passed(&campaign.guard, &met, u64::from(campaign.guard.sends_min)) {
            tracing::error!(campaign = %campaign.id, "pausing campaign {}: {reason}", campaign.id);
            store.pause_campaign(&campaign.id, &reason, now).await?;
            found.push(Found::Paused { campaign: campaign.id.clone(), reason });
        } else if let Some(pilot) = &campaign.pilot {
            found.extend(widen(store, campaign, pilot, now).await?);
        }
    }
    Ok(found)
}

/// Opens the next ring when the open one was watched long enough, and no limit is passed, by however few. A ring to
/// which nobody belongs is watched from when the first of the others asked, until everybody has asked who is due within
/// that time, all zones of the earth included; where that is too long for those who wait, it is passed before.
async fn widen(
    store: &Store,
    campaign: &Campaign,
    pilot: &Pilot,
    now: Timestamp,
) -> Result<Option<Found>, Error> {
    let keep = async |open: OpenRing| store.set_plan_cursor(&campaign.id, RING_KEY, &open.text()).await;
    let Some(open) = open_ring(store, &campaign.id).await? else {
        keep(OpenRing::opened(0, now)).await?;
        return Ok(None);
    };
    if open.ring >= pilot.active_days.len() {
        return Ok(None);
    }
    let first_mail = store.first_mail_since(&campaign.id, open.opened_at).await?;
    let (watch, since, until) = if let Some(since) = first_mail {
        (Watch::Mailed(since), since, since + i64::from(pilot.step_hours).hours())
    } else {
        // Those who wait may be others than those who began to.
        let given = SignedDuration::from_hours(campaign.deadline_hours.into());
        let Some(deadline) = store.earliest_deadline(&campaign.id, WAITING, given, now).await? else {
            // Who waits may be in work this moment, or have expired while the ring was watched: the next is to find it
            // watched. After so long those who began it are gone.
            if matches!(open.watch, Watch::Empty(since) if now >= later_by(later_by(since, ZONES), given)) {
                keep(OpenRing { watch: Watch::Resting, ..open }).await?;
            }
            return Ok(None);
        };
        let since = if let Watch::Empty(since) = open.watch { since } else { now };
        (Watch::Empty(since), since, passed_at(since, deadline, pilot.active_days.len() - open.ring))
    };
    if open.watch != watch {
        keep(OpenRing { watch, ..open }).await?;
    }
    if now < until || passed(&campaign.guard, &store.reception(&campaign.id, since).await?, 1).is_some() {
        return Ok(None);
    }
    if first_mail.is_none() && store.waits_for_other(&campaign.id, WAITING, until).await? {
        return Ok(None);
    }
    keep(OpenRing::opened(open.ring + 1, now)).await?;
    Ok(Some(Found::Widened { campaign: campaign.id.clone(), ring: open.ring + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_passed_only_above_it_and_with_enough_mails() {
        let guard = Guard::default();
        let check = |mails, complaints, bounces, unsubscribes, expected: Option<&str>| {
            let met = Reception { mails, complaints, bounces, unsubscribes };
            assert_eq!(passed(&guard, &met, 500).as_deref(), expected);
        };
        check(1_000, 3, 50, 20, None);
        check(1_000, 4, 0, 0, Some("4 complaints of 1000 mails are 0.40 %, the limit is 0.3 %"));
        check(1_000, 0, 51, 0, Some("51 hard bounces of 1000 mails are 5.10 %, the limit is 5 %"));
        check(1_000, 0, 0, 21, Some("21 unsubscribes of 1000 mails are 2.10 %, the limit is 2 %"));
        check(499, 400, 0, 0, None);
        check(0, 0, 0, 0, None);
    }

    #[test]
    fn a_ring_is_read_back_as_it_was_written() {
        let at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        for watch in [Watch::Resting, Watch::Empty(at + 1.hour()), Watch::Mailed(at + 1.hour())] {
            let open = OpenRing { ring: 1, opened_at: at, watch };
            assert_eq!(OpenRing::parse(&open.text()), Some(open));
        }
        assert_eq!(OpenRing::parse("1 2026-03-01T00:00:00Z"), None);
    }

    #[test]
    fn an_empty_ring_leaves_those_who_wait_the_time_for_the_rings_behind_it() {
        let since: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let check = |deadline_hours: i64, rings_behind, expected_minutes: i64| {
            let found = passed_at(since, since + deadline_hours.hours(), rings_behind);
            assert_eq!(found, since + expected_minutes.minutes(), "{deadline_hours} {rings_behind}");
        };
        check(72, 1, 26 * 60);
        check(72, 2, 24 * 60);
        check(12, 1, 6 * 60);
        check(12, 2, 4 * 60);
        check(1, 1, 30);
        check(-5, 1, 0);
    }

    #[test]
    fn nobody_is_put_off_beyond_their_deadline_by_a_ring_that_may_be_empty() {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let campaign: Campaign = toml::from_str(
            "kind = \"lifecycle\"\ntrigger = { api = {} }\npilot = { active_days = [30, 90] }\n",
        )
        .unwrap();
        for watch in [Watch::Resting, Watch::Empty(now - 1.hour()), Watch::Empty(now)] {
            let open = OpenRing { ring: 0, opened_at: now - 9.hours(), watch };
            let rings = HashMap::from([(campaign.id.clone(), open)]);
            for minutes in [1, 30, 300, 3_000, 30_000] {
                let deadline = now + minutes.minutes();
                let waits = waits(&campaign, &rings, &History::default(), deadline, now).unwrap();
                let retry_at = waits.retry_at.unwrap();
                assert!(now < retry_at && retry_at < deadline, "{watch:?} {minutes} {retry_at}");
            }
        }
    }

    #[test]
    fn the_most_active_come_first_and_strangers_last() {
        let pilot = Pilot { active_days: vec![30, 90], step_hours: 24 };
        let rings = [Some(0), Some(30), Some(31), Some(90), Some(91), None].map(|days| ring_of(&pilot, days));
        assert_eq!(rings, [0, 0, 1, 1, 2, 2]);
    }
}
