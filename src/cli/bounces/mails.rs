//! Mails one after another, from an mbox, a Maildir, a folder of .eml files, one file, or standard input.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::ingest::Source;

/// Bytes of one mail that are kept; the rest is read and dropped.
const MAIL_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Begins a mail in an mbox.
const SEPARATOR: &[u8] = b"From ";

/// One mail, and where it came from.
#[derive(Debug)]
pub(super) struct Mail {
    /// For people: a path, or a path and a number.
    pub(super) name: String,
    /// Its bytes, or why they could not be read.
    pub(super) bytes: io::Result<Vec<u8>>,
}

/// An open input.
pub(super) enum Mails {
    /// Files with a mail each.
    Files(std::vec::IntoIter<PathBuf>),
    /// Mails behind each other.
    Stream(Stream),
}

/// An mbox, or a single mail.
pub(super) struct Stream {
    name: String,
    reader: BufReader<Source>,
    number: u64,
    /// The input begins with a separator: mails stand behind each other.
    is_mbox: bool,
    ended: bool,
}

impl Mails {
    /// Opens what is there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            let folders: Vec<PathBuf> =
                ["cur", "new"].iter().map(|name| path.join(name)).filter(|folder| folder.is_dir()).collect();
            let mut files = Vec::new();
            for folder in &folders {
                files.extend(files_in(folder, |_| true)?);
            }
            if folders.is_empty() {
                files = files_in(path, |file| file.extension().is_some_and(|ending| ending == "eml"))?;
            }
            anyhow::ensure!(
                !files.is_empty(),
                "{} holds no mails: it is neither a Maildir (cur, new) nor a folder of .eml files",
                path.display()
            );
            return Ok(Self::Files(files.into_iter()));
        }
        let source = Source::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let name = source.name().to_owned();
        let mut reader = BufReader::new(source);
        let start = reader.fill_buf().with_context(|| format!("cannot read {}", path.display()))?;
        let is_mbox = start.starts_with(SEPARATOR);
        Ok(Self::Stream(Stream { name, reader, number: 0, is_mbox, ended: false }))
    }
}

fn files_in(folder: &Path, wanted: impl Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let failed = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.is_file() && wanted(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Iterator for Mails {
    type Item = Mail;

    fn next(&mut self) -> Option<Mail> {
        match self {
            Self::Files(files) => {
                let path = files.next()?;
                Some(Mail { name: path.display().to_string(), bytes: read_file(&path) })
            }
            Self::Stream(stream) => stream.next(),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAIL_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Stream {
    /// The next mail: up to a line `From ` behind an empty line, or to the end.
    fn next(&mut self) -> Option<Mail> {
        if self.ended {
            return None;
        }
        self.number += 1;
        let bytes = self.read();
        match &bytes {
            Err(_) => self.ended = true,
            Ok(bytes) if bytes.is_empty() => return None,
            Ok(_) => {}
        }
        Some(Mail { name: format!("{}, mail {}", self.name, self.number), bytes })
    }

    /// Lines up to the next separator, which is read and dropped.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut mail: Vec<u8> = Vec::new();
        let mut after_empty = true;
        loop {
            let mut line = Vec::new();
            if read_line(&mut self.reader, &mut line)? == 0 {
                self.ended = true;
                return Ok(mail);
            }
            if self.is_mbox && line.starts_with(SEPARATOR) && after_empty {
                if mail.is_empty() {
                    continue;
                }
                return Ok(mail);
            }
            after_empty = line == b"\n" || line == b"\r\n";
            // mboxrd and mboxo put a > before lines of the body that look like a separator.
            let quoted = self.is_mbox && line.starts_with(b">From ");
            let room = MAIL_BYTES_MAX.saturating_sub(mail.len());
            mail.extend(line.into_iter().skip(usize::from(quoted)).take(room));
        }
    }
}

/// One line with its end; of a line that is longer than a mail may be, pieces of that length.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    use std::io::Read as _;
    reader.take(MAIL_BYTES_MAX as u64).read_until(b'\n', line)
}
