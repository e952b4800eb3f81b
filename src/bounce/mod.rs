//! Mails that come back to a return path: delivery reports, complaints, automatic answers. Pure.
//!
//! [`read`] takes the bytes of one mail, however badly a machine wrote it, and returns what it reports about whom, and
//! every sign in it of which send of ours it is about. Nothing is believed here: who takes a sign for true is
//! [`crate::feedback`], and it believes only return paths that we signed and Message-IDs that we gave out.
//!
//! In reading order: `mime` takes the mail apart, `fields` reads RFC 3464 and RFC 5965, `text` what is only written
//! for people, `scan` finds addresses and codes, `classify` says what a refusal means, `origin` finds our own ids.

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

mod classify;
mod fields;
mod kinds;
mod mime;
mod origin;
mod scan;
pub mod ses;
mod text;

pub use classify::Refusal;
pub use classify::Stage;
pub use classify::classify;
pub use origin::Origin;

use mime::Mail;

use crate::digest::hex;

/// Longest diagnostic that is kept, in bytes.
pub const DIAGNOSTIC_BYTES_MAX: usize = 1_000;
/// Reports of one mail at most.
pub const REPORTS_MAX: usize = 100;

/// What a report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The address does not exist.
    HardBounce,
    /// The mailbox exists and took nothing: full, disabled, given up after many temporary refusals.
    SoftBounce,
    /// The receiver dislikes the message or its sender; the address is not to blame.
    PolicyBounce,
    /// Not delivered yet; the relay still tries.
    Delayed,
    /// Delivered, or handed on.
    Delivered,
    /// The reader pressed "spam".
    Complaint,
    /// The reader took that back, or a host reports failed authentication: for people to look at.
    Notice,
    /// The reader asks for no more mail.
    Unsubscribe,
    /// Out of office, and other machines that answer.
    AutoReply,
    /// A machine that wants the sender to prove to be human.
    Challenge,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::HardBounce,
        Self::SoftBounce,
        Self::PolicyBounce,
        Self::Delayed,
        Self::Delivered,
        Self::Complaint,
        Self::Notice,
        Self::Unsubscribe,
        Self::AutoReply,
        Self::Challenge,
    ];

    /// The word under which reports count it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hard_bounce",
            Self::SoftBounce => "soft_bounce",
            Self::PolicyBounce => "policy",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Complaint => "complaint",
            Self::Notice => "notice",
            Self::Unsubscribe => "unsubscribe",
            Self::AutoReply => "auto_reply",
            Self::Challenge => "challenge",
        }
    }
}

/// What a mail reports about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it says.
    pub kind: Kind,
    /// Whom it is about, as the reporting host names them. Hosts that forward name an address that we never wrote to.
    pub recipient: Option<String>,
    /// The enhanced status code (RFC 3463) that decided, such as `5.1.1`.
    pub status: Option<String>,
    /// The SMTP reply code, where one is told.
    pub reply_code: Option<u16>,
    /// What the host said, at most [`DIAGNOSTIC_BYTES_MAX`]. Written by anybody: escape it where it is shown.
    pub diagnostic: String,
}

impl Report {
    /// A report without codes.
    pub fn plain(kind: Kind, recipient: Option<String>, diagnostic: &str) -> Self {
        Self { kind, recipient, status: None, reply_code: None, diagnostic: shortened(diagnostic) }
    }
}

/// One mail that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Its Message-ID, or a hash of its bytes where it has none: the same mail twice is one mail.
    pub id: String,
    /// What it reports; empty when it is no report at all.
    pub reports: Vec<Report>,
    /// Signs of which send it is about.
    pub origin: Origin,
}

/// Reads one mail. Never fails: a mail that reports nothing has no reports.
pub fn read(bytes: &[u8]) -> Returned {
    let mail = Mail::read(bytes);
    let mut reports = kinds::reports(&mail);
    reports.truncate(REPORTS_MAX);
    let stated = mail.headers.get("message-id").map(|id| id.trim_matches(['<', '>', ' ']));
    let id = match stated {
        Some(id) if !id.is_empty() && id.len() <= 500 => id.to_owned(),
        _ => format!("sha256:{}", hex(&Sha256::digest(bytes))),
    };
    Returned { id, reports, origin: Origin::of(&mail) }
}

/// The first enhanced status code (RFC 3463) in a text.
pub fn enhanced_code(text: &str) -> Option<crate::deliver::smtp::EnhancedCode> {
    scan::enhanced_codes(text).first().copied()
}

/// White space as single spaces, cut to [`DIAGNOSTIC_BYTES_MAX`].
pub(crate) fn shortened(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(DIAGNOSTIC_BYTES_MAX + 4));
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() >= DIAGNOSTIC_BYTES_MAX {
            break;
        }
    }
    out.truncate(out.floor_char_boundary(DIAGNOSTIC_BYTES_MAX));
    out
}
