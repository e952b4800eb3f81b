//! The loop: claim, decide, hand out, settle, until there is nothing to do or somebody says stop.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::deliver::domain::DomainGroups;
use crate::deliver::limit::Limiter;
use crate::deliver::smtp::Pool;
use crate::deliver::smtp::RelayCondition;
use crate::deliver::transport::Transport;
use crate::metrics::Breaker;
use crate::metrics::Metrics;
use crate::send::LeaseToken;
use crate::send::Outcome;
use crate::send::SendId;
use crate::send::State;
use crate::store::Cap;
use crate::store::Claimed;
use crate::store::Error;
use crate::store::Orphans;
use crate::store::Settlement;
use crate::store::Store;
use crate::store::WorkerLock;
use crate::worker::batch::Job;
use crate::worker::claimed;
use crate::worker::in_use::EngineInUse;
use crate::worker::in_work::InWork;
use crate::worker::in_work::left_behind;
use crate::worker::journal::Journal;
use crate::worker::journal::JournalSettings;
use crate::worker::jump::Look;
use crate::worker::jump::Watch;
use crate::worker::lead;
use crate::worker::lead::Duties;
use crate::worker::panics::Panics;
use crate::worker::rates::Rates;
use crate::worker::shared::Hands;
use crate::worker::shared::Shared;
use crate::worker::shared::places;
use crate::worker::submit;
use crate::worker::tally::Tally;

/// A database that does not answer is asked again after this long.
pub(super) const DATABASE_RETRY: Duration = Duration::from_secs(1);

/// Claims that are decided at the same time: while one is read or saved, another is thought about.
const DECIDED_AT_ONCE: usize = 2;

/// A clock that was moved is looked at again after this long.
const CLOCK_RETRY: Duration = Duration::from_millis(100);

/// When a worker stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When nothing is due and nothing is in work.
    Idle,
    /// Only when it is told to.
    Stopped,
}

/// One worker process.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    lock: WorkerLock,
    /// What processes before this one had in work as they died.
    suspects: Vec<SendId>,
    duties: Option<Duties>,
}

/// Tells a worker to stop: it claims no more, gives back what has not begun, and waits for replies.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Says it. Saying it twice changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Worker {
    /// Takes the leave to work (one process on SQLite) and starts the writer.
    pub fn new(
        store: Store,
        engine: impl Into<EngineInUse>,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, Error> {
        let lock = store.worker_lock()?;
        let engine = engine.into();
        let begun_with = engine.get();
        let config = &begun_with.config;
        let relay_rates = config.relay_rates();
        let day_ms = 24 * 3_600 * 1_000;
        let cap = Cap {
            count: usize::try_from(config.cap.lifecycle_mails).unwrap_or(usize::MAX),
            within_ms: i64::from(config.cap.days) * day_ms,
        };
        let journal = Journal::start(
            store.clone(),
            clock.clone(),
            JournalSettings {
                group_ms: config.worker.group_commit_ms,
                caps: vec![cap],
                soft_bounces_max: config.soft_bounces.limit,
            },
        );
        let (stop, stopping) = watch::channel(false);
        let in_work = store.beside();
        // What cannot be read accuses nobody.
        let suspects = left_behind(&in_work).unwrap_or_default();
        let limiter = Limiter::new(&config.rates, relay_rates).among(places(&config.worker, &transport));
        let slowest = limiter.global_rate().into_iter().chain(config.relays_rate()).min_by(f64::total_cmp);
        let shared = Shared {
            hands: Hands::new(&config.worker, slowest),
            limiter,
            groups: DomainGroups::new(&config.rates),
            settings: config.worker.clone(),
            slots: Semaphore::new(config.worker.in_flight),
            store,
            transport,
            journal,
            in_work: InWork::begin(&in_work),
            clock,
            tally: Arc::default(),
            metrics: Arc::default(),
            stopping,
            freed: Notify::new(),
            held: Mutex::default(),
            empty_offers: Mutex::default(),
            saved_templates: Mutex::default(),
            policy_failures: Mutex::default(),
            engine,
        };
        if let Transport::Smtp(pool) = &shared.transport {
            watch_relays(&shared.metrics, pool.clone());
        }
        Ok(Self { shared: Arc::new(shared), stop, lock, suspects, duties: None })
    }

    /// Stands for planning and learning too, while it works until it is stopped.
    #[must_use]
    pub fn with_duties(self, duties: Duties) -> Self {
        Self { duties: Some(duties), ..self }
    }

    /// The handle by which it is told to stop.
    pub fn stop_handle(&self) -> Stop {
        Stop(self.stop.clone())
    }

    /// What it has done so far.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.shared.tally)
    }

    /// What it counts and measures.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// Works. Returns when it was told to stop and everything in work has come to an end or the grace is over, or,
    /// `until` idle, when there is nothing to do.
    pub async fn run(mut self, until: Until) -> Result<Arc<Tally>, Error> {
        let shared = &self.shared;
        let now = shared.clock.now();
        for send in shared.store.accuse(&self.suspects, now).await? {
            tracing::error!(%send, "send {send} was in work each time a worker died, and is quarantined");
        }
        if let WorkerLock::Sole(sole) = &self.lock {
            let reaped = shared.store.reap(Orphans::All(sole), now).await?;
            shared.tally.count_left_unknown(reaped.unknown.len());
        }
        // Dropped, they end.
        let mut background = JoinSet::new();
        background.spawn(renew(Arc::clone(shared)));
        background.spawn(reap(Arc::clone(shared)));
        let mut rates = Rates::new(Arc::clone(shared));
        // A worker that begins anew spares those hosts that the one before it was told to spare.
        Box::pin(rates.tell_and_learn()).await?;
        background.spawn(rates.reserve());
        if let (Until::Stopped, Some(duties)) = (until, self.duties.take()) {
            lead::spawn(shared, duties, &mut background);
        }
        let mut tasks = JoinSet::new();
        let mut panics = Panics::default();
        let worked = claim_all(shared, until, &mut tasks, &mut panics).await;
        let grace = Duration::from_secs(shared.settings.grace_seconds);
        let finish = async {
            while let Some(ended) = tasks.join_next().await {
                panics.note(ended);
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::warn!(
                "{} sends are still in work after {grace:?}; their leases settle them",
                shared.in_hands()
            );
        }
        drop(background);
        if let Transport::Smtp(pool) = &shared.transport {
            pool.close().await;
        }
        panics.pass_on();
        worked.map(|()| Arc::clone(&shared.tally))
    }
}

/// Tells how relays are whenever somebody looks.
fn watch_relays(metrics: &Metrics, pool: Pool) {
    metrics.collect(move |metrics| {
        for relay in pool.status() {
            let breaker = match relay.condition {
                RelayCondition::Up => Breaker::Closed,
                RelayCondition::BackingOff { .. } => Breaker::BackingOff,
                RelayCondition::Paused { .. } => Breaker::Paused,
            };
            metrics.relay(&relay.name, breaker, relay.open);
        }
    });
}

async fn claim_all(
    shared: &Arc<Shared>,
    until: Until,
    tasks: &mut JoinSet<()>,
    panics: &mut Panics,
) -> Result<(), Error> {
    let mut ear = shared.store.wake_up().await?;
    let mut stopping = shared.stopping.clone();
    let batch = shared.settings.batch;
    let mut watch = Watch::new(shared.clock.now(), Instant::now());
    let deciders = Arc::new(Semaphore::new(DECIDED_AT_ONCE));
    loop {
        while let Some(ended) = tasks.try_join_next() {
            panics.note(ended);
        }
        if *stopping.borrow() || panics.any() {
            return Ok(());
        }
        let look = watch.look(shared.clock.now(), Instant::now());
        if let Look::Moved(by) = look {
            tracing::error!(
                "the clock of this machine was moved by {by:#}: nothing is claimed for a minute, or until it is right \
                 again"
            );
        }
        if look != Look::Right {
            tokio::select! {
                () = tokio::time::sleep(CLOCK_RETRY) => {}
                _ = stopping.changed() => {}
            }
            continue;
        }
        let free = shared.hands.most.saturating_sub(shared.in_hands());
        if free < shared.hands.claimed_at_least {
            tokio::select! {
                () = shared.freed.notified() => {}
                Some(ended) = tasks.join_next() => panics.note(ended),
                _ = stopping.changed() => {}
            }
            continue;
        }
        let decider = tokio::select! {
            decider = Arc::clone(&deciders).acquire_owned() => decider.expect("nobody closes it"),
            _ = stopping.changed() => continue,
        };
        match claim(shared, free.min(batch)).await {
            Ok(claimed) if claimed.is_empty() => {
                if until == Until::Idle && shared.in_hands() == 0 {
                    return Ok(());
                }
                let wait = shared.look_again_after();
                tokio::select! {
                    heard = ear.wait(wait) => if heard.is_err() { tokio::time::sleep(DATABASE_RETRY).await },
                    () = shared.freed.notified() => {}
                    _ = stopping.changed() => {}
                }
            }
            Ok(claimed) => drop(tasks.spawn(see_through(Arc::clone(shared), claimed, decider))),
            Err(error) if until == Until::Idle && !error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!("cannot claim, trying again: {error}");
                tokio::select! {
                    () = tokio::time::sleep(DATABASE_RETRY) => {}
                    _ = stopping.changed() => {}
                }
            }
        }
    }
}

async fn claim(shared: &Shared, limit: usize) -> Result<Vec<Claimed>, Error> {
    let token = LeaseToken(uuid::Uuid::new_v4().simple().to_string());
    let lease_ms = i64::from(shared.settings.lease_seconds) * 1_000;
    let claimed = shared.store.claim(shared.clock.now(), lease_ms, limit, &token).await?;
    let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
    held.extend(claimed.iter().map(|claimed| (claimed.send.id.clone(), token.clone())));
    Ok(claimed)
}

/// One claim, from decisions to outcomes.
async fn see_through(shared: Arc<Shared>, claimed: Vec<Claimed>, decider: OwnedSemaphorePermit) {
    let decided = claimed::decide(&shared, claimed).await;
    drop(decider);
    // Dropped, they end.
    let mut tasks = JoinSet::new();
    for stopped in decided.stopped {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let settlement = Settlement {
                send: stopped.send.id.clone(),
                token: stopped.token,
                to: stopped.to,
                outcome: stopped.outcome,
            };
            shared.settle(settlement).await;
        });
    }
    for job in decided.jobs {
        tasks.spawn(work(Arc::clone(&shared), job));
    }
    let mut panics = Panics::default();
    while let Some(ended) = tasks.join_next().await {
        panics.note(ended);
    }
    panics.pass_on();
}

/// One send, in a slot of its own, to its outcome.
async fn work(shared: Arc<Shared>, job: Job) {
    let Ok(_slot) = shared.slots.acquire().await else { return };
    // In a box: a task that waits for its slot is small, and is not copied about with all that sending needs.
    let attempt = AssertUnwindSafe(Box::pin(submit::attempt(&shared, &job))).catch_unwind().await;
    let outcome = attempt.unwrap_or_else(|_| {
        let detail = format!("sending {} panicked; please report it", job.send.id);
        Some(Outcome::terminal(State::Failed, "panic", detail))
    });
    let Some(outcome) = outcome else {
        return shared.let_go(std::iter::once(&job.send.id));
    };
    shared.watch_policy(&job.send.campaign, &outcome).await;
    let settlement = Settlement { send: job.send.id, token: job.token, to: Some(job.to), outcome };
    shared.settle(settlement).await;
}

/// Prolongs what is held, well before it ends.
async fn renew(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_secs(u64::from(shared.settings.lease_seconds)) / 3);
    tick.tick().await;
    loop {
        tick.tick().await;
        renew_all(&shared).await;
    }
}

async fn renew_all(shared: &Shared) {
    let lease_ms = i64::from(shared.settings.lease_seconds) * 1_000;
    let mut by_token: HashMap<LeaseToken, Vec<SendId>> = HashMap::new();
    for (send, token) in shared.held.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        by_token.entry(token.clone()).or_default().push(send.clone());
    }
    for (token, sends) in by_token {
        if let Err(error) = shared.store.renew_leases(&sends, &token, shared.clock.now(), lease_ms).await {
            tracing::error!("cannot renew the lease of {} sends: {error}", sends.len());
        }
    }
}

/// Gives back what other workers left behind.
async fn reap(shared: Arc<Shared>) {
    let orphans = shared.orphans();
    let mut tick = tokio::time::interval(Duration::from_secs(u64::from(shared.settings.lease_seconds)) / 2);
    loop {
        tick.tick().await;
        // On SQLite our own clock decides. If it was moved, what we hold must not seem to have ended.
        renew_all(&shared).await;
        match shared.store.reap(orphans, shared.clock.now()).await {
            Ok(reaped) => shared.tally.count_left_unknown(reaped.unknown.len()),
            Err(error) => tracing::error!("cannot look for orphans: {error}"),
        }
    }
}
