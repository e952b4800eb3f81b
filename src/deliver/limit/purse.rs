//! Slots of one shared rate that this process holds. Each has a time; spent late or never, it is lost.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::rate::Granted;

/// A slot that was not spent this long after its time is lost: what was not used is not made up for in a burst.
pub(super) const LATE_MAX: Duration = Duration::from_millis(500);
/// Slots are held for this long ahead, at most.
const HOLD: Duration = Duration::from_millis(300);
/// Demand is taken to grow by this factor until the next look, or waiting tasks would never be more than a few.
const GROWTH: f64 = 2.0;
/// Nobody waits longer for a slot before somebody asks again.
const WAIT_MAX: Duration = Duration::from_hours(24);

/// The slots of one rate.
#[derive(Debug, Default)]
pub(super) struct Purse {
    slots: VecDeque<Instant>,
    /// Tasks that wait for a slot that is not there yet.
    waiting: u32,
    /// Slots spent since the database was last asked.
    spent: u32,
    asked_at: Option<Instant>,
    /// The database has no slot before this.
    not_before: Option<Instant>,
}

impl Purse {
    /// Spends the next slot and says when that is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        self.drop_late(now);
        let at = self.slots.pop_front()?;
        self.spent = self.spent.saturating_add(1);
        Some(at)
    }

    /// When the next slot that is here comes.
    pub(super) fn next_slot(&mut self, now: Instant) -> Option<Instant> {
        self.drop_late(now);
        self.slots.front().copied()
    }

    fn drop_late(&mut self, now: Instant) {
        while self.slots.pop_front_if(|at| *at + LATE_MAX < now).is_some() {}
    }

    /// How long somebody who comes now has to wait at least, where a slot comes every `interval_s` seconds; zero when
    /// that is not known.
    pub(super) fn wait_at_least(&self, interval_s: f64, now: Instant) -> Duration {
        let known = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let queue = f64::from(self.waiting) * interval_s;
        let queue = Duration::from_secs_f64(queue.min(WAIT_MAX.as_secs_f64()));
        if self.slots.is_empty() { known + queue } else { queue }
    }

    pub(super) fn begin_to_wait(&mut self) {
        self.waiting += 1;
    }

    pub(super) fn end_to_wait(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Whether it should be looked at again soon.
    pub(super) fn is_in_use(&self) -> bool {
        self.waiting > 0 || self.spent > 0
    }

    /// How many slots to reserve now, where one comes every `interval_s` seconds.
    pub(super) fn wants(&mut self, interval_s: f64, now: Instant) -> u32 {
        self.drop_late(now);
        if self.not_before.is_some_and(|at| now < at) {
            return 0;
        }
        let since = self.asked_at.map_or(HOLD, |at| now.saturating_duration_since(at)).max(HOLD / 10);
        let used = f64::from(self.spent) / since.as_secs_f64() * HOLD.as_secs_f64() * GROWTH;
        let most = (HOLD.as_secs_f64() / interval_s).ceil();
        let wanted = used.max(f64::from(self.waiting)).min(most.max(1.0)).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float conversion saturates, and no rate has 2³² slots in 300 ms"
        )]
        let wanted = (wanted as u32).saturating_sub(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        if wanted > 0 || since >= HOLD {
            self.asked_at = Some(now);
            self.spent = 0;
        }
        wanted
    }

    /// Puts in what was granted. Idle time that is made up for lies in the past: those slots may be spent at once.
    pub(super) fn put_in(&mut self, granted: &Granted, now: Instant) {
        let after = |us: i64| now + Duration::from_micros(u64::try_from(us).unwrap_or(0)).min(WAIT_MAX);
        self.not_before = (granted.wait_us > 0).then(|| after(granted.wait_us));
        self.slots.extend(granted.at_us.iter().map(|at_us| after(*at_us)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(at_ms: &[i64], wait_ms: i64) -> Granted {
        Granted { at_us: at_ms.iter().map(|ms| ms * 1_000).collect(), wait_us: wait_ms * 1_000 }
    }

    #[test]
    fn slots_are_spent_at_their_times_and_lost_when_they_are_late() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let mut purse = Purse::default();
        assert_eq!(purse.take(now), None);
        purse.put_in(&granted(&[50, 150, 250, 350], 0), now);
        assert_eq!(purse.take(now), Some(after(50)));
        assert_eq!(purse.next_slot(now), Some(after(150)));
        // Those of 150 and 250 are lost.
        assert_eq!(purse.take(after(800)), Some(after(350)));
        assert_eq!(purse.take(after(800)), None);
    }

    #[test]
    fn idle_time_that_is_made_up_for_may_go_at_once() {
        let now = Instant::now();
        let mut purse = Purse::default();
        purse.put_in(&granted(&[-20_000, -10_000, 0, 10_000], 0), now);
        let times: Vec<_> = (0..4).map(|_| purse.take(now).unwrap() - now).collect();
        assert_eq!(times, [0, 0, 0, 10].map(Duration::from_secs));
    }

    #[test]
    fn nothing_is_wanted_where_nobody_waits_and_nothing_before_there_can_be_any() {
        let now = Instant::now();
        let mut purse = Purse::default();
        assert_eq!(purse.wants(1.0, now), 0);
        purse.begin_to_wait();
        assert_eq!(purse.wants(1.0, now), 1);
        purse.put_in(&granted(&[], 400), now);
        assert_eq!(purse.wants(1.0, now), 0);
        assert_eq!(purse.wants(1.0, now + Duration::from_millis(400)), 1);
        assert_eq!(purse.wait_at_least(1.0, now), Duration::from_millis(1_400));
    }
}
