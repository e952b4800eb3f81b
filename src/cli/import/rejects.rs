//! The file of rows that could not be used: line, reason, and the row itself.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context as _;
use csv::QuoteStyle;
use csv::Writer;
use csv::WriterBuilder;

use crate::ingest::Reject;

/// Rows that are written; more are only counted.
const WRITTEN_MAX: u64 = 100_000;

/// The rejects of one input. Its file comes into being with the first of them.
#[derive(Debug)]
pub(in crate::cli) struct Rejects {
    path: PathBuf,
    header: &'static [&'static str],
    writer: Option<Writer<BufWriter<File>>>,
    written: u64,
}

impl Rejects {
    /// Of rows of a file.
    pub(super) fn new(path: PathBuf) -> Self {
        Self::with_header(path, &["line", "reason", "raw"])
    }

    /// Of something else; the reason is the second column.
    pub(in crate::cli) fn with_header(path: PathBuf, header: &'static [&'static str]) -> Self {
        Self { path, header, writer: None, written: 0 }
    }

    /// Writes a row of a file.
    pub(super) fn write(&mut self, reject: &Reject) -> anyhow::Result<()> {
        self.write_row(&[&reject.line.to_string(), &reject.reason, &reject.raw])
    }

    /// Writes one, a cell a column.
    pub(in crate::cli) fn write_row(&mut self, cells: &[&str]) -> anyhow::Result<()> {
        let path = &self.path;
        let failed =
            || format!("cannot write the rejects to {}; name another place with --rejects", path.display());
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let file = BufWriter::new(File::create(path).with_context(failed)?);
            let mut writer = WriterBuilder::new().quote_style(QuoteStyle::Always).from_writer(file);
            writer.write_record(self.header).with_context(failed)?;
            self.writer.insert(writer)
        };
        self.written += 1;
        match self.written {
            ..=WRITTEN_MAX => writer.write_record(cells.iter().map(|cell| harmless(cell))),
            _ if self.written == WRITTEN_MAX + 1 => {
                let more =
                    |column| if column == 1 { "more were rejected; they are not written here" } else { "" };
                writer.write_record((0..self.header.len()).map(more))
            }
            _ => Ok(()),
        }
        .with_context(failed)
    }

    /// Writes what is left, and says where it all went; `None` when there was nothing.
    pub(in crate::cli) fn finish(mut self) -> anyhow::Result<Option<PathBuf>> {
        let Some(writer) = &mut self.writer else { return Ok(None) };
        writer.flush().with_context(|| format!("cannot write the rejects to {}", self.path.display()))?;
        Ok(Some(self.path))
    }
}

/// A spreadsheet takes what begins like this for a formula and may run it; behind an apostrophe it is text.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_come_out_as_text_that_no_spreadsheet_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rejects.csv");
        let mut rejects = Rejects::new(path.clone());
        let reject = |line, raw: &str| Reject { line, reason: "no \"id\"".to_owned(), raw: raw.to_owned() };
        rejects.write(&reject(3, "=cmd|'/C calc'!A0,\"x\"\n")).unwrap();
        rejects.write(&reject(4, "@x")).unwrap();
        assert_eq!(rejects.finish().unwrap(), Some(path.clone()));
        let expected = "\"line\",\"reason\",\"raw\"\n\
                        \"3\",\"no \"\"id\"\"\",\"'=cmd|'/C calc'!A0,\"\"x\"\"\n\"\n\
                        \"4\",\"no \"\"id\"\"\",\"'@x\"\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn where_nothing_is_rejected_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rejects.csv");
        assert_eq!(Rejects::new(path.clone()).finish().unwrap(), None);
        assert!(!path.exists());
        let mut nowhere = Rejects::new(folder.path().join("none").join("a.csv"));
        let error =
            nowhere.write(&Reject { line: 1, reason: String::new(), raw: String::new() }).unwrap_err();
        assert!(error.to_string().contains("--rejects"), "{error}");
    }
}
