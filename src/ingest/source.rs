//! Where bytes come from: a file or standard input, plain or gzip, known by its first bytes.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use flate2::bufread::MultiGzDecoder;

/// What gzip starts with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes asked of the system at once.
const READ_BYTES: usize = 64 * 1024;

/// An open input. Reading gives plain bytes.
pub struct Source {
    /// As errors and reject files name it.
    name: String,
    /// Size on disk; `None` for what has no end that is known.
    size_bytes: Option<u64>,
    read_bytes: Arc<AtomicU64>,
    reader: Box<dyn Read + Send>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::new("stdin", None, io::stdin());
        }
        let file = File::open(path)?;
        let data = file.metadata()?;
        if data.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, not a file"));
        }
        let size_bytes = data.is_file().then_some(data.len());
        Self::new(&path.display().to_string(), size_bytes, file)
    }

    /// Reads from anything.
    pub fn new(name: &str, size_bytes: Option<u64>, input: impl Read + Send + 'static) -> io::Result<Self> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: input, read_bytes: Arc::clone(&read_bytes) };
        let mut input = BufReader::with_capacity(READ_BYTES, counted);
        let gzip = input.fill_buf()?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn Read + Send> =
            if gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        Ok(Self { name: name.to_owned(), size_bytes, read_bytes, reader })
    }

    /// As errors and reject files name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size as it lies on disk, compressed or not.
    pub fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// How much has been read of [`Source::size_bytes`], for whoever shows progress while another reads.
    pub fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read_bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

struct Counted<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
