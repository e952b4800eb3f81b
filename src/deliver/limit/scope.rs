//! What is stated of one scope (all mail, a relay, a group of domains), and the slots that this process holds of it.

use std::time::Duration;

use tokio::time::Instant;

use super::purse::LATE_MAX;
use super::purse::Purse;
use crate::rate::Window;

/// How fast: a slot every `interval_s` seconds, and `credit_s` seconds of idle time may be made up for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    interval_s: f64,
    credit_s: f64,
}

impl Pace {
    /// So many mails in every `window_s` seconds. Long windows are quotas: a hundredth of them may go at once after a
    /// quiet time, and the rest is spread so much wider that no window ever holds more than was stated, although a
    /// slot may be spent late.
    fn of(mails: f64, window_s: f64) -> Self {
        let burst = if window_s >= 3_600.0 { (mails / 100.0).floor() } else { 0.0 };
        let late_s = if window_s >= 60.0 { LATE_MAX.as_secs_f64() } else { 0.0 };
        let interval_s = (window_s + late_s) / (mails - burst).max(1e-6);
        Self { interval_s, credit_s: burst * interval_s }
    }
}

/// One mail needs a slot that suits each stated window, and the patience of the host.
#[derive(Debug, Default)]
pub(super) struct Scope {
    stated: Vec<(&'static str, Pace)>,
    /// Mails per second that the host has patience for; `None` = as many as are stated.
    pub(super) throttle: Option<f64>,
    pub(super) purse: Purse,
}

/// When a mail may go.
#[derive(Debug)]
pub(super) enum Turn {
    At(Instant),
    NotBefore(Duration),
}

impl Scope {
    /// Mails per second, minute, hour and day.
    pub(super) fn of(stated: [Option<f64>; 4]) -> Self {
        let windows = [("second", 1.0), ("minute", 60.0), ("hour", 3_600.0), ("day", 86_400.0)];
        let stated = windows
            .into_iter()
            .zip(stated)
            .filter_map(|((name, window_s), mails)| Some((name, Pace::of(mails?.max(1e-6), window_s))));
        Self { stated: stated.collect(), ..Self::default() }
    }

    /// Whether nothing holds mail up here.
    pub(super) fn is_free(&self) -> bool {
        self.stated.is_empty() && self.throttle.is_none()
    }

    /// Seconds between two mails in the long run, by what is stated.
    fn stated_interval_s(&self) -> f64 {
        self.stated.iter().map(|(_, pace)| pace.interval_s).fold(0.0, f64::max)
    }

    fn interval_s(&self) -> f64 {
        self.stated_interval_s().max(self.throttle.map_or(0.0, |rate| 1.0 / rate))
    }

    /// In the long run, mails per second; infinite where nothing holds them up.
    pub(super) fn rate(&self) -> f64 {
        1.0 / self.interval_s()
    }

    /// The same, by what is stated.
    pub(super) fn stated_rate(&self) -> Option<f64> {
        (!self.stated.is_empty()).then(|| 1.0 / self.stated_interval_s())
    }

    /// Takes the next slot, if it comes within `within`.
    pub(super) fn turn(&mut self, now: Instant, within: Duration) -> Turn {
        if self.purse.next_slot(now).is_some_and(|at| at <= now + within)
            && let Some(at) = self.purse.take(now)
        {
            return Turn::At(at);
        }
        Turn::NotBefore(self.wait_at_least(now))
    }

    /// Whether there is a slot that may be spent now.
    pub(super) fn has_turn(&mut self, now: Instant) -> bool {
        self.purse.next_slot(now).is_some_and(|at| at <= now)
    }

    pub(super) fn wait_at_least(&self, now: Instant) -> Duration {
        self.purse.wait_at_least(self.interval_s(), now)
    }

    pub(super) fn wants(&mut self, now: Instant) -> u32 {
        let interval_s = self.interval_s();
        self.purse.wants(interval_s, now)
    }

    /// The windows as the database knows them.
    pub(super) fn windows(&self, key: &str) -> Vec<Window> {
        let throttle = self.throttle.map(|rate| ("throttle", Pace { interval_s: 1.0 / rate, credit_s: 0.0 }));
        let window = |(name, pace): (&str, Pace)| Window {
            key: format!("{key}/{name}"),
            interval_us: pace.interval_s * 1e6,
            credit_us: pace.credit_s * 1e6,
        };
        self.stated.iter().copied().chain(throttle).map(window).collect()
    }
}

/// The key of a relay.
pub(super) fn relay_key(relay: &str) -> String {
    format!("relay:{relay}")
}

/// How the keys of groups of domains begin.
pub(super) const GROUP: &str = "group:";

/// The key of a group of domains.
pub(super) fn group_key(group: &str) -> String {
    format!("{GROUP}{group}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Reserve;
    use crate::rate::grant;

    /// How long after the begin each mail of a queue that never ends goes out, over processes that ask one database.
    fn mails_within(scope: impl Fn() -> Scope, time: Duration, processes: usize) -> Vec<Duration> {
        const ROUND: Duration = Duration::from_millis(100);
        let begun = Instant::now();
        let mut scopes: Vec<_> = (0..processes).map(|_| scope()).collect();
        for scope in &mut scopes {
            (0..20).for_each(|_| scope.purse.begin_to_wait());
        }
        let mut arrivals = Vec::new();
        let mut went = Vec::new();
        let mut elapsed = Duration::ZERO;
        while elapsed < time {
            let now = begun + elapsed;
            let now_us = 1_000_000_000_000 + i64::try_from(elapsed.as_micros()).unwrap();
            for scope in &mut scopes {
                let slots = scope.wants(now);
                let windows = scope.windows("k");
                arrivals.resize(windows.len(), 0);
                let wanted = Reserve { key: "k".to_owned(), windows, slots, ahead_us: 500_000.0 };
                if slots > 0 {
                    scope.purse.put_in(&grant(&wanted, &mut arrivals, now_us), now);
                }
                // Until the next round every slot finds somebody who waits.
                while let Turn::At(at) = scope.turn(now, ROUND) {
                    went.push(at - begun);
                }
            }
            elapsed += ROUND;
        }
        went.sort();
        went
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn what_is_stated_is_met_within_two_percent_whatever_the_windows() {
        for (stated, per_second, seconds, processes) in [
            ([Some(1.0), None, None, None], 1.0, 600, 1),
            ([Some(5.0), Some(100.0), None, None], 100.0 / 60.0, 600, 1),
            ([None, Some(20.0), Some(1_000.0), None], 1_000.0 / 3_600.0, 14_400, 1),
            ([None, Some(7.0), None, Some(5_000.0)], 5_000.0 / 86_400.0, 86_400, 2),
            ([Some(333.0), Some(6_000.0), None, None], 100.0, 120, 3),
            ([Some(5_000.0), None, None, None], 5_000.0, 20, 1),
            ([Some(5_000.0), None, None, None], 5_000.0, 20, 8),
        ] {
            let went = mails_within(|| Scope::of(stated), Duration::from_secs(seconds), processes);
            let ratio = went.len() as f64 / (per_second * seconds as f64);
            assert!((0.98..1.02).contains(&ratio), "{stated:?}, {processes} processes: {ratio}");
            for (window_s, mails) in [60, 3_600, 86_400].into_iter().zip(&stated[1..]) {
                let Some(mails) = *mails else { continue };
                // Just under it: what is a whole window apart is not within one.
                let window = Duration::from_millis(window_s * 1_000 - 1);
                let within = |(index, from): (usize, &Duration)| {
                    went[index..].partition_point(|at| *at < *from + window)
                };
                let most = went.iter().enumerate().map(within).max().unwrap();
                assert!(most as f64 <= mails, "{stated:?}, {processes} processes: {most} in {window_s} s");
            }
        }
    }

    #[test]
    fn a_quota_never_allows_more_than_was_stated_in_any_window() {
        for (mails, window_s) in [(600.0, 60.0), (1_000.0, 3_600.0), (7.0, 3_600.0), (86_400.0, 86_400.0)] {
            let pace = Pace::of(mails, window_s);
            // The busiest window: all the credit at its begin, then one slot an interval, the first of them late.
            let busy_s = window_s + LATE_MAX.as_secs_f64();
            let most = (pace.credit_s / pace.interval_s).round() + (busy_s / pace.interval_s).round();
            assert!(most <= mails && most >= mails - 1.0, "{mails} in {window_s}: {most}");
        }
    }
}
