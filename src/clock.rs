//! Time is an argument everywhere; this is where it comes from.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::Timestamp;

/// The wall clock, or a clock that a test moves by hand.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// Milliseconds since the Unix epoch, shared by all clones, moved only by [`Clock::set`].
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until it is moved.
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.as_millisecond())))
    }

    /// The time now, cut to whole milliseconds: what the database keeps is what the program saw.
    pub fn now(&self) -> Timestamp {
        let milliseconds = match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
            Self::System => Timestamp::now().as_millisecond(),
            Self::Fixed(at) => at.load(Ordering::SeqCst),
        };
        from_millisecond(milliseconds)
    }

    /// Moves a fixed clock to `at`. The system clock cannot be moved and stays as it is.
    pub fn set(&self, at: Timestamp) {
        if let Self::Fixed(now) = self {
            now.store(at.as_millisecond(), Ordering::SeqCst);
        }
    }
}

/// The processor time that this thread has used so far: what was computed, without what was waited for.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Whether this may be the time of something in anybody's life: of the years 1900 to 2199. Everything that comes from
/// outside is, so that no sum of a time and a delay leaves the calendar.
pub fn is_plausible(at: Timestamp) -> bool {
    const FROM_S: i64 = -2_208_988_800;
    const UNTIL_S: i64 = 7_258_118_400;
    (FROM_S..UNTIL_S).contains(&at.as_second())
}

/// A moment that somebody wrote, such as `2026-11-24T09:00:00Z`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let at: Timestamp =
        text.parse().map_err(|_| "write a moment such as 2026-11-24T09:00:00Z, with its zone".to_owned())?;
    if is_plausible(at) { Ok(at) } else { Err("write a moment of the years 1900 to 2199".to_owned()) }
}

/// So much after `at`; the end of the calendar where it would lie behind that.
pub fn later_by(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// So much before `at`; the beginning of the calendar where it would lie before that.
pub fn earlier_by(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// The time of a stored count of milliseconds; what lies outside the calendar is clamped to its end.
pub fn from_millisecond(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(if milliseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
