//! A session out of the pool, and the slot that it holds.

use std::sync::Arc;
use std::time::Duration;

use lettre::address::Envelope;
use tokio::time::Instant;

use super::book::{Birth, Instead, Take};
use super::{Connecting, Inner, NoRelay, Pool};
use crate::deliver::smtp::failure::{Cause, Failure, Phase};
use crate::deliver::smtp::prepare::Prepared;
use crate::deliver::smtp::session::Session;
use crate::deliver::smtp::transaction::Begun;

/// The right to one connection with one relay; given back when dropped, wherever a future is abandoned.
#[derive(Debug)]
pub(super) struct Slot {
    inner: Arc<Inner>,
    relay: usize,
    birth: Option<Birth>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A mail waits for its turn.
    Waiting,
    /// A connection is being opened.
    Opening,
    /// It is open, or being ended.
    Held,
    /// The slot went back with its session.
    Parked,
}

impl Slot {
    /// Of a mail that waits for its turn, with the right to open a connection, or having lent its session.
    pub(super) fn waiting(inner: &Arc<Inner>, relay: usize, birth: Option<Birth>) -> Self {
        Self { inner: Arc::clone(inner), relay, birth, stage: Stage::Waiting }
    }

    pub(super) fn ending(inner: &Arc<Inner>, relay: usize) -> Self {
        Self { inner: Arc::clone(inner), relay, birth: None, stage: Stage::Held }
    }

    /// Opens the connection this slot was given for, and tells the book how it went.
    pub(super) async fn connect(mut self) -> Result<(Self, Session), Failure> {
        match Session::connect(&self.inner.connectors[self.relay]).await {
            Ok(session) => {
                self.stage = Stage::Held;
                if let Some(birth) = self.birth {
                    self.inner.book().opened(self.relay, birth);
                    if birth.probe {
                        self.inner.changed[self.relay].notify_waiters();
                    }
                }
                Ok((self, session))
            }
            Err(failure) => {
                self.inner.note_failure(self.relay, &failure, Connecting::Yes);
                Err(failure)
            }
        }
    }

    /// Gives the session to the next who asks; where nobody will, it ends.
    fn park(mut self, session: Session) {
        let Some(birth) = self.birth else { return };
        let left = self.inner.book().park(self.relay, birth, session, Instant::now());
        if let Some(session) = left {
            return self.end(session);
        }
        self.stage = Stage::Parked;
        self.inner.changed[self.relay].notify_one();
        self.inner.start_reaper();
    }

    /// Says QUIT in the background, and gives the slot back after it.
    fn end(self, session: Session) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                session.quit().await;
                drop(self);
            });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.stage == Stage::Parked {
            return;
        }
        let left = {
            let mut book = self.inner.book();
            if let (Stage::Opening | Stage::Waiting, Some(birth)) = (self.stage, self.birth) {
                book.not_opened(self.relay, birth);
            }
            if self.stage == Stage::Waiting {
                book.leave(self.relay, Instant::now())
            } else {
                book.release(self.relay);
                None
            }
        };
        if let Some(session) = left {
            return Self::ending(&self.inner, self.relay).end(session);
        }
        self.inner.changed[self.relay].notify_one();
        if self.stage == Stage::Waiting {
            self.inner.start_reaper();
        }
    }
}

/// The right to a session with one relay; given back when dropped. Which session that is, and whether one is opened, is
/// seen when it is wanted: so there are no more of them than mails whose turn has come.
#[derive(Debug)]
pub struct Held {
    slot: Slot,
}

impl Held {
    /// With a session that waits with it.
    pub(super) fn open(inner: &Arc<Inner>, relay: usize, birth: Birth, session: Session) -> Self {
        inner.book().wait(relay, Some((birth, session)), Instant::now());
        Self { slot: Slot::waiting(inner, relay, None) }
    }

    /// With the right to open one.
    pub(super) fn to_open(inner: &Arc<Inner>, relay: usize, birth: Birth) -> Self {
        inner.book().wait(relay, None, Instant::now());
        Self { slot: Slot::waiting(inner, relay, Some(birth)) }
    }

    /// The relay's name.
    pub fn relay_name(&self) -> &str {
        &self.slot.inner.connectors[self.slot.relay].relay().name
    }

    /// The session: one that is there, or a new one.
    ///
    /// # Errors
    ///
    /// When the relay cannot be connected to.
    pub async fn connect(self) -> Result<PooledSession, NoRelay> {
        let Self { mut slot } = self;
        let pool = Pool(Arc::clone(&slot.inner));
        let relay = slot.relay;
        let right = slot.birth.take();
        let instead = slot.inner.book().take_instead(relay, right, Instant::now());
        // What the right to open was ended by is not ended a second time.
        slot.stage = Stage::Held;
        match instead {
            Instead::Open(birth) => (slot.birth, slot.stage) = (Some(birth), Stage::Opening),
            Instead::None(none) => return Err(none),
            Instead::Reuse(birth, session) => {
                slot.birth = Some(birth);
                if right.is_some_and(|right| right.probe) {
                    slot.inner.changed[relay].notify_one();
                }
                return Ok(PooledSession { slot, session: Some(session), reused: Reused::Yes });
            }
        }
        match slot.connect().await {
            Ok((slot, session)) => Ok(PooledSession { slot, session: Some(session), reused: Reused::No }),
            Err(failure) => Err(pool.after_failure(relay, &failure)),
        }
    }

    /// Gives the right back; a session that came with it goes to the next who asks.
    pub fn give_back(self) {
        drop(self);
    }
}

/// A session checked out of a [`Pool`]. It goes back only by [`PooledSession::give_back`]; dropped, it is closed.
#[derive(Debug)]
pub struct PooledSession {
    slot: Slot,
    /// `None` only while a stale session is being replaced.
    session: Option<Session>,
    reused: Reused,
}

/// Whether the session was used before this checkout, and so may have been closed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reused {
    Yes,
    No,
}

impl PooledSession {
    /// The relay's name.
    pub fn relay_name(&self) -> &str {
        &self.slot.inner.connectors[self.slot.relay].relay().name
    }

    /// [`Session::begin`]; a session from the pool that the server closed meanwhile is replaced once by a new one.
    ///
    /// # Errors
    ///
    /// As [`Session::begin`]; of a phase before MAIL when the replacement could not be opened.
    pub async fn begin<'a>(
        &'a mut self,
        envelope: &Envelope,
        message: &'a Prepared,
    ) -> Result<Begun<'a>, Failure> {
        let connection = match self.session_mut()?.invite(envelope, message).await {
            Err(failure) if self.reused == Reused::Yes && is_stale(&failure) => {
                self.replace(failure).await?;
                self.session_mut()?.invite(envelope, message).await
            }
            other => other,
        };
        match connection {
            Ok(connection) => {
                // From here on something was said over it: what breaks now is no leftover of the last message.
                self.reused = Reused::No;
                Ok(Begun::new(self.session_mut()?, connection, message))
            }
            Err(failure) => {
                self.note_session_failure();
                Err(failure)
            }
        }
    }

    /// Opens another connection on the same slot, as soon as the relay may be connected to.
    async fn replace(&mut self, stale: Failure) -> Result<(), Failure> {
        self.session = None;
        let (inner, relay) = (Arc::clone(&self.slot.inner), self.slot.relay);
        if let Some(birth) = self.slot.birth {
            inner.book().was_stale(relay, birth);
        }
        let pool = Pool(Arc::clone(&inner));
        let Take::Open(_, birth) = pool.take(|book, now| book.take_replacement(relay, now)).await else {
            return Err(stale);
        };
        // The slot is ours already; only the opening is new, and ends with this guard if we are dropped.
        let opening = Opening { inner: &inner, relay, birth };
        let result = Session::connect(&inner.connectors[relay]).await;
        drop(opening);
        let session = result.inspect_err(|failure| inner.note_failure(relay, failure, Connecting::Yes))?;
        inner.book().opened(relay, birth);
        inner.changed[relay].notify_waiters();
        self.slot.birth = Some(birth);
        self.session = Some(session);
        self.reused = Reused::No;
        Ok(())
    }

    /// Puts the session back for the next checkout. To be called whenever the outcome is known, after a refusal
    /// too: only a session in a known state goes back, and one that has carried enough messages or is old enough
    /// says QUIT in the background instead.
    pub fn give_back(mut self) {
        self.note_session_failure();
        let Self { slot, session, .. } = self;
        let Some(session) = session.filter(Session::is_usable) else { return };
        let relay = slot.inner.connectors[slot.relay].relay();
        let worn = session.messages_count() >= relay.max_messages_per_connection
            || session.age() >= Duration::from_millis(relay.max_connection_age_ms);
        if worn { slot.end(session) } else { slot.park(session) }
    }

    fn note_session_failure(&mut self) {
        if let Some(failure) = self.session.as_mut().and_then(|session| session.last_failure.take()) {
            self.slot.inner.note_failure(self.slot.relay, &failure, Connecting::No);
        }
    }

    fn session_mut(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or(Failure::Broken { phase: Phase::Mail, cause: Cause::Closed })
    }
}

/// The right to open a replacement, while it is being opened.
struct Opening<'a> {
    inner: &'a Inner,
    relay: usize,
    birth: Birth,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.inner.book().not_opened(self.relay, self.birth);
    }
}

/// Whether a reused session was closed by the server before it took MAIL: nothing of the message was said.
fn is_stale(failure: &Failure) -> bool {
    match failure {
        Failure::Broken { phase: Phase::Mail, cause } => !matches!(cause, Cause::Timeout(_)),
        Failure::Refused { phase: Phase::Mail, reply } => reply.code == 421,
        _ => false,
    }
}
