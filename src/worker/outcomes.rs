//! From what a relay said to what becomes of the send. Pure.

use jiff::SignedDuration;
use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;

use crate::campaign::Guarantee;
use crate::config::Worker as WorkerSettings;
use crate::deliver::classify::Disposition;
use crate::deliver::classify::classify;
use crate::deliver::smtp::Failure;
use crate::deliver::smtp::Phase;
use crate::deliver::smtp::Reply;
use crate::send::AttemptCount;
use crate::send::Outcome;
use crate::send::ScheduledSend;
use crate::send::State;
use crate::send::Suppress;
use crate::store::Refusal;
use crate::words::counted;
use crate::worker::gate;

/// A relay fault is tried again after this long; the pool decides when the relay is used again.
const RELAY_RETRY: SignedDuration = SignedDuration::from_secs(60);
/// What is ambiguous under at-least-once is sent again after this long.
const AMBIGUOUS_RETRY: SignedDuration = SignedDuration::from_secs(60);

/// The relay took it.
pub fn sent(relay: &str, reply: &Reply) -> Outcome {
    Outcome {
        state: State::Sent,
        reason: "sent".to_owned(),
        detail: reply.to_string(),
        retry_at: None,
        attempt: AttemptCount::Spent,
        suppress: Suppress::No,
        relay: Some(relay.to_owned()),
    }
}

/// The relay did not take it, or nobody knows.
pub fn not_sent(
    settings: &WorkerSettings,
    send: &ScheduledSend,
    relay: &str,
    failure: &Failure,
    now: Timestamp,
) -> Outcome {
    let failed = |reason: &str, suppress| Outcome {
        suppress,
        relay: Some(relay.to_owned()),
        ..Outcome::terminal(State::Failed, reason, failure.to_string())
    };
    let again = |reason: &str, at: Timestamp, attempt| Outcome {
        attempt,
        relay: Some(relay.to_owned()),
        ..Outcome::later(reason, failure.to_string(), at)
    };
    match classify(failure) {
        Disposition::HardBounce => failed("hard_bounce", Suppress::HardBounce),
        Disposition::SoftBounce => failed("soft_bounce", Suppress::CountSoft),
        Disposition::PolicyFailure => failed("policy", Suppress::No),
        Disposition::RelayFault => within(send, again("relay", now + RELAY_RETRY, AttemptCount::NotSpent)),
        Disposition::Ambiguous if send.guarantee == Guarantee::AtMostOnce => Outcome {
            relay: Some(relay.to_owned()),
            ..Outcome::terminal(State::Unknown, "ambiguous", failure.to_string())
        },
        Disposition::Ambiguous => {
            within(send, again("ambiguous", now + AMBIGUOUS_RETRY, AttemptCount::Spent))
        }
        Disposition::Deferred if send.attempt >= settings.attempts_max => failed("attempts", Suppress::No),
        Disposition::Deferred => {
            within(send, again("deferred", retry_at(settings, send, now), AttemptCount::Spent))
        }
    }
}

/// A later time that lies beyond the deadline is no time: the send expires, with what was last said about it.
pub fn within(send: &ScheduledSend, outcome: Outcome) -> Outcome {
    match outcome.retry_at {
        Some(at) if at >= send.expires_at => {
            let detail = format!("its deadline is {}; last: {}", send.expires_at, outcome.detail);
            Outcome { relay: outcome.relay, ..Outcome::terminal(State::Expired, "deadline", detail) }
        }
        _ => outcome,
    }
}

/// The next attempt: by the table, with ±20 % jitter that comes from the send itself.
pub fn retry_at(settings: &WorkerSettings, send: &ScheduledSend, now: Timestamp) -> Timestamp {
    let attempt = usize::try_from(send.attempt.max(1) - 1).unwrap_or(usize::MAX);
    let minutes =
        settings.retry_minutes.get(attempt).or(settings.retry_minutes.last()).copied().unwrap_or(60);
    let digest = Sha256::digest(format!("{}/{}", send.id, send.attempt));
    let jitter = 0.8 + 0.4 * f64::from(digest[0]) / 255.0;
    now + SignedDuration::from_secs_f64(f64::from(minutes) * 60.0 * jitter)
}

/// The host asks for patience: its group of domains is sent to more slowly from now on.
pub fn asks_for_patience(failure: &Failure) -> bool {
    let Some(reply) = failure.reply() else { return false };
    let throttled = reply.enhanced.is_some_and(|code| code.class == 4 && code.subject == 7);
    let about_us = matches!(failure.phase(), Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Dot);
    about_us && (reply.code == 421 || throttled)
}

/// What becomes of a send that must not go on the wire after all. `None`: it is somebody else's, nothing is written.
pub fn refused(send: &ScheduledSend, refusal: &Refusal, now: Timestamp) -> Option<Outcome> {
    let stop = |state, reason: &str, detail: String| Some(Outcome::terminal(state, reason, detail));
    match refusal {
        Refusal::LeaseLost => None,
        Refusal::CampaignPaused => {
            let at = now + SignedDuration::from_secs(60);
            Some(within(send, Outcome::later("paused", "the campaign is paused", at)))
        }
        Refusal::CampaignCanceled => {
            stop(State::Canceled, "campaign", "the campaign was canceled".to_owned())
        }
        Refusal::Expired => stop(State::Expired, "deadline", format!("its deadline was {}", send.expires_at)),
        Refusal::ProfileGone => {
            stop(State::Skipped, "no_address", "the profile was erased, or has no address".to_owned())
        }
        Refusal::NoConsent => {
            stop(State::Skipped, "no_consent", "consent was withdrawn meanwhile".to_owned())
        }
        Refusal::NotConfirmed => stop(State::Skipped, "not_confirmed", gate::NOT_CONFIRMED.to_owned()),
        Refusal::Suppressed { topic, reason } => {
            stop(State::Suppressed, "suppressed", format!("{reason} (topic {topic}), meanwhile"))
        }
        Refusal::Capped { cap, until } => {
            let mails = counted(cap.count, "lifecycle mail");
            let detail = format!("{mails} already; the next may go at {until}");
            stop(State::Skipped, "cap", detail)
        }
    }
}
