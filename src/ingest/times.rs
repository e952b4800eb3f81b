//! Times as files write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::clock::from_millisecond;

/// From this number on, a count is of milliseconds; below it, of seconds (5138-11-16, or 1973-03-03).
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// A count of seconds has at least this many digits (1973-03-03), so that it is no date such as 20260131.
const COUNT_DIGITS_MIN: usize = 9;

/// Reads times in one format and, where they carry no offset of their own, one zone.
///
/// A local time that a clock change leaves out (02:30 in the spring) is taken as that much later (03:30); one that
/// comes twice (in the autumn) is taken as the first.
#[derive(Debug, Clone)]
pub(super) struct TimeReader {
    /// As of strptime; RFC 3339, ISO 8601 local times, dates, and counts since 1970 where none is stated.
    format: Option<String>,
    zone: TimeZone,
}

impl Default for TimeReader {
    fn default() -> Self {
        Self { format: None, zone: TimeZone::UTC }
    }
}

impl TimeReader {
    /// `format` as of strptime; the error says what is wrong with it.
    pub(super) fn new(format: Option<&str>, zone: TimeZone) -> Result<Self, String> {
        if let Some(format) = format {
            check_format(format)?;
        }
        Ok(Self { format: format.map(str::to_owned), zone })
    }

    /// The same zone with another format.
    pub(super) fn with_format(&self, format: &str) -> Result<Self, String> {
        Self::new(Some(format), self.zone.clone())
    }

    /// Reads a time, to the millisecond.
    pub(super) fn read(&self, value: &Value) -> Result<Timestamp, String> {
        let time = match (value, &self.format) {
            (Value::String(text), Some(format)) => self.formatted(format, text.trim()),
            (Value::String(text), None) => self.usual(text.trim()),
            (Value::Number(number), None) => number.as_i64().and_then(count),
            (Value::Number(number), Some(format)) => self.formatted(format, &number.to_string()),
            _ => None,
        };
        let time = time.ok_or_else(|| match &self.format {
            Some(format) => format!("{} is no time of the form {format}", super::values::shown(value)),
            None => format!(
                "{} is no time; write 2026-01-31T18:00:00Z, or state a format in the map",
                super::values::shown(value)
            ),
        })?;
        Ok(from_millisecond(time.as_millisecond()))
    }

    /// Reads a calendar date: by a format of its own, else by that of the times, or ISO 8601.
    pub(super) fn date(&self, value: &Value, own: Option<&str>) -> Result<Date, String> {
        let text = match value {
            Value::String(text) => text.trim(),
            _ => "",
        };
        let by = |format: &str| strtime::parse(format, text).and_then(|parts| parts.to_date()).ok();
        let date = match own {
            Some(format) => by(format),
            None => text
                .parse::<Date>()
                .ok()
                .or_else(|| by(self.format.as_deref()?))
                // A moment, which is how programs write a day: what it says, wherever that is.
                .or_else(|| text.parse::<Timestamp>().ok().and_then(|_| text.get(..10)?.parse().ok())),
        };
        date.ok_or_else(|| {
            let form = own.or(self.format.as_deref()).unwrap_or("2026-01-31");
            format!("{} is no date of the form {form}", super::values::shown(value))
        })
    }

    fn formatted(&self, format: &str, text: &str) -> Option<Timestamp> {
        let parts = strtime::parse(format, text).ok()?;
        if let Ok(time) = parts.to_timestamp() {
            return Some(time);
        }
        self.local(parts.to_datetime().or_else(|_| parts.to_date().map(DateTime::from)).ok()?)
    }

    fn usual(&self, text: &str) -> Option<Timestamp> {
        if text.len() >= COUNT_DIGITS_MIN && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return count(text.parse().ok()?);
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(time);
        }
        self.local(text.parse::<DateTime>().ok()?)
    }

    fn local(&self, time: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(time).compatible().ok()
    }
}

/// A time by its seconds or milliseconds since 1970.
fn count(number: i64) -> Option<Timestamp> {
    if number.abs() >= MILLISECONDS_FROM {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
}

/// A format is good when it reads what it writes.
fn check_format(format: &str) -> Result<(), String> {
    let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let written = strtime::format(format, &sample).map_err(|error| error.to_string())?;
    let parts = strtime::parse(format, written).map_err(|error| error.to_string())?;
    if parts.to_timestamp().is_err() && parts.to_date().is_err() {
        return Err(format!("{format:?} names no day: year, month and day, or %s"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(format: Option<&str>, zone: &str, value: &Value, expected: Option<&str>) {
        let reader = TimeReader::new(format, TimeZone::get(zone).unwrap()).unwrap();
        let time = reader.read(value).ok().map(|time| time.to_string());
        assert_eq!(time.as_deref(), expected, "{format:?} {zone} {value}");
    }

    #[test]
    fn times_are_read_in_the_usual_forms() {
        check(None, "UTC", &json!("2026-01-31T18:00:00+01:00"), Some("2026-01-31T17:00:00Z"));
        check(None, "UTC", &json!("2026-01-31 18:00:00.1239"), Some("2026-01-31T18:00:00.123Z"));
        check(None, "Europe/Berlin", &json!("2026-01-31"), Some("2026-01-30T23:00:00Z"));
        check(None, "UTC", &json!("20260131"), Some("2026-01-31T00:00:00Z"));
        check(None, "UTC", &json!("1769882400"), Some("2026-01-31T18:00:00Z"));
        check(None, "UTC", &json!(1_769_882_400_123_i64), Some("2026-01-31T18:00:00.123Z"));
        for nonsense in [json!(""), json!("yesterday"), json!("2026-02-30"), json!(true), json!("31/01/2026")]
        {
            check(None, "UTC", &nonsense, None);
        }
    }

    #[test]
    fn times_are_read_by_a_stated_format() {
        check(
            Some("%d/%m/%Y %H:%M"),
            "Europe/London",
            &json!("31/07/2026 18:00"),
            Some("2026-07-31T17:00:00Z"),
        );
        check(Some("%d.%m.%y"), "UTC", &json!("31.01.26"), Some("2026-01-31T00:00:00Z"));
        check(
            Some("%Y-%m-%dT%H:%M:%S%z"),
            "Europe/London",
            &json!("2026-01-31T18:00:00+0200"),
            Some("2026-01-31T16:00:00Z"),
        );
        check(Some("%s"), "UTC", &json!("1769882400"), Some("2026-01-31T18:00:00Z"));
        check(Some("%d/%m/%Y"), "UTC", &json!("2026-01-31"), None);
        assert!(TimeReader::new(Some("%Y-%!"), TimeZone::UTC).is_err());
    }

    #[test]
    fn a_clock_change_neither_loses_nor_refuses_a_time() {
        let format = Some("%Y-%m-%d %H:%M");
        check(format, "America/New_York", &json!("2017-03-12 02:06"), Some("2017-03-12T07:06:00Z"));
        check(format, "America/New_York", &json!("2017-11-05 01:30"), Some("2017-11-05T05:30:00Z"));
    }

    #[test]
    fn dates_are_calendar_dates() {
        let (usual, german) =
            (TimeReader::default(), TimeReader::new(Some("%d.%m.%Y"), TimeZone::UTC).unwrap());
        for (reader, text, own, expected) in [
            (&usual, "1990-04-23", None, Ok("1990-04-23")),
            (&usual, "23/04/1990", Some("%d/%m/%Y"), Ok("1990-04-23")),
            (&usual, "1990-02-30", None, Err("\"1990-02-30\" is no date of the form 2026-01-31")),
            (&german, "31.12.1985", None, Ok("1985-12-31")),
            (&german, "1985-12-31", None, Ok("1985-12-31")),
            (&german, "12/31/1985", Some("%m/%d/%Y"), Ok("1985-12-31")),
            (&german, "31.13.1985", None, Err("\"31.13.1985\" is no date of the form %d.%m.%Y")),
        ] {
            let found = reader.date(&json!(text), own).map(|date| date.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
