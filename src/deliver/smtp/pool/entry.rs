//! One relay as the pool knows it: its sessions, its places, and whether it can be used.

use std::time::Duration;

use tokio::time::Instant;

use super::NoRelayKind;
use super::book::{Birth, Take};
use super::settings::WEEK_MS;
use crate::deliver::smtp::relay::Relay;

#[derive(Debug)]
pub(super) struct Entry<S> {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) connections_max: usize,
    pub(super) idle_max: Duration,
    /// Parked sessions, the last used at the end: it is taken first, so that surplus ones grow old and go.
    pub(super) idle: Vec<Idle<S>>,
    /// Sessions of mails that wait for their turn; whose turn comes first takes one. Never more than those that wait.
    pub(super) lent: Vec<Idle<S>>,
    /// Mails that have a place and wait for their turn.
    pub(super) waiting: usize,
    /// Places taken: by mails that wait, and by sessions checked out, being opened, or being ended.
    pub(super) in_use: usize,
    /// Smooth weighted round-robin: the relay with the largest goes next.
    pub(super) turn: i64,
    /// Whether a login succeeded since the last fault. Until then one connection at a time is tried, so that a
    /// wrong password is refused once and not once per waiting task.
    pub(super) proven: bool,
    pub(super) probing: bool,
    pub(super) block: Option<Block>,
    pub(super) generation: u64,
    pub(super) faults: u32,
    pub(super) backoffs: u32,
    pub(super) opened_count: u64,
    pub(super) reused_count: u64,
}

#[derive(Debug)]
pub(super) struct Idle<S> {
    pub(super) birth: Birth,
    pub(super) session: S,
    pub(super) since: Instant,
}

#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) kind: NoRelayKind,
    pub(super) until: Instant,
    pub(super) reason: String,
}

/// What one relay can do for a caller now.
pub(super) enum Ready {
    Reuse,
    Open,
    Busy(Option<Instant>),
    Blocked(Block),
}

impl<S> Entry<S> {
    pub(super) fn new(relay: &Relay) -> Self {
        Self {
            name: relay.name.clone(),
            weight: relay.weight,
            connections_max: relay.max_connections,
            idle_max: Duration::from_millis(relay.max_idle_ms.min(WEEK_MS)),
            idle: Vec::new(),
            lent: Vec::new(),
            waiting: 0,
            in_use: 0,
            turn: 0,
            proven: false,
            probing: false,
            block: None,
            generation: 0,
            faults: 0,
            backoffs: 0,
            opened_count: 0,
            reused_count: 0,
        }
    }

    pub(super) fn ready(&self, now: Instant) -> Ready {
        if let Some(block) = self.block_of(NoRelayKind::Paused, now) {
            return Ready::Blocked(block.clone());
        }
        if !self.idle.is_empty() {
            return Ready::Reuse;
        }
        if self.in_use >= self.connections_max {
            return Ready::Busy(None);
        }
        match self.opening(now) {
            // Somebody may bring a session back before new ones may be opened.
            Ready::Blocked(block) if self.in_use > 0 => Ready::Busy(Some(block.until)),
            ready => ready,
        }
    }

    /// Whether a new connection may be opened, apart from the cap.
    pub(super) fn opening(&self, now: Instant) -> Ready {
        match self.block.as_ref().filter(|block| block.until > now) {
            Some(block) => Ready::Blocked(block.clone()),
            None if !self.proven && self.probing => Ready::Busy(None),
            None => Ready::Open,
        }
    }

    pub(super) fn block_of(&self, kind: NoRelayKind, now: Instant) -> Option<&Block> {
        self.block.as_ref().filter(|block| block.kind == kind && block.until > now)
    }

    pub(super) fn take(&mut self, index: usize) -> Take<S> {
        self.in_use += 1;
        match self.idle.pop() {
            Some(idle) => Take::Reuse(index, idle.birth, idle.session),
            None => Take::Open(index, self.open()),
        }
    }

    pub(super) fn open(&mut self) -> Birth {
        let probe = !self.proven;
        self.probing |= probe;
        Birth { generation: self.generation, probe }
    }

    pub(super) fn distrust(&mut self) {
        self.proven = false;
        self.generation += 1;
    }
}
