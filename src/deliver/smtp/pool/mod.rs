//! Sessions with one or many relays: shared by weight, reused while healthy, never above a relay's cap.

mod book;
mod entry;
mod pooled;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use book::{Book, Take, Which};
pub use pooled::Held;
pub use pooled::PooledSession;
use pooled::Slot;
pub use settings::PoolSettings;

use super::failure::Failure;
use super::relay::{Relay, RelayError};
use super::session::Session;
use super::tls::Connector;
use crate::deliver::classify::{Disposition, classify};

/// Relays that one pool may have.
pub const RELAYS_MAX: usize = 64;

/// Wakes a waiter whose relay changes no more; waiters look again by themselves after this.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Sessions with the relays of one worker. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connectors: Vec<Arc<Connector>>,
    book: Mutex<Book<Session>>,
    /// One per relay: told when a slot or session comes free, and when the relay's standing changes.
    changed: Vec<Notify>,
    reaper: Mutex<Reaper>,
}

/// Whether a task is on its way that ends idle sessions.
#[derive(Debug, PartialEq, Eq)]
enum Reaper {
    Asleep,
    Running,
}

/// Why [`Pool::checkout`] has no session. No attempt of any send was spent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no relay can be used: {reason}")]
pub struct NoRelay {
    /// What kind of reason.
    pub kind: NoRelayKind,
    /// For people: each relay and what is wrong with it.
    pub reason: String,
    /// When it makes sense to ask again.
    pub retry_after: Duration,
}

/// What keeps a relay from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRelayKind {
    /// A relay's host or our account is at fault: somebody has to look.
    Paused,
    /// Connections fail at the moment.
    BackingOff,
    /// The caller's condition admits no relay.
    NoneEligible,
    /// [`Pool::close`] was called.
    Closed,
}

impl NoRelay {
    fn closed() -> Self {
        Self {
            kind: NoRelayKind::Closed,
            reason: "the pool is closed".to_owned(),
            retry_after: Duration::from_hours(1),
        }
    }
}

/// One relay, for progress lines and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// The relay's name.
    pub name: String,
    /// Connections that are open, being opened, or being ended.
    pub open: usize,
    /// Those among them that wait for work.
    pub idle: usize,
    /// The cap.
    pub connections_max: usize,
    /// Logins so far.
    pub opened_count: u64,
    /// Checkouts that found an open session.
    pub reused_count: u64,
    /// Whether it can be used.
    pub condition: RelayCondition,
}

/// Whether a relay can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayCondition {
    /// As far as we know.
    Up,
    /// No new connections for a moment; open ones go on.
    BackingOff {
        /// What happened.
        reason: String,
        /// Time that is left.
        for_at_most: Duration,
    },
    /// Not at all, until the time is over or [`Pool::resume`].
    Paused {
        /// What happened.
        reason: String,
        /// Time that is left.
        for_at_most: Duration,
    },
}

impl Pool {
    /// A pool over `relays`; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// No relay, too many, two of one name, or a relay whose settings cannot work.
    pub fn new(relays: Vec<Relay>, settings: PoolSettings) -> Result<Self, RelayError> {
        let fail = |relay: &str, problem: String| Err(RelayError { relay: relay.to_owned(), problem });
        if relays.is_empty() || relays.len() > RELAYS_MAX {
            return fail("list", format!("1 to {RELAYS_MAX} relays are needed, {} are given", relays.len()));
        }
        for (index, relay) in relays.iter().enumerate() {
            if relays[..index].iter().any(|other| other.name == relay.name) {
                return fail(&relay.name, "the name is used twice".to_owned());
            }
        }
        let book = Mutex::new(Book::new(relays.iter(), settings));
        let changed = relays.iter().map(|_| Notify::new()).collect();
        let connectors = relays
            .into_iter()
            .map(|relay| Connector::new(relay).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(Inner { connectors, book, changed, reaper: Mutex::new(Reaper::Asleep) })))
    }

    /// A session with a relay that can be used now: an open one, or a new one under the relay's cap. Waits while
    /// all usable relays are busy.
    ///
    /// # Errors
    ///
    /// When no relay can be used, at once.
    pub async fn checkout(&self) -> Result<PooledSession, NoRelay> {
        self.checkout_where(|_| true).await
    }

    /// [`Pool::checkout`] among the relays whose name passes `eligible`, such as those under their rate.
    pub async fn checkout_where(
        &self,
        eligible: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<PooledSession, NoRelay> {
        let mut failures_left = self.0.connectors.len();
        loop {
            let held = self.hold_where(&eligible).await?;
            failures_left = failures_left.saturating_sub(1);
            match held.connect().await {
                // Another relay may do, or the reason is now in the book.
                Err(_) if failures_left > 0 => {}
                done => return done,
            }
        }
    }

    /// The right to a session with one of the relays whose name passes `eligible`; connected to only when it is
    /// wanted. Waits while all usable relays are busy.
    ///
    /// # Errors
    ///
    /// When no relay can be used, at once.
    pub async fn hold_where(&self, eligible: impl Fn(&str) -> bool + Send + Sync) -> Result<Held, NoRelay> {
        loop {
            match self.take(|book, now| book.take(now, &eligible)).await {
                Take::Reuse(relay, birth, session) => {
                    return Ok(Held::open(&self.0, relay, birth, session));
                }
                Take::Open(relay, birth) => return Ok(Held::to_open(&self.0, relay, birth)),
                Take::None(none) => return Err(none),
                Take::Wait(..) => {}
            }
        }
    }

    fn after_failure(&self, relay: usize, failure: &Failure) -> NoRelay {
        let name = &self.0.connectors[relay].relay().name;
        let status = self.status().swap_remove(relay).condition;
        let (kind, retry_after) = match status {
            RelayCondition::Paused { for_at_most, .. } => (NoRelayKind::Paused, for_at_most),
            RelayCondition::BackingOff { for_at_most, .. } => (NoRelayKind::BackingOff, for_at_most),
            RelayCondition::Up => (NoRelayKind::BackingOff, Duration::ZERO),
        };
        NoRelay { kind, reason: format!("{name}: {failure}"), retry_after }
    }

    /// What `ask` gives, after as many waits for a change as it asks for.
    async fn take(&self, mut ask: impl FnMut(&mut Book<Session>, Instant) -> Take<Session>) -> Take<Session> {
        let mut woken_by = None;
        loop {
            let take = ask(&mut self.0.book(), Instant::now());
            let Take::Wait(relays, until) = &take else {
                self.pass_on(woken_by, &take);
                return take;
            };
            if woken_by.is_some_and(|relay| !relays.contains(&relay)) {
                self.pass_on(woken_by.take(), &take);
            }
            let mut changes: Vec<_> =
                relays.iter().map(|relay| Box::pin(self.0.changed[*relay].notified())).collect();
            // Registered before the book is asked again, so that no change is missed in between.
            for change in &mut changes {
                change.as_mut().enable();
            }
            let again = ask(&mut self.0.book(), Instant::now());
            if !matches!(again, Take::Wait(..)) {
                return again;
            }
            let end = Instant::now() + WAIT_MAX;
            let change = timeout_at(until.map_or(end, |until| until.min(end)), select_all(changes)).await;
            woken_by = change.ok().map(|((), index, _)| relays[index]);
        }
    }

    /// One waiter is woken for each slot that comes free. One that then takes another relay, or waits for others, or
    /// gives up, wakes the next: the slot is still free.
    fn pass_on(&self, woken_by: Option<usize>, take: &Take<Session>) {
        let used = match take {
            Take::Reuse(relay, ..) | Take::Open(relay, _) => Some(*relay),
            Take::Wait(..) | Take::None(_) => None,
        };
        if let Some(relay) = woken_by.filter(|relay| used != Some(*relay)) {
            self.0.changed[relay].notify_one();
        }
    }

    /// How long a mail may be on its way after its mark, over the slowest relay. Milliseconds.
    pub(in crate::deliver) fn on_wire_ms(&self) -> i64 {
        let of = |connector: &Arc<Connector>| connector.relay().deadlines.on_wire_ms();
        self.0.connectors.iter().map(of).max().unwrap_or(0)
    }

    /// Every relay, in the order of the settings.
    pub fn status(&self) -> Vec<RelayStatus> {
        self.0.book().status(Instant::now())
    }

    /// Lifts the pause or back-off of a relay, after somebody put right what was wrong. The result says whether
    /// there is a relay of that name.
    pub fn resume(&self, relay: &str) -> bool {
        let found = self.0.book().resume(relay);
        found.inspect(|index| self.0.changed[*index].notify_waiters()).is_some()
    }

    /// Ends the idle sessions with QUIT, waiting at most the deadline of that phase, and refuses checkouts from now
    /// on. Sessions in use end when they are given back.
    pub async fn close(&self) {
        let sessions = {
            let mut book = self.0.book();
            book.closed = true;
            book.take_idle(Which::All, Instant::now())
        };
        self.0.changed.iter().for_each(Notify::notify_waiters);
        let quits = sessions.into_iter().map(|(relay, session)| self.0.end(relay, session));
        join_all(quits).await;
    }
}

impl Inner {
    /// The lock is never held across an await, and no code under it can panic half-way through a change.
    fn book(&self) -> MutexGuard<'_, Book<Session>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says QUIT and releases the slot.
    fn end(self: &Arc<Self>, relay: usize, session: Session) -> impl Future<Output = ()> + use<> {
        let slot = Slot::ending(self, relay);
        async move {
            session.quit().await;
            drop(slot);
        }
    }

    /// Notes why a connection or transaction failed, as far as it concerns the relay.
    fn note_failure(&self, relay: usize, failure: &Failure, connecting: Connecting) {
        let kind = match (classify(failure), connecting) {
            (Disposition::RelayFault, _) => NoRelayKind::Paused,
            (_, Connecting::Yes) => NoRelayKind::BackingOff,
            (_, Connecting::No) => return,
        };
        if self.book().block(relay, kind, failure.to_string(), Instant::now()) {
            let name = &self.connectors[relay].relay().name;
            tracing::warn!(relay = %name, "relay {name} cannot be used for now: {}", failure.summary());
        }
        self.changed[relay].notify_waiters();
    }

    /// Starts the task that ends sessions which nobody used for long; it ends itself when none is idle.
    fn start_reaper(self: &Arc<Self>) {
        let mut reaper = self.reaper.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if *reaper == Reaper::Running {
            return;
        }
        *reaper = Reaper::Running;
        let weak = Arc::downgrade(self);
        runtime.spawn(async move {
            while let Some(expiry) = weak.upgrade().and_then(|inner| inner.next_expiry()) {
                sleep_until(expiry).await;
                let Some(inner) = weak.upgrade() else { return };
                let expired = inner.book().take_idle(Which::Expired, Instant::now());
                join_all(expired.into_iter().map(|(relay, session)| inner.end(relay, session))).await;
            }
        });
    }

    /// The next expiry; without one, the reaper is noted as asleep before anybody can park again.
    fn next_expiry(&self) -> Option<Instant> {
        let mut reaper = self.reaper.lock().unwrap_or_else(PoisonError::into_inner);
        let expiry = self.book().next_expiry();
        if expiry.is_none() {
            *reaper = Reaper::Asleep;
        }
        expiry
    }
}

/// Whether a failure came while a connection was being opened.
#[derive(Debug, Clone, Copy)]
enum Connecting {
    Yes,
    No,
}
