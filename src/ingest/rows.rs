//! Rows of a file, each with its line: CSV records or JSONL objects.

use std::io;
use std::io::Read;

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use super::COLUMNS_MAX;
use super::ROW_BYTES_MAX;
use super::csv;
use super::csv::Cells;
use super::csv::Scan;
use super::json;
use super::window::Window;
use super::window::line_length;

/// The byte order mark that some spreadsheets write first.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// How much of a row that is too long is kept for the rejects file.
const LONG_ROW_SHOWN_BYTES: usize = 1_000;
/// Beginnings of files that are no text, and what to do about them.
const NOT_TEXT: [(&[u8], &str); 4] = [
    (&[0xff, 0xfe], "is UTF-16; save it as UTF-8"),
    (&[0xfe, 0xff], "is UTF-16; save it as UTF-8"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "is compressed with zstd; unpack it, or compress it with gzip"),
];

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A header that names the columns, then a row each; any separator, quoted as in RFC 4180.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

/// A fault of a file as a whole: nothing more of it can be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {problem}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ReadError {
    /// The file as it was named.
    pub file: String,
    /// Where reading ended, from 1.
    pub line: Option<u64>,
    /// What is wrong and what to do.
    pub problem: String,
}

/// A row that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The line on which it starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
    /// The row as it stands in the file; what is not UTF-8 is replaced, and what is too long is cut.
    pub raw: String,
}

/// What a step forward found.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A row: [`Rows::row`].
    Row,
    /// A row that is none, and why.
    Bad(String),
    /// The end.
    End,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    /// Cells in the order of the header.
    Cells { text: &'a str, ends: &'a [usize] },
    /// An object.
    Object(&'a Map<String, Value>),
}

impl<'a> Row<'a> {
    /// A cell without the space around it; `None` when it is empty.
    pub(super) fn cell(self, index: usize) -> Option<&'a str> {
        let Row::Cells { text, ends } = self else { return None };
        let start = if index == 0 { 0 } else { *ends.get(index - 1)? };
        let cell = text.get(start..*ends.get(index)?)?.trim();
        (!cell.is_empty()).then_some(cell)
    }
}

/// The rows of an input, one at a time.
#[derive(Debug)]
pub(super) struct Rows<R> {
    window: Window<R>,
    format: Format,
    separator: u8,
    header: Vec<String>,
    /// The line on which the next row starts.
    next_line: u64,
    line: u64,
    raw: Vec<u8>,
    cells: Cells,
    object: Map<String, Value>,
}

/// What is known of a file before it is read.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) format: Option<Format>,
    pub(super) separator: Option<u8>,
    /// Names of the columns of a CSV file without a header.
    pub(super) columns: Option<Vec<String>>,
}

impl<R: Read> Rows<R> {
    /// Looks at the start of the input: what kind of file it is, and what its columns are called.
    pub(super) fn open(input: R, shape: Shape) -> Result<Self, String> {
        let mut window = Window::new(input);
        let start = window.view().map_err(|error| error.to_string())?.bytes;
        if let Some((_, problem)) = NOT_TEXT.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err((*problem).to_owned());
        }
        if start.starts_with(BYTE_ORDER_MARK) {
            window.consume(BYTE_ORDER_MARK.len());
        }
        let start = window.view().map_err(|error| error.to_string())?.bytes;
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
        let format = shape.format.unwrap_or(if matches!(first, Some(b'{' | b'[')) {
            Format::Jsonl
        } else {
            Format::Csv
        });
        if format == Format::Jsonl && first == Some(&b'[') {
            return Err("is one JSON list; write an object on each line instead (`jq -c '.[]'`)".to_owned());
        }
        let header_end = line_length(start).map_or(start.len(), |line| line.text);
        let separator = shape.separator.unwrap_or_else(|| csv::separator_of(&start[..header_end]));
        let mut rows = Self {
            window,
            format,
            separator,
            header: Vec::new(),
            next_line: 1,
            line: 1,
            raw: Vec::new(),
            cells: Cells::default(),
            object: Map::new(),
        };
        if format == Format::Csv {
            rows.header = match shape.columns {
                Some(columns) => columns,
                None => rows.read_header()?,
            };
        }
        Ok(rows)
    }

    fn read_header(&mut self) -> Result<Vec<String>, String> {
        match self.step().map_err(|error| error.to_string())? {
            Step::Row => {}
            Step::Bad(reason) => return Err(format!("the header cannot be read: {reason}")),
            Step::End => return Err("the file is empty; its first line must name the columns".to_owned()),
        }
        let row = self.row();
        let names = (0..self.cells.ends.len()).map(|index| row.cell(index).unwrap_or_default().to_owned());
        let names: Vec<String> = names.collect();
        if names.len() > COLUMNS_MAX {
            return Err(format!("{} columns; at most {COLUMNS_MAX} are allowed", names.len()));
        }
        Ok(names)
    }

    /// The names of the columns; empty for JSONL.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// How the rows are written.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The line on which the row in hand starts.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of the row in hand, as it stands in the file.
    pub(super) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// The row in hand; only behind [`Step::Row`].
    pub(super) fn row(&self) -> Row<'_> {
        match self.format {
            Format::Csv => {
                let text = std::str::from_utf8(&self.cells.text).unwrap_or_default();
                Row::Cells { text, ends: &self.cells.ends }
            }
            Format::Jsonl => Row::Object(&self.object),
        }
    }

    /// The row in hand, as a reject.
    pub(super) fn reject(&self, reason: String) -> Reject {
        Reject { line: self.line, reason, raw: String::from_utf8_lossy(&self.raw).into_owned() }
    }

    /// Goes on to the next row. Empty lines are none.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        loop {
            self.line = self.next_line;
            let step = match self.format {
                Format::Csv => self.step_csv()?,
                Format::Jsonl => self.step_jsonl()?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// `None` for an empty line.
    fn step_csv(&mut self) -> io::Result<Option<Step>> {
        let view = self.window.view()?;
        if view.bytes.is_empty() {
            return Ok(Some(Step::End));
        }
        let (length, with_ending, endings) = match csv::scan(view, self.separator, &mut self.cells) {
            Scan::Record { length, with_ending, endings } if length <= ROW_BYTES_MAX => {
                (length, with_ending, endings)
            }
            Scan::Record { .. } | Scan::TooLong => return self.bad_line(too_long()),
            Scan::OpenQuote => {
                let reason = format!("a quote is opened and not closed within {} KB", ROW_BYTES_MAX / 1024);
                return self.bad_line(reason);
            }
        };
        // A row of several lines that is not well formed is one with a stray quote; the lines behind it may be good.
        if endings > 1 && (self.cells.loose_quote || wrong_width(&self.cells, &self.header).is_some()) {
            return self.bad_line("a quote is opened and not closed in its row".to_owned());
        }
        self.raw.clear();
        self.raw.extend_from_slice(&view.bytes[..length]);
        self.window.consume(with_ending);
        self.next_line += endings;
        if length == 0 {
            return Ok(None);
        }
        Ok(Some(self.check_cells().map_or(Step::Row, Step::Bad)))
    }

    /// What is wrong with the cells just read.
    fn check_cells(&self) -> Option<String> {
        let text = match std::str::from_utf8(&self.cells.text) {
            Ok(text) if self.cells.ends.iter().all(|end| text.is_char_boundary(*end)) => text,
            _ => return Some(not_utf8(&self.raw)),
        };
        let (found, wanted) = wrong_width(&self.cells, &self.header)?;
        let unit = if found == 1 { "column" } else { "columns" };
        let stray = if found > wanted && text.contains('"') { "; is a quote missing?" } else { "" };
        Some(format!("{found} {unit} where the header has {wanted}{stray}"))
    }

    fn step_jsonl(&mut self) -> io::Result<Option<Step>> {
        let view = self.window.view()?;
        if view.bytes.is_empty() {
            return Ok(Some(Step::End));
        }
        let (text, with_ending) = match line_length(view.bytes) {
            Some(line) if line.text <= ROW_BYTES_MAX => (line.text, line.with_ending),
            None if view.last && view.bytes.len() <= ROW_BYTES_MAX => (view.bytes.len(), view.bytes.len()),
            _ => return self.bad_line(too_long()),
        };
        self.raw.clear();
        self.raw.extend_from_slice(&view.bytes[..text]);
        self.window.consume(with_ending);
        self.next_line += 1;
        let Ok(line) = std::str::from_utf8(&self.raw) else {
            return Ok(Some(Step::Bad(not_utf8(&self.raw))));
        };
        if line.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(match json::object(line) {
            Ok(object) => {
                self.object = object;
                Step::Row
            }
            Err(reason) => Step::Bad(reason),
        }))
    }

    /// Gives up the line ahead, however long it is. Only that line: what follows may be good rows.
    fn bad_line(&mut self, reason: String) -> io::Result<Option<Step>> {
        self.window.check()?;
        let view = self.window.view()?;
        let length = line_length(view.bytes).map_or(view.bytes.len(), |line| line.text);
        self.raw.clear();
        if length <= ROW_BYTES_MAX {
            self.raw.extend_from_slice(&view.bytes[..length]);
        } else {
            self.raw.extend_from_slice(&view.bytes[..LONG_ROW_SHOWN_BYTES]);
            self.raw.extend_from_slice(" …".as_bytes());
        }
        self.window.skip_line()?;
        self.next_line += 1;
        Ok(Some(Step::Bad(reason)))
    }
}

/// Cells of the row and of the header, where they differ.
fn wrong_width(cells: &Cells, header: &[String]) -> Option<(usize, usize)> {
    let (found, wanted) = (cells.ends.len(), header.len());
    (wanted > 0 && found != wanted).then_some((found, wanted))
}

fn too_long() -> String {
    format!("the row is longer than {} KB", ROW_BYTES_MAX / 1024)
}

fn not_utf8(raw: &[u8]) -> String {
    let at = std::str::from_utf8(raw).err().map_or(0, |error| error.valid_up_to());
    format!("not UTF-8 at byte {} of the row; save the file as UTF-8", at + 1)
}
