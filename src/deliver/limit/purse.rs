//! Slots of one shared rate that this process holds. Each has a time; spent late or never, it is lost.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

/// A slot that was not spent this long after its time is lost: what was not used is not made up for in a burst.
const LATE_MAX: Duration = Duration::from_millis(500);
/// Slots are held for this long ahead, at most.
const HOLD: Duration = Duration::from_millis(300);
/// Demand is taken to grow by this factor until the next look, or waiting tasks would never be more than a few.
const GROWTH: f64 = 2.0;

/// How fast: a slot every `interval_s` seconds, and `credit_s` seconds of idle time may be made up for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) interval_s: f64,
    pub(super) credit_s: f64,
}

impl Pace {
    /// So many mails in every `window_s` seconds. Long windows are quotas: a hundredth of them may go at once after a
    /// quiet time, and the rest is spread so much wider that no window ever holds more than was stated.
    pub(super) fn of(mails: f64, window_s: f64) -> Self {
        let burst = if window_s >= 3_600.0 { (mails / 100.0).floor() } else { 0.0 };
        let interval_s = window_s / (mails - burst).max(1e-6);
        Self { interval_s, credit_s: burst * interval_s }
    }
}

#[derive(Debug, Clone, Copy)]
struct Block {
    at: Instant,
    left: u32,
    step: Duration,
}

/// The slots of one rate.
#[derive(Debug)]
pub(super) struct Purse {
    pub(super) pace: Pace,
    blocks: VecDeque<Block>,
    /// Tasks that wait for a slot that is not there yet.
    waiting: u32,
    /// Slots spent since the database was last asked.
    spent: u32,
    asked_at: Option<Instant>,
    /// The database has no slot before this.
    not_before: Option<Instant>,
}

impl Purse {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, blocks: VecDeque::new(), waiting: 0, spent: 0, asked_at: None, not_before: None }
    }

    /// Spends the next slot and says when that is.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        self.drop_late(now);
        let block = self.blocks.front_mut()?;
        let at = block.at;
        block.at += block.step;
        block.left -= 1;
        if block.left == 0 {
            self.blocks.pop_front();
        }
        self.spent = self.spent.saturating_add(1);
        Some(at)
    }

    /// When the next slot that is here comes.
    pub(super) fn next_slot(&mut self, now: Instant) -> Option<Instant> {
        self.drop_late(now);
        self.blocks.front().map(|block| block.at)
    }

    fn drop_late(&mut self, now: Instant) {
        while let Some(block) = self.blocks.front_mut().filter(|block| block.at + LATE_MAX < now) {
            block.at += block.step;
            block.left -= 1;
            if block.left == 0 {
                self.blocks.pop_front();
            }
        }
    }

    /// How long somebody who comes now has to wait at least; zero when that is not known.
    pub(super) fn wait_at_least(&self, now: Instant) -> Duration {
        let known = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let queue = Duration::from_secs_f64((f64::from(self.waiting) * self.pace.interval_s).min(86_400.0));
        if self.blocks.is_empty() { known + queue } else { queue }
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

    /// How many slots to reserve now.
    pub(super) fn wants(&mut self, now: Instant) -> u32 {
        self.drop_late(now);
        if self.not_before.is_some_and(|at| now < at) {
            return 0;
        }
        let since = self.asked_at.map_or(HOLD, |at| now.saturating_duration_since(at)).max(HOLD / 10);
        let used = f64::from(self.spent) / since.as_secs_f64() * HOLD.as_secs_f64() * GROWTH;
        let most = (HOLD.as_secs_f64() / self.pace.interval_s).ceil();
        let wanted = used.max(f64::from(self.waiting)).min(most.max(1.0)).ceil();
        let held: u32 = self.blocks.iter().map(|block| block.left).sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float conversion saturates, and no rate has 2³² slots in 300 ms"
        )]
        let wanted = (wanted as u32).saturating_sub(held);
        if wanted > 0 || since >= HOLD {
            self.asked_at = Some(now);
            self.spent = 0;
        }
        wanted
    }

    /// `slots`, the first `starts_us` from now and the others behind it; `wait_us` until the database has more.
    pub(super) fn put_in(&mut self, now: Instant, slots: u32, starts_us: i64, wait_us: i64) {
        self.not_before = u64::try_from(wait_us)
            .ok()
            .filter(|wait| *wait > 0)
            .map(|wait| now + Duration::from_micros(wait.min(86_400_000_000)));
        if slots == 0 {
            return;
        }
        let step = Duration::from_secs_f64(self.pace.interval_s.min(86_400.0));
        #[expect(clippy::cast_precision_loss, reason = "microseconds of at most a few days")]
        let starts_s = starts_us as f64 / 1e6;
        // Idle time that is made up for lies in the past: those may go at once.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
        let past = (-starts_s / self.pace.interval_s).ceil().clamp(0.0, f64::from(slots)) as u32;
        if past > 0 {
            self.blocks.push_back(Block { at: now, left: past, step: Duration::ZERO });
        }
        if past < slots {
            let at = (starts_s + f64::from(past) * self.pace.interval_s).max(0.0);
            let at = now + Duration::from_secs_f64(at.min(86_400.0));
            self.blocks.push_back(Block { at, left: slots - past, step });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_never_allows_more_than_was_stated_in_any_window() {
        for (mails, window_s) in
            [(5.0, 1.0), (600.0, 60.0), (1_000.0, 3_600.0), (7.0, 3_600.0), (86_400.0, 86_400.0)]
        {
            let pace = Pace::of(mails, window_s);
            // The busiest window: all the credit at its begin, then one slot an interval.
            let most = (pace.credit_s / pace.interval_s).round() + (window_s / pace.interval_s).round();
            assert!(most <= mails && most >= mails - 1.0, "{mails} in {window_s}: {most}");
        }
    }

    #[test]
    fn slots_are_spent_at_their_times_and_lost_when_they_are_late() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let mut purse = Purse::new(Pace { interval_s: 0.1, credit_s: 0.0 });
        assert_eq!(purse.take(now), None);
        purse.put_in(now, 4, 50_000, 0);
        assert_eq!(purse.take(now), Some(after(50)));
        assert_eq!(purse.next_slot(now), Some(after(150)));
        // Those of 150 and 250 are lost.
        assert_eq!(purse.take(after(800)), Some(after(350)));
        assert_eq!(purse.take(after(800)), None);
    }

    #[test]
    fn idle_time_that_is_made_up_for_may_go_at_once() {
        let now = Instant::now();
        let mut purse = Purse::new(Pace { interval_s: 10.0, credit_s: 20.0 });
        purse.put_in(now, 4, -20_000_000, 0);
        let times: Vec<_> = (0..4).map(|_| purse.take(now).unwrap() - now).collect();
        assert_eq!(times, [0, 0, 0, 10].map(Duration::from_secs));
    }

    #[test]
    fn nothing_is_wanted_where_nobody_waits_and_nothing_before_there_can_be_any() {
        let now = Instant::now();
        let mut purse = Purse::new(Pace { interval_s: 1.0, credit_s: 0.0 });
        assert_eq!(purse.wants(now), 0);
        purse.begin_to_wait();
        assert_eq!(purse.wants(now), 1);
        purse.put_in(now, 0, 900_000, 400_000);
        assert_eq!(purse.wants(now), 0);
        assert_eq!(purse.wants(now + Duration::from_millis(400)), 1);
        assert_eq!(purse.wait_at_least(now), Duration::from_millis(1_400));
    }
}
