//! One send on its way out: made, limited, begun, marked, submitted, settled.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;

use crate::campaign::Kind;
use crate::decision::Choice;
use crate::decision::VariantId;
use crate::deliver::limit::NotSoon;
use crate::deliver::limit::TURN_KEPT;
use crate::deliver::limit::Urgency;
use crate::deliver::message::Attachment;
use crate::deliver::message::ComposedMail;
use crate::deliver::message::Envelope;
use crate::deliver::message::Extras;
use crate::deliver::message::MailPurpose;
use crate::deliver::smtp::NoRelay;
use crate::deliver::smtp::Pool;
use crate::deliver::smtp::PooledSession;
use crate::deliver::smtp::Prepared;
use crate::deliver::smtp::prepare;
use crate::deliver::transport::KeptMail;
use crate::deliver::transport::Transport;
use crate::metrics::Limit;
use crate::metrics::Phase;
use crate::render::CompiledTemplate;
use crate::send::AttemptCount;
use crate::send::Outcome;
use crate::send::State;
use crate::send::Suppress;
use crate::store::ConsentNeeded;
use crate::store::Mark;
use crate::worker::batch::Job;
use crate::worker::journal::MarkAnswer;
use crate::worker::outcomes;
use crate::worker::shared::Shared;

/// What an attempt came to; `None` = the send is somebody else's by now, or settles itself when its lease ends.
type Attempted = Option<Outcome>;

/// Takes a job to its outcome. Whatever happens to one send happens to it alone.
pub(super) async fn attempt(shared: &Arc<Shared>, job: &Job) -> Attempted {
    if shared.is_stopping() {
        return Some(stopped(shared));
    }
    let group = shared.groups.group(job.to.domain()).to_owned();
    // A host whose turn is far off costs nothing more: no mail is made, no connection is held.
    if let Some(not_soon) = shared.limiter.group_is_far(&group, urgency(job)) {
        return Some(come_back(shared, job, &group, not_soon));
    }
    let mail = match make(shared, job).await {
        Ok(mail) => mail,
        Err(outcome) => return Some(outcome),
    };
    match &shared.transport {
        Transport::Smtp(pool) => over_smtp(shared, job, &group, pool, mail).await,
        Transport::Directory(directory) => {
            if let Err(outcome) = may_go(shared, job, &group).await {
                return outcome;
            }
            Some(match directory.write(&job.send.id, &mail.bytes) {
                Ok(path) => kept(&path.display().to_string()),
                Err(error) => {
                    let detail = format!("cannot write into the folder: {error}");
                    put_back(shared, "directory", &detail, Duration::from_mins(1))
                }
            })
        }
        Transport::Memory(outbox) => {
            if let Err(outcome) = may_go(shared, job, &group).await {
                return outcome;
            }
            let to = mail.envelope.to()[0].to_string();
            outbox.keep(KeptMail { send: job.send.id.clone(), to, bytes: mail.bytes });
            Some(kept("memory"))
        }
    }
}

/// Turn and mark of a mail that needs no connection.
async fn may_go(shared: &Shared, job: &Job, group: &str) -> Result<(), Attempted> {
    turn(shared, job, group, None).await.map_err(Some)?;
    marked(shared, job, group).await
}

/// Waits for the turn of this mail. A long wait for a slow host is spent in the queue instead.
async fn turn(shared: &Shared, job: &Job, group: &str, relay: Option<&str>) -> Result<(), Outcome> {
    let turn = unless_stopped(shared, turns(shared, job, group, relay)).await?;
    turn.map_err(|not_soon| come_back(shared, job, group, not_soon))
}

/// What is waited for, unless the worker is told to stop first.
async fn unless_stopped<T>(shared: &Shared, waiting: impl Future<Output = T>) -> Result<T, Outcome> {
    let mut stopping = shared.stopping.clone();
    tokio::select! {
        done = waiting => Ok(done),
        _ = stopping.wait_for(|stopping| *stopping) => Err(stopped(shared)),
    }
}

/// The turn over the relay, to the group of domains, and among all.
async fn turns(shared: &Shared, job: &Job, group: &str, relay: Option<&str>) -> Result<(), NotSoon> {
    way_turns(shared, job, group, relay).await?;
    let ((), waited) = timed(shared.limiter.global_turn()).await;
    shared.metrics.waited(Limit::Global, waited);
    if waited > TURN_KEPT {
        // What was taken first is stale by now.
        way_turns(shared, job, group, relay).await?;
    }
    Ok(())
}

/// The turn over the relay and to the group of domains.
async fn way_turns(shared: &Shared, job: &Job, group: &str, relay: Option<&str>) -> Result<(), NotSoon> {
    if let Some(relay) = relay {
        relay_turn(shared, relay).await;
    }
    let (turn, waited) = timed(shared.limiter.group_turn(group, urgency(job))).await;
    shared.metrics.waited(Limit::DomainGroup, waited);
    turn
}

async fn relay_turn(shared: &Shared, relay: &str) {
    let ((), waited) = timed(shared.limiter.relay_turn(relay)).await;
    shared.metrics.waited(Limit::Relay, waited);
}

fn urgency(job: &Job) -> Urgency {
    match job.send.kind {
        Kind::Transactional => Urgency::Urgent,
        Kind::Lifecycle => Urgency::Queued,
    }
}

fn come_back(shared: &Shared, job: &Job, group: &str, NotSoon { after }: NotSoon) -> Outcome {
    let outcome = put_back(shared, "rate", &format!("the rate of {group} is used up"), after);
    outcomes::within(&job.send, outcome)
}

async fn make(shared: &Arc<Shared>, job: &Job) -> Result<ComposedMail, Outcome> {
    let engine = shared.engine();
    let stored = if engine.knows_template(&job.decision) { None } else { stored(shared, job).await? };
    let attachments = attachments(shared, job).await?;
    let extras = Extras { purpose: MailPurpose::Delivery, attachments: &attachments };
    let _in_work = shared.in_work.enter(&job.send.id);
    let begun = Instant::now();
    let made = engine.make(&job.decision, &job.campaign, &job.to, stored, extras, &shared.metrics);
    shared.metrics.rendered(begun.elapsed());
    made.map_err(|error| Outcome::terminal(State::Failed, error.reason(), error.to_string()))
}

/// The files that the request brought along.
async fn attachments(shared: &Shared, job: &Job) -> Result<Vec<Attachment>, Outcome> {
    if !job.send.has_files() {
        return Ok(Vec::new());
    }
    let put_back = |error: &dyn std::fmt::Display| {
        put_back(shared, "database", &error.to_string(), Duration::from_secs(5))
    };
    let files = shared.store.attachments_of(&job.send.id).await.map_err(|error| put_back(&error))?;
    if files.is_empty() {
        return Err(Outcome::terminal(State::Failed, "attachment", "its files are not stored any more"));
    }
    let read = files.into_iter().map(|file| {
        let bytes = STANDARD.decode(&file.content).map_err(|error| format!("{}: {error}", file.name))?;
        Attachment::checked(&file.name, &file.content_type, bytes)
    });
    read.collect::<Result<_, String>>().map_err(|fault| Outcome::terminal(State::Failed, "attachment", fault))
}

/// The template as it was when the decision was made: the catalogue has changed since.
async fn stored(shared: &Shared, job: &Job) -> Result<Option<Arc<CompiledTemplate>>, Outcome> {
    let Choice::Variant { template, .. } = &job.decision.choice else { return Ok(None) };
    match shared.store.template(template).await {
        Ok(Some(body)) => {
            serde_json::from_str(&body).map(|template| Some(Arc::new(template))).map_err(|error| {
                Outcome::terminal(
                    State::Failed,
                    "template",
                    format!("stored template {}: {error}", template.0),
                )
            })
        }
        Ok(None) => {
            let detail = format!("template {} is neither in the catalogue nor stored", template.0);
            Err(Outcome::terminal(State::Failed, "template", detail))
        }
        Err(error) => Err(put_back(shared, "database", &error.to_string(), Duration::from_secs(5))),
    }
}

async fn over_smtp(shared: &Shared, job: &Job, group: &str, pool: &Pool, mail: ComposedMail) -> Attempted {
    let ComposedMail { envelope, bytes } = mail;
    let prepared = match prepare(bytes) {
        Ok(prepared) => prepared,
        Err(error) => return Some(Outcome::terminal(State::Failed, "compose", error.to_string())),
    };
    let mut session = match connected(shared, job, group, pool).await {
        Ok(session) => session,
        Err(outcome) => return Some(outcome),
    };
    let relay = session.relay_name().to_owned();
    let outcome = transact(shared, job, group, &mut session, &relay, &envelope, &prepared).await;
    session.give_back();
    outcome
}

/// A session, and the turn of this mail. The turn is taken once there is a place at a relay: mail that waits for a slow
/// relay uses up nobody's rate. A connection is opened once it is this mail's turn: there are no more of them than the
/// rate needs.
async fn connected(shared: &Shared, job: &Job, group: &str, pool: &Pool) -> Result<PooledSession, Outcome> {
    let no_relay = |none: NoRelay| {
        outcomes::within(&job.send, put_back(shared, "relay", &none.to_string(), none.retry_after))
    };
    // A relay whose turn is far off does not slow the others; where those others cannot be used, it is waited for.
    let hold = async {
        match pool.hold_where(|relay| shared.limiter.relay_is_free(relay)).await {
            Err(_) => pool.hold_where(|_| true).await,
            found => found,
        }
    };
    let (held, held_after) = timed(hold).await;
    let held = held.map_err(no_relay)?;
    let relay = held.relay_name().to_owned();
    if let Err(outcome) = turn(shared, job, group, Some(&relay)).await {
        held.give_back();
        return Err(outcome);
    }
    let (session, connected_after) = timed(async {
        match held.connect().await {
            Ok(session) => Ok(session),
            // Another relay may do.
            Err(_) => pool.checkout().await,
        }
    })
    .await;
    shared.metrics.phase(Phase::Checkout, held_after + connected_after);
    let session = session.map_err(no_relay)?;
    let still = if connected_after > TURN_KEPT {
        turn(shared, job, group, Some(session.relay_name())).await
    } else if session.relay_name() == relay {
        Ok(())
    } else {
        // It is its turn among all and to the group; over this relay it is not yet.
        unless_stopped(shared, relay_turn(shared, session.relay_name())).await
    };
    match still {
        Ok(()) => Ok(session),
        Err(outcome) => {
            session.give_back();
            Err(outcome)
        }
    }
}

async fn transact(
    shared: &Shared,
    job: &Job,
    group: &str,
    session: &mut PooledSession,
    relay: &str,
    envelope: &Envelope,
    prepared: &Prepared,
) -> Attempted {
    let failed = |failure: &crate::deliver::smtp::Failure| {
        if outcomes::asks_for_patience(failure) {
            shared.limiter.slow_down(group);
        }
        Some(outcomes::not_sent(&shared.settings, &job.send, relay, failure, shared.clock.now()))
    };
    let (begun, time) = timed(session.begin(envelope, prepared)).await;
    shared.metrics.phase(Phase::Envelope, time);
    let begun = match begun {
        Ok(begun) => begun,
        Err(failure) => return failed(&failure),
    };
    // The server waits for the body. Only once the mark is committed may its first byte go; until then dropping
    // `begun` closes the connection and nothing is sent.
    if let Err(outcome) = marked(shared, job, group).await {
        return outcome;
    }
    let (reply, time) = timed(begun.submit()).await;
    shared.metrics.phase(Phase::Body, time);
    match reply {
        Ok(reply) => Some(outcomes::sent(relay, &reply)),
        Err(failure) => failed(&failure),
    }
}

/// Commits the mark. `Err`: it must not go, and this is what becomes of it; nothing when it is somebody else's by now.
async fn marked(shared: &Shared, job: &Job, group: &str) -> Result<(), Attempted> {
    if shared.is_stopping() {
        return Err(Some(stopped(shared)));
    }
    let variant = match &job.decision.choice {
        Choice::Variant { variant, .. } => variant.clone(),
        Choice::NoSend => VariantId::new(crate::decision::NO_SEND),
    };
    let mark = Mark {
        send: job.send.id.clone(),
        token: job.token.clone(),
        to: job.to.clone(),
        topic: job.campaign.topic().to_owned(),
        variant,
        products: job.products.clone(),
        domain_group: group.to_owned(),
        consent: if job.campaign.double_opt_in { ConsentNeeded::Confirmed } else { ConsentNeeded::Granted },
    };
    let (answer, time) = timed(shared.journal.mark(mark)).await;
    shared.metrics.phase(Phase::Mark, time);
    match answer {
        MarkAnswer::Accepted => Ok(()),
        // Committed or not, the body does not go: whoever still holds the send says so as soon as the database listens.
        MarkAnswer::Unwritten => {
            let detail = "the database could not say whether it may go";
            Err(Some(put_back(shared, "database", detail, Duration::from_secs(5))))
        }
        MarkAnswer::Refused(refusal) => Err(outcomes::refused(&job.send, &refusal, shared.clock.now())),
    }
}

/// What work gives, and how long it took.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let done = work.await;
    (done, begun.elapsed())
}

fn stopped(shared: &Shared) -> Outcome {
    put_back(shared, "stopping", "the worker was stopped", Duration::ZERO)
}

fn put_back(shared: &Shared, reason: &str, detail: &str, after: Duration) -> Outcome {
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::from_mins(1));
    Outcome::later(reason, detail, shared.clock.now() + after)
}

fn kept(detail: &str) -> Outcome {
    Outcome {
        state: State::Sent,
        reason: "sent".to_owned(),
        detail: detail.to_owned(),
        retry_at: None,
        attempt: AttemptCount::Spent,
        suppress: Suppress::No,
        relay: None,
    }
}
