//! Condition functions: what authors ask most, in one word. A new one is one function and one line in
//! [`CONDITIONS`]; `bespoke check`, README and `bespoke explain` read the table.

use jiff::Timestamp;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::event;

/// One condition function of rules.
#[derive(Debug)]
pub struct Condition {
    /// As written in rules.
    pub name: &'static str,
    /// What it asks, for people.
    pub help: &'static str,
    /// A call.
    pub example: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [Argument],
    /// Whether the last argument may be given again and again.
    pub last: Last,
    /// The facts that it reads; `{}` stands for the first argument (an event's slug, a trait's name).
    pub reads: &'static [&'static str],
    /// Whether it holds. Arguments are checked when the rule is compiled; whatever is absent makes it false.
    pub holds: fn(&Value, &[Literal]) -> bool,
}

/// What an argument must be. All are literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Text.
    Text,
    /// The name of an event that is known.
    Event,
    /// The name of a trait that holds a date.
    DateTrait,
    /// `"mon"` to `"sun"`.
    Weekday,
    /// A whole number of days, or a month's number.
    Whole,
}

/// Whether the last argument may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Exactly the arguments.
    Once,
    /// One or more of the last.
    Repeated,
}

/// An argument as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `"boots"`.
    Text(String),
    /// `30`.
    Whole(i64),
}

/// All condition functions, by name.
#[rustfmt::skip]
pub const CONDITIONS: &[Condition] = &[
    Condition { name: "birthday_within", help: "the date trait comes round within so many days, today included", example: "birthday_within(\"birthday\", 7)", arguments: &[Argument::DateTrait, Argument::Whole], last: Last::Once, reads: &["profile.{}", "now"], holds: birthday_within },
    Condition { name: "bought", help: "bought any of these products, ever", example: "bought(\"BOOT-1\", \"BOOT-2\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["history.purchased"], holds: bought },
    Condition { name: "bought_category", help: "bought something of any of these categories", example: "bought_category(\"boots\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["purchased"], holds: bought_category },
    Condition { name: "did", help: "did this (an event's name) within so many days", example: "did(\"Product Compared\", 30)", arguments: &[Argument::Event, Argument::Whole], last: Last::Once, reads: &["history.events.{}.days_since"], holds: did },
    Condition { name: "in_cart", help: "any of these products lies in the cart", example: "in_cart(\"BOOT-1\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["history.cart"], holds: in_cart },
    Condition { name: "in_country", help: "the trait `country` is one of these", example: "in_country(\"DE\", \"AT\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["profile.country"], holds: in_country },
    Condition { name: "in_month", help: "it is one of these months (1 to 12) where the person is", example: "in_month(11, 12)", arguments: &[Argument::Whole], last: Last::Repeated, reads: &["now", "profile.time_zone"], holds: in_month },
    Condition { name: "likes_category", help: "any of these is among the person's five favourite categories", example: "likes_category(\"boots\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["history.favourite_categories"], holds: likes_category },
    Condition { name: "mailed", help: "got a mail of this campaign within so many days (of the last ten mails)", example: "mailed(\"winback\", 30)", arguments: &[Argument::Text, Argument::Whole], last: Last::Once, reads: &["history.mails.last", "now"], holds: mailed },
    Condition { name: "on_weekday", help: "it is one of these days (mon to sun) where the person is", example: "on_weekday(\"sat\", \"sun\")", arguments: &[Argument::Weekday], last: Last::Repeated, reads: &["now", "profile.time_zone"], holds: on_weekday },
    Condition { name: "on_wish_list", help: "any of these products is on the wish list", example: "on_wish_list(\"BOOT-1\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["history.wish_list"], holds: on_wish_list },
    Condition { name: "speaks", help: "the locale's language is one of these", example: "speaks(\"de\", \"fr\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["profile.locale"], holds: speaks },
    Condition { name: "viewed", help: "lately looked at any of these products", example: "viewed(\"BOOT-1\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["history.viewed_products"], holds: viewed },
    Condition { name: "viewed_category", help: "lately looked at a product of any of these categories", example: "viewed_category(\"boots\")", arguments: &[Argument::Text], last: Last::Repeated, reads: &["viewed"], holds: viewed_category },
];

/// The words for weekdays, Monday first.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Condition {
    /// The condition called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        CONDITIONS.iter().find(|condition| condition.name == name)
    }

    /// The paths that it reads with these arguments.
    pub fn paths(&self, arguments: &[Literal]) -> Vec<String> {
        let first = match (self.arguments.first(), arguments.first()) {
            (Some(Argument::Event), Some(Literal::Text(name))) => event::slug(name),
            (_, Some(Literal::Text(name))) => name.clone(),
            _ => String::new(),
        };
        self.reads.iter().map(|path| path.replace("{}", &first)).collect()
    }
}

fn at<'a>(facts: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(facts, |value, name| value.get(name))
}

fn text<'a>(facts: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(facts, path)?.as_str()
}

fn is_any(value: &str, arguments: &[Literal]) -> bool {
    arguments.iter().any(|argument| matches!(argument, Literal::Text(wanted) if wanted == value))
}

/// Whether the text `field` of an item (or the item itself) in the list at `path` is any of the arguments.
fn list_has(facts: &Value, path: &[&str], field: Option<&str>, arguments: &[Literal]) -> bool {
    let items = at(facts, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| field.map_or(Some(item), |field| item.get(field)))
        .filter_map(Value::as_str)
        .any(|value| is_any(value, arguments))
}

fn bought(facts: &Value, products: &[Literal]) -> bool {
    list_has(facts, &["history", "purchased"], Some("product_id"), products)
}

fn bought_category(facts: &Value, categories: &[Literal]) -> bool {
    list_has(facts, &["purchased"], Some("category"), categories)
}

fn in_cart(facts: &Value, products: &[Literal]) -> bool {
    list_has(facts, &["history", "cart"], Some("product_id"), products)
}

fn on_wish_list(facts: &Value, products: &[Literal]) -> bool {
    list_has(facts, &["history", "wish_list"], None, products)
}

fn viewed(facts: &Value, products: &[Literal]) -> bool {
    list_has(facts, &["history", "viewed_products"], None, products)
}

fn viewed_category(facts: &Value, categories: &[Literal]) -> bool {
    list_has(facts, &["viewed"], Some("category"), categories)
}

fn likes_category(facts: &Value, categories: &[Literal]) -> bool {
    list_has(facts, &["history", "favourite_categories"], None, categories)
}

fn in_country(facts: &Value, countries: &[Literal]) -> bool {
    text(facts, &["profile", "country"]).is_some_and(|country| is_any(country, countries))
}

fn speaks(facts: &Value, languages: &[Literal]) -> bool {
    text(facts, &["profile", "locale"])
        .and_then(|locale| locale.split(['-', '_']).next())
        .is_some_and(|language| is_any(&language.to_lowercase(), languages))
}

fn did(facts: &Value, arguments: &[Literal]) -> bool {
    let [Literal::Text(name), Literal::Whole(days)] = arguments else { return false };
    at(facts, &["history", "events", &event::slug(name), "days_since"])
        .and_then(Value::as_i64)
        .is_some_and(|days_since| days_since <= *days)
}

fn mailed(facts: &Value, arguments: &[Literal]) -> bool {
    let [Literal::Text(campaign), Literal::Whole(days)] = arguments else { return false };
    let Some(now) = text(facts, &["now"]).and_then(|now| now.parse::<Timestamp>().ok()) else { return false };
    let mails = at(facts, &["history", "mails", "last"]).and_then(Value::as_array);
    mails.map(Vec::as_slice).unwrap_or_default().iter().any(|mail| {
        let sent_at = mail.get("at").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
        mail.get("campaign").and_then(Value::as_str) == Some(campaign)
            && sent_at.is_some_and(|at| now.as_second() - at.as_second() <= days.saturating_mul(86_400))
    })
}

/// The time of the facts where the person is; UTC where no known zone is stated.
fn local_time(facts: &Value) -> Option<Zoned> {
    let now: Timestamp = text(facts, &["now"])?.parse().ok()?;
    let zone = text(facts, &["profile", "time_zone"]).and_then(|name| TimeZone::get(name).ok());
    Some(now.to_zoned(zone.unwrap_or(TimeZone::UTC)))
}

fn on_weekday(facts: &Value, days: &[Literal]) -> bool {
    local_time(facts).is_some_and(|now| {
        let offset = usize::try_from(now.weekday().to_monday_zero_offset()).unwrap_or(0);
        is_any(WEEKDAYS[offset], days)
    })
}

fn in_month(facts: &Value, months: &[Literal]) -> bool {
    local_time(facts).is_some_and(|now| months.contains(&Literal::Whole(i64::from(now.month()))))
}

/// 29 February comes round on 28 February in years without it.
fn birthday_within(facts: &Value, arguments: &[Literal]) -> bool {
    let [Literal::Text(name), Literal::Whole(days)] = arguments else { return false };
    let birthday = text(facts, &["profile", name]).and_then(|date| date.parse::<Date>().ok());
    let (Some(birthday), Some(now)) = (birthday, local_time(facts)) else { return false };
    let today = now.date();
    [today.year(), today.year().saturating_add(1)].into_iter().any(|year| {
        let this = Date::new(year, birthday.month(), birthday.day())
            .or_else(|_| Date::new(year, birthday.month(), birthday.day() - 1));
        let until = this.ok().and_then(|date| today.until(date).ok());
        until.is_some_and(|until| (0..=*days).contains(&i64::from(until.get_days())))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_example_calls_its_function() {
        assert!(CONDITIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for condition in CONDITIONS {
            assert!(condition.example.starts_with(&format!("{}(", condition.name)), "{}", condition.name);
        }
    }

    #[test]
    fn birthdays_come_round_over_new_year_and_on_short_februaries() {
        let check = |birthday: &str, now: &str, zone: &str, days: i64, expected: bool| {
            let facts = json!({"profile": {"birthday": birthday, "time_zone": zone}, "now": now});
            let arguments = [Literal::Text("birthday".to_owned()), Literal::Whole(days)];
            assert_eq!(birthday_within(&facts, &arguments), expected, "{birthday} {now} {zone} {days}");
        };
        check("1990-01-02", "2026-12-30T12:00:00Z", "UTC", 3, true);
        check("1990-01-02", "2026-12-30T12:00:00Z", "UTC", 2, false);
        check("1992-02-29", "2026-02-28T12:00:00Z", "UTC", 0, true);
        check("1990-11-22", "2026-11-21T23:30:00Z", "Europe/Berlin", 0, true);
        check("1990-11-21", "2026-11-21T23:30:00Z", "Europe/Berlin", 0, false);
    }
}
