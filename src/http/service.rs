//! What every handler works with.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::http::bounces::Certificates;
use crate::http::decide::DecisionLog;
use crate::http::intake::Intake;
use crate::http::pace::Pace;
use crate::metrics::Metrics;
use crate::store::ApiKey;
use crate::store::Error;
use crate::store::Store;
use crate::worker::engine::Engine;
use crate::worker::in_use::EngineInUse;

/// A revoked key is refused after this long at the latest, by every process.
const KEY_CACHE: SignedDuration = SignedDuration::from_secs(5);
/// Keys that are remembered at once, at most.
const KEY_CACHE_MAX: usize = 1_024;

/// The database, everything that decides and renders, and the clock. Clones share it.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    engine: EngineInUse,
    clock: Clock,
    intake: Intake,
    decisions: DecisionLog,
    pace: Pace,
    certificates: Certificates,
    metrics: ArcSwap<Metrics>,
    keys: Mutex<HashMap<String, (Timestamp, ApiKey)>>,
}

impl Service {
    /// A service that is not yet listening. Starts the writer of what comes in, so it wants a runtime.
    pub fn new(store: Store, engine: impl Into<EngineInUse>, clock: Clock) -> Self {
        let decisions = DecisionLog::start(store.clone());
        let intake = Intake::start(store.clone(), clock.clone());
        let engine = engine.into();
        let pace = Pace::per_minute(engine.get().config.http.requests_per_minute_per_key);
        Self(Arc::new(Inner {
            store,
            engine,
            pace,
            clock,
            intake,
            certificates: Certificates::default(),
            decisions,
            metrics: ArcSwap::from_pointee(Metrics::default()),
            keys: Mutex::default(),
        }))
    }

    /// The way of what people are and do into the database.
    pub(super) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// Certificates of Amazon that were fetched.
    pub(super) fn certificates(&self) -> &Certificates {
        &self.0.certificates
    }

    /// How fast a key may ask.
    pub(super) fn pace(&self) -> &Pace {
        &self.0.pace
    }

    /// The way of decisions for other channels into the database.
    pub(super) fn decisions(&self) -> &DecisionLog {
        &self.0.decisions
    }

    /// What is counted and measured here.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.load_full()
    }

    /// Counts together with others of this process from now on.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        self.0.metrics.store(metrics);
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Everything that decides and renders, as of now; a request keeps the one it began with.
    pub fn engine(&self) -> Arc<Engine> {
        self.0.engine.get()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The row of a key, at most [`KEY_CACHE`] old.
    pub(super) async fn api_key(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        let now = self.now();
        let remembered = {
            let keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(id).filter(|(since, _)| now.duration_since(*since).abs() < KEY_CACHE).cloned()
        };
        if let Some((_, key)) = remembered {
            return Ok(Some(key));
        }
        let found = self.0.store.api_key(id).await?;
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEY_CACHE_MAX {
            keys.clear();
        }
        match &found {
            Some(key) => keys.insert(id.to_owned(), (now, key.clone())),
            None => keys.remove(id),
        };
        Ok(found)
    }
}
