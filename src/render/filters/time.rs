//! Dates in the recipient's zone and words.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use tera::Error;
use tera::Kwargs;
use tera::State;
use tera::TeraResult;
use tera::Value;

use super::Example;
use super::Filter;
use super::fact;
use super::locale::Language;
use super::locale::Locale;
use super::wrong_type;

pub(super) const FILTERS: &[Filter] = &[
    Filter {
        name: "date",
        arguments: "format, zone, locale",
        what: "A date or time (ISO text, or milliseconds since 1970) in the recipient's zone and language; `format` is \
               strftime's, the locale's long date where absent.",
        examples: &[
            Example { write: "{{ \"2026-11-22T23:30:00Z\" | date }}", gives: "23 November 2026" },
            Example { write: "{{ \"1990-04-03\" | date(format=\"%-d %b %Y\") }}", gives: "3 Apr 1990" },
            Example {
                write: "{{ \"2026-11-22T09:00:00Z\" | date(format=\"%A, %-d. %B, %H:%M\", locale=\"de\") }}",
                gives: "Sonntag, 22. November, 10:00",
            },
            Example {
                write: "{{ 1795338000000 | date(zone=\"America/New_York\", locale=\"en-US\") }}",
                gives: "November 22, 2026",
            },
            Example { write: "{{ \"2026-03-01\" | date(locale=\"es\") }}", gives: "1 de marzo de 2026" },
            Example { write: "{{ \"2026-03-01\" | date(locale=\"ja\") }}", gives: "2026年3月1日" },
        ],
        function: date,
    },
    Filter {
        name: "weekday",
        arguments: "zone, locale",
        what: "The name of the weekday.",
        examples: &[
            Example { write: "{{ \"2026-11-22\" | weekday }}", gives: "Sunday" },
            Example { write: "{{ \"2026-11-22\" | weekday(locale=\"fr\") }}", gives: "dimanche" },
        ],
        function: weekday,
    },
    Filter {
        name: "days_until",
        arguments: "zone",
        what: "Whole calendar days from `now` to a date in the recipient's zone; below 0 where it is past.",
        examples: &[
            Example { write: "{{ \"2026-11-25T01:00:00Z\" | days_until }}", gives: "3" },
            Example { write: "{{ \"2026-11-22\" | days_until }}", gives: "0" },
        ],
        function: days_until,
    },
];

/// Longest format, in bytes.
const FORMAT_BYTES_MAX: usize = 100;

fn date(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let zone = zone(arguments, state)?;
    let moment = moment(value, &zone)?;
    let locale = Locale::of(state, arguments.get("locale")?);
    let format = arguments.get::<&str>("format")?.unwrap_or_else(|| long_date(locale));
    if format.len() > FORMAT_BYTES_MAX {
        return Err(Error::message("the format of this date is over 100 bytes"));
    }
    let zoned = moment.to_zoned(zone).map_err(|error| Error::message(error.to_string()))?;
    let format = with_names(format, moment, locale.language);
    let text = BrokenDownTime::from(&zoned)
        .to_string(&format)
        .map_err(|error| Error::message(format!("the format of this date cannot be used: {error}")))?;
    Ok(Value::from(text))
}

/// A day as readers of a language write it; ISO 8601 where their months' names are not known.
pub fn day_in_words(day: Date, tag: &str) -> String {
    let locale = Locale::parse(tag);
    let is_english = tag.split(['-', '_']).next().is_some_and(|own| own.eq_ignore_ascii_case("en"));
    if locale.language == Language::English && !is_english {
        return day.to_string();
    }
    let format =
        with_names(long_date(locale), day.to_datetime(jiff::civil::Time::midnight()), locale.language);
    day.strftime(&format).to_string()
}

/// Writes the names of months and weekdays into a format.
fn with_names(format: &str, moment: DateTime, language: Language) -> String {
    let month = language.months()[usize::from(moment.month().unsigned_abs()) - 1];
    let weekday = language.weekdays()[usize::from(moment.weekday().to_monday_zero_offset().unsigned_abs())];
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = match rest.as_bytes().first() {
            Some(b'B' | b'b' | b'h') if language == Language::Japanese => "%-m月",
            Some(b'B') => month.0,
            Some(b'b' | b'h') => month.1,
            Some(b'A') => weekday.0,
            Some(b'a') => weekday.1,
            Some(b'%') => "%%",
            _ => {
                out.push('%');
                continue;
            }
        };
        out.push_str(name);
        rest = &rest[1..];
    }
    out.push_str(rest);
    out
}

fn long_date(locale: Locale) -> &'static str {
    match locale.language {
        Language::English if locale.is_region("US") || locale.is_region("CA") => "%B %-d, %Y",
        Language::German => "%-d. %B %Y",
        Language::Spanish | Language::Portuguese => "%-d de %B de %Y",
        Language::Japanese => "%Y年%-m月%-d日",
        Language::English | Language::French | Language::Italian | Language::Dutch => "%-d %B %Y",
    }
}

fn weekday(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let moment = moment(value, &zone(arguments, state)?)?;
    let locale = Locale::of(state, arguments.get("locale")?);
    let index = usize::from(moment.weekday().to_monday_zero_offset().unsigned_abs());
    Ok(Value::from(locale.language.weekdays()[index].0))
}

fn days_until(value: &Value, arguments: &Kwargs, state: &State<'_>) -> TeraResult<Value> {
    let zone = zone(arguments, state)?;
    let now = state.get::<Value>("now")?.ok_or_else(|| Error::message("`now` is not defined"))?;
    let from = moment(&now, &zone)?.date();
    let until = moment(value, &zone)?.date();
    let days = from.until(until).map_err(|error| Error::message(error.to_string()))?.get_days();
    Ok(Value::from(i64::from(days)))
}

/// The argument's zone, the profile's, the shop's, or UTC.
fn zone(arguments: &Kwargs, state: &State<'_>) -> TeraResult<TimeZone> {
    if let Some(name) = arguments.get::<&str>("zone")? {
        return TimeZone::get(name).map_err(|_| Error::message(format!("there is no time zone `{name}`")));
    }
    let of = |root| fact(state, root, "time_zone").and_then(|name| TimeZone::get(&name).ok());
    Ok(of("profile").or_else(|| of("shop")).unwrap_or(TimeZone::UTC))
}

/// A time on the clocks of `zone`. A date without a time is that date everywhere.
fn moment(value: &Value, zone: &TimeZone) -> TeraResult<DateTime> {
    if let Some(milliseconds) = value.as_i64() {
        return Timestamp::from_millisecond(milliseconds)
            .map(|timestamp| zone.to_datetime(timestamp))
            .map_err(|_| Error::message("the time is out of range"));
    }
    let text = value.as_str().ok_or_else(|| wrong_type("a date as text, or milliseconds", value))?.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(zone.to_datetime(timestamp));
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() <= 11
    {
        return Ok(date.to_datetime(jiff::civil::Time::midnight()));
    }
    text.parse::<DateTime>()
        .map_err(|_| Error::message("the text is no date such as 2026-11-22 or 2026-11-22T09:00:00Z"))
}
