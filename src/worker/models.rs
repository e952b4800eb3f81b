//! The published model of the learning policy: taken anew by a running worker, without a restart.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::campaign::CampaignId;
use crate::select::features::CampaignTraits;
use crate::select::learnt::POLICY_MODEL;
use crate::select::learnt::PolicyBody;
use crate::select::learnt::PolicyModel;
use crate::select::learnt::UnusableModel;
use crate::store::Error;
use crate::store::Store;
use crate::store::StoredModel;
use crate::worker::engine::Engine;
use crate::worker::guard;
use crate::worker::guard::OpenRing;

/// How often a worker looks for a newer model.
pub const MODEL_POLL_MS: i64 = 5_000;

/// Why a stored model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The model.
    #[error(transparent)]
    Model(#[from] UnusableModel),
}

/// The model that decisions are made with.
#[derive(Debug)]
pub struct PolicyHolder {
    traits: Vec<CampaignTraits>,
    current: ArcSwapOption<PolicyModel>,
    /// When a newer one was last looked for, milliseconds. Whoever comes while somebody looks waits for what is found:
    /// nothing is decided without the model and the rings that are there.
    looked_at: Mutex<Option<i64>>,
    /// The widest open ring of campaigns with a pilot.
    pub(super) rings: ArcSwap<HashMap<CampaignId, OpenRing>>,
}

impl PolicyHolder {
    /// For the variants of one catalogue, without a model yet.
    pub fn new(traits: Vec<CampaignTraits>) -> Self {
        Self {
            traits,
            current: ArcSwapOption::empty(),
            looked_at: Mutex::default(),
            rings: ArcSwap::default(),
        }
    }

    /// The variants of the catalogue.
    pub fn traits(&self) -> &[CampaignTraits] {
        &self.traits
    }

    /// The model now; `None` before the first was published.
    pub fn current(&self) -> Option<Arc<PolicyModel>> {
        self.current.load_full()
    }

    /// Uses this model from now on.
    ///
    /// # Errors
    /// When it cannot be read: the one before stays.
    pub fn take(&self, stored: &StoredModel) -> Result<(), UnusableModel> {
        let body = PolicyBody::parse(&stored.version, &stored.body)?;
        self.current.store(Some(Arc::new(PolicyModel::new(&stored.version, body, &self.traits)?)));
        Ok(())
    }
}

impl Engine {
    /// Takes the newest published model, if it is not the one in use, and what is open of pilots, at most every
    /// [`MODEL_POLL_MS`].
    ///
    /// # Errors
    /// When the database does not answer or the model cannot be read: the one in use stays.
    pub async fn refresh_policy(&self, store: &Store, now: Timestamp) -> Result<(), ModelError> {
        let now_ms = now.as_millisecond();
        let mut looked_at = self.policy.looked_at.lock().await;
        if looked_at.is_some_and(|before| (before..before + MODEL_POLL_MS).contains(&now_ms)) {
            return Ok(());
        }
        *looked_at = Some(now_ms);
        self.policy.rings.store(Arc::new(guard::open_rings(store, &self.catalog).await?));
        let newest = store.newest_model_version(POLICY_MODEL).await?;
        let current = self.policy.current();
        if newest.as_deref() == current.as_ref().map(|model| model.version.as_str()) {
            return Ok(());
        }
        let Some(version) = newest else { return Ok(()) };
        if let Some(stored) = store.model(POLICY_MODEL, &version).await? {
            self.policy.take(&stored)?;
            tracing::info!(version, "decisions are made with policy model {version} from now on");
        }
        Ok(())
    }
}
