//! How the columns of one file become fields: made once per file, used for every row.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

use super::Noun;
use super::Shop;
use super::aliases;
use super::aliases::Meaning;
use super::fields::Fields;
use super::json;
use super::mapping::Mapping;
use super::mapping::OneOrMany;
use super::rows::Format;
use super::rows::Row;
use super::template::Template;
use super::times::TimeReader;
use super::values;
use super::values::ValueType;
use crate::fault::Fault;
use crate::fault::render_all;
use crate::product::money;
use crate::product::money::Written;

mod finder;

use finder::Finder;

/// Fields that hold a time: rules bring them to RFC 3339, which is what nouns read.
const TIME_FIELDS: [&str; 3] = ["at", "created_at", "published_at"];
/// One of suppressions alone; elsewhere it is anybody's word.
const END_FIELD: &str = "until";
/// Fields of products that are money.
const PRICES: [&str; 2] = ["price", "list_price"];

/// How rows become fields.
#[derive(Debug)]
pub(super) struct Plan {
    noun: Noun,
    times: TimeReader,
    numbers: Numbers,
    /// Types of traits that the configuration declares, for traits to which the map gives none.
    trait_types: BTreeMap<String, ValueType>,
    kind: Kind,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    /// As the map says.
    stated: Option<Written>,
    /// Digits behind the point of the shop's currency.
    minor_digits: u32,
}

impl Numbers {
    /// How a number of this name is written. Only of events a name makes it money: traits and attributes are none, and a
    /// product's price is read by its own currency.
    fn of(self, noun: Noun, name: &str) -> Written {
        let is_money = noun == Noun::Events && (money::FIELDS.contains(&name) || PRICES.contains(&name));
        let usual = if is_money { Written::Amount(self.minor_digits) } else { Written::Number };
        self.stated.unwrap_or(usual)
    }
}

/// A row by the names of our fields.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) fields: Fields,
    /// Why traits that the row states are left out.
    pub(super) left_out: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    /// By a mapping file.
    Mapped(Box<Mapped>),
    /// By the names of the columns.
    ObviousCells(Vec<Meaning>),
    /// By the keys of each object.
    ObviousObjects,
}

#[derive(Debug)]
struct Mapped {
    skip_when_empty: Vec<Column>,
    only: Vec<(Column, OneOrMany)>,
    skip: Vec<(Column, OneOrMany)>,
    fields: Vec<(&'static str, Step)>,
    extras: Vec<(String, Step)>,
    others: Others,
}

/// What becomes of what the map does not name.
#[derive(Debug)]
enum Others {
    Drop,
    /// These columns of a CSV file are kept.
    Cells(Vec<Column>),
    /// Keys of an object are kept, but for these.
    Keys(Vec<String>),
}

/// A column: its place in the header of a CSV file, its path in an object.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    index: usize,
}

impl Column {
    fn text<'a>(&self, row: Row<'a>) -> Option<Cow<'a, str>> {
        match row {
            Row::Cells { .. } => row.cell(self.index).map(Cow::Borrowed),
            Row::Object(object) => match json::at_path(object, &self.name)? {
                Value::String(text) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
                Value::Array(_) | Value::Object(_) | Value::Null => None,
                other => Some(Cow::Owned(other.to_string())),
            },
        }
    }

    fn value(&self, row: Row<'_>) -> Option<Value> {
        match row {
            Row::Cells { .. } => row.cell(self.index).map(|text| Value::String(text.to_owned())),
            Row::Object(object) => json::at_path(object, &self.name).cloned(),
        }
    }
}

/// One rule, with its columns found.
#[derive(Debug)]
struct Step {
    origin: StepOrigin,
    value_type: Option<ValueType>,
    /// Of a date.
    format: Option<String>,
    times: TimeReader,
    written: Written,
    default: Option<Value>,
}

#[derive(Debug)]
enum StepOrigin {
    Column(Column),
    Template(Template, Vec<Column>),
    Constant(Value),
}

impl Step {
    /// The value of this rule for a row; the reason where it is not what it must be.
    fn value(&self, row: Row<'_>) -> Result<Option<Value>, String> {
        let found = match &self.origin {
            StepOrigin::Column(column) => column.value(row),
            StepOrigin::Constant(value) => Some(value.clone()),
            StepOrigin::Template(template, columns) => template
                .render(|name| columns.iter().find(|column| column.name == name)?.text(row))
                .map(Value::String),
        };
        match (found.or_else(|| self.default.clone()), self.value_type) {
            (Some(value), Some(value_type)) => {
                values::typed(value, value_type, self.format.as_deref(), &self.times, self.written).map(Some)
            }
            (found, _) => Ok(found),
        }
    }
}

impl Plan {
    /// Makes the plan for a file. The error names the column that the file does not have.
    pub(super) fn new(
        noun: Noun,
        mapping: Option<&Mapping>,
        format: Format,
        header: &[String],
        shop: &Shop,
    ) -> Result<Self, String> {
        let times = mapping.map_or_else(|| Ok(TimeReader::default()), Mapping::times)?;
        let stated = mapping.and_then(Mapping::written);
        let numbers = Numbers { stated, minor_digits: shop.minor_digits() };
        let trait_types = shop.traits.clone();
        let kind = match (mapping, format) {
            (Some(mapping), _) => {
                let faults = RefCell::default();
                let finder = Finder { format, header, times: &times, numbers, traits: &trait_types, faults };
                let mapped = finder.mapped(noun, mapping)?;
                let faults: Vec<Fault> = (finder.faults.into_inner().into_iter())
                    .map(|(name, message)| mapping.fault_of_column(&name, message))
                    .collect();
                if !faults.is_empty() {
                    return Err(format!("the map does not fit the file\n{}", render_all(&faults).trim_end()));
                }
                Kind::Mapped(Box::new(mapped))
            }
            (None, Format::Csv) => {
                Self::check_doubles(header)?;
                Kind::ObviousCells(header.iter().map(|name| aliases::meaning(noun, name)).collect())
            }
            (None, Format::Jsonl) => Kind::ObviousObjects,
        };
        let plan = Self { noun, times, numbers, trait_types, kind };
        plan.check_required(header)?;
        Ok(plan)
    }

    /// Without a map, what two columns of one name mean is nobody's guess.
    fn check_doubles(header: &[String]) -> Result<(), String> {
        let mut named = header.iter().enumerate().filter(|(_, name)| !name.is_empty());
        match named.find(|(index, name)| header[..*index].contains(name)) {
            Some((_, name)) => Err(called_twice(name)),
            None => Ok(()),
        }
    }

    /// Without a map, a CSV file's header must name what every row needs.
    fn check_required(&self, header: &[String]) -> Result<(), String> {
        let Kind::ObviousCells(meanings) = &self.kind else { return Ok(()) };
        for field in aliases::required(self.noun) {
            if !meanings.iter().any(|meaning| matches!(meaning, Meaning::Field { name, .. } if name == field))
            {
                return Err(format!(
                    "no column is called {field}{}; the columns are {}; say with --map which is which",
                    aliases::else_called(self.noun, field),
                    listed(header)
                ));
            }
        }
        Ok(())
    }

    /// The fields of a row; `None` when the map leaves it out; the reason when a value is not what it must be. A trait
    /// that is not costs only itself.
    pub(super) fn fields(&self, row: Row<'_>) -> Result<Option<Found>, String> {
        let mut left_out = Vec::new();
        let mut fields = match (&self.kind, row) {
            (Kind::Mapped(mapped), row) => {
                if mapped.leaves_out(row) {
                    return Ok(None);
                }
                mapped.fields(self.noun, row, &mut left_out)?
            }
            (Kind::ObviousCells(meanings), row) => {
                let mut fields = Fields::default();
                for (index, meaning) in meanings.iter().enumerate() {
                    if let Some(cell) = row.cell(index) {
                        fields.put(self.noun, meaning.clone(), Value::String(cell.to_owned()));
                    }
                }
                fields
            }
            (Kind::ObviousObjects, Row::Object(object)) => Fields::of_object(self.noun, object),
            (Kind::ObviousObjects, Row::Cells { .. }) => Fields::default(),
        };
        match self.noun {
            Noun::Profiles => {
                let written = self.numbers.stated.unwrap_or(Written::Number);
                let types = &self.trait_types;
                left_out.extend(values::typed_traits(&mut fields.extras, types, &self.times, written));
            }
            // In CSV everything is text: amounts become numbers where they can. Where the map says how numbers are
            // written, it says so of every line of an order too.
            Noun::Events => {
                let is_stated = self.numbers.stated.is_some();
                if is_stated || matches!(row, Row::Cells { .. }) {
                    self.amounts(&mut fields.extras)?;
                }
                let lines = fields.extras.get_mut("products").and_then(Value::as_array_mut);
                for line in lines.into_iter().flatten().filter_map(Value::as_object_mut).filter(|_| is_stated)
                {
                    self.amounts(line)?;
                }
            }
            // Else each product is read by its own currency.
            Noun::Products if self.numbers.stated.is_some() => {
                for name in PRICES {
                    if let Some(value) = fields.get_mut(name) {
                        self.amount(name, value)?;
                    }
                }
            }
            Noun::Products | Noun::Coupons | Noun::Suppressions => {}
        }
        Ok(Some(Found { fields, left_out }))
    }

    /// Makes numbers of the amounts of an event, or of a line of it.
    fn amounts(&self, fields: &mut Map<String, Value>) -> Result<(), String> {
        for name in aliases::AMOUNTS.iter().chain(&money::FIELDS) {
            if let Some(value) = fields.get_mut(*name) {
                self.amount(name, value)?;
            }
        }
        Ok(())
    }

    /// Makes an amount a number where it is one. The reason, where it may be two.
    fn amount(&self, name: &str, value: &mut Value) -> Result<(), String> {
        let written = self.numbers.of(self.noun, name);
        match values::number(value, written) {
            Ok(number) => *value = number,
            Err(reason) if values::is_ambiguous(value, written) => {
                return Err(format!("{name}: {reason}; {}", money::by_name(name)));
            }
            Err(_) => {}
        }
        Ok(())
    }
}

impl Mapped {
    fn leaves_out(&self, row: Row<'_>) -> bool {
        let is = |column: &Column, wanted: &OneOrMany| {
            wanted.holds(column.text(row).as_deref().unwrap_or_default())
        };
        self.skip_when_empty.iter().any(|column| column.text(row).is_none())
            || self.only.iter().any(|(column, wanted)| !is(column, wanted))
            || self.skip.iter().any(|(column, unwanted)| is(column, unwanted))
    }

    fn fields(&self, noun: Noun, row: Row<'_>, left_out: &mut Vec<String>) -> Result<Fields, String> {
        let mut fields = Fields::default();
        for (name, step) in &self.fields {
            if let Some(value) = step.value(row).map_err(|error| format!("{name}: {error}"))? {
                fields.set(name, value);
            }
        }
        for (name, step) in &self.extras {
            match step.value(row) {
                Ok(Some(value)) => {
                    fields.extras.insert(name.clone(), value);
                }
                Ok(None) => {}
                Err(error) if noun == Noun::Profiles => left_out.push(format!("{name}: {error}")),
                Err(error) => return Err(format!("{name}: {error}")),
            }
        }
        match (&self.others, row) {
            (Others::Cells(columns), row) => {
                let kept =
                    columns.iter().filter_map(|column| Some((column.name.clone(), column.value(row)?)));
                fields.extras.extend(kept);
            }
            (Others::Keys(named), Row::Object(object)) => {
                let kept = object.iter().filter(|(key, _)| !named.contains(key));
                fields.extras.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            }
            _ => {}
        }
        Ok(fields)
    }
}

fn called_twice(name: &str) -> String {
    format!("two columns are called {name:?}; give each its own name")
}

fn listed(header: &[String]) -> String {
    header.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
