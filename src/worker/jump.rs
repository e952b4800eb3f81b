//! Whether the machine's clock was moved. A wrong clock makes mail expire, or go hours early, so for a moment nothing is
//! claimed: whoever moved it may be putting it right.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::Timestamp;
use tokio::time::Instant;

/// A clock that is further off than this was moved; less is what time servers correct.
const JUMP_MIN: SignedDuration = SignedDuration::from_mins(5);
/// A clock that stays where it was moved to is believed after this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Compares the clock with the time that has passed.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Timestamp,
    at: Instant,
    moved: Option<Instant>,
}

/// What the clock is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// As it should be, or believed by now.
    Right,
    /// Moved by so much just now.
    Moved(SignedDuration),
    /// Still where it was moved to.
    StillOff,
}

impl Watch {
    pub(super) fn new(clock: Timestamp, now: Instant) -> Self {
        Self { seen: clock, at: now, moved: None }
    }

    /// Looks at what the clock says now.
    pub(super) fn look(&mut self, clock: Timestamp, now: Instant) -> Look {
        let passed = SignedDuration::try_from(now.saturating_duration_since(self.at)).unwrap_or_default();
        let off = clock.duration_since(self.seen) - passed;
        let is_off = off.abs() > JUMP_MIN;
        if is_off && self.moved.is_none_or(|moved| now.saturating_duration_since(moved) < PATIENCE) {
            let first = self.moved.is_none();
            self.moved.get_or_insert(now);
            return if first { Look::Moved(off) } else { Look::StillOff };
        }
        *self = Self::new(clock, now);
        Look::Right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_moved_is_told_once_and_believed_when_it_is_back_or_after_a_minute() {
        let (start, begun): (Timestamp, _) = ("2026-03-02T09:00:00Z".parse().unwrap(), Instant::now());
        let mut watch = Watch::new(start, begun);
        let mut look = |passed_s: u64, off_s: i64| {
            let passed = SignedDuration::from_secs(i64::try_from(passed_s).unwrap() + off_s);
            watch.look(start + passed, begun + Duration::from_secs(passed_s))
        };
        let hour = 3_600;
        assert_eq!(look(10, 299), Look::Right);
        assert_eq!(look(20, 299 + hour), Look::Moved(SignedDuration::from_secs(hour)));
        assert_eq!(look(30, 299 + hour), Look::StillOff);
        assert_eq!(look(40, 280), Look::Right, "somebody put it right");
        assert_eq!(look(50, 280 - hour), Look::Moved(SignedDuration::from_secs(-hour)));
        assert_eq!(look(109, 280 - hour), Look::StillOff);
        assert_eq!(look(110, 280 - hour), Look::Right, "so it is");
        assert_eq!(look(120, 280 - hour), Look::Right);
    }
}
