//! From what a relay said to what becomes of the send. Pure.

use jiff::SignedDuration;
use jiff::Timestamp;
use sha2::Digest as _;
use sha2::Sha256;

use crate::campaign::Guarantee;
use crate::clock::later_by;
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
        disposition @ (Disposition::Ambiguous | Disposition::Deferred) => {
            let (at, attempt) = next_attempt(settings, send, now);
            let reason = if disposition == Disposition::Ambiguous { "ambiguous" } else { "deferred" };
            within(send, again(reason, at, attempt))
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

/// When it is tried again, and whether this attempt counts. Who has had all that are counted is not given up before
/// the deadline; half of the time that is left passes before each further attempt, so that these come to an end too.
fn next_attempt(
    settings: &WorkerSettings,
    send: &ScheduledSend,
    now: Timestamp,
) -> (Timestamp, AttemptCount) {
    let at = retry_at(settings, send, now);
    if send.attempt < settings.attempts_max {
        return (at, AttemptCount::Spent);
    }
    (at.max(later_by(now, send.expires_at.duration_since(now) / 2)), AttemptCount::NotSpent)
}

/// The next attempt: by the table, with ±20 % jitter that comes from the send itself.
fn retry_at(settings: &WorkerSettings, send: &ScheduledSend, now: Timestamp) -> Timestamp {
    let attempt = usize::try_from(send.attempt.max(1) - 1).unwrap_or(usize::MAX);
    let minutes =
        settings.retry_minutes.get(attempt).or(settings.retry_minutes.last()).copied().unwrap_or(60);
    let digest = Sha256::digest(format!("{}/{}", send.id, send.attempt));
    let jitter = 0.8 + 0.4 * f64::from(digest[0]) / 255.0;
    later_by(now, SignedDuration::from_secs_f64(f64::from(minutes) * 60.0 * jitter))
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use jiff::ToSpan as _;

    use super::*;
    use crate::campaign::CampaignId;
    use crate::campaign::Kind;
    use crate::deliver::smtp::Cause;
    use crate::deliver::smtp::reply::take_reply;
    use crate::profile::ProfileId;
    use crate::send::SendId;

    /// A send whose deadline is `hours` away.
    fn send(guarantee: Guarantee, attempt: u32, hours: i64) -> ScheduledSend {
        let (campaign, profile) = (CampaignId("news".to_owned()), ProfileId::parse("ana").unwrap());
        ScheduledSend {
            id: SendId::derive(now(), &campaign, &profile, "1"),
            campaign,
            kind: Kind::Lifecycle,
            guarantee,
            profile,
            occurrence: "1".to_owned(),
            due_at: now(),
            expires_at: now() + hours.hours(),
            state: State::Leased,
            attempt,
            orphaned: 0,
            data: serde_json::Map::new(),
            to: None,
        }
    }

    fn now() -> Timestamp {
        "2026-03-02T09:00:00Z".parse().unwrap()
    }

    fn refusal(phase: Phase, line: &str) -> Failure {
        let mut bytes = BytesMut::from(format!("{line}\r\n").as_str());
        Failure::Refused { phase, reply: take_reply(&mut bytes, &mut 0).unwrap().unwrap() }
    }

    fn cut(phase: Phase) -> Failure {
        Failure::Broken { phase, cause: Cause::Closed }
    }

    fn outcome(send: &ScheduledSend, failure: &Failure) -> Outcome {
        not_sent(&WorkerSettings::default(), send, "main", failure, now())
    }

    #[test]
    fn each_failure_becomes_what_the_table_says() {
        use AttemptCount::{NotSpent, Spent};
        use Guarantee::{AtLeastOnce, AtMostOnce};
        let full = "552 5.2.2 full";
        for (failure, guarantee, expected, attempt, suppress) in [
            (
                refusal(Phase::Rcpt, "550 5.1.1 x"),
                AtMostOnce,
                "failed hard_bounce",
                Spent,
                Suppress::HardBounce,
            ),
            (refusal(Phase::Rcpt, full), AtMostOnce, "failed soft_bounce", Spent, Suppress::CountSoft),
            (refusal(Phase::Dot, full), AtLeastOnce, "failed soft_bounce", Spent, Suppress::CountSoft),
            (refusal(Phase::Mail, full), AtMostOnce, "failed policy", Spent, Suppress::No),
            (refusal(Phase::Dot, "554 5.7.1 x"), AtLeastOnce, "failed policy", Spent, Suppress::No),
            (refusal(Phase::Ehlo, "550 5.7.1 x"), AtMostOnce, "deferred relay", NotSpent, Suppress::No),
            (refusal(Phase::Mail, "530 5.7.0 x"), AtMostOnce, "deferred relay", NotSpent, Suppress::No),
            (refusal(Phase::Dot, "451 4.3.0 x"), AtMostOnce, "deferred deferred", Spent, Suppress::No),
            (cut(Phase::Body), AtMostOnce, "deferred deferred", Spent, Suppress::No),
            (cut(Phase::Dot), AtMostOnce, "unknown ambiguous", Spent, Suppress::No),
            (cut(Phase::Dot), AtLeastOnce, "deferred ambiguous", Spent, Suppress::No),
        ] {
            let found = outcome(&send(guarantee, 1, 72), &failure);
            assert_eq!(format!("{} {}", found.state, found.reason), expected, "{failure}");
            assert_eq!((found.attempt, found.suppress), (attempt, suppress), "{failure}");
            assert_eq!(found.relay.as_deref(), Some("main"), "{failure}");
            assert_eq!(found.retry_at.is_some(), found.state == State::Deferred, "{failure}");
        }
    }

    #[test]
    fn what_is_deferred_comes_back_by_the_table_and_not_all_at_once() {
        let table = [1, 5, 15, 60, 120, 240, 240, 240];
        for failure in [refusal(Phase::Rcpt, "450 4.2.0 x"), cut(Phase::Dot)] {
            for (attempt, minutes) in (1..).zip(table) {
                let outcome = outcome(&send(Guarantee::AtLeastOnce, attempt, 72), &failure);
                let waits = outcome.retry_at.unwrap().duration_since(now()).as_secs_f64() / 60.0;
                let minutes = f64::from(minutes);
                assert!((minutes * 0.8..=minutes * 1.2).contains(&waits), "{attempt}: {waits}");
            }
        }
        let mut seconds: Vec<i64> = (0..50)
            .map(|n| {
                let mut send = send(Guarantee::AtMostOnce, 4, 72);
                send.id = SendId::derive(now(), &send.campaign, &send.profile, &n.to_string());
                retry_at(&WorkerSettings::default(), &send, now()).duration_since(now()).as_secs()
            })
            .collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert!(seconds.len() > 30, "people whose mails were deferred together come back apart");
        assert!(seconds[seconds.len() - 1] - seconds[0] > 20 * 60, "within 24 of 60 minutes: {seconds:?}");
    }

    #[test]
    fn nobody_is_given_up_before_the_deadline_and_nobody_is_tried_for_ever() {
        let failure = refusal(Phase::Rcpt, "450 4.2.0 greylisted");
        let mut send = send(Guarantee::AtMostOnce, 1, 24 * 30);
        let (mut now, mut attempts) = (now(), 0);
        let last = loop {
            let outcome = not_sent(&WorkerSettings::default(), &send, "main", &failure, now);
            attempts += 1;
            let Some(at) = outcome.retry_at else { break outcome };
            send.attempt += u32::from(outcome.attempt == AttemptCount::Spent);
            now = at;
        };
        assert_eq!((last.state, last.reason.as_str()), (State::Expired, "deadline"));
        assert!(last.detail.contains("450 4.2.0 greylisted"), "{}", last.detail);
        let left = send.expires_at.duration_since(now);
        assert!(left < SignedDuration::from_hours(5), "given up {left:?} before the deadline");
        assert!((31..45).contains(&attempts) && send.attempt == 30, "{attempts} attempts");
    }

    #[test]
    fn a_retry_beyond_the_deadline_is_none() {
        for (minutes, expected) in [(59, State::Deferred), (60, State::Expired), (61, State::Expired)] {
            let later = Outcome::later("relay", "paused", now() + minutes.minutes());
            let found = within(&send(Guarantee::AtMostOnce, 1, 1), later);
            assert_eq!(found.state, expected, "{minutes}");
        }
    }
}
