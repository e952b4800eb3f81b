//! Decisions on their way into the database: while one group is being committed, the next gathers.

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::decision::Decision;
use crate::http::problem::Problem;
use crate::store::Store;

/// Decisions that wait for a commit, at most; who comes then is told to come again.
const WAITING_MAX: usize = 1_024;
/// Decisions of one commit, at most.
const GROUP_MAX: usize = 256;

/// The way to the writer. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::http) struct DecisionLog(mpsc::Sender<Entry>);

type Entry = (Decision, oneshot::Sender<Result<(), Problem>>);

impl DecisionLog {
    /// Starts the writer; it ends when nobody can ask it any more.
    pub(in crate::http) fn start(store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(store, receiver));
        Self(sender)
    }

    /// Keeps a decision. When this returns it is committed.
    pub(super) async fn keep(&self, decision: Decision) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send((decision, answer)).map_err(|_| {
            Problem::unavailable(format!("{WAITING_MAX} decisions are waiting, or the server is stopping"))
        })?;
        answered.await.unwrap_or_else(|_| Err(Problem::unavailable("the server is stopping")))
    }
}

async fn write(store: Store, mut entries: mpsc::Receiver<Entry>) {
    let mut group = Vec::new();
    while entries.recv_many(&mut group, GROUP_MAX).await > 0 {
        let (decisions, answers): (Vec<Decision>, Vec<_>) = group.drain(..).unzip();
        let store = store.clone();
        // In a task of its own, so that a panic costs these decisions and none that come after them.
        let saved = tokio::spawn(async move { store.save_web_decisions(&decisions).await }).await;
        let saved = match saved {
            Ok(saved) => saved.map(|_| ()).map_err(Problem::from),
            Err(error) => {
                tracing::error!(%error, "decisions could not be kept");
                Err(Problem::unavailable("the decision could not be kept"))
            }
        };
        for answer in answers {
            // Who has gone away need not know.
            let _ = answer.send(saved.clone());
        }
    }
}
