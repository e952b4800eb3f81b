//! From bytes to a [`Table`]: gzip by content, the separator by the header, then row by row.

use std::io::{BufRead, BufReader, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;

use super::{Cells, Table, TableError, no_column};

/// The longest cell that is taken for one: more is almost always a quote that was never closed.
const CELL_BYTES_MAX: usize = 1 << 20;
/// The longest header line in which the separator is looked for.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// Separators that are recognised, the usual one first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// What gzip starts with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// A record that is put after the last one: when it does not come back alone, a quote was never closed.
const END: &[u8] = b"\n\x04\n";
/// What the record [`END`] holds.
const END_CELL: &[u8] = b"\x04";
/// The byte order mark that some spreadsheets write first.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

pub(super) fn table(file: &str, input: impl Read, wanted: Option<&[&str]>) -> Result<Table, TableError> {
    let mut input = BufReader::new(input);
    let start = input.fill_buf().map_err(|source| read_error(file, source))?;
    if start.starts_with(&GZIP_MAGIC) {
        plain(file, OneNewline::over(BufReader::new(MultiGzDecoder::new(input))), wanted)
    } else {
        plain(file, OneNewline::over(input), wanted)
    }
}

fn plain<R: BufRead>(file: &str, input: OneNewline<R>, wanted: Option<&[&str]>) -> Result<Table, TableError> {
    let mut input = BufReader::new(input);
    let mut first = Vec::new();
    let limited = input.by_ref().take(HEADER_BYTES_MAX);
    { limited }.read_until(b'\n', &mut first).map_err(|source| read_error(file, source))?;
    let header = first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&first);
    let mut reader = ReaderBuilder::new()
        .delimiter(separator(header))
        .flexible(true)
        .has_headers(false)
        .from_reader(header.chain(input).chain(END));

    let mut record = ByteRecord::new();
    if !next_record(file, &mut reader, &mut record)? {
        return Err(header_error(file, "the file is empty; its first line must name the columns"));
    }
    let names = header_names(file, &record)?;
    let kept = kept_columns(file, &names, wanted)?;
    let mut table = Table {
        file: file.to_owned(),
        columns: kept.iter().map(|&index| Cells::named(&names[index])).collect(),
        lines: Vec::new(),
    };
    while next_record(file, &mut reader, &mut record)? {
        // The reader skips empty lines before it notes where a record starts, so its own position lies.
        let inner: u64 = record.iter().flatten().map(|&byte| u64::from(byte == b'\n')).sum();
        append(&mut table, &record, reader.position().line() - 1 - inner, names.len(), &kept)?;
    }
    Ok(table)
}

/// Reads the next record, false after the last one.
fn next_record<R: Read>(
    file: &str,
    reader: &mut csv::Reader<R>,
    record: &mut ByteRecord,
) -> Result<bool, TableError> {
    let start = reader.position().line();
    reader.read_byte_record(record).map_err(|error| {
        let message = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(source) => read_error(file, source),
            _ => read_error(file, std::io::Error::other(message)),
        }
    })?;
    if record.iter().next_back().is_some_and(|cell| cell.ends_with(END)) {
        let problem = "a quote is opened in this row and never closed".to_owned();
        return Err(TableError::Row { file: file.to_owned(), line: start, problem });
    }
    Ok(!(record.len() == 1 && record[0] == *END_CELL))
}

fn append(
    table: &mut Table,
    record: &ByteRecord,
    line: u64,
    width: usize,
    kept: &[usize],
) -> Result<(), TableError> {
    if record.len() != width {
        let problem = format!(
            "{} cells, but the header has {width}; is a separator or a quote missing or too many?",
            record.len()
        );
        return Err(TableError::Row { file: table.file.clone(), line, problem });
    }
    for (cells, &index) in table.columns.iter_mut().zip(kept) {
        let bytes = &record[index];
        let fault = |problem: &str| TableError::Cell {
            file: table.file.clone(),
            line,
            column: cells.name.clone(),
            problem: problem.to_owned(),
        };
        if bytes.len() > CELL_BYTES_MAX {
            return Err(fault("the cell is over 1 MiB; was a quote never closed?"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| fault("not UTF-8; save the file as UTF-8"))?;
        cells.text.push_str(text.trim());
        cells.ends.push(cells.text.len());
    }
    table.lines.push(line);
    Ok(())
}

/// CR, LF and CRLF all become LF, so that a line is a line whoever wrote the file.
struct OneNewline<R> {
    inner: R,
    after_return: bool,
}

impl<R: BufRead> OneNewline<R> {
    fn over(inner: R) -> Self {
        Self { inner, after_return: false }
    }
}

impl<R: BufRead> Read for OneNewline<R> {
    fn read(&mut self, output: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let input = self.inner.fill_buf()?;
            let taken = input.len().min(output.len());
            let mut written = 0;
            for &byte in &input[..taken] {
                let second_half = self.after_return && byte == b'\n';
                self.after_return = byte == b'\r';
                if !second_half {
                    output[written] = if byte == b'\r' { b'\n' } else { byte };
                    written += 1;
                }
            }
            self.inner.consume(taken);
            // Nothing written although something was taken is not the end of the file.
            if written > 0 || taken == 0 {
                return Ok(written);
            }
        }
    }
}

/// The separator that the header has most of outside quotes, a comma when it has none.
fn separator(header: &[u8]) -> u8 {
    let mut counts = [0usize; SEPARATORS.len()];
    let mut quoted = false;
    for &byte in header {
        quoted ^= byte == b'"';
        if let Some(index) = SEPARATORS.iter().position(|&separator| separator == byte && !quoted) {
            counts[index] += 1;
        }
    }
    let mut best = 0;
    for index in 1..SEPARATORS.len() {
        if counts[index] > counts[best] {
            best = index;
        }
    }
    SEPARATORS[best]
}

fn header_names(file: &str, record: &ByteRecord) -> Result<Vec<String>, TableError> {
    let name = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(_) => Err(header_error(file, "not UTF-8; is this a CSV file, saved as UTF-8?")),
    };
    record.iter().map(name).collect()
}

/// The positions of the columns to keep, in the file's order. A name that is wanted must be there once;
/// names that are not wanted may repeat or be empty.
fn kept_columns(file: &str, names: &[String], wanted: Option<&[&str]>) -> Result<Vec<usize>, TableError> {
    let kept: Vec<usize> = match wanted {
        None => (0..names.len()).collect(),
        Some(wanted) => (0..names.len()).filter(|&index| wanted.contains(&names[index].as_str())).collect(),
    };
    for (place, &index) in kept.iter().enumerate() {
        if kept[..place].iter().any(|&before| names[before] == names[index]) {
            let problem = format!("two columns are named {:?}; give each its own name", names[index]);
            return Err(header_error(file, problem));
        }
    }
    if let Some(missing) = wanted.into_iter().flatten().find(|name| !names.iter().any(|has| has == *name)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(no_column(file, missing, &names));
    }
    Ok(kept)
}

impl Cells {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), text: String::new(), ends: Vec::new() }
    }
}

fn read_error(file: &str, source: std::io::Error) -> TableError {
    TableError::Read { file: file.to_owned(), source }
}

fn header_error(file: &str, problem: impl Into<String>) -> TableError {
    TableError::Header { file: file.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn check(input: &[u8], wanted: &[&str], expected: &[&[&str]]) {
        let table = table("log.csv", input, Some(wanted)).unwrap();
        let rows: Vec<Vec<&str>> = (0..table.row_count())
            .map(|row| table.columns().map(|column| column.text(row)).collect())
            .collect();
        assert_eq!(rows, expected);
    }

    fn check_error(input: &[u8], wanted: &[&str], expected: &str) {
        assert_eq!(table("log.csv", input, Some(wanted)).unwrap_err().to_string(), expected);
    }

    #[test]
    fn columns_are_found_by_name_whatever_the_separator() {
        for separator in [",", ";", "\t", "|"] {
            let text = "item,click,name\n1,0,a\n2,1, b \n".replace(',', separator);
            check(text.as_bytes(), &["click", "name"], &[&["0", "a"], &["1", "b"]]);
        }
        check(b"\xef\xbb\xbfitem\r\n7\r\n\r\n8", &["item"], &[&["7"], &["8"]]);
        check(b"a,b\r1,2\r", &["b"], &[&["2"]]);
        check(b"a,\"b;c;d\"\n1,\"x,\n\"\"y\"\"\"\n", &["b;c;d"], &[&["x,\n\"y\""]]);
    }

    #[test]
    fn gzip_is_known_by_its_content_and_may_have_several_members() {
        let mut bytes = Vec::new();
        for part in ["item,click\n1,0\n", "2,1\n"] {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            bytes.extend(encoder.finish().unwrap());
        }
        check(&bytes, &["item", "click"], &[&["1", "0"], &["2", "1"]]);
        let cut = &bytes[..bytes.len() - 9];
        let error = table("log.csv.gz", cut, None).unwrap_err().to_string();
        assert!(error.starts_with("log.csv.gz: "), "{error}");
    }

    #[test]
    fn a_bad_file_is_named_with_the_line_and_what_to_do() {
        check_error(b"", &[], "log.csv, line 1: the file is empty; its first line must name the columns");
        check_error(
            b"a,b\n1,2\n",
            &["a", "clicks"],
            "log.csv has no column \"clicks\"; its columns are \"a\", \"b\"",
        );
        check_error(
            b"a,b\r\n1,\"\r\n\"\r\n\r\n3\r\n",
            &["a"],
            "log.csv, line 5: 1 cells, but the header has 2; is a separator or a quote missing or too many?",
        );
        check_error(
            b"a,a\n1,2\n",
            &["a"],
            "log.csv, line 1: two columns are named \"a\"; give each its own name",
        );
        check_error(
            b"a,b\n1,2\n3,\xff",
            &["b"],
            "log.csv, line 3, column \"b\": not UTF-8; save the file as UTF-8",
        );
        check_error(
            b"a,b\n1,2\n3,\"4\n5,6\n",
            &["b"],
            "log.csv, line 3: a quote is opened in this row and never closed",
        );
        let long = format!("a\n\"{}\"\n", "x".repeat(CELL_BYTES_MAX + 1));
        check_error(
            long.as_bytes(),
            &["a"],
            "log.csv, line 2, column \"a\": the cell is over 1 MiB; was a quote never closed?",
        );
    }

    #[test]
    fn columns_that_nobody_asked_for_may_be_unnamed_or_repeat() {
        check(b",x,x,a\n0,1,2,3\n", &["a"], &[&["3"]]);
        assert!(table("log.csv", &b",x,x,a\n0,1,2,3\n"[..], None).is_err());
    }
}
