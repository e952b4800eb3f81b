//! When a campaign is due for a person: cron and yearly dates in their own zone. Pure.

use croner::Cron;
use croner::parser::CronParser;
use croner::parser::Seconds;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Occurrences of one campaign for one zone in one planning run, at most.
const OCCURRENCES_MAX: usize = 1_000;

/// One time at which a campaign is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// What names it, unique within campaign and profile: the local date and time, or the local date.
    pub occurrence: String,
}

/// The times from `from` (inclusive) to `until` (exclusive).
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub until: Timestamp,
}

impl Window {
    fn contains(self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// A cron pattern of five fields.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

impl Schedule {
    /// Parses; the error says what is wrong.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        parser.parse(pattern).map(Self).map_err(|error| error.to_string())
    }

    /// Every day at this time.
    pub fn daily(time: Time) -> Self {
        Self::parse(&format!("{} {} * * *", time.minute(), time.hour())).expect("a minute and an hour")
    }

    /// All times in the window, by the wall clock of `zone`. The local time is what names an occurrence, so that a
    /// clock set back does not repeat it; a local time that a clock set forward skips is moved behind the gap.
    pub fn occurrences(&self, zone: &TimeZone, window: Window) -> Vec<Due> {
        let mut found = Vec::new();
        // A day on each side covers every change of a clock; what is outside is filtered.
        let start = earlier(window.from).to_zoned(zone.clone()).datetime();
        let end = later(window.until).to_zoned(zone.clone()).datetime();
        let mut at = start;
        while let Ok(next) = self.0.find_next_occurrence(&at, false) {
            if next >= end || found.len() >= OCCURRENCES_MAX {
                break;
            }
            if let Ok(zoned) = next.to_zoned(zone.clone())
                && window.contains(zoned.timestamp())
            {
                let occurrence = next.strftime("%Y-%m-%dT%H:%M").to_string();
                found.push(Due { at: zoned.timestamp(), occurrence });
            }
            at = next;
        }
        found
    }
}

/// The days in the window on which a yearly date comes round, at `time` of `zone`, `days_before` the date itself.
/// 29 February is kept on 28 February in years without one. A date that is still to come has not come round.
pub fn yearly(date: Date, time: Time, days_before: u32, zone: &TimeZone, window: Window) -> Vec<Due> {
    let first = earlier(window.from).to_zoned(zone.clone()).year();
    let last = later(window.until).to_zoned(zone.clone()).year();
    (first..=last.saturating_add(1))
        .filter_map(|year| {
            let day = date.day().min(Date::new(year, date.month(), 1).ok()?.days_in_month());
            let kept = Date::new(year, date.month(), day).ok()?;
            if kept < date {
                return None;
            }
            let sent = kept.checked_sub(SignedDuration::from_hours(24 * i64::from(days_before))).ok()?;
            let at = sent.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
            window.contains(at).then(|| Due { at, occurrence: kept.to_string() })
        })
        .collect()
}

/// Reads the date of a trait: `1990-04-23`, also with a time behind it.
pub fn date_of(text: &str) -> Option<Date> {
    text.get(..10)?.parse().ok()
}

fn earlier(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_hours(24)).unwrap_or(at)
}

fn later(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_hours(24)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, until: &str) -> Window {
        Window { from: from.parse().unwrap(), until: until.parse().unwrap() }
    }

    fn cron(pattern: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let found = Schedule::parse(pattern).unwrap().occurrences(&zone, window(from, until));
        found.into_iter().map(|due| format!("{} {}", due.occurrence, due.at)).collect()
    }

    #[test]
    fn a_pattern_is_kept_by_each_zone_s_own_clock() {
        let (from, until) = ("2026-06-01T00:00:00Z", "2026-06-03T00:00:00Z");
        assert_eq!(
            cron("0 9 * * TUE", "Europe/Berlin", from, until),
            ["2026-06-02T09:00 2026-06-02T07:00:00Z"]
        );
        assert_eq!(
            cron("0 9 * * TUE", "Asia/Kathmandu", from, until),
            ["2026-06-02T09:00 2026-06-02T03:15:00Z"]
        );
        assert_eq!(cron("0 9 * * WED", "Europe/Berlin", from, until), [""; 0]);
    }

    #[test]
    fn nights_in_which_clocks_change_neither_lose_nor_double_an_occurrence() {
        // 02:30 does not exist on 29 March 2026 in Berlin, and exists twice on 25 October.
        let spring = cron("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(
            spring,
            ["2026-03-29T02:30 2026-03-29T01:30:00Z", "2026-03-30T02:30 2026-03-30T00:30:00Z"]
        );
        let autumn = cron("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(
            autumn,
            ["2026-10-25T02:30 2026-10-25T00:30:00Z", "2026-10-26T02:30 2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn zones_with_changes_of_their_own_keep_their_clocks() {
        // Half an hour on Lord Howe, where 01:45 comes twice on 5 April; the weeks of Ramadan in Morocco, where 02:30 comes twice as they begin.
        let lord_howe =
            cron("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T12:00:00Z", "2026-04-05T18:00:00Z");
        assert_eq!(
            lord_howe,
            [
                "2026-04-04T01:45 2026-04-03T14:45:00Z",
                "2026-04-05T01:45 2026-04-04T14:45:00Z",
                "2026-04-06T01:45 2026-04-05T15:15:00Z"
            ]
        );
        let autumn = cron("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00:00Z", "2026-02-16T12:00:00Z");
        assert_eq!(
            autumn,
            ["2026-02-15T02:30 2026-02-15T01:30:00Z", "2026-02-16T02:30 2026-02-16T02:30:00Z"]
        );
        let spring = cron("30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00:00Z", "2026-03-23T12:00:00Z");
        assert_eq!(
            spring,
            ["2026-03-22T02:30 2026-03-22T02:30:00Z", "2026-03-23T02:30 2026-03-23T01:30:00Z"]
        );
    }

    #[test]
    fn windows_that_touch_give_every_occurrence_once() {
        let days =
            ["2026-03-28T00:00:00Z", "2026-03-29T00:40:00Z", "2026-03-29T01:30:00Z", "2026-03-31T00:00:00Z"];
        let pieces: Vec<String> = days
            .windows(2)
            .flat_map(|pair| cron("*/30 * * * *", "Europe/Berlin", pair[0], pair[1]))
            .collect();
        let mut whole = cron("*/30 * * * *", "Europe/Berlin", days[0], days[3]);
        let mut pieces = pieces;
        pieces.sort();
        whole.sort();
        assert_eq!(pieces, whole);
    }

    #[test]
    fn a_pattern_that_cannot_be_read_says_why() {
        assert!(Schedule::parse("61 * * * *").is_err());
        assert!(Schedule::parse("0 0 9 * * *").is_err());
    }

    #[test]
    fn a_birthday_comes_once_a_year_and_leap_days_are_kept_on_the_28th() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let time = "09:00".parse().unwrap();
        for (date, days_before, from, until, expected) in [
            (
                "1990-04-23",
                0,
                "2026-04-23T00:00:00Z",
                "2026-04-24T00:00:00Z",
                vec!["2026-04-23 2026-04-23T07:00:00Z"],
            ),
            (
                "1990-04-23",
                3,
                "2026-04-20T00:00:00Z",
                "2026-04-21T00:00:00Z",
                vec!["2026-04-23 2026-04-20T07:00:00Z"],
            ),
            (
                "1992-02-29",
                0,
                "2026-02-01T00:00:00Z",
                "2026-03-05T00:00:00Z",
                vec!["2026-02-28 2026-02-28T08:00:00Z"],
            ),
            (
                "1990-01-02",
                7,
                "2026-12-20T00:00:00Z",
                "2027-01-01T00:00:00Z",
                vec!["2027-01-02 2026-12-26T08:00:00Z"],
            ),
        ] {
            let found = yearly(date_of(date).unwrap(), time, days_before, &zone, window(from, until));
            let found: Vec<_> = found.iter().map(|due| format!("{} {}", due.occurrence, due.at)).collect();
            assert_eq!(found, expected, "{date}");
        }
    }

    #[test]
    fn a_date_that_is_still_to_come_comes_round_for_the_first_time_on_its_day() {
        let at = |date: &str, from: &str, until: &str| {
            let found =
                yearly(date.parse().unwrap(), Time::midnight(), 0, &TimeZone::UTC, window(from, until));
            found.into_iter().map(|due| due.occurrence).collect::<Vec<_>>()
        };
        assert_eq!(at("2030-12-01", "2026-11-22T00:00:00Z", "2027-01-01T00:00:00Z"), [""; 0]);
        assert_eq!(at("2030-12-01", "2030-11-22T00:00:00Z", "2031-01-01T00:00:00Z"), ["2030-12-01"]);
        assert_eq!(at("1990-12-01", "2026-11-22T00:00:00Z", "2027-01-01T00:00:00Z"), ["2026-12-01"]);
    }
}
