//! What one worker does for all: planning and learning, on time, by whoever leads.
//!
//! Every worker of a database stands for both roles. The database has one leader of a role at a time; when it ends or
//! is cut off, another takes over within about fifteen seconds. Two that lead for a moment harm nobody: planning twice
//! adds nothing, and of two models the newer one is used.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::store::Candidate;
use crate::store::Role;
use crate::store::Store;
use crate::words::counted;
use crate::worker::guard;
use crate::worker::plan::Horizon;
use crate::worker::plan::Planned;
use crate::worker::plan::plan;
use crate::worker::shared::Shared;

/// Who does not lead asks again after this long, and who leads looks whether it still does.
const ELECTION: Duration = Duration::from_secs(3);
/// What falls due within this long, and the time to the next plan, is planned.
const AHEAD: Duration = Duration::from_mins(1);
/// How often campaigns are looked after: whether their mails come back, or drive people away.
const REVIEW: Duration = Duration::from_mins(1);

/// Fits models at this time; says in a sentence what was learnt.
pub type Learn = Box<dyn Fn(Store, Timestamp) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// The work of whoever leads.
pub struct Duties {
    /// How often campaigns are planned; zero = never.
    pub plan_every: Duration,
    /// How often models are fitted; zero = never.
    pub learn_every: Duration,
    /// How they are fitted.
    pub learn: Learn,
}

impl std::fmt::Debug for Duties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plan_every, learn_every, .. } = self;
        f.debug_struct("Duties").field("plan_every", plan_every).field("learn_every", learn_every).finish()
    }
}

/// Takes up the duties, each in a task of its own.
pub(super) fn spawn(shared: &Arc<Shared>, duties: Duties, tasks: &mut JoinSet<()>) {
    let Duties { plan_every, learn_every, learn } = duties;
    if !plan_every.is_zero() {
        tasks.spawn(plan_all(Arc::clone(shared), plan_every));
    }
    if !learn_every.is_zero() {
        tasks.spawn(learn_all(Arc::clone(shared), learn_every, learn));
        // What the leader learnt is taken up by every worker, whoever leads.
        tasks.spawn(shared.engine.clone().refresh(shared.store.clone(), learn_every));
    }
}

/// Stands for a role, and does its work every so often while it leads. Never returns.
async fn lead<F: Future<Output = ()>>(shared: &Shared, role: Role, every: Duration, work: impl Fn() -> F) {
    let mut candidate = Candidate::new(shared.store.clone(), role);
    let mut due = Instant::now();
    let mut tick = tokio::time::interval(ELECTION.min(every));
    loop {
        tick.tick().await;
        if candidate.leads().await && Instant::now() >= due {
            work().await;
            due = Instant::now() + every;
        }
    }
}

/// Plans what falls due. Never returns.
async fn plan_all(shared: Arc<Shared>, every: Duration) {
    let reviewed: Mutex<Option<Instant>> = Mutex::default();
    let planned = async || {
        let engine = shared.engine();
        let ahead = SignedDuration::try_from(AHEAD + every).unwrap_or(SignedDuration::from_hours(1));
        let horizon = Horizon { now: shared.clock.now(), ahead };
        match plan(&shared.store, &engine, None, horizon, &|_, _| {}).await {
            Ok(planned) => {
                for Planned { campaign, scheduled, .. } in
                    planned.iter().filter(|planned| planned.scheduled > 0)
                {
                    tracing::info!("planned {} of {campaign}", counted(*scheduled, "send"));
                }
            }
            Err(error) => failed(&shared, "plan", every, &error),
        }
        let review_is_due = {
            let mut reviewed = reviewed.lock().unwrap_or_else(PoisonError::into_inner);
            let due = reviewed.is_none_or(|at| at.elapsed() >= REVIEW);
            if due {
                *reviewed = Some(Instant::now());
            }
            due
        };
        if !review_is_due {
            return;
        }
        if let Err(error) = guard::review(&shared.store, &engine.catalog, horizon.now).await {
            failed(&shared, "look after campaigns", every, &error);
        }
    };
    lead(&shared, Role::Planner, every, planned).await;
}

/// Fits models. Never returns.
async fn learn_all(shared: Arc<Shared>, every: Duration, learn: Learn) {
    let learnt = async || {
        tracing::info!("learning");
        match learn(shared.store.clone(), shared.clock.now()).await {
            Ok(learnt) => tracing::info!("{learnt}"),
            Err(error) => failed(&shared, "learn", every, &error),
        }
    };
    lead(&shared, Role::Learner, every, learnt).await;
}

/// Says that a duty was not done. One that a stop cut short is no error.
fn failed(shared: &Shared, duty: &str, every: Duration, error: &dyn std::fmt::Display) {
    if !shared.is_stopping() {
        tracing::error!("cannot {duty}, trying again in {every:?}: {error}");
    }
}
