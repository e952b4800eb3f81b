//! Filters that templates may call, beside those of Tera itself: one table, from which the engine, the documentation
//! and the tests are made.

use tera::Error;
use tera::ErrorKind;
use tera::Kwargs;
use tera::State;
use tera::Tera;
use tera::TeraResult;
use tera::Value;

mod locale;
mod number;
mod time;
mod words;

pub use time::day_in_words;

/// One filter of the table.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// As written after `|`.
    pub name: &'static str,
    /// Names of its arguments, with defaults.
    pub arguments: &'static str,
    /// What it gives, for authors.
    pub what: &'static str,
    /// What to write and what comes out, for a recipient in Berlin who reads English, at 2026-11-22 09:00 UTC, in a
    /// shop that sells in euros.
    pub examples: &'static [Example],
    /// What runs.
    function: fn(&Value, &Kwargs, &State<'_>) -> TeraResult<Value>,
}

impl Filter {
    /// The names of its arguments.
    pub fn argument_names(&self) -> impl Iterator<Item = &'static str> {
        let names =
            self.arguments.split(',').map(|argument| argument.split('=').next().unwrap_or_default().trim());
        names.filter(|name| !name.is_empty())
    }
}

/// One example of a filter.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// What an author writes.
    pub write: &'static str,
    /// What a recipient's HTML holds.
    pub gives: &'static str,
}

/// Longest list that `range` makes.
pub const RANGE_LENGTH_MAX: i64 = 1_000;

/// All filters, by subject.
pub fn all() -> impl Iterator<Item = &'static Filter> {
    [number::FILTERS, time::FILTERS, words::FILTERS].into_iter().flatten()
}

/// Adds all of them, and takes `safe` and long ranges away.
pub(super) fn register(tera: &mut Tera) {
    for filter in all() {
        let function = filter.function;
        tera.register_filter(filter.name, move |value: Value, arguments: Kwargs, state: &State<'_>| {
            function(given(&value)?, &arguments, state)
        });
    }
    tera.register_filter("safe", safe);
    tera.register_function("range", range);
}

/// Nothing that a recipient sees is left unescaped.
fn safe(_: Value, _: Kwargs, _: &State<'_>) -> TeraResult<Value> {
    Err(Error::message("`safe` is not allowed in a mail"))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a function")]
fn range(arguments: Kwargs, _: &State<'_>) -> TeraResult<Vec<i64>> {
    let start: i64 = arguments.get("start")?.unwrap_or(0);
    let end: i64 = arguments.must_get("end")?;
    let step: i64 = arguments.get("step_by")?.unwrap_or(1);
    if step < 1 {
        return Err(Error::message("`step_by` of `range` must be 1 or more"));
    }
    if end.saturating_sub(start) / step > RANGE_LENGTH_MAX {
        return Err(Error::message(format!("`range` makes at most {RANGE_LENGTH_MAX} numbers")));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((start..end).step_by(step).collect())
}

/// The value, unless it is absent: then the same error as for printing it.
fn given(value: &Value) -> TeraResult<&Value> {
    if value.is_undefined() || value.is_none() {
        return Err(Error::new(ErrorKind::InvalidArgument {
            expected_type: "a value".to_owned(),
            actual_type: "undefined".to_owned(),
        }));
    }
    Ok(value)
}

fn wrong_type(expected: &str, value: &Value) -> Error {
    Error::new(ErrorKind::InvalidArgument {
        expected_type: expected.to_owned(),
        actual_type: value.name().to_owned(),
    })
}

/// A text of the context, such as `shop.currency`.
fn fact(state: &State<'_>, root: &str, name: &str) -> Option<String> {
    let root = state.get::<Value>(root).ok().flatten()?;
    root.as_map()?.get(&tera::value::Key::Str(name))?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tera::Context;

    use super::*;

    fn engine() -> (Tera, Context) {
        let mut tera = Tera::new();
        register(&mut tera);
        let mut context = Context::new();
        context.insert("profile", &serde_json::json!({"time_zone": "Europe/Berlin"}));
        context.insert("shop", &serde_json::json!({"currency": "EUR"}));
        context.insert("now", "2026-11-22T09:00:00Z");
        (tera, context)
    }

    #[test]
    fn every_example_gives_what_it_says() {
        let (tera, context) = engine();
        for filter in all() {
            assert!(!filter.examples.is_empty() && !filter.what.is_empty(), "{}", filter.name);
            for example in filter.examples {
                let given = tera.render_str(example.write, &context, true);
                assert_eq!(
                    given.map_err(|error| error.to_string()).as_deref(),
                    Ok(example.gives),
                    "{}",
                    example.write
                );
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = all().map(|filter| filter.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn what_cannot_be_used_is_an_error_and_never_a_panic() {
        let (tera, context) = engine();
        for template in [
            "{{ \"x\" | money }}",
            "{{ 1.5 | money }}",
            "{{ nope | money }}",
            "{{ 1 | money(currency=\"EURO\") }}",
            "{{ {\"a\": 1} | money }}",
            "{{ \"yesterday\" | date }}",
            "{{ 9223372036854775807 | date }}",
            "{{ \"2026-11-22\" | date(format=\"%!\") }}",
            "{{ \"2026-11-22\" | date(format=\"%\") }}",
            "{{ \"2026-11-22\" | date(zone=\"Mars\") }}",
            "{{ 1e300 | number }}",
            "{{ [] | urlencode }}",
            "{{ [[1]] | sentence }}",
            "{{ \"x\" | plural(one=\"a\", other=\"b\") }}",
            "{{ 3 | ellipsis(length=2) }}",
            "{{ \"<b>\" | safe }}",
            "{{ range(end=100000) }}",
            "{{ range(end=5, step_by=0) }}",
        ] {
            assert!(tera.render_str(template, &context, true).is_err(), "{template}");
        }
        for (template, expected) in [
            ("{{ -9223372036854775807 | money }}", "-€92,233,720,368,547,758.07"),
            ("{{ \"é\" | ellipsis(length=0) }}", "…"),
            ("{{ \"\" | initials }}", ""),
            ("{{ \"  \" | possessive }}", ""),
            ("{{ [] | sentence }}", ""),
            ("{{ range(start=5, end=1) | length }}", "0"),
        ] {
            assert_eq!(
                tera.render_str(template, &context, true).ok().as_deref(),
                Some(expected),
                "{template}"
            );
        }
    }
}
