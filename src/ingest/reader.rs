//! A file as records, one at a time.

use jiff::Timestamp;

use super::Noun;
use super::Source;
use super::identity::Occurrences;
use super::mapping::Mapping;
use super::nouns::Identity;
use super::nouns::Record;
use super::nouns::Shop;
use super::nouns::record;
use super::plan::Plan;
use super::rows::Format;
use super::rows::ReadError;
use super::rows::Reject;
use super::rows::Rows;
use super::rows::Shape;
use super::rows::Step;

/// How a file is to be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// What it holds.
    pub noun: Noun,
    /// Which column is which field; by their names where none is given.
    pub mapping: Option<Mapping>,
    /// Found out where it is not stated here or in the map.
    pub format: Option<Format>,
    /// Separator of a CSV file; found out where it is not stated here or in the map.
    pub delimiter: Option<char>,
    /// What the shop adds, and what it declares.
    pub shop: Shop,
    /// The time for what states none.
    pub now: Timestamp,
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// It is a record.
    Record(Record),
    /// The map leaves it out.
    Skipped,
    /// It could not be used.
    Rejected(Reject),
}

/// A file as records, one at a time.
#[derive(Debug)]
pub struct Reader {
    name: String,
    rows: Rows<Source>,
    plan: Plan,
    occurrences: Occurrences,
    left_out: Vec<String>,
    options: ReadOptions,
}

impl Reader {
    /// Looks at the start of a file: what it is, what its columns are called, and whether the map fits them.
    pub fn open(source: Source, options: ReadOptions) -> Result<Self, ReadError> {
        let name = source.name().to_owned();
        let fault = |problem: String| ReadError { file: name.clone(), line: None, problem };
        let file = options.mapping.as_ref().map(|mapping| mapping.file.clone()).unwrap_or_default();
        let separator = match options.delimiter.or(file.delimiter).map(u8::try_from) {
            Some(Ok(byte)) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(byte),
            Some(_) => {
                return Err(fault("the delimiter must be one ASCII character, and no quote".to_owned()));
            }
            None => None,
        };
        let shape = Shape { format: options.format.or(file.format), separator, columns: file.columns };
        let rows = Rows::open(source, shape).map_err(fault)?;
        let (mapping, shop) = (options.mapping.as_ref(), &options.shop);
        let plan = Plan::new(options.noun, mapping, rows.format(), rows.header(), shop).map_err(fault)?;
        Ok(Self { name, rows, plan, occurrences: Occurrences::default(), left_out: Vec::new(), options })
    }

    /// The next row, `None` behind the last. An error ends the file: it cannot be read any further.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        self.left_out.clear();
        let step = self.rows.step().map_err(|error| ReadError {
            file: self.name.clone(),
            line: Some(self.rows.line()),
            problem: format!("cannot be read any further: {error}"),
        })?;
        Ok(match step {
            Step::End => None,
            Step::Bad(reason) => Some(Item::Rejected(self.rows.reject(reason))),
            Step::Row => Some(self.item()),
        })
    }

    /// Bytes of the row that was read last, as it stands in the file: what a batch of rows costs in memory.
    pub fn row_bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// What of the row that was read last could not be used, though the row was: its line, why, and the row.
    pub fn left_out(&self) -> impl Iterator<Item = Reject> {
        self.left_out
            .iter()
            .map(|reason| self.rows.reject(format!("{reason}; the rest of the row is loaded")))
    }

    fn item(&mut self) -> Item {
        let fields = match self.plan.fields(self.rows.row()) {
            Ok(Some(found)) => {
                self.left_out = found.left_out;
                found.fields
            }
            Ok(None) => return Item::Skipped,
            Err(reason) => return Item::Rejected(self.rows.reject(reason)),
        };
        match record(self.options.noun, fields, &self.options.shop, self.options.now) {
            Ok(Record::Event { mut event, identity: Identity::Derived }) => {
                event.id = self.occurrences.id_of(&event);
                Item::Record(Record::Event { event, identity: Identity::Derived })
            }
            Ok(record) => Item::Record(record),
            // Nothing of it is used.
            Err(reason) => {
                self.left_out.clear();
                Item::Rejected(self.rows.reject(reason))
            }
        }
    }
}
