//! The patience of one group of recipient domains: halved when its host asks for it, given back step by step.

use std::time::Duration;
use std::time::Instant;

/// Recovery: after this long without another refusal …
const RECOVERY_STEP: Duration = Duration::from_mins(1);
/// … the rate grows by this factor.
const RECOVERY_FACTOR: f64 = 1.25;
/// A rate is never halved below this many mails per second.
const RATE_MIN: f64 = 0.1;
/// What leaves is measured over windows of this length, so that there is something to halve.
const MEASURE_WINDOW: Duration = Duration::from_secs(10);
/// Turns that were missed by less than this are made up for: timers are late.
const SLACK: Duration = Duration::from_millis(100);

/// What this process may send to one group, beside the stated rate.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Mails per second now; `None` = no limit of our own.
    pub(super) rate: Option<f64>,
    last_refusal: Option<Instant>,
    next_at: Instant,
    window_start: Instant,
    window_count: u32,
    measured: f64,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: None,
            last_refusal: None,
            next_at: now,
            window_start: now,
            window_count: 0,
            measured: 0.0,
        }
    }

    /// How long until the next mail may go.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.recover(now);
        if self.rate.is_none() { Duration::ZERO } else { self.next_at.saturating_duration_since(now) }
    }

    /// A mail takes the next turn, and goes when that comes.
    pub(super) fn take(&mut self, now: Instant) {
        let age = now.duration_since(self.window_start);
        if age >= MEASURE_WINDOW {
            self.measured = f64::from(self.window_count) / age.as_secs_f64();
            self.window_start = now;
            self.window_count = 0;
        }
        self.window_count += 1;
        if let Some(rate) = self.rate {
            let from = self.next_at.max(now.checked_sub(SLACK).unwrap_or(now));
            self.next_at = from + Duration::from_secs_f64(1.0 / rate);
        }
    }

    /// Refusals of mails that were under way together count once. `stated` is the group's stated rate.
    pub(super) fn halve(&mut self, stated: Option<f64>, now: Instant) {
        if self.last_refusal.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        let age = now.duration_since(self.window_start).as_secs_f64().max(1.0);
        let measured = self.measured.max(f64::from(self.window_count) / age);
        let rate = self.rate.unwrap_or(stated.map_or(measured, |stated| stated.min(measured)));
        self.last_refusal = Some(now);
        self.rate = Some((rate / 2.0).max(RATE_MIN));
        self.next_at = now;
    }

    fn recover(&mut self, now: Instant) {
        let (Some(rate), Some(last)) = (self.rate, self.last_refusal) else { return };
        if now.duration_since(last) < RECOVERY_STEP {
            return;
        }
        let recovered = rate * RECOVERY_FACTOR;
        if recovered >= self.measured.max(1.0) * 8.0 {
            (self.rate, self.last_refusal) = (None, None);
        } else {
            (self.rate, self.last_refusal) = (Some(recovered), Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_halved_once_a_second_and_comes_back_step_by_step() {
        let now = Instant::now();
        let mut throttle = Throttle::new(now);
        throttle.measured = 20.0;
        throttle.halve(Some(100.0), now);
        throttle.halve(Some(100.0), now);
        let mut seen = vec![throttle.rate];
        let mut at = now;
        while throttle.rate.is_some() {
            at += RECOVERY_STEP;
            throttle.wait(at);
            seen.push(throttle.rate);
        }
        assert_eq!(seen[..4], [Some(10.0), Some(12.5), Some(15.625), Some(19.531_25)]);
        // Far above what is sent it is as good as no limit.
        assert_eq!(seen.len(), 14, "{seen:?}");
    }

    #[test]
    fn a_throttled_group_gets_its_rate() {
        let now = Instant::now();
        let mut throttle = Throttle::new(now);
        throttle.rate = Some(10.0);
        let mut at = now;
        for _ in 0..100 {
            // The timer is a little late, every time.
            at += throttle.wait(at) + Duration::from_millis(3);
            throttle.take(at);
        }
        let took = at - now;
        assert!((Duration::from_millis(9_850)..Duration::from_millis(10_050)).contains(&took), "{took:?}");
    }
}
