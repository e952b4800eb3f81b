//! One writer for all requests: while one group is being committed, the next gathers. An answer comes after the commit.

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::http::problem::Problem;
use crate::ingest::segment::Entry;
use crate::store::Heard;
use crate::store::Store;
use crate::store::TakenIn;
use crate::store::Trust;

/// Requests that wait for a commit, at most; who comes then is told to come again.
const WAITING_REQUESTS_MAX: usize = 1_024;
/// Entries of one commit, about.
const ENTRIES_PER_COMMIT: usize = 2_000;

/// The way to the writer. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Intake(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    key: String,
    trust: Trust,
    entries: Vec<Entry>,
    answer: oneshot::Sender<Result<TakenIn, Problem>>,
}

impl Request {
    fn heard(&self) -> impl Iterator<Item = Heard<'_>> {
        self.entries.iter().map(|entry| Heard { entry, key: &self.key, trust: self.trust })
    }
}

impl Intake {
    /// Starts the writer; it ends when nobody can ask it any more.
    pub(super) fn start(store: Store, clock: Clock) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_REQUESTS_MAX);
        tokio::spawn(write(store, clock, receiver));
        Self(sender)
    }

    /// Takes entries in that came by this API key, in their order. When this returns they are committed, or nothing of them is.
    pub(super) async fn take_in(
        &self,
        key: String,
        trust: Trust,
        entries: Vec<Entry>,
    ) -> Result<TakenIn, Problem> {
        if entries.is_empty() {
            return Ok(TakenIn::default());
        }
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Request { key, trust, entries, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Problem::too_many(format!("{WAITING_REQUESTS_MAX} requests are waiting; send again later"))
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Problem {
    Problem::unavailable("the server is stopping; nothing was kept, send again")
}

async fn write(store: Store, clock: Clock, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.recv().await {
        let mut count = first.entries.len();
        let mut group = vec![first];
        while count < ENTRIES_PER_COMMIT {
            let Ok(next) = requests.try_recv() else { break };
            count += next.entries.len();
            group.push(next);
        }
        // In a task of its own: what makes one group panic must not end the writer of all that come after it.
        let committed = tokio::spawn(commit(store.clone(), clock.now(), group)).await;
        if let Err(error) = committed {
            tracing::error!(%error, "a group of requests could not be kept, and was not answered with 200");
        }
    }
}

async fn commit(store: Store, now: Timestamp, group: Vec<Request>) {
    let heard: Vec<Heard<'_>> = group.iter().flat_map(Request::heard).collect();
    match store.take_in(&heard, now).await {
        Ok(taken) => {
            for request in group {
                // A client that has gone away does not change what is kept.
                let _ = request.answer.send(Ok(taken));
            }
        }
        // One request that the database cannot take must not cost the others theirs.
        Err(error) if group.len() > 1 && !error.is_transient() => {
            for request in group {
                Box::pin(commit(store.clone(), now, vec![request])).await;
            }
        }
        Err(error) => {
            let problem = Problem::from(error);
            for request in group {
                let _ = request.answer.send(Err(problem.clone()));
            }
        }
    }
}
