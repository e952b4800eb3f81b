//! Whether a send may go on: deadline, address, consent, suppression, cap, quiet hours. Pure.
//!
//! Consent, suppression and cap are checked again in the very statement that marks the send as on the wire.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::campaign::Campaign;
use crate::campaign::Kind;
use crate::campaign::LocalHours;
use crate::config::Cap;
use crate::config::QuietHours;
use crate::decision::Slice;
use crate::history::Mail;
use crate::profile::Consent;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::send::Outcome;
use crate::send::ScheduledSend;
use crate::send::State;
use crate::send::Suppression;
use crate::words::counted;

/// Why double opt-in stops a mail. Who changed their address may have confirmed at the one before.
pub(super) const NOT_CONFIRMED: &str =
    "the campaign asks for double opt-in, and consent was not confirmed at the address that the mail goes to";

/// The rules that hold for everybody, made once from the configuration.
#[derive(Debug, Clone)]
pub struct GateRules {
    /// Lifecycle mails per person.
    pub cap: Cap,
    /// When lifecycle mail waits, where its campaign does not say otherwise.
    quiet: LocalHours,
    /// The zone of people who state none.
    pub default_zone: TimeZone,
}

impl GateRules {
    /// The configuration has been checked: what cannot be parsed there never comes here.
    pub fn new(cap: &Cap, quiet: &QuietHours) -> Self {
        let time = |text: &str| text.parse().unwrap_or(Time::midnight());
        Self {
            cap: cap.clone(),
            quiet: LocalHours { start: time(&quiet.start), end: time(&quiet.end) },
            default_zone: TimeZone::get(&quiet.default_time_zone).unwrap_or(TimeZone::UTC),
        }
    }
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct Visitor<'a> {
    /// The send.
    pub send: &'a ScheduledSend,
    /// Its campaign.
    pub campaign: &'a Campaign,
    /// To whom.
    pub profile: &'a Profile,
    /// What stands against the address.
    pub suppressions: &'a [Suppression],
    /// What was sent to the profile, newest first.
    pub mails: &'a [Mail],
    /// The profile's slice.
    pub slice: Slice,
    /// Whether consent was confirmed at the address that the mail goes to.
    pub opt_in: OptIn,
}

/// How a profile's consent came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OptIn {
    /// By word alone; or nobody asked, because no campaign at hand wants to know.
    #[default]
    Single,
    /// By a link that was mailed to where the mail goes, and it was not taken back since.
    Confirmed,
}

/// The address that this send goes to.
pub fn recipient<'a>(send: &'a ScheduledSend, profile: &'a Profile) -> Option<&'a EmailAddress> {
    send.to.as_ref().or(profile.address.as_ref())
}

/// `None`: go on. Some: why not, and what becomes of the send.
pub fn check(rules: &GateRules, visitor: &Visitor<'_>, now: Timestamp) -> Option<Outcome> {
    let stop = |state, reason: &str, detail: String| Some(Outcome::terminal(state, reason, detail));
    let Visitor { send, campaign, profile, .. } = *visitor;
    if now >= send.expires_at {
        return stop(State::Expired, "deadline", format!("its deadline was {}", send.expires_at));
    }
    let Some(address) = recipient(send, profile) else {
        return stop(State::Skipped, "no_address", format!("profile {} has no address", profile.id));
    };
    if let Some(found) = suppressed(visitor.suppressions, address, campaign, now) {
        let detail = format!("{} since {} (topic {})", found.reason, found.at, found.topic);
        return stop(State::Suppressed, "suppressed", detail);
    }
    if campaign.kind == Kind::Transactional {
        return None;
    }
    if visitor.slice == Slice::Holdout {
        return stop(State::Skipped, "holdout", "kept without mail, so that lift can be measured".to_owned());
    }
    if profile.consent != Consent::Granted {
        let detail = format!("consent is {}", profile.consent.as_str());
        return stop(State::Skipped, "no_consent", detail);
    }
    if campaign.double_opt_in && visitor.opt_in != OptIn::Confirmed {
        return stop(State::Skipped, "not_confirmed", NOT_CONFIRMED.to_owned());
    }
    let recent = lifecycle_mails_within(visitor.mails, rules.cap.days, now);
    if recent >= rules.cap.lifecycle_mails {
        let mails = counted(recent, "lifecycle mail");
        let detail =
            format!("{mails} within {} days; the cap is {}", rules.cap.days, rules.cap.lifecycle_mails);
        return stop(State::Skipped, "cap", detail);
    }
    let zone = profile.zone(&rules.default_zone);
    quiet_until(campaign.quiet_hours.unwrap_or(rules.quiet), &zone, now).map(|end| {
        let local = end.to_zoned(zone).strftime("%H:%M %Z");
        Outcome::later("quiet_hours", format!("quiet hours end at {local}"), end)
    })
}

/// The suppression that stops this campaign to this address.
fn suppressed<'a>(
    suppressions: &'a [Suppression],
    address: &EmailAddress,
    campaign: &Campaign,
    now: Timestamp,
) -> Option<&'a Suppression> {
    let key = address.key();
    let stops = |found: &Suppression| found.stops(campaign.kind, campaign.topic(), now);
    suppressions.iter().find(|found| found.address == key && stops(found))
}

fn lifecycle_mails_within(mails: &[Mail], days: u32, now: Timestamp) -> u32 {
    let start = now - (i64::from(days) * 24).hours();
    let counted = mails.iter().filter(|mail| mail.kind == Kind::Lifecycle && mail.at > start).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// When quiet hours end, if they hold now: as the local clock shows, whatever daylight saving does that night.
fn quiet_until(quiet: LocalHours, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let LocalHours { start, end } = quiet;
    let local = now.to_zoned(zone.clone()).datetime();
    let time = local.time();
    let quiet = if start <= end { start <= time && time < end } else { time >= start || time < end };
    if !quiet {
        return None;
    }
    let day = if time < end { local.date() } else { local.date().tomorrow().ok()? };
    // A clock set back shows the end twice; the one that is still to come counts.
    let ends = zone.to_ambiguous_timestamp(day.to_datetime(end));
    [ends.compatible(), ends.later()].into_iter().filter_map(Result::ok).find(|ends| *ends > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(start: &str, end: &str) -> LocalHours {
        let quiet = QuietHours { start: start.into(), end: end.into(), default_time_zone: "UTC".into() };
        GateRules::new(&Cap::default(), &quiet).quiet
    }

    #[test]
    fn quiet_hours_end_as_the_local_clock_shows() {
        for (zone, now, expected) in [
            ("UTC", "2026-06-01T20:59:59Z", None),
            ("UTC", "2026-06-01T21:00:00Z", Some("2026-06-02T08:00:00Z")),
            ("UTC", "2026-06-02T07:59:59Z", Some("2026-06-02T08:00:00Z")),
            ("UTC", "2026-06-02T08:00:00Z", None),
            ("Europe/Berlin", "2026-06-01T19:30:00Z", Some("2026-06-02T06:00:00Z")),
            // The nights in which clocks change.
            ("Europe/Berlin", "2026-03-29T00:30:00Z", Some("2026-03-29T06:00:00Z")),
            ("Europe/Berlin", "2026-10-25T00:30:00Z", Some("2026-10-25T07:00:00Z")),
            ("Australia/Lord_Howe", "2026-04-04T15:15:00Z", Some("2026-04-04T21:30:00Z")),
            ("Asia/Kathmandu", "2026-06-01T15:15:00Z", Some("2026-06-02T02:15:00Z")),
            // Morocco goes back an hour for the weeks of Ramadan: at 03:00 on 15 February, until 22 March 2026.
            ("Africa/Casablanca", "2026-02-14T20:30:00Z", Some("2026-02-15T08:00:00Z")),
            ("Africa/Casablanca", "2026-03-21T21:30:00Z", Some("2026-03-22T07:00:00Z")),
        ] {
            let zone = TimeZone::get(zone).unwrap();
            let found = quiet_until(hours("21:00", "08:00"), &zone, now.parse().unwrap());
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{zone:?} {now}");
        }
    }

    #[test]
    fn an_end_that_the_clock_shows_twice_is_the_one_to_come() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (now, expected) in [
            // 02:15, 02:40, 02:15 again, 02:40 again.
            ("2027-10-31T00:15:00Z", Some("2027-10-31T00:30:00Z")),
            ("2027-10-31T00:40:00Z", None),
            ("2027-10-31T01:15:00Z", Some("2027-10-31T01:30:00Z")),
            ("2027-10-31T01:40:00Z", None),
        ] {
            let found = quiet_until(hours("22:00", "02:30"), &zone, now.parse().unwrap());
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{now}");
        }
    }

    #[test]
    fn quiet_hours_of_no_length_are_none_and_may_lie_within_a_day() {
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(quiet_until(hours("09:00", "09:00"), &TimeZone::UTC, at("2026-06-01T09:00:00Z")), None);
        assert_eq!(
            quiet_until(hours("12:00", "14:00"), &TimeZone::UTC, at("2026-06-01T13:00:00Z")),
            Some(at("2026-06-01T14:00:00Z"))
        );
    }
}
