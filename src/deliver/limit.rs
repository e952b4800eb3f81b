//! How fast mail may leave: globally, per relay, per group of recipient domains.
//!
//! Rates belong to the database, not to a process: a slot of a rate is a time, and all workers of one database reserve
//! theirs from it, a fraction of a second ahead ([`Limiter::wants`]). A worker that cannot reserve has no slots and
//! stops. A rate of any window is spaced evenly (600 per minute is one every 100 ms); of a rate by the hour or day a
//! hundredth may go at once after a quiet time. Of a minute, an hour, a day never more goes than was stated, across
//! workers, kills and restarts; a slot that is not used within half a second is lost.
//!
//! Who waits for the turn of a group takes up a place among the mails in work; half of these are kept for others.
//!
//! A host that answers 421 or 4.7.x has its group's rate halved for all workers; it recovers step by step.

mod purse;
mod scope;
mod throttle;
mod waiting;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Rates;
use crate::rate::Granted;
use crate::rate::Refusal;
use crate::rate::Reserve;
use crate::rate::Throttled;
use scope::GROUP;
use scope::Scope;
use scope::Turn;
use scope::group_key;
use scope::relay_key;
use throttle::Measure;
use throttle::Throttle;
use waiting::Room;
use waiting::Waiter;
use waiting::Waiting;

/// Who has to wait longer than this for its group's turn should do something else meanwhile.
pub const GROUP_WAIT_MAX: Duration = Duration::from_millis(500);
/// A turn is good for this long: whoever goes out later takes another.
pub const TURN_KEPT: Duration = Duration::from_millis(500);
/// How far ahead slots are reserved. What a worker has reserved when it dies is lost.
const AHEAD: Duration = Duration::from_millis(500);
/// Refusals of mails that were under way together count once.
const REFUSALS_TOGETHER: Duration = Duration::from_secs(1);
/// Groups remembered at most.
const GROUPS_MAX: usize = 10_000;
/// Those that are put back come back this much faster than the rate, so that none of its slots is lost.
const PUT_BACK_SURPLUS: f64 = 1.25;
/// Who is urgent is put back for this long at least.
const URGENT_PUT_BACK_MIN: Duration = Duration::from_millis(50);
/// Nobody is put back for longer than about this.
const PUT_BACK_MAX: Duration = Duration::from_hours(1);

/// All rates as one process sees them.
#[derive(Debug)]
pub struct Limiter {
    state: Mutex<State>,
    /// Told when somebody waits for a slot that is not here, and when a host asked for patience.
    asked: Notify,
    /// Told when slots have come.
    granted: Notify,
    /// For those who wait for the turn of a group.
    room: Room,
}

#[derive(Debug)]
struct State {
    /// By key: `global`, `relay:NAME`, `group:NAME`. A scope that is not here has no rate.
    scopes: BTreeMap<String, Scope>,
    groups: HashMap<String, Group>,
    throttles: HashMap<String, Known>,
    /// What the database does not know yet.
    refusals: HashMap<String, Refusal>,
    /// Workers that send, this one included.
    workers: u32,
}

#[derive(Debug)]
struct Group {
    measure: Measure,
    /// Until when those that were put back are to come back.
    put_back: Instant,
}

/// A group's throttle, and the refusal by which the database knows it; `None` = it does not yet.
#[derive(Debug)]
struct Known {
    throttle: Throttle,
    refused_at_ms: Option<i64>,
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
        scopes.retain(|_, scope| !scope.is_free());
        let state = State {
            scopes,
            groups: HashMap::new(),
            throttles: HashMap::new(),
            refusals: HashMap::new(),
            workers: 1,
        };
        let room = Room::of(u32::MAX);
        Self { state: Mutex::new(state), asked: Notify::new(), granted: Notify::new(), room }
    }

    /// The same in a process that has so many mails in work at once: half of these, at most, wait for the turns of
    /// groups, so that the others go past them.
    #[must_use]
    pub fn among(self, in_work: usize) -> Self {
        Self { room: Room::of(u32::try_from(in_work / 2).unwrap_or(u32::MAX)), ..self }
    }

    /// Whether mails found no room to wait for the turn of their group: they should be looked for often.
    pub fn is_waited_for(&self) -> bool {
        self.room.is_used()
    }

    /// The stated rate of all mail together, mails per second; `None` where there is none.
    pub fn global_rate(&self) -> Option<f64> {
        self.state().scopes.get("global").map(Scope::rate)
    }

    /// The rate of a group now, mails per second; `None` where it has no limit.
    pub fn group_rate(&self, group: &str) -> Option<f64> {
        self.state().scopes.get(&group_key(group)).map(Scope::rate)
    }

    /// Says when the turn of a mail to this group is known not to come soon, before any work is done for it.
    pub fn group_is_far(&self, group: &str, urgency: Urgency) -> Option<NotSoon> {
        let now = Instant::now();
        let mut state = self.state();
        let scope = state.scopes.get_mut(&group_key(group))?;
        let wait = scope.wait_at_least(now);
        let is_full = !scope.has_turn(now) && self.room.is_full(urgency);
        (wait > GROUP_WAIT_MAX || is_full).then(|| state.put_back(group, wait, urgency, now))
    }

    /// Waits for the turn of one mail to a group, as long as that comes soon.
    pub async fn group_turn(&self, group: &str, urgency: Urgency) -> Result<(), NotSoon> {
        let key = group_key(group);
        let end = Instant::now() + GROUP_WAIT_MAX;
        let mut waiter = None;
        loop {
            let granted = self.granted.notified();
            if let Some(at) = self.ask_for_group(group, &key, urgency, end, &mut waiter)? {
                sleep_until(at).await;
                return Ok(());
            }
            let _waiting = Waiting::new(self, &key);
            self.asked.notify_one();
            // Whether slots came or not, the next look tells.
            let _ = tokio::time::timeout_at(end, granted).await;
        }
    }

    /// The time of the turn; `None` when slots have to be asked for first. Who has to wait becomes a waiter, or is put back.
    fn ask_for_group<'a>(
        &'a self,
        group: &str,
        key: &str,
        urgency: Urgency,
        end: Instant,
        waiter: &mut Option<Waiter<'a>>,
    ) -> Result<Option<Instant>, NotSoon> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(scope) = state.scopes.get_mut(key)
            && waiter.is_none()
            && !scope.has_turn(now)
        {
            *waiter = self.room.enter(urgency);
            if waiter.is_none() {
                let wait = scope.wait_at_least(now);
                return Err(state.put_back(group, wait, urgency, now));
            }
        }
        match state.scopes.get_mut(key).map(|scope| scope.turn(now, GROUP_WAIT_MAX)) {
            Some(Turn::NotBefore(wait)) if now >= end || now + wait > end => {
                Err(state.put_back(group, wait, urgency, now))
            }
            Some(Turn::NotBefore(_)) => Ok(None),
            turn => {
                state.group(group, now).measure.count(now);
                Ok(Some(if let Some(Turn::At(at)) = turn { at } else { now }))
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

    /// The group's host asked us to slow down: half the rate from now on. Others learn of it by
    /// [`Limiter::refusals`].
    pub fn slow_down(&self, group: &str) {
        let now = Instant::now();
        let key = group_key(group);
        let mut state = self.state();
        let known = state.throttles.get(group);
        let together =
            |known: &Known| now.saturating_duration_since(known.throttle.refused) < REFUSALS_TOGETHER;
        if known.is_some_and(together) {
            return;
        }
        let (before, refused_at_ms) =
            known.map_or((None, None), |known| (Some(known.throttle), known.refused_at_ms));
        let stated = state.scopes.get(&key).and_then(Scope::stated_rate);
        let measured = state.group(group, now).measure.rate(now) * f64::from(state.workers);
        let throttle = Throttle::halved(before, measured, stated, now);
        let Throttle { rate, usual, .. } = throttle;
        let refusal = Refusal { group: group.to_owned(), rate, usual, known_at_ms: refused_at_ms };
        state.refusals.insert(group.to_owned(), refusal);
        state.throttles.insert(group.to_owned(), Known { throttle, refused_at_ms });
        state.throttle(now);
        drop(state);
        self.asked.notify_one();
    }

    /// Refusals that the database does not know yet.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.state().refusals.values().cloned().collect()
    }

    /// The database knows of this refusal, or of one that counts instead.
    pub fn told(&self, refusal: &Refusal) {
        let mut state = self.state();
        if state.refusals.get(&refusal.group) == Some(refusal) {
            state.refusals.remove(&refusal.group);
        }
    }

    /// What all workers know: who is throttled, and how many of them send.
    pub fn know(&self, throttled: Vec<Throttled>, workers: u32) {
        let now = Instant::now();
        let mut state = self.state();
        let state = &mut *state;
        state.workers = workers.max(1);
        // What happened since this was asked for is still to be told.
        state.throttles.retain(|group, _| state.refusals.contains_key(group));
        for Throttled { group, rate, usual, refused_at_ms, age } in throttled {
            let refused = now.checked_sub(age).unwrap_or(now);
            let throttle = Throttle { rate, usual, refused };
            let known = Known { throttle, refused_at_ms: Some(refused_at_ms) };
            state.throttles.entry(group).or_insert(known);
        }
        state.throttle(now);
        self.granted.notify_waiters();
    }

    /// Returns when somebody began to wait for slots that are not here, or a host asked for patience.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether slots are being used, so that more should be reserved without being asked for.
    pub fn is_in_use(&self) -> bool {
        self.state().scopes.values().any(|scope| scope.purse.is_in_use())
    }

    /// The slots to reserve now. The answer goes to [`Limiter::grant`].
    pub fn wants(&self) -> Vec<Reserve> {
        let now = Instant::now();
        let mut state = self.state();
        state.throttle(now);
        let wants = state.scopes.iter_mut().filter_map(|(key, scope)| {
            let slots = scope.wants(now);
            let ahead_us = AHEAD.as_secs_f64() * 1e6;
            (slots > 0).then(|| Reserve { key: key.clone(), windows: scope.windows(key), slots, ahead_us })
        });
        wants.collect()
    }

    /// What was granted of one of [`Limiter::wants`], by its key.
    pub fn grant(&self, key: &str, granted: &Granted) {
        let now = Instant::now();
        if let Some(scope) = self.state().scopes.get_mut(key) {
            scope.purse.put_in(granted, now);
        }
        self.granted.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn group(&mut self, group: &str, now: Instant) -> &mut Group {
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(group) {
            self.groups.retain(|_, group| group.put_back > now);
        }
        self.groups
            .entry(group.to_owned())
            .or_insert_with(|| Group { measure: Measure::new(now), put_back: now })
    }

    /// Takes the throttles as they are now into the scopes.
    fn throttle(&mut self, now: Instant) {
        self.throttles.retain(|_, known| known.throttle.rate(now).is_some());
        for (key, scope) in &mut self.scopes {
            let known = key.strip_prefix(GROUP).and_then(|group| self.throttles.get(group));
            scope.throttle = known.and_then(|known| known.throttle.rate(now));
        }
        self.scopes.retain(|_, scope| !scope.is_free());
        for (group, known) in &self.throttles {
            let scope = self.scopes.entry(group_key(group)).or_default();
            scope.throttle = known.throttle.rate(now);
        }
    }

    /// When a mail that cannot go soon comes back: each one turn of the rate behind the one before it.
    fn put_back(&mut self, group: &str, wait: Duration, urgency: Urgency, now: Instant) -> NotSoon {
        if urgency == Urgency::Urgent {
            return NotSoon { after: wait.max(URGENT_PUT_BACK_MIN) };
        }
        let rate = self.scopes.get(&group_key(group)).map_or(f64::INFINITY, Scope::rate);
        let turn = Duration::from_secs_f64((1.0 / (rate * PUT_BACK_SURPLUS)).min(PUT_BACK_MAX.as_secs_f64()));
        let entry = self.group(group, now);
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
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests;
