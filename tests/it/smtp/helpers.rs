//! What the SMTP tests share: a catcher with rules, a relay that points to it, a message, a send.

use std::sync::Arc;

use bespoke::deliver::catcher::{Catcher, CatcherOptions, Rule};
use bespoke::deliver::smtp::{
    Connector, Deadlines, Failure, Phase, Pool, PoolSettings, Prepared, Relay, Reply, Security, Session,
    prepare,
};
use lettre::address::Envelope;

/// Milliseconds of the deadline that a test lets pass.
pub(crate) const SHORT_MS: u64 = 150;
/// Milliseconds of deadlines that must not pass even on a busy machine.
pub(crate) const LONG_MS: u64 = 30_000;

pub(crate) fn rules(rules: &[&str]) -> Vec<Rule> {
    rules.iter().map(|rule| rule.parse().unwrap()).collect()
}

pub(crate) async fn catcher(faults: &[&str]) -> Catcher {
    Catcher::start_with(CatcherOptions { rules: rules(faults), ..CatcherOptions::default() }).await.unwrap()
}

/// A relay at a port of this machine, with deadlines that do not pass.
pub(crate) fn relay(port: u16) -> Relay {
    let deadlines = Deadlines {
        connect_ms: LONG_MS,
        greeting_ms: LONG_MS,
        tls_ms: LONG_MS,
        ehlo_ms: LONG_MS,
        auth_ms: LONG_MS,
        mail_ms: LONG_MS,
        rcpt_ms: LONG_MS,
        data_ms: LONG_MS,
        body_ms: LONG_MS,
        dot_ms: LONG_MS,
        quit_ms: LONG_MS,
    };
    Relay { deadlines, ..Relay::new("test", "127.0.0.1", port, Security::None) }
}

/// The same relay with one phase whose deadline soon passes.
pub(crate) fn impatient(relay: Relay, phase: Phase) -> Relay {
    hurried(relay, phase, SHORT_MS)
}

/// The same relay with another deadline for one phase.
pub(crate) fn hurried(mut relay: Relay, phase: Phase, deadline_ms: u64) -> Relay {
    let deadlines = &mut relay.deadlines;
    let deadline = match phase {
        Phase::Connect => &mut deadlines.connect_ms,
        Phase::Greeting => &mut deadlines.greeting_ms,
        Phase::Tls => &mut deadlines.tls_ms,
        Phase::Ehlo => &mut deadlines.ehlo_ms,
        Phase::Auth => &mut deadlines.auth_ms,
        Phase::Mail => &mut deadlines.mail_ms,
        Phase::Rcpt => &mut deadlines.rcpt_ms,
        Phase::Data => &mut deadlines.data_ms,
        Phase::Body => &mut deadlines.body_ms,
        Phase::Dot => &mut deadlines.dot_ms,
        Phase::Quit => &mut deadlines.quit_ms,
    };
    *deadline = deadline_ms;
    relay
}

pub(crate) async fn connect(relay: Relay) -> Result<Session, Failure> {
    Session::connect(&Arc::new(Connector::new(relay).unwrap())).await
}

pub(crate) fn pool(relay: Relay) -> Pool {
    Pool::new(vec![relay], PoolSettings::default()).unwrap()
}

pub(crate) fn envelope(to: &str) -> Envelope {
    Envelope::new("shop@sender.test".parse().ok(), vec![to.parse().unwrap()]).unwrap()
}

pub(crate) fn message(subject: &str) -> Prepared {
    prepare(format!("Subject: {subject}\n\n.a line that starts with a dot\nbye\n").as_bytes()).unwrap()
}

/// One message over an open session.
pub(crate) async fn send_over(session: &mut Session, to: &str) -> Result<Reply, Failure> {
    let (envelope, message) = (envelope(to), message(to));
    session.begin(&envelope, &message).await?.submit().await
}

/// One message through a pool, which must have a session for it.
pub(crate) async fn send(pool: &Pool, to: &str) -> Result<Reply, Failure> {
    let (envelope, message) = (envelope(to), message(to));
    let mut session = pool.checkout().await.expect("a relay can be used");
    let result = match session.begin(&envelope, &message).await {
        Ok(begun) => begun.submit().await,
        Err(failure) => Err(failure),
    };
    session.give_back();
    result
}

/// The local parts of the recipients that a catcher accepted messages for, in order.
pub(crate) fn accepted(catcher: &Catcher) -> Vec<String> {
    let user = |address: &String| address.split('@').next().unwrap_or_default().to_owned();
    catcher.messages().iter().flat_map(|caught| caught.recipients.iter().map(user)).collect()
}

/// Asserts that the client kept to the protocol.
pub(crate) fn assert_clean(catcher: &Catcher) {
    assert_eq!(catcher.violations(), Vec::<String>::new());
}
