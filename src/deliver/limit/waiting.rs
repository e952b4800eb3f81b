//! Who waits for a turn: counted for the rate they wait for, and kept from filling all places of a process.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Limiter;
use super::Urgency;

/// After somebody was put back, those that are due again are looked for often for so long.
const PUT_BACK_KEPT: Duration = Duration::from_secs(2);

/// Room for those who wait for the turn of a group. Where hosts have less patience than there is mail for them, all
/// places of a process would soon be taken by mails that wait for them, and nobody else's mail would go.
#[derive(Debug)]
pub(super) struct Room {
    waiters_max: u32,
    waiters: AtomicU32,
    refused_at: Mutex<Option<Instant>>,
}

impl Room {
    pub(super) fn of(waiters_max: u32) -> Self {
        Self { waiters_max: waiters_max.max(1), waiters: AtomicU32::new(0), refused_at: Mutex::new(None) }
    }

    /// What is urgent finds room where others do not any more.
    fn max(&self, urgency: Urgency) -> u32 {
        match urgency {
            Urgency::Urgent => self.waiters_max.saturating_add(self.waiters_max / 2),
            Urgency::Queued => self.waiters_max,
        }
    }

    pub(super) fn is_full(&self, urgency: Urgency) -> bool {
        let is_full = self.waiters.load(Ordering::Relaxed) >= self.max(urgency);
        if is_full {
            *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        is_full
    }

    /// A place, if there is one. The caller holds the limiter's lock, so that no two take the last one.
    pub(super) fn enter(&self, urgency: Urgency) -> Option<Waiter<'_>> {
        if self.is_full(urgency) {
            return None;
        }
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Some(Waiter(self))
    }

    /// Whether somebody found it full a moment ago.
    pub(super) fn is_used(&self) -> bool {
        let refused_at = *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        refused_at.is_some_and(|at| at.elapsed() < PUT_BACK_KEPT)
    }
}

/// A place in a [`Room`], as long as it lives.
#[derive(Debug)]
pub(super) struct Waiter<'a>(&'a Room);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts as waiting as long as it lives.
pub(super) struct Waiting<'a>(&'a Limiter, &'a str);

impl<'a> Waiting<'a> {
    pub(super) fn new(limiter: &'a Limiter, key: &'a str) -> Self {
        if let Some(scope) = limiter.state().scopes.get_mut(key) {
            scope.purse.begin_to_wait();
        }
        Self(limiter, key)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(scope) = self.0.state().scopes.get_mut(self.1) {
            scope.purse.end_to_wait();
        }
    }
}
