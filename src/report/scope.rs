//! About when and whom a report is, and the steps in which it tells time.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::campaign::CampaignId;
use crate::clock::from_millisecond;
use crate::config::Config;
use crate::product::money;
use crate::report::document::Report;
use crate::store::Store;
use crate::store::Window;

/// The confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;
/// Up to this many days are told day by day.
const DAILY_DAYS_MAX: i64 = 45;
/// Up to this many days are told week by week; more, month by month.
const WEEKLY_DAYS_MAX: i64 = 400;
/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// What reports are made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The database.
    pub store: &'a Store,
    /// The configuration: currency, holdouts, domain groups.
    pub config: &'a Config,
    /// About when and whom.
    pub scope: &'a Scope,
    /// Hears how many people were read, and of how many.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// About when and whom a report is.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The first moment inside; everything from the beginning where none is stated.
    pub since: Option<Timestamp>,
    /// The first moment after it.
    pub until: Timestamp,
    /// This campaign only, in what is about campaigns.
    pub campaign: Option<CampaignId>,
    /// Whose days, weeks and months.
    pub zone: TimeZone,
    /// Lift: for so many days from the deal on it is counted what people did.
    pub days: u32,
    /// The last day that the back-test of customer values may learn from.
    pub split: Option<Date>,
}

impl Scope {
    /// As the store wants it.
    pub fn window(&self) -> Window {
        let since = self.since.unwrap_or(Timestamp::UNIX_EPOCH);
        Window { since, until: self.until, campaign: self.campaign.clone() }
    }

    /// Whether a moment lies inside.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && at < self.until
    }

    /// [`Scope::days`] in milliseconds.
    pub fn days_ms(&self) -> i64 {
        i64::from(self.days) * DAY_MS
    }

    /// The day of a moment.
    pub fn date(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// In words, such as `2026-01-01 to 2026-03-31, campaign picks`.
    pub fn words(&self) -> String {
        let last = self.date(from_millisecond(self.until.as_millisecond() - 1));
        let period = match self.since {
            Some(since) => format!("{} to {last}", self.date(since)),
            None => format!("everything until {last}"),
        };
        let zone = self.zone.iana_name().unwrap_or("UTC");
        let campaign =
            self.campaign.as_ref().map_or(String::new(), |campaign| format!(", campaign {campaign}"));
        format!("{period} ({zone}){campaign}")
    }
}

impl Sources<'_> {
    /// ISO 4217 code of the shop's currency.
    pub fn currency(&self) -> &str {
        self.config.currency().unwrap_or(money::EURO)
    }

    /// Digits behind the point of the shop's currency.
    pub fn minor_digits(&self) -> u32 {
        self.config.minor_digits()
    }

    /// Minor units as major ones.
    pub fn major(&self, minor: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 minor units")]
        let minor = minor as f64;
        minor / 10_f64.powi(i32::try_from(self.minor_digits()).unwrap_or(2))
    }

    /// A report without content.
    pub fn report(&self, name: &'static str, title: &str) -> Report {
        Report {
            name,
            title: title.to_owned(),
            scope: self.scope.words(),
            currency: self.currency().to_owned(),
            minor_digits: self.minor_digits(),
            headline: Vec::new(),
            sections: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// The steps in which a report tells time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Calendar days.
    Day,
    /// Weeks from Monday on.
    Week,
    /// Calendar months.
    Month,
}

impl Grain {
    /// What suits a time from `first` to `last`.
    pub fn of(first: Timestamp, last: Timestamp) -> Self {
        let days = (last.as_millisecond() - first.as_millisecond()) / DAY_MS;
        if days <= DAILY_DAYS_MAX {
            Self::Day
        } else if days <= WEEKLY_DAYS_MAX {
            Self::Week
        } else {
            Self::Month
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week from",
            Self::Month => "month",
        }
    }

    /// The first day of the step that holds this day.
    pub fn start(self, date: Date) -> Date {
        match self {
            Self::Day => date,
            Self::Week => {
                let days = date.weekday().to_monday_zero_offset();
                date.checked_sub(jiff::Span::new().days(days)).unwrap_or(date)
            }
            Self::Month => date.first_of_month(),
        }
    }

    /// The first day of the next step.
    pub fn next(self, start: Date) -> Date {
        let span = match self {
            Self::Day => jiff::Span::new().days(1),
            Self::Week => jiff::Span::new().weeks(1),
            Self::Month => jiff::Span::new().months(1),
        };
        start.checked_add(span).unwrap_or(Date::MAX)
    }

    /// How people read it: `2026-03-02`, or `2026-03` for a month.
    pub fn label(self, start: Date) -> String {
        match self {
            Self::Month => start.strftime("%Y-%m").to_string(),
            _ => start.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_in_steps_that_suit_its_length() {
        let grain = |last: &str| Grain::of("2026-01-01T00:00:00Z".parse().unwrap(), last.parse().unwrap());
        let check = |last, date: &str, label: &str, next: &str| {
            let start = grain(last).start(date.parse().unwrap());
            assert_eq!(
                (grain(last).label(start).as_str(), grain(last).next(start).to_string().as_str()),
                (label, next)
            );
        };
        check("2026-01-20T00:00:00Z", "2026-01-18", "2026-01-18", "2026-01-19");
        check("2026-06-01T00:00:00Z", "2026-01-18", "2026-01-12", "2026-01-19");
        check("2028-06-01T00:00:00Z", "2026-01-18", "2026-01", "2026-02-01");
    }
}
