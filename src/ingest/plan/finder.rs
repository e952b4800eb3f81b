//! Finds the columns that a map names in a file, and tells of those that are not there.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Column;
use super::END_FIELD;
use super::Mapped;
use super::Numbers;
use super::Others;
use super::PRICES;
use super::Step;
use super::StepOrigin;
use super::TIME_FIELDS;
use super::called_twice;
use super::listed;
use crate::catalog::nearest::nearest;
use crate::ingest::Noun;
use crate::ingest::aliases;
use crate::ingest::mapping::Mapping;
use crate::ingest::mapping::OneOrMany;
use crate::ingest::mapping::Origin;
use crate::ingest::mapping::OtherColumns;
use crate::ingest::mapping::Rule;
use crate::ingest::rows::Format;
use crate::ingest::times::TimeReader;
use crate::ingest::values::ValueType;

/// Finds the columns of rules in a file.
pub(super) struct Finder<'a> {
    pub(super) format: Format,
    pub(super) header: &'a [String],
    pub(super) times: &'a TimeReader,
    pub(super) numbers: Numbers,
    pub(super) traits: &'a BTreeMap<String, ValueType>,
    /// Columns that cannot be found, each with what is to be said of it.
    pub(super) faults: RefCell<Vec<(String, String)>>,
}

impl Finder<'_> {
    pub(super) fn mapped(&self, noun: Noun, mapping: &Mapping) -> Result<Mapped, String> {
        let filters = |rules: &BTreeMap<String, OneOrMany>| -> Vec<(Column, OneOrMany)> {
            rules.iter().map(|(name, values)| (self.column(name), values.clone())).collect()
        };
        let known = aliases::fields(noun);
        let mut fields = Vec::new();
        for (name, rule) in &mapping.fields {
            if let Some(name) = known.iter().find(|field| *field == name) {
                fields.push((*name, self.step(noun, name, rule)?));
            }
        }
        let mut extras = Vec::new();
        for (name, rule) in mapping.extras(noun) {
            extras.push((name.clone(), self.step(noun, name, rule)?));
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

    fn step(&self, noun: Noun, name: &str, rule: &Rule) -> Result<Step, String> {
        let origin = match &rule.origin {
            Origin::Column(column) => StepOrigin::Column(self.column(column)),
            Origin::Constant(value) => StepOrigin::Constant(value.clone()),
            Origin::Template(template) => {
                let columns = template.columns().map(|name| self.column(name)).collect();
                StepOrigin::Template(template.clone(), columns)
            }
        };
        let holds_time = TIME_FIELDS.contains(&name) || (noun == Noun::Suppressions && name == END_FIELD);
        let is_time = holds_time || rule.value_type == Some(ValueType::Time);
        let times = match &rule.format {
            Some(format) if is_time => self.times.with_format(format)?,
            _ => self.times.clone(),
        };
        // A format says that there is a date to read, and the configuration that it is one.
        let declared = || self.traits.get(name).copied().filter(|_| rule.format.is_some());
        // That a price is a number says nothing of how it is written: its own currency does, once that is known.
        let of_own_currency =
            noun == Noun::Products && PRICES.contains(&name) && self.numbers.stated.is_none();
        let value_type = if holds_time {
            Some(ValueType::Time)
        } else {
            rule.value_type
                .or_else(declared)
                .filter(|stated| !(of_own_currency && *stated == ValueType::Number))
        };
        Ok(Step {
            origin,
            value_type,
            format: rule.format.clone(),
            times,
            written: self.numbers.of(noun, name),
            default: rule.default.clone(),
        })
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
