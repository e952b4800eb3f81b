//! What providers call us with: the bytes of a request, verified, become the same reports as mails do.
//!
//! Pure: keys and the time are arguments, nothing is fetched, nothing is looked up. A provider's signature proves that
//! the provider says so; that it is about a send of ours is proven as for mails ([`super::Judge`]).

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Value;

use crate::bounce::Kind;
use crate::bounce::Origin;
use crate::bounce::Refusal;
use crate::bounce::Report;
use crate::bounce::Returned;
use crate::bounce::Stage;
use crate::bounce::classify;
use crate::bounce::enhanced_code;
use crate::bounce::shortened;

pub mod mailgun;
pub mod postmark;
pub mod sendgrid;
pub mod ses;

/// Reports of one call that are looked at.
pub const REPORTS_PER_CALL_MAX: usize = 10_000;
/// A stamp may be this old: providers try again for hours, and what comes twice is recorded once.
const STAMP_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Clocks may differ by this much.
const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Why a call is not believed, or not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It proves nothing.
    #[error("{0}")]
    Unproven(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

fn unproven(why: impl Into<String>) -> CallError {
    CallError::Unproven(why.into())
}

fn unreadable(why: impl std::fmt::Display) -> CallError {
    CallError::Unreadable(why.to_string())
}

/// Seconds since the Unix epoch, near enough to now.
fn check_stamp(seconds: &str, now: Timestamp) -> Result<(), CallError> {
    let at = seconds.trim().parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    check_time(at, now)
}

fn check_time(at: Option<Timestamp>, now: Timestamp) -> Result<(), CallError> {
    let age = now.duration_since(at.ok_or_else(|| unproven("the call's time cannot be read"))?);
    if age > STAMP_AGE_MAX || age < -CLOCK_SKEW_MAX {
        return Err(unproven("the call is too old, or from the future"));
    }
    Ok(())
}

/// A text inside a JSON object; empty where there is none.
fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    path.iter().fold(value, |value, key| &value[*key]).as_str().unwrap_or_default()
}

/// One report of a call, with the Message-ID that the provider names.
fn returned(id: String, report: Report, message_id: &str) -> Returned {
    let message_id = message_id.trim().trim_matches(['<', '>']).to_owned();
    let message_ids = if message_id.is_empty() { Vec::new() } else { vec![message_id] };
    Returned { id, reports: vec![report], origin: Origin { message_ids, ..Origin::default() } }
}

/// What a host's words mean; `silent` where it said nothing that can be judged.
fn judged(status: &str, words: &str, recipient: &str, silent: Kind) -> Report {
    let status = enhanced_code(status);
    let refusal = Refusal { status, diagnostic: words, stage: Stage::Unknown, recipient: Some(recipient) };
    let (kind, code, reply_code) = classify(&refusal);
    let says_nothing = code.is_none() && reply_code.is_none();
    Report {
        kind: if says_nothing { silent } else { kind },
        recipient: Some(recipient.to_owned()),
        status: code.map(|code| code.to_string()),
        reply_code,
        diagnostic: shortened(words),
    }
}
