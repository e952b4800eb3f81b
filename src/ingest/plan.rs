//! How the columns of one file become fields: made once per file, used for every row.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::Noun;
use super::aliases;
use super::aliases::Meaning;
use super::fields::Fields;
use super::json;
use super::mapping::Mapping;
use super::mapping::OneOrMany;
use super::mapping::Origin;
use super::mapping::OtherColumns;
use super::mapping::Rule;
use super::rows::Format;
use super::rows::Row;
use super::template::Template;
use super::times::TimeReader;
use super::values;
use super::values::ValueType;
use crate::catalog::nearest::nearest;
use crate::fault::Fault;
use crate::fault::render_all;

/// Fields that hold a time: rules bring them to RFC 3339, which is what nouns read.
const TIME_FIELDS: [&str; 3] = ["at", "created_at", "published_at"];

/// How rows become fields.
#[derive(Debug)]
pub(super) struct Plan {
    noun: Noun,
    times: TimeReader,
    /// Types of traits that the configuration declares, for traits to which the map gives none.
    trait_types: BTreeMap<String, ValueType>,
    kind: Kind,
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
                values::typed(value, value_type, self.format.as_deref(), &self.times).map(Some)
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
        trait_types: BTreeMap<String, ValueType>,
    ) -> Result<Self, String> {
        let times = mapping.map_or_else(|| Ok(TimeReader::default()), Mapping::times)?;
        let kind = match (mapping, format) {
            (Some(mapping), _) => {
                let finder = Finder { format, header, times: &times, faults: RefCell::default() };
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
        let plan = Self { noun, times, trait_types, kind };
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

    /// The fields of a row; `None` when the map leaves it out; the reason when a value is not what it must be.
    pub(super) fn fields(&self, row: Row<'_>) -> Result<Option<Fields>, String> {
        let mut fields = match (&self.kind, row) {
            (Kind::Mapped(mapped), row) => {
                if mapped.leaves_out(row) {
                    return Ok(None);
                }
                mapped.fields(row)?
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
        self.type_extras(&mut fields, row)?;
        Ok(Some(fields))
    }

    /// Traits become what the configuration declares them to be; amounts of events in CSV become numbers where they can.
    fn type_extras(&self, fields: &mut Fields, row: Row<'_>) -> Result<(), String> {
        if self.noun == Noun::Profiles {
            for (name, value_type) in &self.trait_types {
                if let Some(value) = fields.extras.get_mut(name).filter(|value| !value.is_null()) {
                    *value = values::typed(value.take(), *value_type, None, &self.times)
                        .map_err(|error| format!("{name}: {error}"))?;
                }
            }
        }
        if self.noun == Noun::Events && matches!(row, Row::Cells { .. }) {
            for name in aliases::AMOUNTS {
                if let Some(value) = fields.extras.get_mut(*name)
                    && let Some(number) = values::number(value)
                {
                    *value = number;
                }
            }
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

    fn fields(&self, row: Row<'_>) -> Result<Fields, String> {
        let mut fields = Fields::default();
        for (name, step) in &self.fields {
            if let Some(value) = step.value(row).map_err(|error| format!("{name}: {error}"))? {
                fields.set(name, value);
            }
        }
        for (name, step) in &self.extras {
            if let Some(value) = step.value(row).map_err(|error| format!("{name}: {error}"))? {
                fields.extras.insert(name.clone(), value);
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

/// Finds the columns of rules in a file.
struct Finder<'a> {
    format: Format,
    header: &'a [String],
    times: &'a TimeReader,
    /// Columns that cannot be found, each with what is to be said of it.
    faults: RefCell<Vec<(String, String)>>,
}

impl Finder<'_> {
    fn mapped(&self, noun: Noun, mapping: &Mapping) -> Result<Mapped, String> {
        let filters = |rules: &BTreeMap<String, OneOrMany>| -> Vec<(Column, OneOrMany)> {
            rules.iter().map(|(name, values)| (self.column(name), values.clone())).collect()
        };
        let known = aliases::fields(noun);
        let mut fields = Vec::new();
        for (name, rule) in &mapping.fields {
            if let Some(name) = known.iter().find(|field| *field == name) {
                fields.push((*name, self.step(name, rule)?));
            }
        }
        let mut extras = Vec::new();
        for (name, rule) in mapping.extras(noun) {
            extras.push((name.clone(), self.step(name, rule)?));
        }
        Ok(Mapped {
            skip_when_empty: mapping.skip_when_empty.iter().map(|name| self.column(name)).collect(),
            only: filters(&mapping.only),
            skip: filters(&mapping.skip),
            others: self.others(noun, mapping),
            fields,
            extras,
        })
    }

    fn others(&self, noun: Noun, mapping: &Mapping) -> Others {
        if mapping.other_columns == OtherColumns::Drop {
            return Others::Drop;
        }
        let rules = mapping.fields.values().chain(mapping.extras(noun).values());
        let mut named: Vec<String> = Vec::new();
        for rule in rules {
            match &rule.origin {
                Origin::Column(name) => named.push(name.clone()),
                Origin::Template(template) => named.extend(template.columns().map(str::to_owned)),
                Origin::Constant(_) => {}
            }
        }
        if self.format == Format::Jsonl {
            return Others::Keys(named);
        }
        let unnamed =
            self.header.iter().enumerate().filter(|(_, name)| !name.is_empty() && !named.contains(name));
        Others::Cells(unnamed.map(|(index, name)| Column { name: name.clone(), index }).collect())
    }

    fn step(&self, name: &str, rule: &Rule) -> Result<Step, String> {
        let origin = match &rule.origin {
            Origin::Column(column) => StepOrigin::Column(self.column(column)),
            Origin::Constant(value) => StepOrigin::Constant(value.clone()),
            Origin::Template(template) => {
                let columns = template.columns().map(|name| self.column(name)).collect();
                StepOrigin::Template(template.clone(), columns)
            }
        };
        let is_time = TIME_FIELDS.contains(&name) || rule.value_type == Some(ValueType::Time);
        let times = match &rule.format {
            Some(format) if is_time => self.times.with_format(format)?,
            _ => self.times.clone(),
        };
        let value_type = if TIME_FIELDS.contains(&name) { Some(ValueType::Time) } else { rule.value_type };
        Ok(Step { origin, value_type, format: rule.format.clone(), times, default: rule.default.clone() })
    }

    /// A column that the file does not have is noted, so that all of them are told at once.
    fn column(&self, name: &str) -> Column {
        if self.format == Format::Jsonl {
            return Column { name: name.to_owned(), index: 0 };
        }
        let mut found = self.header.iter().enumerate().filter(|(_, column)| *column == name);
        let message = match (found.next(), found.next()) {
            (Some((index, _)), None) => return Column { name: name.to_owned(), index },
            (Some(_), Some(_)) => called_twice(name),
            (None, _) => {
                let near = nearest(name, self.header.iter().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("did you mean {near:?}? "));
                format!("no column is called {name:?}; {near}the columns are {}", listed(self.header))
            }
        };
        let mut faults = self.faults.borrow_mut();
        if !faults.iter().any(|(known, _)| known == name) {
            faults.push((name.to_owned(), message));
        }
        Column { name: name.to_owned(), index: usize::MAX }
    }
}

fn called_twice(name: &str) -> String {
    format!("two columns are called {name:?}; give each its own name")
}

fn listed(header: &[String]) -> String {
    header.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
