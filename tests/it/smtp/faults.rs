//! A server that stalls, closes, resets, lies or drivels, in every phase.

use bespoke::deliver::catcher::Catcher;
use bespoke::deliver::classify::{Disposition, classify};
use bespoke::deliver::smtp::{Cause, Failure, Phase, Session};

use super::helpers::{assert_clean, catcher, connect, impatient, relay, send_over};

/// What a client must make of a fault.
struct Expected {
    /// The phase whose deadline is short and in which the failure is seen.
    phase: Phase,
    /// Messages that the server recorded.
    accepted: u64,
}

/// The phases in the order of a conversation, by the stage of the rule that strikes there.
const STAGES: [(&str, Expected); 8] = [
    ("connect", Expected { phase: Phase::Greeting, accepted: 0 }),
    ("ehlo", Expected { phase: Phase::Ehlo, accepted: 0 }),
    ("mail", Expected { phase: Phase::Mail, accepted: 0 }),
    ("rcpt", Expected { phase: Phase::Rcpt, accepted: 0 }),
    ("data", Expected { phase: Phase::Data, accepted: 0 }),
    ("body", Expected { phase: Phase::Dot, accepted: 0 }),
    ("dot", Expected { phase: Phase::Dot, accepted: 0 }),
    ("reply", Expected { phase: Phase::Dot, accepted: 1 }),
];

/// Sends one message to a server with one fault, over a session of its own.
async fn send_into(rule: &str, phase: Phase) -> (Catcher, Failure, Option<Session>) {
    let catcher = catcher(&[rule]).await;
    let relay = relay(catcher.port());
    // Only what must wait for a deadline gets a short one: a busy machine may be slow to drop or to babble.
    let waits = rule.contains("=stall") || rule.contains("=slow");
    let relay = if waits { impatient(relay, phase) } else { relay };
    match connect(relay).await {
        Err(failure) => (catcher, failure, None),
        Ok(mut session) => {
            let failure = send_over(&mut session, "ada@x.test").await.expect_err(rule);
            (catcher, failure, Some(session))
        }
    }
}

/// The failure is of the right phase, ambiguous exactly after the dot, and the connection is never used again.
async fn check(stage: &str, action: &str, expected: &Expected, cause: fn(&Cause) -> bool) {
    let rule = format!("{stage}={action}");
    let (catcher, failure, session) = send_into(&rule, expected.phase).await;
    let Failure::Broken { phase, cause: seen } = &failure else { panic!("{rule}: {failure:?}") };
    assert_eq!(*phase, expected.phase, "{rule}: {failure}");
    assert!(cause(seen), "{rule}: {failure}");
    assert_eq!(failure.is_ambiguous(), *phase == Phase::Dot, "{rule}");
    let disposition = if *phase == Phase::Dot { Disposition::Ambiguous } else { Disposition::Deferred };
    assert_eq!(classify(&failure), disposition, "{rule}");
    assert_eq!(catcher.accepted_count(), expected.accepted, "{rule}");
    if let Some(mut session) = session {
        assert!(!session.is_usable(), "{rule}");
        assert!(send_over(&mut session, "bob@x.test").await.is_err(), "{rule}");
        assert_eq!(catcher.accepted_count(), expected.accepted, "{rule}");
    }
    assert_clean(&catcher);
}

#[tokio::test]
async fn a_silent_server_meets_the_deadline_of_its_phase() {
    for (stage, expected) in &STAGES {
        check(stage, "stall", expected, |cause| matches!(cause, Cause::Timeout(_))).await;
    }
}

#[tokio::test]
async fn a_server_that_sends_a_byte_at_a_time_meets_the_same_deadline() {
    for (stage, expected) in STAGES.iter().filter(|(stage, _)| *stage != "body" && *stage != "dot") {
        check(stage, "slow:0.05", expected, |cause| matches!(cause, Cause::Timeout(_))).await;
    }
}

#[tokio::test]
async fn a_closed_connection_is_seen_in_its_phase() {
    for (stage, expected) in &STAGES {
        check(stage, "drop", expected, |cause| matches!(cause, Cause::Closed | Cause::Io(_))).await;
        check(stage, "rst", expected, |cause| matches!(cause, Cause::Closed | Cause::Io(_))).await;
    }
}

#[tokio::test]
async fn garbage_and_endless_replies_end_the_connection() {
    for (stage, expected) in STAGES.iter().filter(|(stage, _)| *stage != "body") {
        check(stage, "garbage", expected, |cause| matches!(cause, Cause::Garbage(_))).await;
        check(stage, "huge", expected, |cause| matches!(cause, Cause::Garbage(_))).await;
        // A reply that is well-formed and makes no sense here.
        check(stage, "299 what", expected, |cause| matches!(cause, Cause::Unexpected(_))).await;
    }
}
