//! Who may use which relay now: the pool's state, without sockets and without a clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Block, Entry, Idle, Ready};
use super::settings::{PoolSettings, doubled};
use super::{NoRelay, NoRelayKind, RelayCondition, RelayStatus};
use crate::deliver::smtp::relay::Relay;

/// What a caller who wants a session does next.
#[derive(Debug)]
pub(super) enum Take<S> {
    /// Use this one.
    Reuse(usize, Birth, S),
    /// Open one.
    Open(usize, Birth),
    /// Wait for a change of one of these relays, or until the time.
    Wait(Vec<usize>, Option<Instant>),
    /// There is none.
    None(NoRelay),
}

/// What became meanwhile of the right to open a connection.
#[derive(Debug)]
pub(super) enum Instead<S> {
    /// Somebody brought this one back.
    Reuse(Birth, S),
    /// Open one.
    Open(Birth),
    /// The relay may not be connected to any more.
    None(NoRelay),
}

/// When a session was opened, counted in changes of its relay's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Birth {
    pub(super) generation: u64,
    /// Whether this is the one connection that tries out a relay of unknown standing.
    pub(super) probe: bool,
}

/// All relays. `S` is the session; tests use something simpler.
///
/// Invariant: for each relay, sessions in use and idle together are at most its `max_connections`.
#[derive(Debug)]
pub(super) struct Book<S> {
    relays: Vec<Entry<S>>,
    settings: PoolSettings,
    pub(super) closed: bool,
}

impl<S> Book<S> {
    pub(super) fn new<'a>(relays: impl Iterator<Item = &'a Relay>, settings: PoolSettings) -> Self {
        let relays = relays.map(Entry::new).collect();
        Self { relays, settings, closed: false }
    }

    /// Gives a session, or the right to open one; either takes a slot that [`Book::release`] or [`Book::park`]
    /// gives back.
    pub(super) fn take(&mut self, now: Instant, eligible: &dyn Fn(&str) -> bool) -> Take<S> {
        if self.closed {
            return Take::None(NoRelay::closed());
        }
        let mut blocks = Vec::new();
        // Relays of weight 0 come second: they serve only while no other is usable.
        for weighted in [true, false] {
            let (mut waiting, mut until, mut best) = (Vec::new(), None, None);
            let mut total = 0;
            for index in 0..self.relays.len() {
                let entry = &mut self.relays[index];
                if (entry.weight > 0) != weighted || !eligible(&entry.name) {
                    continue;
                }
                match entry.ready(now) {
                    Ready::Reuse | Ready::Open => {
                        let weight = i64::from(entry.weight.max(1));
                        total += weight;
                        entry.turn += weight;
                        if best.is_none_or(|(_, turn)| entry.turn > turn) {
                            best = Some((index, entry.turn));
                        }
                    }
                    Ready::Busy(end) => {
                        waiting.push(index);
                        until = until.into_iter().chain(end).min();
                    }
                    Ready::Blocked(block) => blocks.push((index, block)),
                }
            }
            if let Some((index, _)) = best {
                self.relays[index].turn -= total;
                return self.relays[index].take(index);
            }
            if !waiting.is_empty() {
                return Take::Wait(waiting, until);
            }
        }
        Take::None(self.no_relay(now, &blocks))
    }

    fn no_relay(&self, now: Instant, blocks: &[(usize, Block)]) -> NoRelay {
        let paused = blocks.iter().any(|(_, block)| block.kind == NoRelayKind::Paused);
        let reasons: Vec<_> = blocks
            .iter()
            .map(|(index, block)| format!("{}: {}", self.relays[*index].name, block.reason))
            .collect();
        let until = blocks.iter().map(|(_, block)| block.until).min();
        match until {
            None => NoRelay {
                kind: NoRelayKind::NoneEligible,
                reason: "no relay may be used for this".to_owned(),
                retry_after: Duration::from_millis(self.settings.backoff_first_ms),
            },
            Some(until) => NoRelay {
                kind: if paused { NoRelayKind::Paused } else { NoRelayKind::BackingOff },
                reason: reasons.join("; "),
                retry_after: until.saturating_duration_since(now),
            },
        }
    }

    /// A mail that was given a place begins to wait for its turn, and lends the session that came with it.
    pub(super) fn wait(&mut self, relay: usize, lent: Option<(Birth, S)>, now: Instant) {
        let entry = &mut self.relays[relay];
        entry.waiting += 1;
        entry.lent.extend(lent.map(|(birth, session)| Idle { birth, session, since: now }));
    }

    /// A mail that waited goes without having had its turn, and gives its place back. A session that nobody is left to
    /// use is there for the next who asks; after the end it goes to whoever left.
    pub(super) fn leave(&mut self, relay: usize, now: Instant) -> Option<S> {
        let entry = &mut self.relays[relay];
        entry.waiting = entry.waiting.saturating_sub(1);
        let session = if entry.lent.len() > entry.waiting { entry.lent.pop() } else { None };
        if self.closed && session.is_some() {
            // The place goes back once it has ended.
            return session.map(|idle| idle.session);
        }
        entry.in_use = entry.in_use.saturating_sub(1);
        entry.idle.extend(session.map(|idle| Idle { since: now, ..idle }));
        None
    }

    /// The turn of a mail that waited has come: it gets a session that somebody lent or gave back, or what the relay
    /// allows by now. A right to open a connection, `birth`, that it was given a while ago ends.
    pub(super) fn take_instead(&mut self, relay: usize, birth: Option<Birth>, now: Instant) -> Instead<S> {
        if let Some(birth) = birth {
            self.not_opened(relay, birth);
        }
        let entry = &mut self.relays[relay];
        entry.waiting = entry.waiting.saturating_sub(1);
        if entry.block_of(NoRelayKind::Paused, now).is_none()
            && let Some(idle) = entry.lent.pop().or_else(|| entry.idle.pop())
        {
            entry.reused_count += 1;
            return Instead::Reuse(idle.birth, idle.session);
        }
        match entry.opening(now) {
            Ready::Open => Instead::Open(entry.open()),
            Ready::Blocked(block) => Instead::None(self.no_relay(now, &[(relay, block)])),
            _ => Instead::None(self.no_relay(now, &[])),
        }
    }

    /// Whether a session that holds a slot of `relay` may be replaced by a new connection now.
    pub(super) fn take_replacement(&mut self, relay: usize, now: Instant) -> Take<S> {
        let entry = &mut self.relays[relay];
        match entry.opening(now) {
            Ready::Open => Take::Open(relay, entry.open()),
            Ready::Busy(until) => Take::Wait(vec![relay], until),
            Ready::Blocked(block) => Take::None(self.no_relay(now, &[(relay, block)])),
            Ready::Reuse => Take::Wait(vec![relay], None),
        }
    }

    /// A login succeeded.
    pub(super) fn opened(&mut self, relay: usize, birth: Birth) {
        let entry = &mut self.relays[relay];
        entry.opened_count += 1;
        if birth.probe {
            entry.probing = false;
        }
        if birth.generation == entry.generation {
            entry.proven = true;
            entry.block = None;
            entry.backoffs = 0;
        }
    }

    /// A connection could not be opened, and the right to open it ends; the slot is released separately.
    pub(super) fn not_opened(&mut self, relay: usize, birth: Birth) {
        if birth.probe {
            self.relays[relay].probing = false;
        }
    }

    /// Blocks a relay after a fault: wholly when paused, else only for new connections. Whether it was not blocked so
    /// already.
    pub(super) fn block(&mut self, relay: usize, kind: NoRelayKind, reason: String, now: Instant) -> bool {
        let settings = self.settings;
        let entry = &mut self.relays[relay];
        let current = entry.block.as_ref().filter(|block| block.until > now).map(|block| block.kind);
        // Of many connections that fail together only the first counts.
        if current == Some(kind) || current == Some(NoRelayKind::Paused) {
            return false;
        }
        let wait_ms = if kind == NoRelayKind::Paused {
            entry.faults += 1;
            doubled(settings.pause_first_ms, entry.faults, settings.pause_max_ms)
        } else {
            entry.backoffs += 1;
            doubled(settings.backoff_first_ms, entry.backoffs, settings.backoff_max_ms)
        };
        entry.block = Some(Block { kind, until: now + Duration::from_millis(wait_ms), reason });
        entry.distrust();
        if kind == NoRelayKind::Paused {
            entry.idle.clear();
            entry.lent.clear();
        }
        true
    }

    /// A parked session turned out to be closed: the relay may have restarted, so the next login is tried alone.
    pub(super) fn was_stale(&mut self, relay: usize, birth: Birth) {
        let entry = &mut self.relays[relay];
        if birth.generation == entry.generation && entry.proven {
            entry.distrust();
        }
    }

    /// Lifts a pause or back-off.
    pub(super) fn resume(&mut self, name: &str) -> Option<usize> {
        let index = self.relays.iter().position(|entry| entry.name == name)?;
        self.relays[index].block = None;
        Some(index)
    }

    /// Takes a session back for the next caller. After the end there is none: it stays with whoever brought it.
    pub(super) fn park(&mut self, relay: usize, birth: Birth, session: S, now: Instant) -> Option<S> {
        if self.closed {
            return Some(session);
        }
        let entry = &mut self.relays[relay];
        entry.in_use = entry.in_use.saturating_sub(1);
        entry.faults = 0;
        entry.idle.push(Idle { birth, session, since: now });
        None
    }

    /// Gives a slot back without its session.
    pub(super) fn release(&mut self, relay: usize) {
        let entry = &mut self.relays[relay];
        entry.in_use = entry.in_use.saturating_sub(1);
    }

    /// Takes out the sessions that were idle for too long, or all; each keeps its slot until it is released.
    pub(super) fn take_idle(&mut self, which: Which, now: Instant) -> Vec<(usize, S)> {
        let mut taken = Vec::new();
        for (index, entry) in self.relays.iter_mut().enumerate() {
            let old = match which {
                Which::All => entry.idle.len(),
                // Parked in the order of time, so the old ones are in front.
                Which::Expired => entry.idle.partition_point(|idle| idle.since + entry.idle_max <= now),
            };
            entry.in_use += old;
            taken.extend(entry.idle.drain(..old).map(|idle| (index, idle.session)));
        }
        taken
    }

    /// When the next idle session will have been idle for too long.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.relays.iter().filter_map(|entry| Some(entry.idle.first()?.since + entry.idle_max)).min()
    }

    pub(super) fn status(&self, now: Instant) -> Vec<RelayStatus> {
        let status = |entry: &Entry<S>| {
            let block = entry.block.as_ref().filter(|block| block.until > now);
            let condition = match block {
                None => RelayCondition::Up,
                Some(block) => {
                    let (reason, for_at_most) = (block.reason.clone(), block.until - now);
                    match block.kind {
                        NoRelayKind::Paused => RelayCondition::Paused { reason, for_at_most },
                        _ => RelayCondition::BackingOff { reason, for_at_most },
                    }
                }
            };
            RelayStatus {
                name: entry.name.clone(),
                open: entry.in_use + entry.lent.len() + entry.idle.len() - entry.waiting,
                idle: entry.idle.len(),
                connections_max: entry.connections_max,
                opened_count: entry.opened_count,
                reused_count: entry.reused_count,
                condition,
            }
        };
        self.relays.iter().map(status).collect()
    }
}

/// Which idle sessions to take out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    All,
    Expired,
}
