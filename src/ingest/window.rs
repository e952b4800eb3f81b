//! The next bytes of an input, always enough of them to hold a whole row.

use std::io;
use std::io::Read;

use super::ROW_BYTES_MAX;

/// The longest row and its line ending.
const VIEW_BYTES_MAX: usize = ROW_BYTES_MAX + 2;
/// Several rows of the largest size, so that bytes are seldom moved.
const CAPACITY_BYTES: usize = 4 * ROW_BYTES_MAX;

/// A window that slides over an input.
#[derive(Debug)]
pub(super) struct Window<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    exhausted: bool,
    /// Why nothing more can be read; told when everything before it has been.
    failure: Option<io::Error>,
}

/// What lies ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// At most the longest row and its line ending.
    pub(super) bytes: &'a [u8],
    /// Whether the input ends behind these bytes, and not because it cannot be read any further.
    pub(super) last: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; CAPACITY_BYTES], start: 0, end: 0, exhausted: false, failure: None }
    }

    /// Looks ahead, as far as the longest row reaches or the input goes.
    pub(super) fn view(&mut self) -> io::Result<View<'_>> {
        while self.end - self.start < VIEW_BYTES_MAX && !self.exhausted && self.failure.is_none() {
            if self.buffer.len() - self.start < VIEW_BYTES_MAX {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.exhausted = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failure = Some(error),
            }
        }
        if self.start == self.end {
            self.check()?;
        }
        let length = (self.end - self.start).min(VIEW_BYTES_MAX);
        let last = self.exhausted && self.start + length == self.end;
        Ok(View { bytes: &self.buffer[self.start..self.start + length], last })
    }

    /// Fails when the row ahead is not whole because the input could not be read any further.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.failure.take().map_or(Ok(()), |failure| {
            self.exhausted = true;
            self.end = self.start;
            Err(failure)
        })
    }

    /// Steps over bytes that were looked at.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Steps behind the next line ending, or to the end of the input.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let view = self.view()?;
            let line = line_length(view.bytes);
            let (count, done) = match line {
                Some(line) => (line.with_ending, true),
                None => (view.bytes.len(), view.last),
            };
            self.consume(count);
            if done {
                return Ok(());
            }
        }
    }
}

/// The first line of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineLength {
    pub(super) text: usize,
    pub(super) with_ending: usize,
}

/// Finds the first line ending: LF, CRLF or CR.
pub(super) fn line_length(bytes: &[u8]) -> Option<LineLength> {
    let text = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    Some(LineLength { text, with_ending: text + ending_length(&bytes[text..]) })
}

/// The length of the line ending at the start of `bytes`.
pub(super) fn ending_length(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides_over_an_input_of_any_size_and_skips_lines() {
        let mut input = Vec::new();
        for number in 0..50_000 {
            input.extend(format!("line {number}\r\n").as_bytes());
        }
        input.extend(vec![b'x'; 3 * ROW_BYTES_MAX]);
        input.extend(b"\nlast");
        let mut window = Window::new(input.as_slice());
        for number in 0..50_000 {
            let view = window.view().unwrap();
            assert!(view.bytes.starts_with(format!("line {number}\r\n").as_bytes()));
            let length = line_length(view.bytes).unwrap().with_ending;
            window.consume(length);
        }
        assert!(line_length(window.view().unwrap().bytes).is_none());
        window.skip_line().unwrap();
        let view = window.view().unwrap();
        assert_eq!((view.bytes, view.last), (&b"last"[..], true));
        window.skip_line().unwrap();
        assert!(window.view().unwrap().bytes.is_empty());
    }
}
