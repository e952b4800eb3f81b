//! Reads on, queues, calls, and tries again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::SignedDuration;
use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;

use super::Endpoint;
use super::headers;
use super::message;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::Webhooks;
use crate::outward::Outward;
use crate::outward::OutwardError;
use crate::outward::Reach;
use crate::store::Error;
use crate::store::Leadership;
use crate::store::QueuedMessage;
use crate::store::Role;
use crate::store::Store;
use crate::store::WebhookMessage;
use crate::store::WebhookSource;

/// Events or outcomes that are read at once.
const PAGE_ROWS: usize = 500;
/// Calls to one receiver in one round.
const CALLS_PER_ROUND_MAX: usize = 100;
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
    endpoints: Vec<Endpoint>,
    outward: Outward,
    settings: Webhooks,
    paused: HashMap<String, Timestamp>,
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
        let endpoints = config.webhook.iter().map(Endpoint::new).collect::<Result<_, _>>()?;
        let settings = config.webhooks.clone();
        let reach = if settings.allow_private { Reach::Anywhere } else { Reach::Public };
        let outward = Outward::new(reach, Duration::from_secs(settings.timeout_seconds));
        Ok(Some(Self { endpoints, outward, settings, paused: HashMap::new() }))
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
        let mut leadership: Option<Leadership> = None;
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let holds = match &mut leadership {
                Some(leadership) => leadership.holds().await,
                None => false,
            };
            if !holds {
                leadership = store.lead(Role::Messenger).await.unwrap_or_else(|error| {
                    tracing::warn!("cannot ask who tells other systems, trying again: {error}");
                    None
                });
            }
            if leadership.is_some()
                && let Err(error) = self.round(&store, clock.now()).await
            {
                tracing::error!("cannot tell other systems, trying again: {error}");
            }
        }
    }

    /// Reads on for every receiver, and calls those that have something due.
    pub async fn round(&mut self, store: &Store, now: Timestamp) -> Result<Round, Error> {
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
        let awake = self.endpoints.iter().filter(|endpoint| !self.paused.contains_key(&endpoint.id));
        let told: Vec<_> = join_all(awake.map(|endpoint| self.tell(store, endpoint, now))).await;
        let mut round = Round::default();
        for told in told {
            let (done, pause) = told?;
            round.delivered += done.delivered;
            round.failed += done.failed;
            round.given_up += done.given_up;
            self.paused.extend(pause);
        }
        Ok(round)
    }

    /// Calls one receiver with what is due, in order, until a call fails.
    async fn tell(
        &self,
        store: &Store,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<(Round, Option<(String, Timestamp)>), Error> {
        let mut round = Round::default();
        for queued in store.due_webhooks(&endpoint.id, now, CALLS_PER_ROUND_MAX).await? {
            let id = queued.message.id.as_str();
            match self.call(endpoint, &queued, now).await {
                Called::Taken => {
                    store.webhooks_done(&endpoint.id, &[id]).await?;
                    round.delivered += 1;
                }
                Called::GivenUp(why) => {
                    tracing::error!(
                        endpoint = endpoint.id,
                        message = id,
                        why,
                        "a webhook message was given up"
                    );
                    store.webhooks_done(&endpoint.id, &[id]).await?;
                    round.given_up += 1;
                }
                Called::Failed(why) => {
                    let due_at = now + self.wait(&queued);
                    tracing::warn!(
                        endpoint = endpoint.id,
                        message = id,
                        why,
                        "a webhook message was not taken"
                    );
                    store.webhook_failed(&endpoint.id, id, &why, due_at).await?;
                    round.failed += 1;
                    return Ok((round, Some((endpoint.id.clone(), due_at.min(now + PAUSE_MAX)))));
                }
            }
        }
        Ok((round, None))
    }

    async fn call(&self, endpoint: &Endpoint, queued: &QueuedMessage, now: Timestamp) -> Called {
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
            (found.iter().filter_map(|(place, event)| message::of_event(*place, event)).collect(), last)
        }
        WebhookSource::Outcomes => {
            let found = store.outcomes_after(place, PAGE_ROWS).await?;
            let last = found.last().map(|(place, _)| *place);
            let told =
                found.iter().filter_map(|(place, outcome)| message::of_outcome(*place, outcome, kinds));
            (told.collect(), last)
        }
    };
    let Some(last) = last else { return Ok(false) };
    store.queue_webhooks(&endpoint.id, source, &messages, last, now).await?;
    Ok(true)
}
