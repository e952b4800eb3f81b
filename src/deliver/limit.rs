//! How fast mail may leave: globally, per relay, per group of recipient domains. GCRA by governor.
//!
//! A rate of any window is spaced evenly (1,000 per hour is one every 3.6 s), so that a restart gives away at most
//! one burst. A host that answers 421 or 4.7.x has its group's rate halved; it recovers step by step.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use governor::DefaultDirectRateLimiter;
use governor::Quota;
use governor::clock::Clock as _;
use governor::clock::DefaultClock;

use crate::config::DomainRate;
use crate::config::Rates;

/// Above this rate a burst is needed: timers are no finer than a millisecond.
const SMOOTH_PER_SECOND_MAX: f64 = 200.0;
/// Recovery: after this long without another refusal …
const RECOVERY_STEP: Duration = Duration::from_mins(1);
/// … the rate grows by this factor.
const RECOVERY_FACTOR: f64 = 1.25;
/// A group's rate is never halved below this many mails per second.
const RATE_MIN: f64 = 0.1;
/// Groups without a stated rate are measured over windows of this length, so that there is something to halve.
const MEASURE_WINDOW: Duration = Duration::from_secs(10);
/// Groups remembered at most; the ones without any limit are forgotten first.
const GROUPS_MAX: usize = 10_000;

/// Whether a mail may leave now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Now,
    /// Not before this long.
    After(Duration),
}

/// All rates of one process.
#[derive(Debug)]
pub struct Limiter {
    global: Vec<DefaultDirectRateLimiter>,
    relays: HashMap<String, DefaultDirectRateLimiter>,
    stated: HashMap<String, f64>,
    groups: Mutex<HashMap<String, Group>>,
    clock: DefaultClock,
}

#[derive(Debug)]
struct Group {
    limiter: Option<DefaultDirectRateLimiter>,
    /// Mails per second now; `None` = no limit.
    rate: Option<f64>,
    last_refusal: Option<Instant>,
    window_start: Instant,
    window_count: u32,
    measured: f64,
}

impl Limiter {
    /// Rates of the configuration, and per relay by name.
    pub fn new(rates: &Rates, relays: impl IntoIterator<Item = (String, f64)>) -> Self {
        let global = windows(rates.per_second, rates.per_minute, rates.per_hour, rates.per_day);
        let stated = rates.domain.iter().filter_map(|(name, rate)| Some((name.clone(), slowest(rate)?)));
        Self {
            global: global.into_iter().map(limiter).collect(),
            relays: relays.into_iter().map(|(name, rate)| (name, limiter(rate))).collect(),
            stated: stated.collect(),
            groups: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Asks for one mail to a group. Whoever is told to wait should do something else meanwhile.
    pub fn admit_group(&self, group: &str) -> Admission {
        let now = Instant::now();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= GROUPS_MAX && !groups.contains_key(group) {
            groups.retain(|_, group| group.rate.is_some());
        }
        let entry = groups
            .entry(group.to_owned())
            .or_insert_with(|| Group::new(self.stated.get(group).copied(), now));
        entry.recover(self.stated.get(group).copied(), now);
        let admission = match &entry.limiter {
            Some(limiter) => self.check(limiter),
            None => Admission::Now,
        };
        if admission == Admission::Now {
            entry.count(now);
        }
        admission
    }

    /// The group's host asked us to slow down: half the rate from now on.
    pub fn slow_down(&self, group: &str) {
        let now = Instant::now();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = groups
            .entry(group.to_owned())
            .or_insert_with(|| Group::new(self.stated.get(group).copied(), now));
        entry.halve(now);
    }

    /// The rate of a group now, mails per second; `None` where it has no limit.
    pub fn group_rate(&self, group: &str) -> Option<f64> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(group)?.rate
    }

    /// Asks for one mail over a relay.
    pub fn admit_relay(&self, relay: &str) -> Admission {
        self.relays.get(relay).map_or(Admission::Now, |limiter| self.check(limiter))
    }

    /// Waits until all windows of the whole let one mail through.
    pub async fn ready(&self) {
        for limiter in &self.global {
            while let Admission::After(wait) = self.check(limiter) {
                tokio::time::sleep(wait).await;
            }
        }
    }

    fn check(&self, limiter: &DefaultDirectRateLimiter) -> Admission {
        match limiter.check() {
            Ok(()) => Admission::Now,
            Err(not_until) => Admission::After(not_until.wait_time_from(self.clock.now())),
        }
    }
}

impl Group {
    fn new(stated: Option<f64>, now: Instant) -> Self {
        Self {
            limiter: stated.map(limiter),
            rate: stated,
            last_refusal: None,
            window_start: now,
            window_count: 0,
            measured: 0.0,
        }
    }

    fn set(&mut self, rate: Option<f64>) {
        self.rate = rate;
        self.limiter = rate.map(limiter);
    }

    fn count(&mut self, now: Instant) {
        let age = now.duration_since(self.window_start);
        if age >= MEASURE_WINDOW {
            self.measured = f64::from(self.window_count) / age.as_secs_f64();
            self.window_start = now;
            self.window_count = 0;
        }
        self.window_count += 1;
    }

    /// Refusals of mails that were under way together count once.
    fn halve(&mut self, now: Instant) {
        if self.last_refusal.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        let age = now.duration_since(self.window_start).as_secs_f64().max(1.0);
        let measured = self.measured.max(f64::from(self.window_count) / age);
        let rate = self.rate.unwrap_or(measured);
        self.last_refusal = Some(now);
        self.set(Some((rate / 2.0).max(RATE_MIN)));
    }

    fn recover(&mut self, stated: Option<f64>, now: Instant) {
        let (Some(rate), Some(last)) = (self.rate, self.last_refusal) else { return };
        if now.duration_since(last) < RECOVERY_STEP {
            return;
        }
        let recovered = rate * RECOVERY_FACTOR;
        match stated {
            Some(stated) if recovered >= stated => self.last_refusal = None,
            None if recovered >= self.measured.max(1.0) * 8.0 => {
                (self.last_refusal, self.rate) = (None, None);
            }
            _ => {
                self.last_refusal = Some(now);
                return self.set(Some(recovered));
            }
        }
        self.set(stated);
    }
}

/// Each stated window as mails per second.
fn windows(second: Option<f64>, minute: Option<f64>, hour: Option<f64>, day: Option<f64>) -> Vec<f64> {
    [(second, 1.0), (minute, 60.0), (hour, 3_600.0), (day, 86_400.0)]
        .into_iter()
        .filter_map(|(rate, seconds)| Some(rate? / seconds))
        .collect()
}

/// The window that binds: evenly spaced, the slowest rate keeps all the others.
fn slowest(rate: &DomainRate) -> Option<f64> {
    windows(rate.per_second, rate.per_minute, rate.per_hour, rate.per_day).into_iter().min_by(f64::total_cmp)
}

fn limiter(per_second: f64) -> DefaultDirectRateLimiter {
    let per_second = per_second.max(1e-6);
    let burst = if per_second > SMOOTH_PER_SECOND_MAX { per_second / 100.0 + 1.0 } else { 1.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 ≤ burst, clamped below 2³²"
    )]
    let burst = NonZeroU32::new(burst.min(1e6) as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(Duration::from_secs_f64(1.0 / per_second))
        .unwrap_or(Quota::per_second(NonZeroU32::MIN));
    DefaultDirectRateLimiter::direct(quota.allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Rates {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_group_without_a_stated_rate_has_no_limit_until_its_host_complains() {
        let limiter = Limiter::new(&Rates::default(), []);
        for _ in 0..100 {
            assert_eq!(limiter.admit_group("x.test"), Admission::Now);
        }
        assert_eq!(limiter.group_rate("x.test"), None);
        limiter.slow_down("x.test");
        assert_eq!(limiter.group_rate("x.test"), Some(50.0));
        limiter.slow_down("x.test");
        assert_eq!(limiter.group_rate("x.test"), Some(50.0), "refusals within a second count once");
        assert_eq!(limiter.group_rate("y.test"), None);
    }

    #[test]
    fn a_stated_rate_of_a_group_binds_and_does_not_touch_others() {
        let limiter = Limiter::new(&rates("[domain.gmail]\nper_minute = 1"), []);
        assert_eq!(limiter.admit_group("gmail"), Admission::Now);
        assert!(
            matches!(limiter.admit_group("gmail"), Admission::After(wait) if wait > Duration::from_secs(50))
        );
        assert_eq!(limiter.admit_group("other.test"), Admission::Now);
    }

    #[test]
    fn a_relay_has_its_own_rate() {
        let limiter = Limiter::new(&Rates::default(), [("slow".to_owned(), 0.01)]);
        assert_eq!(limiter.admit_relay("slow"), Admission::Now);
        assert!(matches!(limiter.admit_relay("slow"), Admission::After(_)));
        assert_eq!(limiter.admit_relay("fast"), Admission::Now);
    }

    #[test]
    fn recovery_goes_step_by_step_to_the_stated_rate() {
        let now = Instant::now();
        let mut group = Group::new(Some(10.0), now);
        group.halve(now);
        let mut seen = vec![group.rate.unwrap()];
        let mut at = now;
        while group.last_refusal.is_some() {
            at += RECOVERY_STEP;
            group.recover(Some(10.0), at);
            seen.push(group.rate.unwrap());
        }
        assert_eq!(seen, [5.0, 6.25, 7.8125, 9.765_625, 10.0]);
    }
}
