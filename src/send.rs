//! The row to be done, its states, and what became of an attempt.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use sha2::Digest;

use crate::campaign::CampaignId;
use crate::campaign::Guarantee;
use crate::campaign::Kind;
use crate::clock::from_millisecond;
use crate::digest::hex;
use crate::digest::of_parts;
use crate::profile::EmailAddress;
use crate::profile::ProfileId;

/// Names a send for ever: 32 lower-case hex digits, in order of time. The Message-ID is made from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SendId(String);

impl SendId {
    /// The id of one occurrence: 48 bits of time, then 80 bits of a hash over what makes the send unique, so that
    /// planning the same thing at the same time gives the same id.
    pub fn derive(at: Timestamp, campaign: &CampaignId, profile: &ProfileId, occurrence: &str) -> Self {
        let digest = of_parts([campaign.as_str(), profile.as_str(), occurrence]).finalize();
        let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or(0) & 0xffff_ffff_ffff;
        Self(format!("{milliseconds:012x}{}", hex(&digest[..10])))
    }

    /// The time from which it was derived: when a planned send was first due.
    pub fn derived_at(&self) -> Timestamp {
        let milliseconds = self.0.get(..12).and_then(|digits| i64::from_str_radix(digits, 16).ok());
        from_millisecond(milliseconds.unwrap_or(0))
    }

    /// Reads an id; `None` when it is not 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The row to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduledSend {
    /// Its name for ever.
    pub id: SendId,
    /// Which campaign.
    pub campaign: CampaignId,
    /// Copied from the campaign when the send was planned.
    pub kind: Kind,
    /// Copied from the campaign when the send was planned.
    pub guarantee: Guarantee,
    /// To whom.
    pub profile: ProfileId,
    /// What makes it unique within campaign and profile: a local date, an event's id …
    pub occurrence: String,
    /// Not before this time.
    pub due_at: Timestamp,
    /// Not after this time: it expires.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Claims so far, this one included. Faults that are the relay's are not counted.
    pub attempt: u32,
    /// How often a worker died while it decided or rendered this send.
    pub orphaned: u32,
    /// What a transactional request, or the starting event, brought along: `data` in templates.
    pub data: Map<String, Value>,
    /// An address that overrides the profile's (transactional requests, test sends).
    pub to: Option<EmailAddress>,
}

/// How the occurrence of a send begins that a program asked for.
pub const REQUESTED: &str = "api/";
/// The same, where files came along. The occurrence says so, that nobody has to look for files of other sends.
pub const REQUESTED_WITH_FILES: &str = "api+files/";

impl ScheduledSend {
    /// Whether files may have come along with the request for it.
    pub fn has_files(&self) -> bool {
        self.occurrence.starts_with(REQUESTED_WITH_FILES)
    }
}

/// Where a send stands. `scheduled → leased → submitting → sent | deferred (→ scheduled) | failed | …`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// A worker holds it.
    Leased,
    /// Its body may be on the wire.
    Submitting,
    /// Waits for another attempt, or for the end of quiet hours.
    Deferred,
    /// A relay has taken responsibility for it.
    Sent,
    /// It will not be tried again.
    Failed,
    /// Its address must not be written to.
    Suppressed,
    /// Not sent on purpose: no consent, cap, holdout, no eligible variant, NO SEND.
    Skipped,
    /// At-most-once, and nobody can tell whether it was taken.
    Unknown,
    /// Its deadline passed.
    Expired,
    /// Somebody, or an event, called it off.
    Canceled,
}

impl State {
    /// All of them, open ones first.
    pub const ALL: [Self; 11] = [
        Self::Scheduled,
        Self::Leased,
        Self::Submitting,
        Self::Deferred,
        Self::Sent,
        Self::Failed,
        Self::Suppressed,
        Self::Skipped,
        Self::Unknown,
        Self::Expired,
        Self::Canceled,
    ];

    /// The word that exports and the database use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Leased => "leased",
            Self::Submitting => "submitting",
            Self::Deferred => "deferred",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more will happen by itself.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Leased | Self::Submitting | Self::Deferred)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A worker's hold on sends: a fencing token. A write with a token that is no longer the row's changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseToken(pub String);

/// What became of an attempt. Data, never an `Err`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The new state.
    pub state: State,
    /// One machine word (`hard_bounce`, `quiet_hours`, `cap` …) under which reports count it.
    pub reason: String,
    /// The relay's reply, or a sentence for people.
    pub detail: String,
    /// When to try again; only with [`State::Deferred`].
    pub retry_at: Option<Timestamp>,
    /// Whether this attempt counts.
    pub attempt: AttemptCount,
    /// Whether the address must not be written to again.
    pub suppress: Suppress,
    /// Which relay took or refused it.
    pub relay: Option<String>,
}

/// Whether an attempt counts towards backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptCount {
    /// It does.
    Spent,
    /// It was not the mail's fault: quiet hours, a paused relay, a rate limit.
    NotSpent,
}

/// Whether an outcome suppresses its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suppress {
    /// No.
    No,
    /// Hard bounce: the address does not exist.
    HardBounce,
    /// Counts towards N soft bounces in 30 days.
    CountSoft,
}

impl Outcome {
    /// A terminal outcome without a relay: skipped, expired, canceled, suppressed, failed before the wire.
    pub fn terminal(state: State, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            detail: detail.into(),
            retry_at: None,
            attempt: AttemptCount::Spent,
            suppress: Suppress::No,
            relay: None,
        }
    }

    /// Waits until `retry_at`; the attempt is not spent.
    pub fn later(reason: &str, detail: impl Into<String>, retry_at: Timestamp) -> Self {
        Self {
            state: State::Deferred,
            reason: reason.to_owned(),
            detail: detail.into(),
            retry_at: Some(retry_at),
            attempt: AttemptCount::NotSpent,
            suppress: Suppress::No,
            relay: None,
        }
    }
}

/// An address we must not write to: why, since when, for which topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suppression {
    /// [`EmailAddress::key`] of the address.
    pub address: String,
    /// `*` for everything (hard bounce, manual, erased), [`LIFECYCLE_TOPIC`] for all but transactional, the same for a
    /// time ([`PAUSE_TOPIC`]), or a topic.
    pub topic: String,
    /// `hard_bounce`, `soft_bounces`, `complaint`, `unsubscribe`, `pause`, `manual`, `erased`.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// The send whose bounce, complaint or link it came by.
    pub send: Option<SendId>,
    /// When it ends by itself; only a pause does.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Suppression {
    /// Whether it stops mail of this kind and topic at `now`.
    pub fn stops(&self, kind: Kind, topic: &str, now: Timestamp) -> bool {
        let holds = self.until.is_none_or(|until| until > now);
        let meant = match kind {
            Kind::Transactional => self.topic == EVERY_TOPIC,
            Kind::Lifecycle => {
                [EVERY_TOPIC, LIFECYCLE_TOPIC, PAUSE_TOPIC, topic].contains(&self.topic.as_str())
            }
        };
        holds && meant
    }

    /// Whether the person said so: only they take it back.
    pub fn is_their_own_word(&self) -> bool {
        matches!(self.reason.as_str(), "unsubscribe" | "complaint" | PAUSE)
    }
}

/// The reason of a send that waits for another step of its series.
pub const EARLIER_STEP: &str = "earlier_step";

/// The topic of a suppression that stops everything, transactional mail too.
pub const EVERY_TOPIC: &str = "*";
/// The topic of a suppression that stops all but transactional mail.
pub const LIFECYCLE_TOPIC: &str = "lifecycle";
/// The topic of a suppression that stops all but transactional mail until it ends.
pub const PAUSE_TOPIC: &str = "pause";
/// The reason of a suppression that ends by itself.
pub const PAUSE: &str = "pause";
/// The reason of a suppression of an address that refused too many mails.
pub const SOFT_BOUNCES: &str = "soft_bounces";
/// The reasons for which a list may hold an address, and what each stops where no topic is stated: everything where there
/// is nobody or an operator says so, else all but transactional mail.
pub const LISTED_REASONS: [(&str, &str); 5] = [
    ("hard_bounce", EVERY_TOPIC),
    (SOFT_BOUNCES, LIFECYCLE_TOPIC),
    ("complaint", LIFECYCLE_TOPIC),
    ("unsubscribe", LIFECYCLE_TOPIC),
    ("manual", EVERY_TOPIC),
];

/// What a suppression for this reason stops where no topic is stated; a pause is a topic of its own.
pub fn usual_topic(reason: &str) -> &'static str {
    LISTED_REASONS.iter().find(|(listed, _)| *listed == reason).map_or(PAUSE_TOPIC, |(_, topic)| topic)
}
