//! How fast mail may leave: globally, per relay, per group of recipient domains.
//!
//! Rates belong to the database, not to a process: a slot of a rate is a time, and all workers of one database reserve
//! theirs from it, a fraction of a second ahead ([`crate::deliver::limit::Limiter::wants`]). A worker that cannot
//! reserve has no slots and stops. A rate of any window is spaced evenly (600 per minute is one every 100 ms); of a
//! rate by the hour or day a hundredth may go at once after a quiet time. What is stated is never exceeded in any
//! window, across workers, kills and restarts; a slot that is not used within half a second is lost.
//!
//! A host that answers 421 or 4.7.x has its group's rate halved in this process; it recovers step by step.

mod purse;
mod throttle;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

use crate::config::Rates;
use purse::Pace;
use purse::Purse;
use throttle::Throttle;

/// Who has to wait longer than this for its group's turn should do something else meanwhile.
pub const GROUP_WAIT_MAX: Duration = Duration::from_millis(500);
/// How far ahead slots are reserved. What a worker has reserved when it dies is lost.
const AHEAD: Duration = Duration::from_millis(500);
/// Groups remembered at most; those that are throttled are kept.
const GROUPS_MAX: usize = 10_000;
/// Those that are put back come back this much faster than the rate, so that none of its slots is lost.
const PUT_BACK_SURPLUS: f64 = 1.25;
/// Nobody is put back for longer than about this.
const PUT_BACK_MAX: Duration = Duration::from_hours(1);

/// All rates as one process sees them.
#[derive(Debug)]
pub struct Limiter {
    state: Mutex<State>,
    /// Told when somebody waits for a slot that is not here.
    asked: Notify,
    /// Told when slots have come.
    granted: Notify,
}

#[derive(Debug)]
struct State {
    /// By key: `global`, `relay:NAME`, `group:NAME`. A scope that is not here has no stated rate.
    scopes: BTreeMap<String, Scope>,
    groups: HashMap<String, Group>,
}

/// One mail needs a slot of each stated window.
#[derive(Debug, Default)]
struct Scope(Vec<(&'static str, Purse)>);

#[derive(Debug)]
struct Group {
    throttle: Throttle,
    /// Until when those that were put back are to come back.
    put_back: Instant,
}

/// Slots to be reserved of one rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Names the rate.
    pub key: String,
    /// How many slots.
    pub slots: u32,
    /// Time between two slots, microseconds.
    pub interval_us: f64,
    /// How far ahead of its time a slot may be reserved, microseconds.
    pub ahead_us: f64,
    /// How much idle time may be made up for at once, microseconds.
    pub credit_us: f64,
}

/// A group's turn does not come soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSoon {
    /// When it makes sense to ask again.
    pub after: Duration,
}

/// Whether a mail waits behind all that were put back before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// It comes back as soon as there may be a slot.
    Urgent,
    /// It comes back behind the others.
    Queued,
}

impl Limiter {
    /// Rates of the configuration, and per relay by name in mails per second.
    pub fn new(rates: &Rates, relays: impl IntoIterator<Item = (String, f64)>) -> Self {
        let global = [rates.per_second, rates.per_minute, rates.per_hour, rates.per_day];
        let mut scopes = BTreeMap::from([("global".to_owned(), Scope::of(global))]);
        for (relay, rate) in relays {
            scopes.insert(relay_key(&relay), Scope::of([Some(rate), None, None, None]));
        }
        for (group, rate) in &rates.domain {
            let stated = [rate.per_second, rate.per_minute, rate.per_hour, rate.per_day];
            scopes.insert(group_key(group), Scope::of(stated));
        }
        scopes.retain(|_, scope| !scope.0.is_empty());
        let state = State { scopes, groups: HashMap::new() };
        Self { state: Mutex::new(state), asked: Notify::new(), granted: Notify::new() }
    }

    /// The stated rate of all mail together, mails per second; `None` where there is none.
    pub fn global_rate(&self) -> Option<f64> {
        self.state().scopes.get("global").map(Scope::rate)
    }

    /// The rate of a group now, mails per second; `None` where it has no limit.
    pub fn group_rate(&self, group: &str) -> Option<f64> {
        let state = self.state();
        let stated = state.scopes.get(&group_key(group)).map(Scope::rate);
        let throttled = state.groups.get(group).and_then(|group| group.throttle.rate);
        stated.into_iter().chain(throttled).min_by(f64::total_cmp)
    }

    /// Waits for the turn of one mail to a group, as long as that comes soon.
    pub async fn group_turn(&self, group: &str, urgency: Urgency) -> Result<(), NotSoon> {
        let key = group_key(group);
        let end = Instant::now() + GROUP_WAIT_MAX;
        loop {
            let granted = self.granted.notified();
            if let Some(at) = self.ask_for_group(group, &key, urgency, end)? {
                sleep_until(at).await;
                return Ok(());
            }
            let _waiting = Waiting::new(self, &key);
            self.asked.notify_one();
            // Whether slots came or not, the next look tells.
            let _ = tokio::time::timeout_at(end.into(), granted).await;
        }
    }

    /// The time of the turn; `None` when slots have to be asked for first.
    fn ask_for_group(
        &self,
        group: &str,
        key: &str,
        urgency: Urgency,
        end: Instant,
    ) -> Result<Option<Instant>, NotSoon> {
        let now = Instant::now();
        let mut state = self.state();
        let throttled = state.group(group, now).throttle.wait(now);
        if throttled > GROUP_WAIT_MAX {
            return Err(state.put_back(group, throttled, urgency, now));
        }
        match state.scopes.get_mut(key).map(|scope| scope.turn(now, GROUP_WAIT_MAX)) {
            Some(Turn::NotBefore(wait)) if now >= end || now + wait > end => {
                Err(state.put_back(group, wait, urgency, now))
            }
            Some(Turn::NotBefore(_)) => Ok(None),
            turn => {
                state.group(group, now).throttle.take(now);
                let at = if let Some(Turn::At(at)) = turn { at } else { now };
                Ok(Some(at.max(now + throttled)))
            }
        }
    }

    /// Waits for the turn of one mail among all.
    pub async fn global_turn(&self) {
        self.turn("global").await;
    }

    /// Waits for the turn of one mail over this relay.
    pub async fn relay_turn(&self, relay: &str) {
        self.turn(&relay_key(relay)).await;
    }

    /// Whether a mail over this relay would have its turn soon.
    pub fn relay_is_free(&self, relay: &str) -> bool {
        let now = Instant::now();
        self.state()
            .scopes
            .get(&relay_key(relay))
            .is_none_or(|scope| scope.wait_at_least(now) < GROUP_WAIT_MAX)
    }

    async fn turn(&self, key: &str) {
        loop {
            let granted = self.granted.notified();
            let turn = self.state().scopes.get_mut(key).map(|scope| scope.turn(Instant::now(), AHEAD * 2));
            match turn {
                None => return,
                Some(Turn::At(at)) => return sleep_until(at).await,
                Some(Turn::NotBefore(_)) => {
                    let _waiting = Waiting::new(self, key);
                    self.asked.notify_one();
                    granted.await;
                }
            }
        }
    }

    /// The group's host asked us to slow down: half the rate from now on.
    pub fn slow_down(&self, group: &str) {
        let now = Instant::now();
        let mut state = self.state();
        let stated = state.scopes.get(&group_key(group)).map(Scope::rate);
        state.group(group, now).throttle.halve(stated, now);
    }

    /// Returns when somebody began to wait for slots that are not here.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether slots are being used, so that more should be reserved without being asked for.
    pub fn is_in_use(&self) -> bool {
        self.state().scopes.values().any(|scope| scope.0.iter().any(|(_, purse)| purse.is_in_use()))
    }

    /// The slots to reserve now. The answer goes to [`Limiter::grant`].
    pub fn wants(&self) -> Vec<Want> {
        let now = Instant::now();
        let mut wants = Vec::new();
        for (key, scope) in &mut self.state().scopes {
            for (window, purse) in &mut scope.0 {
                let slots = purse.wants(now);
                if slots > 0 {
                    wants.push(Want {
                        key: format!("{key}/{window}"),
                        slots,
                        interval_us: purse.pace.interval_s * 1e6,
                        ahead_us: AHEAD.as_secs_f64() * 1e6,
                        credit_us: purse.pace.credit_s * 1e6,
                    });
                }
            }
        }
        wants
    }

    /// `slots` of a rate were reserved, the first for `starts_us` from now; there are no more before `wait_us`.
    pub fn grant(&self, key: &str, slots: u32, starts_us: i64, wait_us: i64) {
        let now = Instant::now();
        let Some((key, window)) = key.rsplit_once('/') else { return };
        if let Some(scope) = self.state().scopes.get_mut(key) {
            for (_, purse) in scope.0.iter_mut().filter(|(name, _)| *name == window) {
                purse.put_in(now, slots, starts_us, wait_us);
            }
        }
        self.granted.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as waiting as long as it lives.
struct Waiting<'a>(&'a Limiter, &'a str);

impl<'a> Waiting<'a> {
    fn new(limiter: &'a Limiter, key: &'a str) -> Self {
        if let Some(scope) = limiter.state().scopes.get_mut(key) {
            scope.0.iter_mut().for_each(|(_, purse)| purse.begin_to_wait());
        }
        Self(limiter, key)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(scope) = self.0.state().scopes.get_mut(self.1) {
            scope.0.iter_mut().for_each(|(_, purse)| purse.end_to_wait());
        }
    }
}

enum Turn {
    At(Instant),
    NotBefore(Duration),
}

impl Scope {
    fn of(stated: [Option<f64>; 4]) -> Self {
        let windows = [("second", 1.0), ("minute", 60.0), ("hour", 3_600.0), ("day", 86_400.0)];
        let stated = windows.into_iter().zip(stated).filter_map(|((name, window_s), mails)| {
            Some((name, Purse::new(Pace::of(mails?.max(1e-6), window_s))))
        });
        Self(stated.collect())
    }

    /// In the long run, mails per second.
    fn rate(&self) -> f64 {
        self.0.iter().map(|(_, purse)| 1.0 / purse.pace.interval_s).fold(f64::INFINITY, f64::min)
    }

    /// Takes a slot of each window, if all come within `within`.
    fn turn(&mut self, now: Instant, within: Duration) -> Turn {
        let soon =
            self.0.iter_mut().all(|(_, purse)| purse.next_slot(now).is_some_and(|at| at <= now + within));
        if soon {
            return Turn::At(
                self.0.iter_mut().filter_map(|(_, purse)| purse.take(now)).fold(now, Instant::max),
            );
        }
        Turn::NotBefore(self.wait_at_least(now))
    }

    fn wait_at_least(&self, now: Instant) -> Duration {
        self.0.iter().map(|(_, purse)| purse.wait_at_least(now)).fold(Duration::ZERO, Duration::max)
    }
}

impl State {
    fn group(&mut self, group: &str, now: Instant) -> &mut Group {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(group) {
            self.groups.retain(|_, group| group.throttle.rate.is_some());
        }
        self.groups
            .entry(group.to_owned())
            .or_insert_with(|| Group { throttle: Throttle::new(now), put_back: now })
    }

    /// When a mail that cannot go soon comes back: each one turn of the rate behind the one before it.
    fn put_back(&mut self, group: &str, wait: Duration, urgency: Urgency, now: Instant) -> NotSoon {
        if urgency == Urgency::Urgent {
            return NotSoon { after: wait };
        }
        let stated = self.scopes.get(&group_key(group)).map(Scope::rate);
        let entry = self.group(group, now);
        let rate = stated.into_iter().chain(entry.throttle.rate).fold(f64::INFINITY, f64::min);
        let turn = Duration::from_secs_f64((1.0 / (rate * PUT_BACK_SURPLUS)).min(PUT_BACK_MAX.as_secs_f64()));
        // Over an hour's worth begins again in front: other times will know better.
        if entry.put_back > now + PUT_BACK_MAX {
            entry.put_back = now;
        }
        entry.put_back = entry.put_back.max(now + wait) + turn;
        NotSoon { after: entry.put_back - now }
    }
}

/// A timer is no finer than a millisecond: what is due goes without one.
async fn sleep_until(at: Instant) {
    if at > Instant::now() {
        tokio::time::sleep_until(at.into()).await;
    }
}

fn relay_key(relay: &str) -> String {
    format!("relay:{relay}")
}

fn group_key(group: &str) -> String {
    format!("group:{group}")
}

#[cfg(test)]
mod tests;
