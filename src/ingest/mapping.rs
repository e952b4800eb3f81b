//! The mapping file: which column is which field.
//!
//! ```toml
//! skip_when_empty = ["customer"]           # leave such rows out
//! only = { country = ["France", "EIRE"] }  # leave all others out
//! skip = { status = "test" }
//! other_columns = "keep"                   # as traits, properties or attributes; "drop" where nothing is stated
//!
//! [file]                                   # all of it is found out where it is not stated
//! format = "csv"                           # or "jsonl"
//! delimiter = ";"
//! columns = ["customer", "sku"]            # for CSV without a header
//!
//! [time]
//! format = "%d/%m/%Y %H:%M"                # strptime
//! zone = "Europe/London"                   # of times that carry no offset; UTC where none is stated
//!
//! [number]
//! decimal = ","                            # 1.299 is 1299 then; where none is stated, it is refused as a price
//!
//! [fields]
//! profile = "customer"                                      # a column (JSONL: "user.id" is a path)
//! id = "{{ invoice }}-{{ line | default(value=\"1\") }}"    # a template
//! name = { constant = "Order Completed" }
//! at = { column = "ts", format = "%s" }
//!
//! [properties]                             # [traits] for profiles, [attributes] for products
//! price = { column = "unit price", type = "number" }        # string, number, bool, date, time
//! country = { column = "country", default = "GB" }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de;
use serde_json::Value;

use super::Noun;
use super::rows::Format;
use super::template::Template;
use super::times::TimeReader;
use super::values::ValueType;
use crate::fault::Fault;
use crate::fault::SourceFile;
use crate::product::money::Written;
use crate::toml_text;

#[cfg(test)]
mod tests;

/// What a mapping file states.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    pub(super) file: FileShape,
    pub(super) time: TimeShape,
    number: NumberShape,
    pub(super) skip_when_empty: Vec<String>,
    pub(super) only: BTreeMap<String, OneOrMany>,
    pub(super) skip: BTreeMap<String, OneOrMany>,
    pub(super) other_columns: OtherColumns,
    pub(super) fields: BTreeMap<String, Rule>,
    traits: BTreeMap<String, Rule>,
    properties: BTreeMap<String, Rule>,
    attributes: BTreeMap<String, Rule>,
    /// Where it was read.
    #[serde(skip)]
    source: Option<SourceFile>,
}

/// What the file looks like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileShape {
    pub(super) format: Option<Format>,
    pub(super) delimiter: Option<char>,
    pub(super) columns: Option<Vec<String>>,
}

/// How times are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimeShape {
    format: Option<String>,
    zone: Option<String>,
}

/// How numbers are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NumberShape {
    decimal: Option<DecimalSign>,
}

/// What stands before the fraction of a number.
#[derive(Debug, Clone, Copy, Deserialize)]
enum DecimalSign {
    #[serde(rename = ".")]
    Point,
    #[serde(rename = ",")]
    Comma,
}

/// What becomes of columns that the map does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OtherColumns {
    /// Nothing.
    #[default]
    Drop,
    /// They become traits, properties or attributes under their own names.
    Keep,
}

/// One value or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "this must be a text, or a list of texts")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::One(one) => one == value,
            Self::Many(many) => many.iter().any(|one| one == value),
        }
    }
}

/// Where a field comes from, and what it must be.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) origin: Origin,
    pub(super) value_type: Option<ValueType>,
    /// Of a date or a time.
    pub(super) format: Option<String>,
    pub(super) default: Option<Value>,
}

/// Where a field comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Column(String),
    Template(Template),
    Constant(Value),
}

impl Mapping {
    /// Reads and checks a mapping file for a noun. All faults that can be found are returned, each with its place.
    pub fn load(path: &Path, noun: Noun) -> Result<Self, Vec<Fault>> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| vec![Fault::general(format!("cannot read {}: {error}", path.display()))])?;
        Self::parse(&SourceFile { path: path.to_owned(), text: text.into() }, noun)
    }

    /// The same for text that was read already.
    pub fn parse(file: &SourceFile, noun: Noun) -> Result<Self, Vec<Fault>> {
        let read = toml_text::read::<Self>(&file.text);
        let mut faults: Vec<Fault> = read
            .faults
            .into_iter()
            .map(|found| {
                let help = found.help_or("`bespoke import events --help` shows a map");
                Fault { help, ..Fault::at(file, found.span, found.message) }
            })
            .collect();
        let Some(mut mapping) = read.value else { return Err(faults) };
        // What was taken out because it was wrong is not missing.
        let untold = mapping.problems(noun).into_iter().filter(|(key, message, _)| {
            let of = |removed: &String| {
                removed == "fields" || message.ends_with(&format!(" {removed} comes from"))
            };
            key != "fields" || !read.removed.iter().any(of)
        });
        faults.extend(untold.map(|(key, message, help)| {
            Fault::at(file, place_of(&file.text, &key), message).with_help(help)
        }));
        mapping.source = Some(file.clone());
        if faults.is_empty() { Ok(mapping) } else { Err(faults) }
    }

    /// A fault of the map at the first place that names this column.
    pub(super) fn fault_of_column(&self, name: &str, message: String) -> Fault {
        let Some(file) = &self.source else { return Fault::general(message) };
        let names = |(at, _): &(usize, &str)| {
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
            let (before, behind) = (&file.text[..*at], &file.text[at + name.len()..]);
            let line = before.rsplit('\n').next().unwrap_or_default();
            !line.contains('#') && !before.ends_with(is_part) && !behind.starts_with(is_part)
        };
        // Names of columns are values, but those of filters are keys.
        let is_value = |(at, _): &(usize, &str)| {
            let line = file.text[..*at].rsplit('\n').next().unwrap_or_default();
            line.contains('=')
        };
        let places: Vec<(usize, &str)> = file.text.match_indices(name).filter(names).collect();
        let place = places.iter().find(|place| is_value(place)).or(places.first());
        Fault::at(file, place.map_or(0..0, |(at, _)| *at..at + name.len()), message)
    }

    /// The traits, properties or attributes, by noun.
    pub(super) fn extras(&self, noun: Noun) -> &BTreeMap<String, Rule> {
        match noun {
            Noun::Profiles => &self.traits,
            Noun::Events => &self.properties,
            Noun::Products | Noun::Coupons | Noun::Suppressions => &self.attributes,
        }
    }

    /// How its times are read. [`Mapping::parse`] has checked that they can be.
    pub(super) fn times(&self) -> Result<TimeReader, String> {
        let zone = match &self.time.zone {
            Some(name) => TimeZone::get(name).map_err(|_| format!("there is no time zone {name:?}"))?,
            None => TimeZone::UTC,
        };
        TimeReader::new(self.time.format.as_deref(), zone)
    }

    /// How all its numbers are written, where it says so.
    pub(super) fn written(&self) -> Option<Written> {
        self.number.decimal.map(|sign| match sign {
            DecimalSign::Point => Written::With('.'),
            DecimalSign::Comma => Written::With(','),
        })
    }

    /// Key, message and help of everything that is wrong.
    fn problems(&self, noun: Noun) -> Vec<(String, String, String)> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, message: String, help: &str| {
            problems.push((key.to_owned(), message, help.to_owned()));
        };
        if let Err(message) = self.times() {
            wrong(
                "time",
                message,
                "zone is an IANA name such as Europe/London, format is of strptime: %Y-%m-%d %H:%M:%S",
            );
        }
        let (known, required) = (super::aliases::fields(noun), super::aliases::required(noun));
        for key in self.fields.keys().filter(|key| !known.contains(&key.as_str())) {
            let help = format!("{} have the fields {}", noun.as_str(), known.join(", "));
            wrong(key, format!("{} have no field {key:?}", noun.as_str()), &help);
        }
        for field in required.iter().filter(|field| !self.fields.contains_key(**field)) {
            let help = format!("write {field} = \"the column\" under [fields]");
            wrong("fields", format!("the map does not say where {field} comes from"), &help);
        }
        let sections = [
            ("traits", &self.traits, noun == Noun::Profiles),
            ("properties", &self.properties, noun == Noun::Events),
            ("attributes", &self.attributes, noun == Noun::Products),
        ];
        for (section, rules, fits) in sections {
            if !rules.is_empty() && !fits {
                let help = "profiles have [traits], events [properties], products [attributes]";
                wrong(section, format!("{} have no [{section}]", noun.as_str()), help);
            }
        }
        let rules = sections.iter().flat_map(|(_, rules, _)| rules.iter()).chain(&self.fields);
        for (key, rule) in rules {
            if let Some(format) = &rule.format
                && let Err(message) = TimeReader::default().with_format(format)
            {
                wrong(key, message, "the format is of strptime: %Y-%m-%d %H:%M:%S");
            }
        }
        problems
    }
}

/// Where a key stands: the first line that starts with it, or whose table has its name.
fn place_of(text: &str, key: &str) -> std::ops::Range<usize> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = line.trim_start().trim_start_matches(['"', '[']);
        let behind = start.strip_prefix(key).map(|rest| rest.trim_start_matches('"').trim_start());
        if behind.is_some_and(|rest| rest.starts_with(['=', ']', '.'])) {
            let at = offset + line.len() - start.len();
            return at..at + key.len();
        }
        offset += line.len();
    }
    0..0
}

/// `"column"`, `"{{ template }}"`, or a table.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    column: Option<String>,
    template: Option<String>,
    constant: Option<Value>,
    #[serde(rename = "type")]
    value_type: Option<ValueType>,
    format: Option<String>,
    default: Option<Value>,
}

impl<'de> de::Visitor<'de> for RuleVisitor {
    type Value = Rule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column, a \"{{ template }}\", or { constant = … }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Rule, E> {
        let origin = if Template::is_template(text) {
            Origin::Template(Template::parse(text).map_err(E::custom)?)
        } else {
            Origin::Column(text.to_owned())
        };
        Ok(Rule { origin, value_type: None, format: None, default: None })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
        let table = RuleTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let origin = match (table.column, table.template, table.constant) {
            (Some(column), None, None) => Origin::Column(column),
            (None, Some(template), None) => {
                Origin::Template(Template::parse(&template).map_err(de::Error::custom)?)
            }
            (None, None, Some(constant)) => Origin::Constant(constant),
            _ => return Err(de::Error::custom("write exactly one of column, template and constant")),
        };
        Ok(Rule { origin, value_type: table.value_type, format: table.format, default: table.default })
    }
}
