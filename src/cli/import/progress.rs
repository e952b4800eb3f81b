//! How far an import is: a bar on a terminal, else a line now and then.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use indicatif::HumanCount;
use indicatif::HumanDuration;
use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::ingest::Source;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one input, by the bytes read of it.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    size_bytes: Option<u64>,
    read_bytes: Arc<AtomicU64>,
    rows: Cell<u64>,
    started: Cell<Option<Instant>>,
    last_line: Cell<Option<Instant>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows nothing yet.
    pub(super) fn of(source: &Source) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match source.size_bytes() {
                Some(size) => {
                    (ProgressBar::new(size), "{prefix} {wide_bar} {percent:>3} %  {msg}  {eta} left")
                }
                None => (ProgressBar::no_length(), "{prefix} {spinner} {bytes}  {msg}"),
            };
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.with_style(style).with_prefix(source.name().to_owned())
        });
        Self {
            name: source.name().to_owned(),
            size_bytes: source.size_bytes(),
            read_bytes: source.read_bytes(),
            rows: Cell::new(0),
            started: Cell::new(None),
            last_line: Cell::new(None),
            bar,
        }
    }

    /// The clock of the rate starts now.
    pub(super) fn start(&self) {
        self.started.set(Some(Instant::now()));
    }

    /// So many rows more are done.
    pub(super) fn advance(&self, rows: u64) {
        self.rows.set(self.rows.get() + rows);
        let now = Instant::now();
        let started = self.started.get().unwrap_or(now);
        self.started.set(Some(started));
        let read = self.read_bytes.load(Ordering::Relaxed);
        let elapsed = now.duration_since(started);
        let rate = format!(
            "{} rows, {}/s",
            HumanCount(self.rows.get()),
            HumanCount(per_second(self.rows.get(), elapsed))
        );
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(rate);
            return;
        }
        let last = self.last_line.get().unwrap_or(started);
        if now.duration_since(last) >= LINE_EVERY {
            self.last_line.set(Some(now));
            eprintln!("{}: {rate}{}", self.name, remaining(read, self.size_bytes, elapsed));
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / milliseconds
}

/// `, 40 %, 3 minutes left`; nothing where the size is not known.
fn remaining(read: u64, size: Option<u64>, elapsed: Duration) -> String {
    let Some(size) = size.filter(|size| *size > 0 && read > 0) else { return String::new() };
    let read = read.min(size);
    let left_ms = elapsed.as_millis().saturating_mul(u128::from(size - read)) / u128::from(read);
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX));
    format!(", {} %, {} left", read * 100 / size, HumanDuration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_by_the_bytes_read() {
        let check = |read, size, expected: &str| {
            assert_eq!(remaining(read, size, Duration::from_mins(1)), expected);
        };
        check(40, Some(100), ", 40 %, 2 minutes left");
        check(100, Some(100), ", 100 %, 0 seconds left");
        check(0, Some(100), "");
        check(40, None, "");
        assert_eq!(per_second(90, Duration::from_mins(1)), 1);
        assert_eq!(per_second(90, Duration::ZERO), 90_000);
    }
}
