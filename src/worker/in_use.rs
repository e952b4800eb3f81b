//! The engine in use: one for all that decide in this process, replaced as a whole.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::store::Store;
use crate::worker::assemble;
use crate::worker::engine::Engine;

/// Holds the engine in use. Clones share it.
#[derive(Debug, Clone)]
pub struct EngineInUse(Arc<ArcSwap<Engine>>);

impl From<Engine> for EngineInUse {
    fn from(engine: Engine) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(engine)))
    }
}

impl EngineInUse {
    /// The engine as of now; whoever has begun with it ends with it.
    pub fn get(&self) -> Arc<Engine> {
        self.0.load_full()
    }

    /// Takes up what was learnt of products and imported meanwhile: every so often everything that decides is put
    /// together anew. What does not load leaves the old one in use. Never returns.
    pub async fn refresh(self, store: Store, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            match assemble::engine(&self.get().config, &store).await {
                Ok(engine) => self.0.store(Arc::new(engine)),
                Err(error) => {
                    tracing::error!("cannot take up what was learnt, going on with what is here: {error}");
                }
            }
        }
    }
}
