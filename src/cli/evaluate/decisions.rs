//! The file of decisions: a row number and a probability per action, so that anyone can recompute a value.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file while it is written: it gets its name only when it is whole.
#[derive(Debug)]
pub struct DecisionsFile {
    path: PathBuf,
    part: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
}

impl DecisionsFile {
    /// Starts the file with the header `row`, then the actions.
    pub fn create(path: &Path, actions: &[String]) -> anyhow::Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let header = std::iter::once("row").chain(actions.iter().map(String::as_str));
        writer.write_record(header).with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Self { path: path.to_owned(), part, writer })
    }

    /// Adds a row by its position in the file (from 0; it is written from 1).
    pub fn add(&mut self, position: usize, probabilities: &[f64]) -> anyhow::Result<()> {
        let mut write = || {
            self.writer.write_field((position + 1).to_string())?;
            for p in probabilities {
                self.writer.write_field(p.to_string())?;
            }
            self.writer.write_record(None::<&[u8]>)
        };
        write().with_context(|| format!("cannot write {}", self.part.display()))
    }

    /// Gives the whole file its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.writer.flush().with_context(|| format!("cannot write {}", self.part.display()))?;
        let (part, path) = (&self.part, &self.path);
        std::fs::rename(part, path)
            .with_context(|| format!("cannot rename {} to {}", part.display(), path.display()))
    }
}
