//! What a refusal means: RFC 3463 codes first, then SMTP codes, then a small table of phrases.
//!
//! The costly mistake is to suppress a good address. So a hard bounce needs a clear sign that the address does not
//! exist, and nothing that says otherwise: no other code, no word about spam or quotas, no refusal of the message
//! itself. Words without a code are believed only when they were said to RCPT, or name the address next to a permanent
//! status.

use super::Kind;
use super::scan;
use crate::deliver::classify::NO_SUCH_ADDRESS;
use crate::deliver::classify::NO_SUCH_USER_PHRASES;
use crate::deliver::classify::POLICY_PHRASES;
use crate::deliver::smtp::EnhancedCode;

/// More wordings for an address that does not exist, seen in reports only: hosts that are no SMTP servers write them.
const NO_SUCH_ADDRESS_PHRASES: [&str; 12] = [
    "unknown address",
    "address unknown",
    "invalid recipient",
    "invalid user",
    "no such account",
    "user not exist",
    "not listed in",
    "no longer on server",
    "this user doesn't have a",
    "host or domain name not found",
    "host unknown",
    "domain not found",
];

/// Words about the receiver's mailbox: it exists.
const MAILBOX_PHRASES: [&str; 12] = [
    "quota",
    "full",
    "exceed",
    "storage",
    "insufficient",
    "disabled",
    "suspended",
    "inactive",
    "frozen",
    "not active",
    "deactivated",
    "on hold",
];

/// Words that speak of the sender, the message or the moment: no address is blamed next to them.
const OTHER_PHRASES: [&str; 16] = [
    "too many",
    "temporar",
    "try again",
    "greylist",
    "rejected due to",
    "reputation",
    "banned",
    "relay",
    "authenticat",
    "dmarc",
    "spf",
    "dkim",
    "virus",
    "unsolicited",
    "sender address",
    "loop",
];

/// Words by which a relay says that it gave up after temporary failures.
const EXPIRED_PHRASES: [&str; 7] = [
    "expired",
    "timed out",
    "timeout",
    "too long",
    "not responding",
    "did not accept our requests to connect",
    "could not connect",
];

/// When in the SMTP conversation the host refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To the recipient's address.
    Recipient,
    /// To the message.
    Message,
    /// Nobody says.
    Unknown,
}

/// A refusal as a report tells it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The `Status` of the report, where it has one.
    pub status: Option<EnhancedCode>,
    /// What the host said.
    pub diagnostic: &'a str,
    /// When it said so.
    pub stage: Stage,
    /// Whom it is about. Words without a code are believed only where they name the address.
    pub recipient: Option<&'a str>,
}

/// What a refusal means, the enhanced code that decided, and the reply code.
pub fn classify(refusal: &Refusal<'_>) -> (Kind, Option<EnhancedCode>, Option<u16>) {
    let codes = scan::enhanced_codes(refusal.diagnostic);
    let replies = scan::reply_codes(refusal.diagnostic);
    let said = codes.iter().find(|code| is_specific(**code)).or(codes.first()).copied();
    // The host that refused says it better than the relay that reports it, unless it says nothing in particular.
    let code = match (said, refusal.status) {
        (Some(said), Some(status)) if !is_specific(said) && is_specific(status) => Some(status),
        (Some(said), _) => Some(said),
        (None, status) => status,
    };
    let kind = kind_of(refusal, &codes, code, replies.first().copied());
    (kind, code, replies.first().copied())
}

/// `5.0.0` and `5.1.0` say less than `5.1.1`.
fn is_specific(code: EnhancedCode) -> bool {
    code.subject != 0 && code.detail != 0
}

fn kind_of(
    refusal: &Refusal<'_>,
    codes: &[EnhancedCode],
    code: Option<EnhancedCode>,
    reply: Option<u16>,
) -> Kind {
    let text = refusal.diagnostic.to_lowercase();
    let (origin, text) = split_type(&text);
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let any = |wanted: fn(&EnhancedCode) -> bool| {
        codes.iter().chain(code.as_ref()).chain(refusal.status.as_ref()).any(wanted)
    };
    if any(|code| code.class == 4) || reply.is_some_and(|reply| reply < 500) {
        return Kind::SoftBounce;
    }
    if any(|code| code.subject == 7) {
        return Kind::PolicyBounce;
    }
    if any(|code| code.subject == 2 && code.detail != 0) || says(&MAILBOX_PHRASES) || reply == Some(552) {
        return Kind::SoftBounce;
    }
    if says(&POLICY_PHRASES) || says(&OTHER_PHRASES) {
        return Kind::PolicyBounce;
    }
    let about_address = matches!(reply, None | Some(550 | 551 | 553 | 554 | 556));
    let words = says(&NO_SUCH_USER_PHRASES) || says(&NO_SUCH_ADDRESS_PHRASES);
    if refusal.stage == Stage::Message || !about_address || origin == "x-unix" {
        return if says(&EXPIRED_PHRASES) { Kind::SoftBounce } else { Kind::PolicyBounce };
    }
    let named = code.is_some_and(|code| names_no_address(code) && is_consistent(codes));
    let names_it = refusal.recipient.is_some_and(|recipient| text.contains(&recipient.to_lowercase()));
    let at_recipient = refusal.stage == Stage::Recipient;
    let backed = words
        && match code {
            // Somebody who names a code of another subject means something else.
            Some(code) => {
                matches!((code.subject, code.detail), (0 | 1 | 3, 0) | (0, _)) && (names_it || at_recipient)
            }
            None => at_recipient,
        };
    match () {
        () if named || backed => Kind::HardBounce,
        () if says(&EXPIRED_PHRASES) || words => Kind::SoftBounce,
        () => Kind::PolicyBounce,
    }
}

/// 5.1.1 and its like; 5.4.4: no host could be found for the domain.
fn names_no_address(code: EnhancedCode) -> bool {
    NO_SUCH_ADDRESS.contains(&(code.subject, code.detail)) || (code.subject, code.detail) == (4, 4)
}

fn is_consistent(codes: &[EnhancedCode]) -> bool {
    codes.iter().all(|code| names_no_address(*code) || !is_specific(*code))
}

/// `smtp; 550 no` → `smtp` and the words. `x-unix` is the report of a program on the receiving host: it may say "no
/// such user" of a user that has nothing to do with the address.
fn split_type(diagnostic: &str) -> (&str, &str) {
    match diagnostic.split_once(';') {
        Some((name, words)) if name.len() <= 40 && !name.trim().contains(char::is_whitespace) => {
            (name.trim(), words)
        }
        _ => ("", diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Option<&str>, stage: Stage, diagnostic: &str, expected: Kind) {
        let status = status.and_then(|text| scan::enhanced_codes(text).first().copied());
        let (kind, ..) = classify(&Refusal { status, diagnostic, stage, recipient: Some("a@b.test") });
        assert_eq!(kind, expected, "{status:?} {stage:?} {diagnostic}");
    }

    #[test]
    fn only_clear_signs_about_the_address_are_hard() {
        for (status, stage, diagnostic) in [
            (Some("5.1.1"), Stage::Unknown, "smtp; 550 5.1.1 <a@b.test>: User unknown"),
            (Some("5.1.1"), Stage::Unknown, ""),
            (Some("5.0.0"), Stage::Unknown, "smtp; 550 <A@b.test> No such user here"),
            (Some("5.0.0"), Stage::Recipient, "smtp; 550 No such user here"),
            (Some("5.4.4"), Stage::Unknown, "Host or domain name not found"),
            (Some("5.1.10"), Stage::Unknown, "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
            (None, Stage::Recipient, "550 unknown user"),
            (None, Stage::Unknown, "Sorry, no mailbox here by that name. (#5.1.1)"),
        ] {
            check(status, stage, diagnostic, Kind::HardBounce);
        }
    }

    #[test]
    fn any_doubt_saves_the_address() {
        for (status, stage, diagnostic, expected) in [
            (Some("5.1.1"), Stage::Message, "550 5.1.1 user unknown", Kind::PolicyBounce),
            (Some("5.1.1"), Stage::Unknown, "550 5.7.1 user unknown", Kind::PolicyBounce),
            (Some("5.1.1"), Stage::Unknown, "552 over quota (#5.1.1)", Kind::SoftBounce),
            (Some("5.1.1"), Stage::Unknown, "550 5.1.1 sent to too many this hour", Kind::PolicyBounce),
            (Some("5.1.3"), Stage::Unknown, "553 blocked, see the list", Kind::PolicyBounce),
            (Some("4.1.1"), Stage::Recipient, "450 4.1.1 user unknown", Kind::SoftBounce),
            (Some("5.2.1"), Stage::Recipient, "550 5.2.1 user unknown", Kind::SoftBounce),
            (Some("5.1.1"), Stage::Unknown, "x-unix; procmail: no such user", Kind::PolicyBounce),
            (Some("5.5.0"), Stage::Unknown, "550 a@b.test user unknown", Kind::SoftBounce),
            (Some("5.0.0"), Stage::Unknown, "550 user unknown", Kind::SoftBounce),
            (None, Stage::Unknown, "550 unknown user", Kind::SoftBounce),
            (None, Stage::Unknown, "message expired", Kind::SoftBounce),
            (None, Stage::Unknown, "", Kind::PolicyBounce),
        ] {
            check(status, stage, diagnostic, expected);
        }
    }
}
