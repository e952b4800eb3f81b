//! What all tasks of a worker share.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
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
use crate::store::Settlement;
use crate::store::Store;
use crate::worker::engine::Engine;
use crate::worker::in_work::InWork;
use crate::worker::journal::Journal;
use crate::worker::tally::Tally;

/// Of this many sends of a campaign, too many policy failures pause it.
const POLICY_SAMPLE: usize = 100;

/// What all tasks of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) engine: ArcSwap<Engine>,
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
    pub(super) freed: Notify,
    pub(super) held: Mutex<HashMap<SendId, LeaseToken>>,
    pub(super) empty_offers: Mutex<Vec<String>>,
    pub(super) saved_templates: Mutex<HashSet<TemplateHash>>,
    pub(super) policy_failures: Mutex<HashMap<CampaignId, Vec<bool>>>,
}

impl Shared {
    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    pub(super) fn in_hands(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn let_go<'a>(&self, sends: impl Iterator<Item = &'a SendId>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for send in sends {
            held.remove(send);
        }
        drop(held);
        self.freed.notify_one();
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
        self.empty_offers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn offer_is_empty(&self, offer: &str) {
        let mut empty = self.empty_offers.lock().unwrap_or_else(PoisonError::into_inner);
        if !empty.iter().any(|known| known == offer) {
            empty.push(offer.to_owned());
        }
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
        let failures = {
            let mut all = self.policy_failures.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = all.entry(campaign.clone()).or_default();
            recent.push(outcome.reason == "policy");
            if recent.len() < POLICY_SAMPLE {
                return;
            }
            let failures = recent.iter().filter(|failed| **failed).count();
            recent.remove(0);
            failures
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred")]
        let percent = failures as f64 * 100.0 / POLICY_SAMPLE as f64;
        if percent > self.settings.policy_failure_percent {
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
