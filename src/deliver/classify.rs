//! What a failure means for the send, the address and the relay. The costly mistake is to suppress a good address.
//!
//! | reply | becomes | suppress |
//! |---|---|---|
//! | RCPT 550, 551, 553 with 5.1.1, 5.1.2, 5.1.3, 5.1.6, 5.1.10, or without a code and plainly "user unknown" | hard bounce | yes |
//! | 552 or 5.2.x at RCPT or the dot | soft bounce | no |
//! | 5.7.x, 554 after the dot, 5yz at MAIL or DATA, any other 5yz | policy failure | no |
//! | 5yz at greeting, EHLO, AUTH; STARTTLS refused or missing; bad certificate; 530, 534, 535, 538 anywhere | relay fault | no |
//! | 421, 4yz anywhere, connect refused, cut before the dot | deferred | no |
//! | cut, timeout or garbage after the dot | ambiguous | no |

use super::smtp::{Cause, EnhancedCode, Failure, Phase, Reply};

/// What becomes of a send that got no 250.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// The address does not exist: failed, and the address is suppressed.
    HardBounce,
    /// The mailbox exists and does not take mail now (full, disabled): failed, counted towards suppression.
    SoftBounce,
    /// The server dislikes the message, the sender or the envelope: failed; many of these pause the campaign. The
    /// address is not to blame.
    PolicyFailure,
    /// The relay or our account with it is at fault: the relay is paused and the attempt does not count.
    RelayFault,
    /// Not now: tried again later, until the deadline of the send.
    Deferred,
    /// The server may or may not have the message: decided by the campaign's guarantee.
    Ambiguous,
}

/// Replies with these enhanced codes at RCPT say that the address does not exist: 5.1.1 bad mailbox, 5.1.2 bad
/// domain, 5.1.3 bad syntax, 5.1.6 mailbox moved, 5.1.10 null MX.
pub(crate) const NO_SUCH_ADDRESS: [(u16, u16); 5] = [(1, 1), (1, 2), (1, 3), (1, 6), (1, 10)];

/// Words by which servers without enhanced codes say that the mailbox does not exist. Only wordings that cannot
/// mean anything else: "mailbox unavailable" and "rejected" also stand for full boxes and blocked senders.
pub(crate) const NO_SUCH_USER_PHRASES: [&str; 16] = [
    "user unknown",
    "unknown user",
    "no such user",
    "no such mailbox",
    "no such recipient",
    "no such address",
    "no mailbox here by that name",
    "recipient unknown",
    "unknown recipient",
    "user not found",
    "recipient not found",
    "mailbox not found",
    "user does not exist",
    "user doesn't exist",
    "mailbox does not exist",
    "account that you tried to reach does not exist",
];

/// Words that make a phrase above unreliable: such servers answer so for blocked senders too.
pub(crate) const POLICY_PHRASES: [&str; 7] =
    ["blocked", "blacklist", "blocklist", "spam", "denied", "policy", "not permitted"];

/// Classifies a failure by the table above.
pub fn classify(failure: &Failure) -> Disposition {
    match failure {
        Failure::Unsendable(_) => Disposition::PolicyFailure,
        Failure::Broken { .. } if failure.is_ambiguous() => Disposition::Ambiguous,
        Failure::Broken { phase, cause } => match cause {
            Cause::Certificate(_)
            | Cause::StartTlsMissing
            | Cause::PlaintextInjected
            | Cause::AuthUnavailable(_) => Disposition::RelayFault,
            Cause::Tls(_) if *phase == Phase::Tls => Disposition::RelayFault,
            _ => Disposition::Deferred,
        },
        Failure::Refused { phase, reply } => refused(*phase, reply),
    }
}

/// Whether the server asked for fewer messages or connections: 421, or a 4.7.x. The rate towards it must fall.
pub fn is_throttle(failure: &Failure) -> bool {
    failure.reply().is_some_and(|reply| {
        reply.code == 421 || reply.enhanced.is_some_and(|code| code.class == 4 && code.subject == 7)
    })
}

fn refused(phase: Phase, reply: &Reply) -> Disposition {
    match (phase, reply.code) {
        // No TLS, no mail: a refused STARTTLS is a fault of the host, even when it says "temporarily" (454).
        (Phase::Tls, _) => Disposition::RelayFault,
        (_, 400..500) => Disposition::Deferred,
        (Phase::Greeting | Phase::Ehlo | Phase::Auth, _) | (_, 530 | 534 | 535 | 538) => {
            Disposition::RelayFault
        }
        (Phase::Rcpt, _) => at_recipient(reply),
        (Phase::Body | Phase::Dot, _) if is_soft(reply) => Disposition::SoftBounce,
        _ => Disposition::PolicyFailure,
    }
}

fn at_recipient(reply: &Reply) -> Disposition {
    let about_address = matches!(reply.code, 550 | 551 | 553);
    match reply.enhanced {
        Some(EnhancedCode { subject, detail, .. })
            if about_address && NO_SUCH_ADDRESS.contains(&(subject, detail)) =>
        {
            Disposition::HardBounce
        }
        None if about_address && says_no_such_user(reply) => Disposition::HardBounce,
        _ if is_soft(reply) => Disposition::SoftBounce,
        _ => Disposition::PolicyFailure,
    }
}

/// 552 or 5.2.x. An enhanced policy code says more than 552: "552 5.7.0 content blocked" is no full mailbox.
fn is_soft(reply: &Reply) -> bool {
    match reply.enhanced {
        Some(enhanced) => enhanced.subject == 2 || (reply.code == 552 && enhanced.subject != 7),
        None => reply.code == 552,
    }
}

fn says_no_such_user(reply: &Reply) -> bool {
    // A code of another class than the reply's is dropped by the parser; text that starts with one is still not
    // the plain text of a server without enhanced codes.
    if reply.text.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    let text = reply.text.to_lowercase().replace('\n', " ");
    NO_SUCH_USER_PHRASES.iter().any(|phrase| text.contains(phrase))
        && !POLICY_PHRASES.iter().any(|phrase| text.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::Disposition::{Ambiguous, Deferred, HardBounce, PolicyFailure, RelayFault, SoftBounce};
    use super::*;
    use crate::deliver::smtp::reply::take_reply;
    use crate::deliver::smtp::{Party, Unsendable};
    use std::time::Duration;

    fn refusal(phase: Phase, line: &str) -> Failure {
        let mut bytes = bytes::BytesMut::from(line.replace('\n', "\r\n").as_str());
        bytes.extend_from_slice(b"\r\n");
        let reply = take_reply(&mut bytes, &mut 0).unwrap().unwrap();
        Failure::Refused { phase, reply }
    }

    fn check(phase: Phase, line: &str, expected: Disposition) {
        assert_eq!(classify(&refusal(phase, line)), expected, "{phase}: {line}");
    }

    #[test]
    fn only_clear_words_about_the_address_are_a_hard_bounce() {
        for line in [
            "550 5.1.1 <x@y.test>: Recipient address rejected: User unknown in virtual mailbox table",
            "550-5.1.1 The email account that you tried to reach does not exist. Please try\n550 5.1.1 x",
            "550 5.1.2 domain unknown",
            "553 5.1.3 bad destination mailbox address syntax",
            "551 5.1.6 mailbox has moved",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            "550 User unknown",
            "550 No such user here",
            "550 <x@y.test>: Recipient unknown",
            "553 sorry, no mailbox here by that name. (#5.1.1)",
            "551 user not found",
            "550-Verification failed\n550 No Such User Here",
        ] {
            check(Phase::Rcpt, line, HardBounce);
            check(Phase::Mail, line, PolicyFailure);
            check(Phase::Data, line, PolicyFailure);
            check(Phase::Dot, line, PolicyFailure);
        }
    }

    #[test]
    fn other_refusals_of_a_recipient_never_suppress() {
        for (line, expected) in [
            ("552 5.2.2 mailbox full", SoftBounce),
            ("552 mailbox full", SoftBounce),
            ("550 5.2.1 The email account that you tried to reach is disabled", SoftBounce),
            ("550 5.2.2 over quota", SoftBounce),
            ("552 5.2.3 message length exceeds limit", SoftBounce),
            ("552 5.1.1 as asked", SoftBounce),
            ("552-5.7.0 This message was blocked because its content\n552 5.7.0 x", PolicyFailure),
            ("550 5.7.1 Client host blocked using a list", PolicyFailure),
            ("550 5.7.515 Access denied, sending domain does not pass authentication", PolicyFailure),
            ("550 5.7.26 unauthenticated sender", PolicyFailure),
            ("554 5.7.1 Relay access denied", PolicyFailure),
            ("550 5.4.1 Recipient address rejected: Access denied", PolicyFailure),
            ("550 5.5.0 Requested action not taken: mailbox unavailable", PolicyFailure),
            ("550 5.0.0 User unknown", PolicyFailure),
            ("550 4.1.1 User unknown", PolicyFailure),
            ("554 5.1.1 User unknown", PolicyFailure),
            ("550 Requested action not taken: mailbox unavailable", PolicyFailure),
            ("550 User unknown or blocked for spam", PolicyFailure),
            ("550 denied", PolicyFailure),
            ("550", PolicyFailure),
            ("500 5.5.2 syntax", PolicyFailure),
            ("503 5.5.1 MAIL first", PolicyFailure),
            ("421 4.7.0 too many connections", Deferred),
            ("450 4.1.1 user unknown, try later", Deferred),
            ("450 4.2.0 greylisted", Deferred),
            ("451 4.3.0 queue error", Deferred),
            ("452 4.2.2 mailbox full", Deferred),
            ("550 5.1.1", HardBounce),
        ] {
            check(Phase::Rcpt, line, expected);
        }
    }

    #[test]
    fn refusals_of_the_message_are_policy_or_soft() {
        for (phase, line, expected) in [
            (Phase::Mail, "550 5.7.1 sender rejected", PolicyFailure),
            (Phase::Mail, "552 5.3.4 message size exceeds fixed limit", PolicyFailure),
            (Phase::Mail, "553 5.1.8 sender's domain does not exist", PolicyFailure),
            (Phase::Mail, "451 4.7.1 rate", Deferred),
            (Phase::Data, "554 5.5.1 no valid recipients", PolicyFailure),
            (Phase::Data, "552 5.2.2 full", PolicyFailure),
            (Phase::Dot, "554 5.7.1 spam", PolicyFailure),
            (Phase::Dot, "554 refused", PolicyFailure),
            (Phase::Dot, "550 5.7.1 spam", PolicyFailure),
            (Phase::Dot, "552 5.2.2 full", SoftBounce),
            (Phase::Dot, "552 too large", SoftBounce),
            (Phase::Dot, "552 5.3.4 too large", SoftBounce),
            (Phase::Dot, "550 5.2.1 disabled", SoftBounce),
            (Phase::Dot, "552 5.7.0 content blocked", PolicyFailure),
            (Phase::Dot, "451 4.3.0 later", Deferred),
            (Phase::Dot, "421 4.3.2 shutting down", Deferred),
            (Phase::Body, "552 5.3.4 too large", SoftBounce),
            (Phase::Body, "554 no", PolicyFailure),
        ] {
            check(phase, line, expected);
        }
    }

    #[test]
    fn faults_of_the_relay_do_not_blame_the_send() {
        for (phase, line, expected) in [
            (Phase::Greeting, "554 5.7.1 no service for you", RelayFault),
            (Phase::Greeting, "421 4.7.0 too many connections", Deferred),
            (Phase::Ehlo, "550 5.7.1 bad helo", RelayFault),
            (Phase::Ehlo, "502 what", RelayFault),
            (Phase::Tls, "454 4.7.0 TLS not available", RelayFault),
            (Phase::Tls, "501 no", RelayFault),
            (Phase::Auth, "535 5.7.8 bad credentials", RelayFault),
            (Phase::Auth, "534 5.7.9 mechanism too weak", RelayFault),
            (Phase::Auth, "538 5.7.11 encryption required", RelayFault),
            (Phase::Auth, "454 4.7.0 temporary authentication failure", Deferred),
            (Phase::Mail, "530 5.7.0 authenticate first", RelayFault),
            (Phase::Mail, "530 5.7.0 must issue STARTTLS first", RelayFault),
            (Phase::Rcpt, "530 5.7.1 authentication required", RelayFault),
            (Phase::Dot, "535 5.7.8 session expired", RelayFault),
        ] {
            check(phase, line, expected);
        }
    }

    #[test]
    fn a_broken_connection_is_ambiguous_only_after_the_dot() {
        let io = || Cause::Io("reset".to_owned());
        for phase in [
            Phase::Connect,
            Phase::Greeting,
            Phase::Tls,
            Phase::Ehlo,
            Phase::Auth,
            Phase::Mail,
            Phase::Rcpt,
            Phase::Data,
            Phase::Body,
        ] {
            for cause in
                [io(), Cause::Closed, Cause::Timeout(Duration::from_secs(1)), Cause::Garbage("x".to_owned())]
            {
                assert_eq!(classify(&Failure::Broken { phase, cause }), Deferred, "{phase}");
            }
        }
        for cause in
            [io(), Cause::Closed, Cause::Timeout(Duration::ZERO), Cause::Tls("bad record".to_owned())]
        {
            assert_eq!(classify(&Failure::Broken { phase: Phase::Dot, cause }), Ambiguous);
        }
        for cause in [
            Cause::Certificate("expired".to_owned()),
            Cause::StartTlsMissing,
            Cause::PlaintextInjected,
            Cause::Tls("no shared version".to_owned()),
        ] {
            assert_eq!(classify(&Failure::Broken { phase: Phase::Tls, cause }), RelayFault);
        }
        let unavailable = Cause::AuthUnavailable("none offered".to_owned());
        assert_eq!(classify(&Failure::Broken { phase: Phase::Auth, cause: unavailable }), RelayFault);
        let cut = Cause::Tls("bad record".to_owned());
        assert_eq!(classify(&Failure::Broken { phase: Phase::Rcpt, cause: cut }), Deferred);
    }

    #[test]
    fn what_we_refuse_to_send_fails_and_suppresses_nobody() {
        let unsendable = Failure::Unsendable(Unsendable::NeedsSmtputf8(Party::Recipient));
        assert_eq!(classify(&unsendable), PolicyFailure);
    }

    #[test]
    fn throttles_are_seen() {
        assert!(is_throttle(&refusal(Phase::Mail, "421 slow down")));
        assert!(is_throttle(&refusal(Phase::Rcpt, "450 4.7.28 rate limit")));
        assert!(!is_throttle(&refusal(Phase::Rcpt, "450 4.2.0 greylisted")));
        assert!(!is_throttle(&refusal(Phase::Rcpt, "550 5.7.1 no")));
        assert!(!is_throttle(&Failure::Broken { phase: Phase::Mail, cause: Cause::Closed }));
    }
}
