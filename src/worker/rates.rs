//! Reserves this worker's share of the rates from the database, for as long as somebody wants to send; and tells and
//! learns which hosts ask for patience.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::send::State;
use crate::store::Error;
use crate::worker::shared::Shared;

/// While mail goes out, slots are reserved this often.
const ROUND: Duration = Duration::from_millis(100);
/// However many wait, the database is not asked more often than this.
const GAP: Duration = Duration::from_millis(10);
/// After a fault it is asked again after this long.
const RETRY: Duration = Duration::from_millis(500);
/// What other workers learnt about hosts is looked up this often.
const LOOK: Duration = Duration::from_secs(2);
/// A worker says this often that it sends …
const HEARTBEAT: Duration = Duration::from_secs(10);
/// … counts as one that does for this long after that …
const ALIVE_MS: i64 = 30_000;
/// … and is forgotten after this long.
const FORGET_MS: i64 = 3_600_000;

/// The worker's side of what all of them share.
pub(super) struct Rates {
    shared: Arc<Shared>,
    /// Names this start of a worker.
    id: String,
    looked: Option<Instant>,
    heard: Option<Instant>,
    workers: u32,
    sent: u64,
    failing: bool,
}

impl Rates {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self { shared, id, looked: None, heard: None, workers: 1, sent: 0, failing: false }
    }

    /// Never returns. A worker whose reservations fail has no slots soon after, and sends nothing more.
    pub(super) async fn reserve(mut self) {
        loop {
            let round = if self.shared.limiter.is_in_use() { ROUND } else { LOOK };
            tokio::select! {
                () = self.shared.limiter.asked() => {}
                () = tokio::time::sleep(round) => {}
            }
            let gap = match self.round().await {
                Ok(()) => GAP,
                Err(error) if !self.failing => {
                    self.failing = true;
                    tracing::error!(
                        "cannot reserve a share of the rates, sending nothing until then: {error}"
                    );
                    RETRY
                }
                Err(_) => RETRY,
            };
            tokio::time::sleep(gap).await;
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        self.tell_and_learn().await?;
        let limiter = &self.shared.limiter;
        let wants = limiter.wants();
        if !wants.is_empty() {
            let granted = self.shared.store.reserve(&wants, self.shared.clock.now()).await?;
            wants.iter().zip(&granted).for_each(|(wanted, granted)| limiter.grant(&wanted.key, granted));
        }
        self.failing = false;
        Ok(())
    }

    /// Tells which hosts asked for patience, and learns what others were told.
    pub(super) async fn tell_and_learn(&mut self) -> Result<(), Error> {
        let (store, limiter) = (&self.shared.store, &self.shared.limiter);
        let now = self.shared.clock.now();
        let refusals = limiter.refusals();
        if refusals.is_empty() && self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        for refusal in &refusals {
            if store.throttle(refusal, now).await? {
                let (group, rate) = (&refusal.group, refusal.rate);
                tracing::warn!(
                    group,
                    rate,
                    "{group} asks for patience: {rate:.2} mails a second from now on"
                );
            }
            limiter.told(refusal);
        }
        let sent = self.shared.tally.of(State::Sent);
        if sent != self.sent && self.heard.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            self.workers = store.heartbeat(&self.id, ALIVE_MS, FORGET_MS, now).await?;
            self.sent = sent;
            self.heard = Some(Instant::now());
        }
        limiter.know(store.throttled(now).await?, self.workers);
        self.looked = Some(Instant::now());
        Ok(())
    }
}
