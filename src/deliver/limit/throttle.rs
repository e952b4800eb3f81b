//! The patience of one group of recipient domains: halved when its host asks for it, given back step by step.

use std::time::Duration;

use tokio::time::Instant;

/// Recovery: after this long without another refusal …
const RECOVERY_STEP: Duration = Duration::from_mins(1);
/// … the rate grows by this factor, step after step …
const RECOVERY_FACTOR: f64 = 1.25;
/// … until it is this many times what left before the first refusal: as good as no limit.
const RECOVERED: f64 = 8.0;
/// A rate is never halved below this many mails per second.
const RATE_MIN: f64 = 0.1;
/// What leaves is measured over windows of this length, so that there is something to halve.
const MEASURE_WINDOW: Duration = Duration::from_secs(10);

/// The rate of a group since its last refusal. A function of time alone, so all workers that know of the refusal have
/// the same rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Throttle {
    /// Mails per second at the refusal.
    pub(super) rate: f64,
    /// Mails per second before the first refusal.
    pub(super) usual: f64,
    /// When the host refused.
    pub(super) refused: Instant,
}

impl Throttle {
    /// Mails per second now; `None` once it has recovered.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let since = now.saturating_duration_since(self.refused).as_secs_f64();
        let rate = self.rate * RECOVERY_FACTOR.powf((since / RECOVERY_STEP.as_secs_f64()).floor());
        (rate < self.usual.max(1.0) * RECOVERED).then_some(rate)
    }

    /// After another refusal: half of what it was, or of what left where there was no limit of ours. `stated` is the
    /// group's stated rate.
    pub(super) fn halved(before: Option<Self>, measured: f64, stated: Option<f64>, now: Instant) -> Self {
        let usual = stated.map_or(measured, |stated| stated.min(measured));
        let (rate, usual) =
            before.and_then(|before| Some((before.rate(now)?, before.usual))).unwrap_or((usual, usual));
        Self { rate: (rate / 2.0).max(RATE_MIN), usual, refused: now }
    }
}

/// How many mails leave to a group.
#[derive(Debug)]
pub(super) struct Measure {
    window_start: Instant,
    window_count: u32,
    measured: f64,
}

impl Measure {
    pub(super) fn new(now: Instant) -> Self {
        Self { window_start: now, window_count: 0, measured: 0.0 }
    }

    pub(super) fn count(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.window_start);
        if age >= MEASURE_WINDOW {
            self.measured = f64::from(self.window_count) / age.as_secs_f64();
            self.window_start = now;
            self.window_count = 0;
        }
        self.window_count += 1;
    }

    /// Mails per second.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.window_start).as_secs_f64().max(1.0);
        self.measured.max(f64::from(self.window_count) / age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_halved_and_comes_back_step_by_step() {
        let now = Instant::now();
        let throttle = Throttle::halved(None, 20.0, Some(100.0), now);
        let after = |minutes| throttle.rate(now + Duration::from_mins(minutes));
        assert_eq!(
            [0, 1, 2, 3].map(after),
            [10.0, 12.5, 15.625, 19.531_25].map(Some),
            "half of what left, although more was stated"
        );
        assert_eq!(throttle.rate(now + Duration::from_secs(119)), Some(12.5));
        // Far above what is sent it is as good as no limit.
        assert!(after(12).is_some() && after(13).is_none());
        let again = Throttle::halved(Some(throttle), 3.0, Some(100.0), now + Duration::from_mins(2));
        assert_eq!((again.rate, again.usual), (15.625 / 2.0, 20.0));
        let anew = Throttle::halved(Some(throttle), 3.0, None, now + Duration::from_mins(13));
        assert_eq!((anew.rate, anew.usual), (1.5, 3.0));
    }

    #[test]
    fn what_leaves_is_measured() {
        let now = Instant::now();
        let mut measure = Measure::new(now);
        for mail in 0..200 {
            measure.count(now + Duration::from_millis(100 * mail));
        }
        assert!((measure.rate(now + Duration::from_secs(20)) - 10.0).abs() < 0.2, "{measure:?}");
    }
}
