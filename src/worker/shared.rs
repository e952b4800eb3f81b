//! What all tasks of a worker share.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::campaign::CampaignId;
use crate::clock::Clock;
use crate::config::Worker as WorkerSettings;
use crate::decision::TemplateHash;
use crate::deliver::domain::DomainGroups;
use crate::deliver::limit::Limiter;
use crate::deliver::transport::Transport;
use crate::metrics::Metrics;
use crate::send::LeaseToken;
use crate::send::Outcome;
use crate::send::SendId;
use crate::send::State;
use crate::store::Orphans;
use crate::store::Settlement;
use crate::store::Store;
use crate::worker::engine::Engine;
use crate::worker::in_use::EngineInUse;
use crate::worker::in_work::InWork;
use crate::worker::journal::Journal;
use crate::worker::tally::Tally;

/// Of this many sends of a campaign, too many policy failures pause it.
const POLICY_SAMPLE: usize = 100;
/// An offer whose coupons had run out is asked for again after this long: somebody may have imported more.
const EMPTY_OFFER_KEPT: Duration = Duration::from_mins(1);

/// Mails that were put back for want of room are looked for so often: they come back within the second.
const PUT_BACK_POLL: Duration = Duration::from_millis(50);

/// How many mails can be on their way at once: as many as are in flight, and not more than there are connections.
pub(super) fn places(settings: &WorkerSettings, transport: &Transport) -> usize {
    match transport {
        Transport::Smtp(pool) => {
            let connections = pool.status().iter().map(|relay| relay.connections_max).sum();
            settings.in_flight.min(connections)
        }
        Transport::Directory(_) | Transport::Memory(_) => settings.in_flight,
    }
}

/// What all tasks of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) engine: EngineInUse,
    pub(super) transport: Transport,
    pub(super) limiter: Limiter,
    pub(super) groups: DomainGroups,
    pub(super) journal: Journal,
    pub(super) in_work: InWork,
    pub(super) clock: Clock,
    pub(super) settings: WorkerSettings,
    pub(super) tally: Arc<Tally>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) slots: Semaphore,
    pub(super) hands: Hands,
    /// Told when there is room for a claim in our hands, and when nothing is in them any more.
    pub(super) freed: Notify,
    pub(super) held: Mutex<HashMap<SendId, LeaseToken>>,
    pub(super) empty_offers: Mutex<EmptyOffers>,
    pub(super) saved_templates: Mutex<HashSet<TemplateHash>>,
    pub(super) policy_failures: Mutex<HashMap<CampaignId, Vec<bool>>>,
}

/// How many sends a worker has in its hands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hands {
    /// At most.
    pub(super) most: usize,
    /// It claims when there is room for so many.
    pub(super) claimed_at_least: usize,
}

impl Hands {
    /// So much beyond what is in flight that no slot waits while the next claim is decided, and that claims are
    /// large: most of what they cost is by claim. Under a slow rate, in mails per second, only what goes out within
    /// two seconds, so that transactional mail that comes later overtakes the rest.
    pub(super) fn new(settings: &WorkerSettings, rate: Option<f64>) -> Self {
        let (in_flight, batch) = (settings.in_flight, settings.batch);
        let most = in_flight * 2 + (batch * 2).min(in_flight * 8);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and capped")]
        let most = rate.map_or(most, |rate| most.min((rate * 2.0) as usize + 4));
        Self { most, claimed_at_least: batch.min(most.div_ceil(3)) }
    }

    /// Whether somebody should be told that `before` came down to `after`.
    fn made_room(self, before: usize, after: usize) -> bool {
        let room_at = self.most - self.claimed_at_least;
        after == 0 || (after <= room_at && room_at < before)
    }
}

impl Shared {
    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.get()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// When an idle worker looks for work that nobody tells it of.
    pub(super) fn look_again_after(&self) -> Duration {
        let usual = Duration::from_millis(self.settings.poll_ms);
        if self.limiter.is_waited_for() { usual.min(PUT_BACK_POLL) } else { usual }
    }

    /// What others left behind, as we know the relays.
    pub(super) fn orphans(&self) -> Orphans<'static> {
        let margin_ms = i64::from(self.settings.orphan_margin_seconds) * 1_000;
        Orphans::LeaseEnded { on_wire_ms: self.transport.on_wire_ms(), margin_ms }
    }

    pub(super) fn in_hands(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn let_go<'a>(&self, sends: impl Iterator<Item = &'a SendId>) {
        let (before, after) = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let before = held.len();
            for send in sends {
                held.remove(send);
            }
            (before, held.len())
        };
        if self.hands.made_room(before, after) {
            self.freed.notify_one();
        }
    }

    pub(super) async fn settle(&self, settlement: Settlement) {
        self.tally.count(&settlement.outcome);
        let group = settlement.to.as_ref().map_or("-", |to| self.groups.group(to.domain()));
        let outcome = &settlement.outcome;
        self.metrics.outcome(outcome.state.as_str(), &outcome.reason, group);
        let send = settlement.send.clone();
        self.journal.settle(settlement).await;
        self.let_go(std::iter::once(&send));
    }

    pub(super) fn empty_offers(&self) -> Vec<String> {
        self.empty_offers.lock().unwrap_or_else(PoisonError::into_inner).known(Instant::now())
    }

    pub(super) fn offer_is_empty(&self, offer: &str) {
        let mut empty = self.empty_offers.lock().unwrap_or_else(PoisonError::into_inner);
        empty.found(offer, Instant::now());
    }

    pub(super) fn unsaved(&self, hashes: HashSet<TemplateHash>) -> Vec<TemplateHash> {
        let saved = self.saved_templates.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.into_iter().filter(|hash| !saved.contains(hash)).collect()
    }

    pub(super) fn saved(&self, hashes: impl Iterator<Item = TemplateHash>) {
        self.saved_templates.lock().unwrap_or_else(PoisonError::into_inner).extend(hashes);
    }

    /// Pauses a campaign of whose last hundred sends too many failed by policy: its content, or our standing, is
    /// at fault, and more of the same makes it worse.
    pub(super) async fn watch_policy(&self, campaign: &CampaignId, outcome: &Outcome) {
        if !matches!(outcome.state, State::Sent | State::Failed) {
            return;
        }
        let too_many = {
            let mut all = self.policy_failures.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = all.entry(campaign.clone()).or_default();
            too_many(recent, outcome.reason == "policy", self.settings.policy_failure_percent)
        };
        if let Some(percent) = too_many {
            let reason = format!(
                "{percent:.0} % of the last {POLICY_SAMPLE} sends failed by policy; last: {}",
                outcome.detail
            );
            tracing::error!(campaign = %campaign, "pausing campaign {campaign}: {reason}");
            if let Err(error) = self.store.pause_campaign(campaign, &reason, self.clock.now()).await {
                tracing::error!("cannot pause campaign {campaign}: {error}");
            }
        }
    }
}

/// Adds one more to what happened lately. `Some`: the percentage that failed is above `percent_max`. What happened
/// until then is forgotten, so that a campaign that somebody resumes is judged by what happens from then on.
fn too_many(recent: &mut Vec<bool>, failed: bool, percent_max: f64) -> Option<f64> {
    recent.push(failed);
    if recent.len() < POLICY_SAMPLE {
        return None;
    }
    let failures = recent.iter().filter(|failed| **failed).count();
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
    let percent = failures as f64 * 100.0 / POLICY_SAMPLE as f64;
    if percent > percent_max {
        recent.clear();
        return Some(percent);
    }
    recent.remove(0);
    None
}

/// Offers whose coupons had run out when somebody asked for one, and when that was.
#[derive(Debug, Default)]
pub(super) struct EmptyOffers(Vec<(String, Instant)>);

impl EmptyOffers {
    fn found(&mut self, offer: &str, now: Instant) {
        self.0.retain(|(known, _)| known != offer);
        self.0.push((offer.to_owned(), now));
    }

    fn known(&mut self, now: Instant) -> Vec<String> {
        self.0.retain(|(_, since)| now.saturating_duration_since(*since) < EMPTY_OFFER_KEPT);
        self.0.iter().map(|(offer, _)| offer.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_that_was_resumed_is_judged_by_what_happens_from_then_on() {
        let mut recent = Vec::new();
        let mut judge = |failed| too_many(&mut recent, failed, 5.0);
        let found: Vec<_> = (0..100).map(|n| judge(n < 6)).collect();
        assert!(found[..99].iter().all(Option::is_none));
        assert_eq!(found[99], Some(6.0));
        assert!((0..99).all(|_| judge(false).is_none()), "the six are forgotten");
        assert!((0..5).all(|_| judge(true).is_none()), "five of the last hundred are allowed");
        assert_eq!(judge(true), Some(6.0));
    }

    #[test]
    fn who_claims_is_woken_when_there_is_room_for_a_claim_and_when_all_is_done() {
        let hands = Hands::new(&WorkerSettings::default(), None);
        assert_eq!((hands.most, hands.claimed_at_least), (600, 200));
        let told: Vec<usize> = (0..600).rev().filter(|after| hands.made_room(after + 1, *after)).collect();
        assert_eq!(told, [400, 0]);
        let slow = Hands::new(&WorkerSettings::default(), Some(1.0));
        assert_eq!((slow.most, slow.claimed_at_least), (6, 2));
    }

    #[test]
    fn an_offer_is_asked_for_again_after_a_minute() {
        let mut empty = EmptyOffers::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        empty.found("spring", at(0));
        empty.found("summer", at(30));
        assert_eq!(empty.known(at(59)), ["spring", "summer"]);
        assert_eq!(empty.known(at(60)), ["summer"]);
        empty.found("summer", at(80));
        assert_eq!(empty.known(at(139)), ["summer"]);
        assert_eq!(empty.known(at(140)), [""; 0]);
    }
}
