//! Reads on, queues, calls, and tries again. Receivers do not wait for each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::SignedDuration;
use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;

use super::Endpoint;
use super::headers;
use super::message;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::Webhooks;
use crate::outward::Outward;
use crate::outward::OutwardError;
use crate::outward::Reach;
use crate::send::SendId;
use crate::send::State;
use crate::store::Candidate;
use crate::store::Error;
use crate::store::QueuedMessage;
use crate::store::Role;
use crate::store::Store;
use crate::store::WebhookMessage;
use crate::store::WebhookSource;

/// Events or outcomes that are read at once.
const PAGE_ROWS: usize = 500;
/// Messages of one receiver that are read at once.
const MESSAGES_PER_PAGE: usize = 100;
/// Receivers that are called at the same time, at most.
const RECEIVERS_AT_ONCE_MAX: usize = 16;
/// Calls to one receiver at the same time, once it has taken one.
const CALLS_AT_ONCE: usize = 8;
/// After this long a receiver's turn ends, whatever is left.
const TURN_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How often there is a round.
const EVERY: Duration = Duration::from_secs(1);
/// A receiver that failed is left alone for at most this long, whatever its message waits for.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Messages that receivers took.
    pub delivered: usize,
    /// Messages that wait for another attempt.
    pub failed: usize,
    /// Messages that were given up.
    pub given_up: usize,
}

/// Tells receivers what happened.
#[derive(Debug)]
pub struct Messenger {
    endpoints: Vec<Arc<Endpoint>>,
    caller: Caller,
    paused: HashMap<String, Timestamp>,
    /// Those whose turn has not ended, by their turn.
    busy: HashMap<Id, String>,
    turns: JoinSet<Turn>,
}

/// What calling takes. Clones share it.
#[derive(Debug, Clone)]
struct Caller {
    outward: Outward,
    settings: Arc<Webhooks>,
    slots: Arc<Semaphore>,
}

/// What became of one receiver's turn.
#[derive(Debug)]
struct Turn {
    endpoint: String,
    round: Round,
    /// Until when it is left alone.
    paused_until: Option<Timestamp>,
    fault: Option<Error>,
}

enum Called {
    Taken,
    GivenUp(String),
    Failed(String),
}

impl Messenger {
    /// `None` where nobody is to be told.
    ///
    /// # Errors
    /// What is wrong with a section, and what to write instead.
    pub fn new(config: &Config) -> Result<Option<Self>, String> {
        if config.webhook.is_empty() {
            return Ok(None);
        }
        let endpoint = |section| Endpoint::new(section).map(Arc::new);
        let endpoints = config.webhook.iter().map(endpoint).collect::<Result<_, _>>()?;
        let settings = Arc::new(config.webhooks.clone());
        let reach = if settings.allow_private { Reach::Anywhere } else { Reach::Public };
        let outward = Outward::new(reach, Duration::from_secs(settings.timeout_seconds));
        let caller = Caller { outward, settings, slots: Arc::new(Semaphore::new(RECEIVERS_AT_ONCE_MAX)) };
        Ok(Some(Self {
            endpoints,
            caller,
            paused: HashMap::new(),
            busy: HashMap::new(),
            turns: JoinSet::new(),
        }))
    }

    /// Makes new receivers begin with what is to come, and forgets those that are not configured any more.
    pub async fn begin(&self, store: &Store) -> Result<(), Error> {
        for endpoint in &self.endpoints {
            store.begin_webhook(&endpoint.id).await?;
        }
        let ids: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
        store.tidy_webhooks(&ids).await
    }

    /// Tells while this process leads. Never returns.
    pub async fn run(mut self, store: Store, clock: Clock) {
        let mut candidate = Candidate::new(store.clone(), Role::Messenger);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if candidate.leads().await
                && let Err(error) = self.begin_turns(&store, &clock).await
            {
                tracing::error!("cannot tell other systems, trying again: {error}");
            }
        }
    }

    /// Reads on for every receiver, calls those that have something due, and waits for them.
    pub async fn round(&mut self, store: &Store, clock: &Clock) -> Result<Round, Error> {
        self.begin_turns(store, clock).await?;
        let mut round = Round::default();
        while let Some(turn) = self.turns.join_next_with_id().await {
            round.add(self.end(turn)?);
        }
        Ok(round)
    }

    /// Reads on for every receiver, and lets those be called that are not being called. What has ended is put away.
    async fn begin_turns(&mut self, store: &Store, clock: &Clock) -> Result<(), Error> {
        while let Some(turn) = self.turns.try_join_next_with_id() {
            self.end(turn)?;
        }
        let now = clock.now();
        let mut read = false;
        for endpoint in &self.endpoints {
            read |= read_on(store, endpoint, WebhookSource::Events, now).await?;
            read |= read_on(store, endpoint, WebhookSource::Outcomes, now).await?;
        }
        if read {
            let ids: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
            store.tidy_webhooks(&ids).await?;
        }
        self.paused.retain(|_, until| *until > now);
        for endpoint in &self.endpoints {
            if self.paused.contains_key(&endpoint.id) || self.busy.values().any(|busy| *busy == endpoint.id) {
                continue;
            }
            let name = endpoint.id.clone();
            let (caller, endpoint) = (self.caller.clone(), Arc::clone(endpoint));
            let (store, clock) = (store.clone(), clock.clone());
            let turn = self.turns.spawn(async move { caller.turn(&store, &clock, &endpoint).await });
            self.busy.insert(turn.id(), name);
        }
        Ok(())
    }

    fn end(&mut self, turn: Result<(Id, Turn), JoinError>) -> Result<Round, Error> {
        match turn {
            Ok((id, turn)) => {
                self.busy.remove(&id);
                self.paused.extend(turn.paused_until.map(|until| (turn.endpoint, until)));
                turn.fault.map_or(Ok(turn.round), Err)
            }
            Err(error) => {
                let receiver = self.busy.remove(&error.id());
                tracing::error!(%error, ?receiver, "telling a receiver failed");
                Ok(Round::default())
            }
        }
    }
}

impl Round {
    fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.given_up += other.given_up;
    }
}

impl Caller {
    /// Calls one receiver with what is due, until nothing is, or a call fails, or its turn is over.
    async fn turn(&self, store: &Store, clock: &Clock, endpoint: &Endpoint) -> Turn {
        let _slot = self.slots.acquire().await;
        let mut turn =
            Turn { endpoint: endpoint.id.clone(), round: Round::default(), paused_until: None, fault: None };
        if let Err(error) = self.tell(store, clock, endpoint, &mut turn).await {
            turn.fault = Some(error);
        }
        turn
    }

    async fn tell(
        &self,
        store: &Store,
        clock: &Clock,
        endpoint: &Endpoint,
        turn: &mut Turn,
    ) -> Result<(), Error> {
        let began = clock.now();
        loop {
            let due = store.due_webhooks(&endpoint.id, clock.now(), MESSAGES_PER_PAGE).await?;
            let Some((first, others)) = due.split_first() else { return Ok(()) };
            // One call alone shows whether the receiver is there.
            for group in std::iter::once(std::slice::from_ref(first)).chain(others.chunks(CALLS_AT_ONCE)) {
                let calls = group.iter().map(|queued| self.call(clock, endpoint, queued));
                for (queued, called) in group.iter().zip(join_all(calls).await) {
                    self.settle(store, clock, endpoint, queued, called, turn).await?;
                }
                if turn.paused_until.is_some() || clock.now().duration_since(began) > TURN_MAX {
                    return Ok(());
                }
            }
        }
    }

    /// Writes down what became of a call.
    async fn settle(
        &self,
        store: &Store,
        clock: &Clock,
        endpoint: &Endpoint,
        queued: &QueuedMessage,
        called: Called,
        turn: &mut Turn,
    ) -> Result<(), Error> {
        let id = queued.message.id.as_str();
        match called {
            Called::Taken => {
                store.webhooks_done(&endpoint.id, &[id]).await?;
                turn.round.delivered += 1;
            }
            Called::GivenUp(why) => {
                tracing::error!(endpoint = endpoint.id, message = id, why, "a webhook message was given up");
                store.webhooks_done(&endpoint.id, &[id]).await?;
                turn.round.given_up += 1;
            }
            Called::Failed(why) => {
                let now = clock.now();
                let due_at = now + self.wait(queued);
                tracing::warn!(endpoint = endpoint.id, message = id, why, "a webhook message was not taken");
                store.webhook_failed(&endpoint.id, id, &why, due_at).await?;
                turn.round.failed += 1;
                turn.paused_until = Some(due_at.min(now + PAUSE_MAX));
            }
        }
        Ok(())
    }

    async fn call(&self, clock: &Clock, endpoint: &Endpoint, queued: &QueuedMessage) -> Called {
        let now = clock.now();
        let WebhookMessage { id, body, .. } = &queued.message;
        let headers = headers(&endpoint.secret, id, now.as_second(), body);
        let answer = self.outward.call("POST", &endpoint.url, &headers, Bytes::from(body.clone())).await;
        let why = match answer {
            Ok(answer) if (200..300).contains(&answer.status) => return Called::Taken,
            Ok(answer) if answer.status == 410 => {
                return Called::GivenUp("the receiver is gone (410)".to_owned());
            }
            Ok(answer) => format!("it answered {}", answer.status),
            Err(OutwardError::Refused(why) | OutwardError::Failed(why)) => why,
        };
        let age = now.duration_since(queued.created_at);
        if age >= SignedDuration::from_hours(i64::from(self.settings.give_up_hours)) {
            return Called::GivenUp(why);
        }
        Called::Failed(why)
    }

    /// By the table, with ±20 % jitter that comes from the message itself.
    fn wait(&self, queued: &QueuedMessage) -> SignedDuration {
        let table = &self.settings.retry_seconds;
        let attempt = usize::try_from(queued.attempt).unwrap_or(usize::MAX);
        let seconds = table.get(attempt).or(table.last()).copied().unwrap_or(60).max(1);
        let digest = Sha256::digest(format!("{}/{attempt}", queued.message.id));
        let jitter = 0.8 + 0.4 * f64::from(digest[0]) / 255.0;
        SignedDuration::from_secs_f64(f64::from(seconds) * jitter)
    }
}

/// Queues what arrived since the receiver's place; whether there was anything.
async fn read_on(
    store: &Store,
    endpoint: &Endpoint,
    source: WebhookSource,
    now: Timestamp,
) -> Result<bool, Error> {
    let Some(place) = store.webhook_cursor(&endpoint.id, source).await? else {
        store.begin_webhook(&endpoint.id).await?;
        return Ok(false);
    };
    let kinds = &endpoint.kinds;
    let (messages, last): (Vec<WebhookMessage>, _) = match source {
        WebhookSource::Events => {
            let found = store.events_after(&message::event_names(kinds), place, PAGE_ROWS).await?;
            let last = found.last().map(|(place, _)| *place);
            let told = found.iter().filter_map(|(place, event)| message::of_event(*place, event.as_ref()?));
            (told.collect(), last)
        }
        WebhookSource::Outcomes => {
            let found = store.outcomes_after(place, PAGE_ROWS).await?;
            let last = found.last().map(|(place, _)| *place);
            let known = found.iter().filter_map(|(place, outcome)| Some((*place, outcome.as_ref()?)));
            let sent =
                known.clone().map(|(_, outcome)| outcome).filter(|outcome| outcome.state == State::Sent);
            let sent: Vec<SendId> =
                sent.filter(|_| kinds.contains(&"sent")).map(|outcome| outcome.send.clone()).collect();
            let shown = store.shown(&sent).await?;
            let told = known.filter_map(|(place, outcome)| {
                message::of_outcome(place, outcome, shown.get(&outcome.send), kinds)
            });
            (told.collect(), last)
        }
    };
    let Some(last) = last else { return Ok(false) };
    store.queue_webhooks(&endpoint.id, source, &messages, last, now).await?;
    Ok(true)
}
